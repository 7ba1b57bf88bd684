"""Weighted merges against exact arithmetic: the compiler's edges have the shares that the factors say."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from fleetpgo.pprof import call_edges, decode, merge
from fleetpgo.pprof.merging import EQUAL_SAMPLES
from tests.pprof.messages import message, packed, unpacked

NEARLY = 1e-4
"""How far the binary fractions of many stacks may be from exact ones, in samples."""

leaves = st.tuples(st.sampled_from(["main.a", "main.b"]), st.just(1), st.integers(1, 6))
callers = st.tuples(st.sampled_from(["main.f", "main.g"]), st.integers(1, 3), st.integers(3, 6))
deeper = st.lists(st.tuples(st.just("main.h"), st.just(1), st.integers(1, 9)), max_size=2)


def as_stack(leaf, caller, others):
    return [[frame] for frame in (leaf, caller, *others)]


samples = st.tuples(st.builds(as_stack, leaves, callers, deeper), st.integers(1, 9))
called = st.lists(samples, min_size=1, max_size=30)
factors = st.fractions(Fraction(1, 500), 20)


def exact(inputs: list[bytes], weights: list[Fraction]) -> dict[object, Fraction]:
    """The edges' weights, in fractions."""
    found: Counter = Counter()
    for data, weight in zip(inputs, weights, strict=True):
        for edge, count in call_edges(decode(data)).weights.items():
            found[edge] += count * weight
    return found


def sums(data: bytes) -> list[int]:
    """The sum of each column."""
    return [sum(column) for column in zip(*(sample.value for sample in unpacked(data).sample), strict=True)]


@given(st.lists(st.tuples(called, factors), min_size=1, max_size=4))
def test_each_edge_is_right_within_one_sample(made):
    inputs, weights = [packed(message(stacks)) for stacks, _ in made], [weight for _, weight in made]
    given_weights = list(map(float, weights))
    small = call_edges(merge(inputs, weights=given_weights))
    expected = exact(inputs, weights)
    assert small.weights.keys() <= expected.keys()
    assert max(abs(small.weights.get(edge, 0) - weight) for edge, weight in expected.items()) <= 1 + NEARLY
    assert abs(small.total - sum(expected.values())) <= 0.5 + NEARLY


@given(st.lists(called, min_size=1, max_size=4))
def test_with_equal_weights_each_profile_has_the_same_total(made):
    inputs = [packed(message(stacks)) for stacks in made]
    total = EQUAL_SAMPLES * len(inputs)
    assert sums(merge(inputs, weights="equal").data) == [total, total * 10**7]
    assert call_edges(merge(inputs, weights="equal")).total == total


@given(st.lists(st.tuples(called, factors), min_size=2, max_size=4), st.randoms())
def test_the_order_of_weighted_inputs_makes_no_difference(made, random):
    inputs = [(packed(message(stacks)), float(weight)) for stacks, weight in made]
    shuffled = random.sample(inputs, len(inputs))
    one, other = (
        merge([data for data, _ in some], weights=[weight for _, weight in some]).data
        for some in (inputs, shuffled)
    )
    assert one == other


def rare(count: int) -> list:
    """As many different stacks of one call, each seen once."""
    return [
        ([[("main.a", 1, 1 + row)], [("main.f", 1, 5)], [("main.main", 1, 9)]], 1) for row in range(count)
    ]


def test_a_large_instance_of_rare_stacks_does_not_outweigh_a_small_one():
    large = packed(message([([[("main.hot", 1, 2)], [("main.f", 1, 3)]], 3000), *rare(2000)]))
    small = packed(message([([[("main.cold", 1, 2)], [("main.g", 1, 3)]], 30)]))
    edges = call_edges(merge([large, small], weights="equal"))
    assert {(edge.callee, weight) for edge, weight in edges.weights.items()} == {
        ("main.cold", 10_000),
        ("main.hot", 6_000),
        ("main.a", 4_000),
    }


def test_a_stack_that_is_rounded_to_no_sample_keeps_its_time():
    stacks = rare(3)
    merged = unpacked(merge([packed(message(stacks))], weights=[0.1]).data)
    assert sorted(tuple(sample.value) for sample in merged.sample) == [(0, 10**6)] * 3


def test_equal_profiles_of_nanoseconds_alone_count_alike():
    types = (("cpu", "nanoseconds"),)
    busy = packed(message([([[("main.hot", 1, 2)], [("main.f", 1, 3)]], 500 * 10**7)], types=types))
    calm = packed(message([([[("main.cold", 1, 2)], [("main.f", 1, 3)]], 10**7)], types=types))
    assert sums(merge([busy, calm], weights="equal").data) == [2 * EQUAL_SAMPLES * 10**7]


def test_an_inlined_call_is_right_within_one_sample_for_each_place():
    places = [("main.f", 1, 3), ("main.g", 1, 3), ("main.h", 1, 3)]
    inputs = [
        packed(message([([[("main.leaf", 1, row), ("main.inner", 1, 4)], [place]], 1) for place in places]))
        for row in range(1, 8)
    ]
    expected, found = exact(inputs, [Fraction(1, 5)] * 7), call_edges(merge(inputs, weights=[0.2] * 7))
    off = {edge: abs(found.weights.get(edge, 0) - weight) for edge, weight in expected.items()}
    assert max(off.values()) <= len(places)
