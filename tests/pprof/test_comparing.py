from __future__ import annotations

from unittest.mock import ANY

import pytest
from hypothesis import given

from fleetpgo.pprof import call_edges, compare, decode, merge
from fleetpgo.pprof.comparing import Comparison
from fleetpgo.pprof.edges import Edge, Edges
from fleetpgo.pprof.minimising import from_edges
from tests.pprof.messages import packed
from tests.pprof.test_callgraph import profiles

ONE, TWO, THREE = (Edge("main.f", name, 1) for name in ("main.a", "main.b", "main.c"))


def profile(weights: dict[Edge, int]) -> bytes:
    return from_edges(Edges.of(weights))


def test_a_profile_is_unchanged_against_itself(real):
    assert compare(decode(real), decode(real)) == Comparison(
        overlap=1.0, by_chance=ANY, unchanged=True, hot_gained=(), hot_lost=()
    )


def test_what_the_compiler_does_not_read_is_no_change(real):
    assert compare(decode(real), decode(from_edges(call_edges(decode(real))))).unchanged


def test_twice_the_weight_overlaps_fully_but_is_a_change(real):
    assert compare(decode(real), merge([real, real])) == Comparison(
        1.0, by_chance=ANY, unchanged=False, hot_gained=(), hot_lost=()
    )


def test_overlap_is_the_sum_of_the_lesser_shares():
    found = compare(decode(profile({ONE: 3, TWO: 1})), decode(profile({ONE: 1, THREE: 1})))
    assert found == Comparison(
        overlap=0.5, by_chance=ANY, unchanged=False, hot_gained=(THREE,), hot_lost=(TWO,)
    )


def test_profiles_of_different_programs_do_not_overlap():
    assert compare(decode(profile({ONE: 5})), decode(profile({TWO: 5}))).overlap == 0.0


@given(profiles, profiles)
def test_overlap_is_symmetric_and_a_share(one, other):
    forth = compare(decode(packed(one)), decode(packed(other))).overlap
    assert forth == pytest.approx(compare(decode(packed(other)), decode(packed(one))).overlap)
    assert 0 <= forth <= 1
