from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetpgo.errors import ProfileError
from fleetpgo.golang.preprofile import preprofile
from fleetpgo.pprof import call_edges, decode
from fleetpgo.pprof.edges import Edge
from tests.pprof import oracle
from tests.pprof.messages import message, packed, unpacked

frames = st.tuples(st.sampled_from(["main.a", "main.b", "main.c"]), st.integers(1, 3), st.integers(1, 6))
stacks = st.lists(st.lists(frames, max_size=3), max_size=4)
profiles = st.lists(st.tuples(stacks, st.integers(0, 5)), max_size=8).map(message)


def edges_of(samples) -> dict[Edge, int]:
    return dict(call_edges(decode(packed(message(samples)))).weights)


def test_go_prints_the_same_edges_for_a_real_profile(real):
    assert call_edges(decode(real)).preprofile() == preprofile(real)


def test_go_prints_the_same_edges_for_a_large_profile(default_pgo):
    assert call_edges(decode(default_pgo)).preprofile() == preprofile(default_pgo)


@given(profiles)
def test_any_profile_gives_the_edges_that_the_rules_give(profile):
    assert call_edges(decode(packed(profile))) == oracle.call_edges(profile)


@given(profiles, st.lists(st.booleans(), min_size=24, max_size=24))
def test_any_locations_may_have_one_address(profile, near):
    for location, at_the_start in zip(profile.location, near, strict=False):
        if at_the_start:
            location.address = profile.mapping[0].memory_start
    assert call_edges(decode(packed(profile))) == oracle.call_edges(profile)


@settings(max_examples=15)
@given(profiles.filter(lambda profile: len(profile.function) > 0))
def test_go_prints_the_same_edges_for_any_profile(profile):
    used = any(sample.value[0] and sample.location_id for sample in profile.sample)
    data = packed(profile)
    if used and call_edges(decode(data)).weights:
        assert call_edges(decode(data)).preprofile() == preprofile(data)


def test_the_offset_is_counted_from_the_callers_func_line():
    assert edges_of([([[("main.leaf", 50, 51)], [("main.caller", 10, 17)]], 3)]) == {
        Edge("main.caller", "main.leaf", 7): 3
    }


def test_each_inlined_line_is_a_caller_of_the_next():
    inlined = [("main.leaf", 50, 51), ("main.middle", 30, 34)]
    assert edges_of([([inlined, [("main.caller", 10, 17)]], 2)]) == {
        Edge("main.caller", "main.middle", 7): 2,
        Edge("main.middle", "main.leaf", 4): 2,
    }


def test_recursion_on_one_line_is_an_edge_if_the_addresses_differ():
    profile = message([([[("main.f", 1, 3)], [("main.f", 1, 4)]], 5)])
    profile.location[0].line[0].line = 4
    assert dict(call_edges(decode(packed(profile))).weights) == {Edge("main.f", "main.f", 3): 5}


def test_recursion_at_one_address_is_no_edge():
    profile = message([([[("main.f", 1, 4)], [("main.f", 1, 4)]], 5)])
    assert dict(call_edges(decode(packed(profile))).weights) == {}


def test_a_pair_of_nodes_counts_once_a_sample():
    two = [("main.f", 1, 2), ("main.g", 5, 6), ("main.f", 1, 2), ("main.g", 5, 6)]
    assert edges_of([([two], 4)]) == {Edge("main.g", "main.f", 1): 4, Edge("main.f", "main.g", 1): 4}


def test_one_large_weight_among_many_small_ones_does_not_overflow():
    stacks = [([[("main.leaf", 50, 51)], [("main.caller", 10, 11 + line)]], 1) for line in range(16)]
    heavy = ([[("main.leaf", 50, 51)], [("main.caller", 10, 40)]], 1 << 58)
    profile = message([*stacks, heavy], types=(("samples", "count"),))
    assert call_edges(decode(packed(profile))) == oracle.call_edges(profile)


def test_frames_above_the_second_location_are_not_read():
    deep = [[("main.leaf", 50, 51)], [("main.caller", 10, 17)], [("main.main", 1, 2)]]
    assert edges_of([(deep, 1)]) == {Edge("main.caller", "main.leaf", 7): 1}


def test_the_first_of_the_cpu_sample_types_counts():
    profile = message([([[("main.leaf", 5, 6)], [("main.f", 1, 2)]], 3)])
    profile.sample_type[0].type, profile.sample_type[0].unit = 0, 0
    assert list(call_edges(decode(packed(profile))).weights.values()) == [30_000_000]


def test_a_profile_without_cpu_samples_is_refused():
    with pytest.raises(ProfileError) as caught:
        call_edges(decode(packed(message([], types=(("inuse_space", "bytes"),)))))
    assert caught.value.reason == "no-cpu-samples"


def test_ids_need_not_be_dense():
    profile = message([([[("main.leaf", 50, 51)], [("main.caller", 10, 17)]], 3)])
    expected = call_edges(decode(packed(profile)))
    for location in profile.location:
        location.id *= 1 << 40
        for line in location.line:
            line.function_id *= 1 << 33
    for function in profile.function:
        function.id *= 1 << 33
    for sample in profile.sample:
        sample.location_id[:] = [number << 40 for number in sample.location_id]
    assert call_edges(decode(packed(profile))) == expected


def test_an_unzipped_profile_is_read_too(real):
    assert call_edges(decode(unpacked(real).SerializeToString())) == call_edges(decode(real))
