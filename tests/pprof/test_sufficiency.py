from __future__ import annotations

import numpy as np
import pytest

from fleetpgo import pprof
from fleetpgo.pprof import Sufficiency
from fleetpgo.pprof.edges import Edge, Edges
from fleetpgo.pprof.minimising import from_edges

EDGES = [Edge("main.f", f"main.g{number}", number) for number in range(200)]


def instance(seed: int, samples: int, *, edges: list[Edge] = EDGES) -> bytes:
    """Samples drawn from a distribution that all instances share."""
    shares = 1 / np.arange(1, len(edges) + 1)
    counts = np.random.default_rng(seed).multinomial(samples, shares / shares.sum())
    drawn = zip(edges, counts.tolist(), strict=True)
    return from_edges(Edges.of({edge: count for edge, count in drawn if count}))


def sufficiency(fleet: dict[str, bytes]) -> Sufficiency:
    """Instance → its profile: how far they agree."""
    table = pprof.EdgeTable()
    if fleet:
        table.add(pprof.pack(list(zip(fleet, pprof.edges_of_each(fleet.values()), strict=True))))
    return pprof.sufficiency({name: name for name in fleet}, table)


def test_equal_instances_agree_fully():
    one = instance(0, 500)
    found = sufficiency({"a": one, "b": one})
    assert (found.split_half_overlap, found.leave_one_out, found.outliers) == (1.0, {"a": 1.0, "b": 1.0}, ())


def test_more_samples_agree_more():
    few, many = (
        sufficiency({str(seed): instance(seed, samples) for seed in range(6)}) for samples in (100, 10_000)
    )
    assert few.split_half_overlap < many.split_half_overlap
    assert few.held_out_coverage < many.held_out_coverage


def test_the_instance_that_runs_something_else_is_named():
    fleet = {str(seed): instance(seed, 1000) for seed in range(5)}
    fleet["odd"] = instance(9, 1000, edges=[Edge("other.f", "other.g", 1), *EDGES[100:]])
    assert sufficiency(fleet).outliers == ("odd",)


def test_the_instance_that_changes_the_hot_edges_most_is_named():
    fleet = {str(seed): instance(seed, 1000) for seed in range(5)}
    # Not the one that differs most, but has little to say.
    fleet["odd"] = instance(9, 10, edges=[Edge("other.f", "other.g", 1)])
    fleet["loud"] = instance(8, 8000, edges=EDGES[::-1])

    found = sufficiency(fleet).influence

    assert (found.instance, 0 < found.changed, found.hot <= len(EDGES) + 1) == ("loud", True, True)


def test_an_instance_without_which_nothing_is_left_changes_all_of_it():
    nothing = from_edges(Edges.of({}))
    found = sufficiency({"a": instance(0, 500), "b": nothing, "c": nothing}).influence
    assert (found.instance, found.changed) == ("a", found.hot)


def test_nobody_is_named_where_nobody_changes_the_hot_edges():
    fleet = {str(number): instance(0, 500) for number in range(3)}
    assert sufficiency(fleet).influence is None


def test_the_order_of_the_instances_makes_no_difference():
    fleet = {str(seed): instance(seed, 300) for seed in range(4)}
    assert sufficiency(dict(reversed(fleet.items()))) == sufficiency(fleet)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_instances_cannot_be_judged(count):
    fleet = {str(seed): instance(seed, 300) for seed in range(count)}
    weight = 300 * count
    assert sufficiency(fleet) == Sufficiency(count, weight, None, None, {}, ())


def test_weights_whose_products_need_more_than_64_bits_agree_exactly():
    one = from_edges(Edges.of({edge: 10**12 + number for number, edge in enumerate(EDGES)}))
    found = sufficiency({"a": one, "b": one, "c": one})
    assert (found.split_half_overlap, set(found.leave_one_out.values())) == (1.0, {1.0})
