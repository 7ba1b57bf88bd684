from __future__ import annotations

import subprocess
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpgo.errors import ProfileError
from fleetpgo.pprof import merge, merging
from tests.pprof.messages import contents, message, packed, unpacked
from tests.pprof.test_callgraph import profiles

pytestmark = pytest.mark.usefixtures("kernel")

LEAF, CALLER = [("main.leaf", 50, 51)], [("main.caller", 10, 17)]


def counts(data: bytes) -> list[int]:
    return [sample.value[0] for sample in unpacked(data).sample]


@pytest.fixture(scope="session")
def pprof(tmp_path_factory):
    """``go tool pprof``'s merge, which is google/pprof's."""
    folder = tmp_path_factory.mktemp("pprof")

    def merged(inputs: list[bytes]) -> bytes:
        names = []
        for number, data in enumerate(inputs):
            names.append(f"{number}.pb.gz")
            (folder / names[-1]).write_bytes(data)
        command = ["go", "tool", "pprof", "-proto", "-symbolize=none", "-output=out.pb.gz", *names]
        subprocess.run(command, cwd=folder, capture_output=True, check=True)
        return (folder / "out.pb.gz").read_bytes()

    return merged


OTHER_KIND = message([([LEAF], 1)], types=(("alloc_space", "bytes"),)).SerializeToString()


@pytest.mark.parametrize("bad", [b"\x0a\x7f", OTHER_KIND])
def test_a_merge_that_fails_leaves_no_thread(bad, reals):
    before = threading.active_count()

    # The error keeps all that it came through alive.
    with pytest.raises(ProfileError) as error:
        merge([reals[-1], bad, *reals * 4])

    assert (threading.active_count(), bool(error.value.reason)) == (before, True)


def test_two_runs_of_one_binary_merge_as_with_go_tool_pprof(pprof, reals):
    inputs = reals[-2:]
    assert contents(unpacked(merge(inputs).data)) == contents(unpacked(pprof(inputs)))


def test_binaries_of_several_go_versions_merge_as_with_go_tool_pprof(pprof, reals):
    assert contents(unpacked(merge(reals).data)) == contents(unpacked(pprof(reals)))


def test_kept_labels_are_those_of_go_tool_pprof(pprof, reals):
    ours, theirs = unpacked(merge(reals, keep_labels=True).data), unpacked(pprof(reals))
    assert contents(ours, with_labels=True) == contents(theirs, with_labels=True)


def test_a_large_profile_merges_as_with_go_tool_pprof(pprof, default_pgo):
    ours, theirs = merge([default_pgo, default_pgo]).data, pprof([default_pgo, default_pgo])
    assert contents(unpacked(ours)) == contents(unpacked(theirs))


@given(st.lists(profiles, min_size=1, max_size=4), st.randoms())
def test_the_order_of_the_inputs_makes_no_difference(made, random):
    inputs = [packed(profile) for profile in made]
    shuffled = random.sample(inputs, len(inputs))
    assert merge(inputs).data == merge(shuffled).data


@given(st.lists(profiles, min_size=3, max_size=3))
def test_merging_in_steps_gives_the_same(made):
    one, two, three = map(packed, made)
    assert merge([merge([one, two]).data, three]).data == merge([one, two, three]).data


@given(profiles)
def test_merging_one_profile_again_changes_nothing(profile):
    once = merge([packed(profile)]).data
    assert merge([once]).data == once


def test_equal_stacks_become_one_sample():
    data = packed(message([([LEAF, CALLER], 3)]))
    assert counts(merge([data, data]).data) == [6]


def test_zero_samples_and_what_only_they_use_are_left_out():
    merged = unpacked(merge([packed(message([([LEAF], 0), ([CALLER], 2)]))]).data)
    assert [merged.string_table[function.name] for function in merged.function] == [b"main.caller"]


def test_one_binary_at_two_addresses_is_one_mapping():
    here, there = (message([([LEAF, CALLER], 1)], start=start) for start in (0x400000, 0x7F0000))
    merged = unpacked(merge([packed(there), packed(here)]).data)
    assert [mapping.memory_start for mapping in merged.mapping] == [0x400000]
    assert [sample.value[0] for sample in merged.sample] == [2]


def test_a_mapping_that_no_sample_uses_changes_no_other():
    one, other = (message([([LEAF], 1)], start=start) for start in (0x400000, 0x400000))
    used, unused = one.mapping.add(id=2), other.mapping.add(id=2)
    for mapping, start in ((used, 0x7000), (unused, 0x1000)):
        mapping.memory_start, mapping.memory_limit, mapping.filename = start, start + 0x1000, 3
    one.location[0].mapping_id, one.location[0].address = 2, 0x7010
    merged = unpacked(merge([packed(one), packed(other)]).data)
    assert 0x7010 in [location.address for location in merged.location]


def test_labels_are_dropped():
    labelled = message([([LEAF], 1), ([LEAF], 2)], labels=[{"worker": "a"}, {"worker": "b"}])
    assert counts(merge([packed(labelled)]).data) == [3]


def test_labels_are_kept_when_asked_for():
    labelled = message([([LEAF], 1), ([LEAF], 2)], labels=[{"worker": "a"}, {"worker": "b"}])
    assert contents(unpacked(merge([packed(labelled)], keep_labels=True).data), with_labels=True) == contents(
        labelled, with_labels=True
    )


def test_header_fields_are_combined():
    early, late = message([([LEAF], 1)]), message([([LEAF], 1)])
    late.time_nanos, late.period, early.time_nanos = 7, 5, 9
    merged = unpacked(merge([packed(early), packed(late)]).data)
    assert (merged.time_nanos, merged.period, merged.duration_nanos) == (7, 10**7, 2 * 10**9)


def test_weights_are_noted_in_the_result():
    merged = unpacked(merge([packed(message([([LEAF], 1)]))], weights="equal").data)
    assert [merged.string_table[row] for row in merged.comment] == [b"fleetpgo merge: weights equal"]


def test_other_sample_types_are_incompatible(reals):
    times = packed(message([([LEAF], 1)], types=(("cpu", "nanoseconds"),)))
    with pytest.raises(
        ProfileError, match="Profile 1: The profile differs from the first one in sample types"
    ) as caught:
        merge([reals[0], times])
    assert caught.value.reason == "incompatible"


def negative():
    """The difference of two profiles, as pprof's -base leaves it."""
    made = message([([LEAF], 5)])
    made.sample[0].value[:] = (-5, -5 * 10**7)
    return packed(made)


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (packed(message([([LEAF], 1)], types=(("inuse_space", "bytes"),))), "heap-profile"),
        (packed(message([([LEAF], 1)], types=(("contentions", "count"),))), "contention-profile"),
        (packed(message([([LEAF], 1)], types=(("events", "count"),))), "no-cpu-samples"),
        (negative(), "negative-values"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("others", [0, 1])
def test_what_counts_no_cpu_samples_is_refused_alone_and_among_others(reals, odd, reason, others):
    with pytest.raises(ProfileError) as caught:
        merge([*reals[:others], odd])
    assert (caught.value.reason, caught.value.profile) == (reason, others)


def test_nothing_cannot_be_merged():
    with pytest.raises(ProfileError) as caught:
        merge([])
    assert caught.value.reason == "no-profiles"


def test_sums_beyond_64_bits_are_refused():
    huge = message([([LEAF], 1)])
    huge.sample[0].value[0] = 1 << 62
    with pytest.raises(ProfileError) as caught:
        merge([packed(huge), packed(huge)])
    assert caught.value.reason == "overflow"


def test_the_bad_input_is_named(reals):
    with pytest.raises(ProfileError, match="Profile 1: ") as caught:
        merge([reals[0], b"<html>"])
    assert caught.value.reason == "html"


def test_profiles_are_added_the_same_together_and_one_by_one(reals, monkeypatch):
    together = merge(reals).data
    monkeypatch.setattr(merging, "TOGETHER", 1)
    assert merge(reals).data == together


def test_inputs_are_taken_a_few_at_a_time(reals):
    taken = []

    def inputs():
        for number in range(100):
            taken.append(number)
            yield reals[0] if number != 3 else b""

    with pytest.raises(ProfileError):
        merge(inputs())
    assert len(taken) < 20
