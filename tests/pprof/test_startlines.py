"""An edge needs the start line of its Go caller, and of nobody else: Go's own tool is asked."""

from __future__ import annotations

import pytest

from fleetpgo.errors import ProfileError
from fleetpgo.golang.preprofile import preprofile
from fleetpgo.pprof import call_edges, check, decode
from tests.pprof.messages import message, packed

WORK, MAIN = [("main.work", 9, 11)], [("main.main", 3, 5)]
GO = ([WORK, MAIN], 70)
SYSCALL = [("internal/runtime/syscall.Syscall6", 35, 40)]
CGO = [[("runtime.asmcgocall", 871, 872)], [("runtime.cgocall", 120, 167)], MAIN]


def frames(*names: str) -> list[list[tuple[str, int, int]]]:
    """Locations of functions that have no start line."""
    return [[(name, 0, 812)] for name in names]


TAKEN = {
    "C, called by cgo": [*frames("compress_block", "deflate_fast"), *CGO],
    "C++ and Rust, named by a cgo traceback": [
        *frames("ns::Codec::run(int)", "_ZN2ns5Codec3runEi.cold"),
        *CGO,
    ],
    "a C library, named by perf": [*frames("__memcpy_avx@@GLIBC_2.14", "[libc.so.6]"), *CGO],
    "the kernel, named by eBPF": [*frames("do_syscall_64"), SYSCALL, MAIN],
    "deeper in the kernel": [*frames("copy_user.isra.0", "vfs_read.part.3"), SYSCALL, MAIN],
    "a copy that a C compiler made": [*frames("inflate_fast.constprop.0", "inflate"), *CGO],
    "C inlined into C": [[("crc32_z", 0, 7), ("deflate", 0, 9)], *CGO],
    "a leaf of Go that lost its start line": [*frames("main.leaf"), WORK, MAIN],
}


@pytest.mark.parametrize("stack", TAKEN.values(), ids=TAKEN)
def test_what_go_takes_is_taken(stack):
    data = packed(message([GO, (stack, 30)]))
    assert check(data).start_line_share == 1.0
    assert preprofile(data) == call_edges(decode(data)).preprofile()


REFUSED = {
    "a caller of Go": [WORK, *frames("main.old")],
    "a caller of Go that was inlined": [[("main.leaf", 4, 5), ("main.old", 0, 9)], MAIN],
    "a method": [WORK, *frames("example.com/api/codec.(*Reader).next")],
    "a generic function": [WORK, *frames("main.Map[go.shape.struct { a::b }]")],
    "a function that nobody could name": [WORK, []],
}


@pytest.mark.parametrize("stack", REFUSED.values(), ids=REFUSED)
def test_a_caller_that_may_be_of_go_needs_one(stack):
    with pytest.raises(ProfileError) as caught:
        check(packed(message([GO, (stack, 30)])))
    assert caught.value.reason == "partial-start-line"


def test_a_library_without_names_calls_nothing_of_go():
    profile = message([GO, ([[], []], 30)])
    profile.mapping.add(id=2, memory_start=1 << 40, memory_limit=1 << 41)
    for location in profile.location:
        if not location.line:
            location.mapping_id = 2
    assert check(packed(profile)).start_line_share == 1.0


def test_deeper_frames_do_not_matter():
    assert check(packed(message([([WORK, MAIN, *frames("main.old")], 100)]))).start_line_share == 1.0


def test_a_profile_of_c_alone_has_no_start_line():
    with pytest.raises(ProfileError) as caught:
        check(packed(message([(frames("compress", "deflate"), 100)])))
    assert caught.value.reason == "no-start-line"
