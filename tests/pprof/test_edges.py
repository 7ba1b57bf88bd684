from __future__ import annotations

from fleetpgo.pprof.codec.texts import go_bytes, go_name
from fleetpgo.pprof.edges import Edge, Edges

HOT = Edge("a", "b", 1)
WARM = Edge("a", "c", 1)
COLD = Edge("a", "d", 1)


def test_edges_are_ordered_by_weight_then_names_then_offset():
    edges = [Edge("b", "a", 1), Edge("a", "b", 2), Edge("a", "a", 9)]
    assert list(Edges.of(dict.fromkeys(edges, 1) | {HOT: 7}).weights) == [
        HOT,
        Edge("a", "a", 9),
        Edge("a", "b", 2),
        Edge("b", "a", 1),
    ]


def test_names_are_ordered_by_their_bytes():
    odd, late = Edge(go_name(b"\xff"), "x", 0), Edge("\U0001f600", "x", 0)
    assert list(Edges.of({odd: 1, late: 1}).weights) == [late, odd]


def test_names_that_are_not_text_survive():
    assert go_bytes(go_name(b"caf\xe9\xff")) == b"caf\xe9\xff"


def test_the_edge_that_goes_over_99_percent_is_hot():
    assert Edges.of({HOT: 990, WARM: 9, COLD: 1}).hot == (HOT, WARM)


def test_exactly_99_percent_is_not_over_it():
    assert Edges.of({HOT: 99, WARM: 1}).hot == (HOT, WARM)


def test_no_edges_have_no_hot_ones():
    assert Edges.of({}).hot == ()


def test_the_text_is_that_of_preprofile():
    assert (
        Edges.of({HOT: 2, Edge("c", "d", -3): 5}).preprofile() == b"GO PREPROFILE V1\nc\nd\n-3 5\na\nb\n1 2\n"
    )
