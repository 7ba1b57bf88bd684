"""Names of closures before and from Go 1.27 on, as `go tool nm` prints them for programs of both."""

import pytest

from fleetpgo.golang.numbering import BEFORE, SINCE, numbering_of, numberings

GO_1_26 = """\
main.main.t.m.func1
main.outer.func1.small.1
main.gen[go.shape.int].func1.small.1
main.g.g.seq.func6.g-range1.func7
runtime.(*sweepLocked).sweep.(*mheap).freeSpan.func2
net.(*netFD).accept.(*netFD).addrFunc.func1
runtime.Stack.func1.tracebackothers.1
sync/atomic.init.OnceFunc.func3
net/http.(*Server).logf.Printf.func2
net/http.(*http2serverConn).readFrames
runtime.mallocgcTiny
runtime.memhashFallback""".splitlines()

GO_1_27 = """\
main.g-range1-range1
main.g-range1-range1.1
main.g-range1.func1
example.com/a.(*T).m-range1.func2
net/http/internal/http2.(*serverConn).readFrames
runtime.mallocgcTinySlowPath
runtime.mallocgcSmallScanNoHeaderSC3
internal/runtime/maps.memHashAES""".splitlines()

BOTH = """\
main.f
main.f.func2.2.1
main.f-range1
main.g.deferwrap1
main.g.gowrap2
main.t.m.func1
runtime.gcMarkDone.forEachP.func5
main.(*t).m.func1
main.(*t).m-fm
main.glob..func1
main.init.func1.1
main.init.0.func1
main.gen[go.shape.int].func1.1
example.com/a.v2.F
gopkg.in/yaml%2ev3.F.func1
runtime.mallocgc
net/http.(*conn).serve
memcpy
""".splitlines()


@pytest.mark.parametrize("name", GO_1_26)
def test_names_that_only_versions_before_give(name):
    assert numberings([name]) == {BEFORE}


@pytest.mark.parametrize("name", GO_1_27)
def test_names_that_only_versions_from_1_27_on_give(name):
    assert numberings([name]) == {SINCE}


@pytest.mark.parametrize("name", BOTH)
def test_names_that_all_versions_give(name):
    assert numberings([name]) == set()


def test_a_mixture_has_both():
    assert numberings([*BOTH, GO_1_26[0], GO_1_27[0]]) == {BEFORE, SINCE}


@pytest.mark.parametrize(
    ("version", "numbering"),
    [
        ("go1.26.6", BEFORE),
        ("go1.9", BEFORE),
        ("go1.27", SINCE),
        ("go1.27.3", SINCE),
        ("go2.0", SINCE),
        ("", None),
        ("devel go1.28-abc", None),
    ],
)
def test_a_toolchain_numbers_by_its_version(version, numbering):
    assert numbering_of(version) == numbering
