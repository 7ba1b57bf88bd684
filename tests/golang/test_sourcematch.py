"""The program under testdata/profiles is the very source that the profile beside it was taken from."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpgo import pprof
from fleetpgo.golang.packages import Package, packages
from fleetpgo.golang.sourcematch import Sources
from fleetpgo.pprof import Edge, Edges

PROFILES = Path(__file__).parents[1] / "testdata" / "profiles"
PROFILE = pprof.call_edges(pprof.decode((PROFILES / "go1.27.3.pb.gz").read_bytes()))


@pytest.fixture
def program(tmp_path):
    return shutil.copytree(PROFILES / "program", tmp_path / "program")


def match(directory, edges=PROFILE):
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    return Sources(packages(directory, ".", environment=environment)).match(edges)


def edit(program, old, new):
    source = program / "main.go"
    text = source.read_text()
    assert old in text
    source.write_text(text.replace(old, new))


def from_runtime(function):
    return function.startswith(("runtime.", "internal/runtime/"))


def lost(found):
    return {each.edge for each in found.lost}


def test_on_the_source_that_it_was_taken_from_a_profile_matches_wholly(program):
    found = match(program)

    assert (found.share, found.lost) == (1.0, ())
    assert list(found.excluded) == ["from or into the runtime", "not written in Go"]
    assert found.compared + sum(found.excluded.values()) == pytest.approx(1)


def test_a_renamed_function_loses_its_calls_and_nothing_else(program):
    edit(program, "fibonacci", "leonardo")
    found = match(program)

    expected = {
        edge
        for edge in PROFILE.weights
        if "main.fibonacci" in (edge.caller, edge.callee) and not from_runtime(edge.callee)
    }
    weight = sum(PROFILE.weights[edge] for edge in expected)
    assert expected == lost(found)
    assert 1 - weight / (PROFILE.total * found.compared) == pytest.approx(found.share)


def test_lines_that_shift_inside_a_function_lose_the_calls_below_and_nothing_else(program):
    edit(program, "\tfor round := 0;", "\t// A line more.\n\tfor round := 0;")
    found = match(program)

    below = {edge for edge in PROFILE.weights if edge.caller == "main.work" and not from_runtime(edge.callee)}
    assert lost(found) == below
    assert len(below) > 3
    assert {each.why for each in found.lost} == {"the call on that line"}


def test_a_line_outside_of_functions_loses_nothing(program):
    edit(program, "type shape interface", "// A line more.\ntype shape interface")

    assert match(program).share == 1.0


def test_a_call_that_is_removed_is_lost_alone(program):
    edit(program, "s.area(20_000)", "20_000 + len(s.(square).name())")
    edit(program, "func even", 'func (s square) name() string { return "" }\n\nfunc even')
    found = match(program)

    assert {(edge.caller, edge.callee) for edge in lost(found)} == {
        ("main.work", "main.square.area"),
        ("main.work", "main.circle.area"),
    }


def package(directory, source, *, name="p", assembly=""):
    (directory / "a.go").write_text(f"package {name}\n{source}")
    (directory / "a.s").write_text(assembly)
    return Package(f"example.com/{name}", name, str(directory), ("a.go",), ("a.s",))


def one(tmp_path, source, caller, callee, offset=1, **options):
    """Why the one edge is not matched, or is left out; "" if it is matched."""
    found = Sources([package(tmp_path, source, **options)]).match(
        Edges.of({Edge(f"example.com/p.{caller}", f"example.com/p.{callee}", offset): 5})
    )
    return "".join([*found.excluded, *(each.why for each in found.lost)])


@pytest.mark.parametrize(
    ("source", "caller", "callee"),
    [
        ("func f() {\n\tg()\n}\nfunc g() {}\n", "f", "g"),
        ("func f() {\n\tg[int](1)\n}\nfunc g[T any](t T) {}\n", "f", "g[go.shape.int]"),
        ("func f() {\n\t(g)(1)\n}\nfunc g(int) {}\n", "f", "g"),
        (
            "type t[K any] struct{}\nfunc (x *t[K]) f() {\n\tx.g()\n}\nfunc (t[K]) g() {}\n",
            "(*t[go.shape.int]).f",
            "t[go.shape.int].g",
        ),
        ("type t struct{}\nfunc (t) g() {}\nfunc f(x interface{ g() }) {\n\tx.g()\n}\n", "f", "t.g"),
        ("func f(h func()) {\n\th()\n}\nfunc g() {}\n", "f", "g"),
        ("type t struct{ h func() }\nfunc f(x t) {\n\tx.h()\n}\nfunc g() {}\n", "f", "g"),
        ("func f(h []func()) {\n\th[0]()\n}\nfunc g() {}\n", "f", "g"),
        ("func f() {\n\tfunc() {}()\n}\n", "f", "f.func1"),
        ("func f() {\n\tx := 1; _ = func() {\n\t\tg()\n\t}\n}\nfunc g() {}\n", "f.func1", "g"),
        ("var x = func() {\n\tg()\n}\nfunc g() {}\n", "init.func1", "g"),
        ("func f() {\n\tfor range g {\n\t}\n}\nfunc h() { _ = func() {} }\n", "f", "h.func1"),
        ("func f() {\n\tg(\n\t)\n}\nfunc g() {}\n", "f", "g"),
        ("type t struct{ u }\nfunc f(x t) {\n\tx.g()\n}\ntype u struct{}\nfunc (u) g() {}\n", "f", "(*t).g"),
        ("func f() {\n\tx := 1; for range h {\n\t\tg()\n\t}\n}\nfunc g() {}\n", "f-range1", "g"),
        (
            "func f() {\n\tfor range a {\n\t\tfor range b {\n\t\t\tg()\n\t\t}\n\t}\n}\nfunc g() {}\n",
            "f-range2",
            "g",
        ),
        ("func f() {\n\tx = func() { for range h {\n\t\tg()\n\t} }\n}\nfunc g() {}\n", "f.func1-range1", "g"),
        (
            "func f() {\n\tfor range h {\n\t\tx = func() {\n\t\t\tg()\n\t\t}\n\t}\n}\nfunc g() {}\n",
            "f.func1",
            "g",
        ),
        ("func f(yield func()) {\n\tyield()\n}\nfunc h() {\n\tfor range f {\n\t}\n}\n", "f", "h-range1"),
        ("func f[T any]() {\n\tfor range h {\n\t\tg()\n\t}\n}\nfunc g() {}\n", "f[go.shape.int]-range1", "g"),
        ('import "C"\nfunc f() {\n\tC.x(p)\n}\n', "f", "f.func1"),
    ],
    ids=[
        "function",
        "generic function",
        "in parentheses",
        "method of a generic type",
        "interface",
        "parameter",
        "field",
        "element",
        "literal called on the spot",
        "from a literal",
        "from a literal of the package",
        "range over a function",
        "over several lines",
        "promoted method",
        "from the body of a loop over an iterator",
        "from the body of a loop in a loop",
        "from the body of a loop in a literal",
        "from a literal in a loop",
        "into the body of a loop",
        "from the body of a loop in a generic function",
        "into what cgo puts around a call",
    ],
)
def test_each_kind_of_call_is_found(tmp_path, source, caller, callee):
    assert one(tmp_path, source, caller, callee) == ""


GENERIC = """\
type t[K any] struct{}
func (x *t[K]) f() {
	g(x)
}
func g[T any](T) {}
"""


@pytest.mark.parametrize(
    ("caller", "callee", "why"),
    [
        ("(*t[go.shape.int]).f", "g[go.shape.*main.t[int]]", ""),
        ("(*t).f", "g[go.shape.int]", "the list of the caller's type arguments"),
        ("(*t[...]).f", "g[go.shape.int]", "the list of the caller's type arguments"),
        ("(*t[go.shape.int]).f", "g", "the list of the callee's type arguments"),
    ],
)
def test_names_count_as_the_compiler_writes_them(tmp_path, caller, callee, why):
    assert one(tmp_path, GENERIC, caller, callee) == why


@pytest.mark.parametrize(
    "source",
    [
        "//line a.y:70\nfunc f() {\n\tprintln()\n//line a.y:90\n\tg()\n}\nfunc g() {}\n",
        "//line a.y:70:3\nfunc f() {\n//line :90\n\tg()\n}\nfunc g() {}\n",
        "/*line a.y:70:1*/func f() {\n\tprintln(); /*line b.y:90:1*/ g()\n}\nfunc g() {}\n",
        "//line b.y:7\nvar y int\n//line a.y:70\nfunc f() {\n//line a.y:90\n\tg()\n}\nfunc g() {}\n",
    ],
)
def test_a_line_directive_moves_what_follows_it(tmp_path, source):
    assert one(tmp_path, source, "f", "g", offset=20) == ""
    assert one(tmp_path, source, "f", "g", offset=1) == "the call on that line"


@pytest.mark.parametrize("line", [" //line a.y:90", "// line a.y:90", "//line a.y", "//line a.y:x"])
def test_what_only_resembles_a_line_directive_moves_nothing(tmp_path, line):
    assert one(tmp_path, f"func f() {{\n{line}\n\tg()\n}}\nfunc g() {{}}\n", "f", "g", offset=2) == ""


def test_a_body_of_a_loop_that_is_gone_is_lost(tmp_path):
    assert one(tmp_path, "func f() {\n\tg()\n}\nfunc g() {}\n", "f-range1", "g") == "the caller"


def test_a_call_in_the_runtime_that_the_source_shows_is_compared(tmp_path):
    (tmp_path / "a.go").write_text("package runtime\nfunc f() {\n\tg()\n}\nfunc g() {}\n")
    runtime = Package("runtime", "runtime", str(tmp_path), ("a.go",), ())
    seen, inserted = Edge("runtime.f", "runtime.g", 1), Edge("runtime.f", "runtime.memmove", 1)

    found = Sources([runtime]).match(Edges.of({seen: 3, inserted: 1}))

    assert (found.share, found.compared, found.excluded) == (1.0, 0.75, {"from or into the runtime": 0.25})


def test_the_line_of_a_chained_call_is_that_of_its_parenthesis(tmp_path):
    source = "type t struct{}\nfunc (t) g() t {\n\treturn t{}.\n\t\tg()\n}\n"

    assert one(tmp_path, source, "t.g", "t.g", offset=2) == ""
    assert one(tmp_path, source, "t.g", "t.g", offset=1) == "the call on that line"


def test_a_deferred_call_is_found_where_the_function_returns(tmp_path):
    source = "func f() {\n\tdefer g()\n\tprintln()\n}\nfunc g() {}\n"

    assert one(tmp_path, source, "f", "g", offset=3) == ""


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("other()", "the call on that line"),
        ("strings.g()", "the call on that line"),
        ("_ = T(1)", "the call on that line"),
        ("_ = len(s)", "the call on that line"),
        ("_ = g", "the call on that line"),
    ],
)
def test_what_cannot_be_the_call_is_not_taken_for_it(tmp_path, line, why):
    declared = 'import "strings"\ntype T int\nfunc gg() {}\nfunc other() {}\n'
    source = f"{declared}func f(s string) {{\n\t{line}\n}}\n"

    assert one(tmp_path, source, "f", "gg") == why


@pytest.mark.parametrize(
    ("caller", "callee", "why"),
    [
        ("gone", "g", "the caller"),
        ("f", "gone", "the callee"),
        ("f", "g.func1", "the callee"),
        ("f", "T.gone", "the callee"),
        ("assembly", "g", "not written in Go"),
        ("f.gowrap1", "g", "made by the compiler"),
        ("f", "_Cfunc_puts", "made by the compiler"),
    ],
)
def test_what_is_gone_is_told_from_what_cannot_be_compared(tmp_path, caller, callee, why):
    source = "type T struct{}\nfunc f() {\n\tg()\n}\nfunc g() {}\n"
    assembly = "TEXT ·assembly(SB), NOSPLIT, $0\n\tRET\n"

    assert one(tmp_path, source, caller, callee, assembly=assembly) == why


@pytest.mark.parametrize(
    ("caller", "callee", "why"),
    [
        ("memcpy", "main.f", "not written in Go"),
        ("main.f", "type:.eq.main.T", "made by the compiler"),
        ("main.f", "runtime.mallocgc", "from or into the runtime"),
        ("internal/runtime/maps.grow", "main.f", "from or into the runtime"),
    ],
)
def test_functions_without_source_are_left_out(tmp_path, caller, callee, why):
    main = package(tmp_path, "func f() {}\n", name="main")
    found = Sources([main]).match(Edges.of({Edge(caller, callee, 1): 3}))

    assert (found.share, found.compared, found.excluded) == (None, 0.0, {why: 1.0})


def test_a_dependency_that_is_not_at_hand_is_left_out(tmp_path):
    absent = Package("example.com/absent", "", "", (), ())
    main = package(tmp_path, "func f() {}\n", name="main")
    edges = Edges.of({Edge("main.f", "example.com/absent.g", 1): 3})

    assert Sources([main, absent]).match(edges).excluded == {"source not at hand": 1.0}


def test_a_dependency_that_is_gone_is_lost(tmp_path):
    main = package(tmp_path, "func f() {}\n", name="main")
    edges = Edges.of({Edge("main.f", "example.com/gone.g", 1): 3})

    assert [each.why for each in Sources([main]).match(edges).lost] == ["the callee"]


def test_a_path_with_dots_is_found_by_its_escaped_name(tmp_path):
    (tmp_path / "a.go").write_text("package yaml\nfunc f() {\n\tg()\n}\nfunc g() {}\n")
    yaml = Package("gopkg.in/yaml.v3", "yaml", str(tmp_path), ("a.go",), ())
    edges = Edges.of({Edge("gopkg.in/yaml%2ev3.f", "gopkg.in/yaml%2ev3.g", 1): 3})

    assert Sources([yaml]).match(edges).share == 1.0


@given(st.text("ab./*()[]-~%1 main runtime func", max_size=60), st.integers(-5, 9))
def test_no_name_that_a_profile_may_hold_is_too_much(name, offset):
    with tempfile.TemporaryDirectory() as directory:
        main = package(Path(directory), "func f() {\n\tg()\n}\nfunc g() {}\n", name="main")
        edges = Edges.of({Edge(name, "main.g", offset): 1, Edge("main.f", name, offset): 1})

        found = Sources([main]).match(edges)

    assert found.compared + sum(found.excluded.values()) == pytest.approx(1)


def test_a_name_of_a_million_brackets_takes_no_time_to_speak_of():
    name = f"main.f{'[' * 500_000}{']' * 500_000}"

    assert Sources([]).match(Edges.of({Edge(name, "main.g", 1): 1})).lost[0].why == "the caller"


IN_LOOPS = "func f() {\n\tfor range h {\n\t\tx = func() {\n\t\t\tg()\n\t\t}\n\t}\n}\nfunc g() {}\n"
PLAIN = "func f() {\n\tx = func() {\n\t\tg()\n\t}\n}\nfunc g() {}\nfunc k() { _ = func() {} }\n"


def of_toolchain(directory, version, source, caller, *others):
    """Why the edge from a closure to g is lost or left out with that toolchain; and what is said of Go."""
    root = directory / "go"
    (root / "src" / "runtime").mkdir(parents=True)
    (root / "VERSION").write_text(f"{version}\ntime 2026-11-01T00:00:00Z\n")
    (root / "src" / "runtime" / "a.go").write_text("package runtime\n")
    runtime = Package("runtime", "runtime", str(root / "src" / "runtime"), ("a.go",), ())
    edges = {Edge(f"example.com/p.{caller}", "example.com/p.g", 1): 5}
    edges |= {Edge(other, other, 1): 1 for other in others}
    found = Sources([package(directory, source), runtime]).match(Edges.of(edges))
    own = [each for each in found.lost if each.edge.callee == "example.com/p.g"]
    return "".join([*(each.why for each in own), *found.excluded]), found.other_go


RENAMED = "the closure, which this version of Go names otherwise,"
RENUMBERED = "closures that this version of Go may number otherwise"
OLD = "example.com/p.(*k).m.f.func1"


@pytest.mark.parametrize(
    ("version", "source", "caller", "others", "why"),
    [
        # Nothing has changed: any literal of the function.
        ("go1.27.3", IN_LOOPS, "f-range1.func1", (), ""),
        ("go1.26.6", IN_LOOPS, "f.func1", (), ""),
        ("go1.27.3", PLAIN, "f.func1", (), ""),
        # No closure of the toolchain's has such a name.
        ("go1.27.3", PLAIN, "k.f.func1", (), RENAMED),
        ("go1.26.6", IN_LOOPS, "f-range1.func1", (), RENAMED),
        # A closure of another toolchain's may have another number, unless nothing around it changes numbers.
        ("go1.27.3", IN_LOOPS, "f.func1", (OLD,), RENUMBERED),
        ("go1.27.3", PLAIN, "f.func1", (OLD,), ""),
        ("go1.27.3", "var x = func() {\n\tg()\n}\nfunc g() {}\n", "init.func1", (OLD,), RENUMBERED),
        # A source that does not say its version.
        ("", IN_LOOPS, "f.func1", (OLD,), ""),
    ],
)
def test_a_closure_that_another_toolchain_numbered_is_not_any_literal(
    tmp_path, version, source, caller, others, why
):
    assert of_toolchain(tmp_path, version, source, caller, *others)[0] == why


def test_a_profile_of_another_toolchain_is_said(tmp_path):
    assert of_toolchain(tmp_path, "go1.27.3", PLAIN, "f.func1", OLD)[1] == (
        "another version of Go than go1.27.3 built the program that was profiled: its closures are numbered "
        "as before Go 1.27"
    )


def test_functions_of_go_that_are_gone_tell_of_another_toolchain(tmp_path):
    assert of_toolchain(tmp_path, "go1.27.3", PLAIN, "f.func1", "runtime.gone")[1] == (
        "another version of Go than go1.27.3 built the program that was profiled: go1.27.3 does not have "
        "runtime.gone"
    )


def test_functions_of_the_program_that_are_gone_tell_nothing_of_go(tmp_path):
    assert of_toolchain(tmp_path, "go1.27.3", PLAIN, "gone")[1] == ""


def test_a_real_profile_tells_of_its_toolchain(program):
    before = pprof.call_edges(pprof.decode((PROFILES / "go1.25.5.pb.gz").read_bytes()))
    assert match(program).other_go == ""
    assert "does not have internal/runtime/syscall.Syscall6" in match(program, before).other_go
