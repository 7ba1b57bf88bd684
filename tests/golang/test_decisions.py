from fleetpgo.golang import decisions as decisions_module
from fleetpgo.golang.decisions import Decisions, Optimised, OptimisedCall
from fleetpgo.pprof import Edge, Edges

LINES = """\
# example.com/a
hot-callsite-thres-from-CDF=0.1
hot-budget check allows inlining for call example.com/a/b.(*T).M (cost 341) at ./a.go:60:7 in function main.f
./a.go:60:7: inlining call to b.(*T).M
hot-budget check allows inlining for call example.com/a/b.(*T).M (cost 341) at ./a.go:60:7 in function main.f
hot-budget check allows inlining for call main.f (cost 100) at ./a.go:9:3 in function main.f
hot-budget check allows inlining for call gopkg.in/y.v3.g[go.shape.int] (cost 9) at ./a.go:1:4 in function p.h
./a.go:1:4: inlining call to y.g[go.shape.int]
./a.go:12:4: inlining call to cheap
./b.go:77:19: PGO devirtualize considering call s.area()
./b.go:77:19: call main.work:13: hottest callee main.square.area (weight 22)
./b.go:77:19: PGO devirtualizing interface call s.area to square.area
./b.go:80:1: call main.work:16: hottest callee main.other (weight 7)
""".splitlines()


def test_what_the_compiler_says_is_counted_once_and_ranked_by_weight():
    decisions = Decisions()
    for line in LINES:
        decisions.read(line)
    edges = Edges.of(
        {
            Edge("main.f", "example.com/a/b.(*T).M", 3): 10,
            Edge("main.f", "example.com/a/b.(*T).M", 4): 20,
            Edge("p.h", "gopkg.in/y%2ev3.g[...]", 1): 20,
            Edge("main.work", "main.square.area", 13): 50,
        }
    )

    assert decisions.optimised(edges) == Optimised(
        inlined=2,
        devirtualised=1,
        hottest=(
            OptimisedCall("devirtualised", "main.work", "main.square.area", 0.5),
            OptimisedCall("inlined", "main.f", "example.com/a/b.(*T).M", 0.3),
            OptimisedCall("inlined", "p.h", "gopkg.in/y.v3.g[go.shape.int]", 0.2),
        ),
    )


def test_a_build_that_tells_of_no_end_of_decisions_costs_bounded_memory(monkeypatch):
    monkeypatch.setattr(decisions_module, "MOST_DECISIONS", 10)
    decisions = Decisions()
    for line in range(100):
        decisions.read(f"./a.go:{line}:1: PGO devirtualizing interface call a.b to c.d")

    assert (decisions.too_many, decisions.optimised(Edges.of({})).devirtualised) == (True, 11)


def test_ten_calls_are_named_at_most():
    decisions = Decisions()
    for line in range(12):
        place = f"./a.go:{line}:1"
        decisions.read(
            f"hot-budget check allows inlining for call p.g{line} (cost 9) at {place} in function p.f"
        )
        decisions.read(f"{place}: inlining call to g{line}")
    told = decisions.optimised(Edges.of({Edge("p.f", f"p.g{line}", line): line + 1 for line in range(12)}))

    assert (told.inlined, len(told.hottest), told.hottest[0].callee) == (12, 10, "p.g11")


def test_names_of_generic_functions_may_hold_blanks():
    callee, caller = "p.g[go.shape.struct { X int }]", "p.f[go.shape.[]int, int]"
    decisions = Decisions()
    decisions.read(
        f"hot-budget check allows inlining for call {callee} (cost 9) at ./a.go:1:1 in function {caller}"
    )
    decisions.read("./a.go:1:1: inlining call to g[go.shape.struct { X int }]")
    told = decisions.optimised(Edges.of({Edge(caller, callee, 1): 1}))

    assert [(each.caller, each.callee) for each in told.hottest] == [(caller, callee)]
