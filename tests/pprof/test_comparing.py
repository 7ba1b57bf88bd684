from __future__ import annotations

from unittest.mock import ANY

import pytest
from hypothesis import given

from fleetpgo.pprof import call_edges, compare, merge
from fleetpgo.pprof.comparing import Comparison
from fleetpgo.pprof.edges import Edge, Edges
from fleetpgo.pprof.minimising import from_edges
from tests.pprof.messages import packed
from tests.pprof.test_callgraph import profiles

ONE, TWO, THREE = (Edge("main.f", name, 1) for name in ("main.a", "main.b", "main.c"))


def profile(weights: dict[Edge, int]) -> bytes:
    return from_edges(Edges.of(weights))


def test_a_profile_is_unchanged_against_itself(real):
    assert compare(real, real) == Comparison(
        overlap=1.0, by_chance=ANY, unchanged=True, hot_gained=(), hot_lost=()
    )


def test_what_the_compiler_does_not_read_is_no_change(real):
    assert compare(real, from_edges(call_edges(real))).unchanged


def test_twice_the_weight_overlaps_fully_but_is_a_change(real):
    assert compare(real, merge([real, real])) == Comparison(
        1.0, by_chance=ANY, unchanged=False, hot_gained=(), hot_lost=()
    )


def test_overlap_is_the_sum_of_the_lesser_shares():
    found = compare(profile({ONE: 3, TWO: 1}), profile({ONE: 1, THREE: 1}))
    assert found == Comparison(
        overlap=0.5, by_chance=ANY, unchanged=False, hot_gained=(THREE,), hot_lost=(TWO,)
    )


def test_profiles_of_different_programs_do_not_overlap():
    assert compare(profile({ONE: 5}), profile({TWO: 5})).overlap == 0.0


@given(profiles, profiles)
def test_overlap_is_symmetric_and_a_share(one, other):
    forth = compare(packed(one), packed(other)).overlap
    assert forth == pytest.approx(compare(packed(other), packed(one)).overlap)
    assert 0 <= forth <= 1
