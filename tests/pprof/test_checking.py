from __future__ import annotations

import gc
import gzip
import json
import subprocess
import sys
import weakref
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpgo.errors import ProfileError
from fleetpgo.pprof import (
    EdgeTable,
    Facts,
    KnownNames,
    call_edges,
    check,
    check_each,
    checking,
    decode,
    describing,
    merge,
    pack,
    programs,
)
from tests.pprof.corpus import LEAF, changed, corpus, good
from tests.pprof.messages import message, packed

pytestmark = pytest.mark.usefixtures("kernel")

CORPUS = corpus()

LOOK = """
import json, re, sys, time
from fleetpgo import pprof
from fleetpgo.errors import ProfileError
found = []
for line in sys.stdin:
    data = open(line.strip(), "rb").read()
    start = time.process_time()
    try:
        reason = pprof.check(data) and None
    except ProfileError as error:
        reason = error.reason
    found.append((reason, time.process_time() - start))
# Not ru_maxrss: a child inherits that of the process that started it.
peak = int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])
json.dump({"found": found, "kilobytes": peak}, sys.stdout)
"""


def reason_of(data: bytes, **asked: object) -> str:
    with pytest.raises(ProfileError) as caught:
        check(data, **asked)
    assert caught.value.hint
    return caught.value.reason


@pytest.mark.parametrize("name", CORPUS)
def test_a_bad_input_is_refused_with_its_reason(name):
    reason, data = CORPUS[name]
    assert reason_of(data) == reason


def test_an_id_is_shown_as_the_number_without_sign_that_it_is():
    with pytest.raises(ProfileError, match=f"refers to function {1 << 63}, which it does not hold"):
        check(CORPUS["unknown-function"][1])


def test_no_bad_input_takes_two_seconds_or_300_megabytes(tmp_path):
    paths = []
    for name, (_, data) in CORPUS.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(data)
    listed = "\n".join(map(str, paths))
    done = subprocess.run(
        [sys.executable, "-c", LOOK], input=listed, capture_output=True, check=True, text=True
    )
    said = json.loads(done.stdout)
    assert [reason for reason, _ in said["found"]] == [reason for reason, _ in CORPUS.values()]
    assert max(seconds for _, seconds in said["found"]) < 2
    assert said["kilobytes"] < 300 * 1024


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_by_name(data):
    assert reason_of(data)


@given(st.data())
def test_a_mutated_profile_is_read_or_refused_by_name(data):
    raw = bytearray(good().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(raw)))
    for read in (check, lambda given: call_edges(decode(given)), lambda given: merge([given])):
        # Anything but a ProfileError fails the test.
        try:
            read(gzip.compress(bytes(raw[:cut])))
        except ProfileError:
            continue


def test_the_facts_of_a_profile():
    profile = good()
    profile.string_table[profile.function[0].filename] = b"example.com/app/main.go"
    data = packed(profile)
    assert check(data) == Facts(
        bytes=len(data),
        message_bytes=len(profile.SerializeToString()),
        sample_types=(("samples", "count"), ("cpu", "nanoseconds")),
        samples=1000,
        stacks=2,
        weight=1000,
        duration_seconds=10.0,
        period=10**7,
        cores=1.0,
        build_id="",
        other_builds=(),
        binary="app",
        main_package="example.com/app",
        kind="samples/count, cpu/nanoseconds each cpu/nanoseconds",
        modules={},
        main_functions={"main.caller": 1000, "main.leaf": 900},
        outside=1000,
        main_share=1.0,
        start_line_share=1.0,
        functions=2,
        comments=(),
    )


NAMES = [
    "main.main",
    "main.serve",
    "main.(*server).serve",
    "example.com/a/b.F",
    "github.com/x/y/z.G",
    "fmt.Print",
]


@pytest.mark.parametrize("room", [0, 40, 1 << 20])
@given(names=st.lists(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3), min_size=1, max_size=6))
def test_names_seen_before_change_no_facts(room, names):
    profiles = [packed(message([([[(name, 1, 2)] for name in each], 5)])) for each in names]
    known = KnownNames()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "MOST_KNOWN", room)
        found = [checked.facts for each in profiles for checked in check_each([each], known=known)]
    assert found == [check(each) for each in profiles]


def test_a_real_profile_passes(real):
    facts = check(real, seconds=3)
    assert (facts.main_package, facts.start_line_share, facts.period) == ("example.com/profiled", 1.0, 10**7)


def test_main_share_is_the_weight_of_stacks_with_a_function_of_main():
    profile = message([([[("runtime.gc", 5, 6)]], 75), ([[("runtime.gc", 5, 6)], *[LEAF]], 25)])
    assert check(packed(profile)).main_share == 0.25


def test_another_duration_than_asked_for_is_refused():
    assert reason_of(packed(good()), seconds=30) == "wrong-duration"


def test_nearly_the_duration_asked_for_passes():
    assert check(packed(good()), seconds=11).duration_seconds == 10


def test_another_binary_is_refused():
    data = changed(lambda p: p.string_table.__setitem__(p.function[0].filename, b"example.com/app/main.go"))
    assert reason_of(data, main_package="example.com/other") == "another-binary"


def test_a_folder_on_a_disk_is_no_import_path():
    data = changed(lambda p: p.string_table.__setitem__(p.function[0].filename, b"/ci/workspace/app/main.go"))
    assert check(data, main_package="example.com/app").main_package == ""


def test_a_profile_with_one_sample_is_a_profile():
    assert check(packed(message([([LEAF], 1)], duration=30 * 10**9))).samples == 1


def outcome(check_one) -> object:
    try:
        return check_one()
    except ProfileError as error:
        return error.reason, error.message


SOME = {
    **{name: CORPUS[name][1] for name in ("empty", "web-page", "heap")},
    "good": packed(good()),
    "another good": packed(message([([LEAF, LEAF], 700), ([LEAF], 5)], duration=10**10)),
    "partly without start lines": packed(message([([LEAF], 98), ([LEAF, [("other.old", 0, 9)]], 2)])),
    "half of package main": packed(message([([[("lib.f", 1, 2)]], 50), ([LEAF], 50)])),
    "without a period type": changed(lambda p: p.ClearField("period_type")),
    "in nanoseconds": packed(message([([LEAF], 50 * 10**7)], types=(("cpu", "nanoseconds"),))),
    "nearly idle": packed(message([([LEAF], 1)], duration=30 * 10**9)),
}


@given(st.lists(st.sampled_from(sorted(SOME)), max_size=5), st.sampled_from([None, 10]))
def test_profiles_are_checked_together_as_each_by_itself(names, seconds):
    profiles = [SOME[name] for name in names]
    found = check_each(profiles, seconds=seconds)
    said = [(each.reason, each.message) if isinstance(each, ProfileError) else each.facts for each in found]
    assert said == [outcome(lambda: check(data, seconds=seconds)) for data in profiles]  # noqa: B023


def test_call_edges_are_derived_with_the_facts_where_they_are_asked_for(reals):
    known = KnownNames()
    found = check_each([*reals, packed(good())], known=known, edges=True)
    table = EdgeTable()
    table.add(pack([(str(place), checked.edges) for place, checked in enumerate(found)]))
    for place, data in enumerate([*reals, packed(good())]):
        assert table.edges([str(place)]) == call_edges(decode(data))
    assert [checked.edges for checked in check_each(reals[:2])] == [None, None]


@pytest.fixture
def parsed(monkeypatch) -> list[int]:
    """How many profiles were read at once, each time."""
    made, parse = [], describing.parse
    monkeypatch.setattr(describing, "parse", lambda each, asked: made.append(len(each)) or parse(each, asked))
    return made


def test_profiles_are_read_at_once(parsed):
    check_each([packed(good())] * 3)
    assert parsed == [3]


def test_a_bad_profile_has_those_that_were_read_with_it_read_one_by_one(parsed):
    good_one, bad_one = packed(good()), CORPUS["heap"][1]
    check_each([good_one, bad_one, good_one])
    assert parsed == [3, 1, 1, 1]


def test_what_is_no_message_has_no_other_read_one_by_one(parsed):
    good_one = packed(good())
    check_each([good_one, good_one, b"<html>", good_one, good_one])
    assert parsed == [2, 2]


def test_no_more_is_read_at_once_than_fits_in_memory(parsed, monkeypatch):
    monkeypatch.setattr(checking, "JOINT_BYTES", 2 * len(good().SerializeToString()))
    check_each([packed(good())] * 5)
    assert parsed == [2, 2, 1]


def test_an_error_keeps_no_profile_in_memory(monkeypatch):
    kept, parse = [], describing.parse

    def noted(*given):
        columns = parse(*given)
        kept.append(weakref.ref(columns))
        return columns

    monkeypatch.setattr(describing, "parse", noted)
    errors = check_each([CORPUS["heap"][1], CORPUS["some-start-lines"][1]])
    gc.collect()
    assert [type(error) for error in errors] == [ProfileError] * 2
    assert [reference() for reference in kept] == [None] * 2


def test_many_comments_of_one_text_are_one_text():
    profile = good()
    profile.string_table.append(b"x" * 1000)
    profile.comment.extend([len(profile.string_table) - 1] * 99)
    comments = check(packed(profile)).comments
    assert len(comments) == 99
    assert len({id(text) for text in comments}) == 1


def test_a_field_from_a_later_format_is_passed_over():
    raw = good().SerializeToString() + b"\xf2\x3f\x03new"
    assert check(gzip.compress(raw)).samples == 1000


def test_a_week_of_a_whole_datacenter_is_not_too_much():
    cores, week = 200, timedelta(days=7)

    def long(p):
        p.duration_nanos = int(week.total_seconds() * 1e9)
        nanoseconds = sum(sample.value[1] for sample in p.sample)
        for sample in p.sample:
            sample.value[1] *= cores * p.duration_nanos // nanoseconds

    assert checking.facts(changed(long)).cores == pytest.approx(cores, rel=0.01)


def test_a_text_that_no_name_has_the_length_of_is_refused():
    with pytest.raises(ProfileError) as caught:
        check(changed(lambda p: p.string_table.append(b"x" * ((1 << 20) + 1))))
    assert caught.value.reason == "too-large"
