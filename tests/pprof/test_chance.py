"""The overlap that chance alone leaves, against profiles that are drawn from one program, and from two."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpgo.pprof.chance import least_by_chance
from fleetpgo.pprof.comparing import compare_edges
from fleetpgo.pprof.edges import Edge, Edges

FALLING = 1 / np.arange(10, 2_000)
PROGRAM = FALLING / FALLING.sum()


def drawn(samples, *, seed, program=PROGRAM, unit=1) -> Edges:
    counts = np.random.default_rng(seed).multinomial(samples, program)
    found = np.flatnonzero(counts).tolist()
    return Edges.of({Edge("f", str(place), 0): int(counts[place]) * unit for place in found})


@pytest.mark.parametrize("samples", [300, 3_000, 30_000])
@pytest.mark.parametrize("seed", range(5))
def test_two_profiles_of_one_program_are_alike_however_few_their_samples(samples, seed):
    change = compare_edges(drawn(samples, seed=[seed, 1]), drawn(samples, seed=[seed, 2]))
    assert change.alike(0.95)
    assert change.by_chance > 0.75 * change.overlap


def test_few_samples_beside_many_overlap_little_by_chance():
    change = compare_edges(drawn(300, seed=1), drawn(300_000, seed=2))
    assert change.overlap < 0.7
    assert change.alike(0.95)


@pytest.mark.parametrize("samples", [300, 3_000, 30_000])
def test_a_program_that_does_something_else_in_half_of_its_time_is_not_alike(samples):
    other = np.concatenate([PROGRAM / 2, PROGRAM / 2])
    assert not compare_edges(drawn(samples, seed=1), drawn(samples, seed=2, program=other)).alike(0.95)


def test_nanoseconds_count_as_the_samples_that_they_are():
    one, other = drawn(500, seed=1), drawn(500, seed=2, unit=10_000_000)
    assert least_by_chance(one, other) == least_by_chance(one, drawn(500, seed=2))


def test_counts_beyond_what_can_be_drawn_leave_nothing_to_chance():
    assert least_by_chance(drawn(10**12, seed=1), drawn(10**12, seed=2)) == pytest.approx(1, abs=0.005)


def test_a_profile_without_edges_leaves_nothing_to_chance():
    assert least_by_chance(Edges({}), drawn(500, seed=1)) == 1.0


weights = st.dictionaries(
    st.sampled_from([Edge("f", name, 0) for name in "abcdef"]), st.integers(1, 9), min_size=1
)


@given(weights, weights)
def test_it_is_a_share_and_the_same_each_time(one, other):
    first, second = Edges.of(one), Edges.of(other)
    found = least_by_chance(first, second)
    assert 0 <= found <= 1
    assert found == least_by_chance(Edges.of(dict(reversed(one.items()))), second)
