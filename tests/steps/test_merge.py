"""From what arrived to what is committed, on real profiles of four versions of Go."""

from __future__ import annotations

import copy
import gzip
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetpgo import pprof
from fleetpgo.collection import read_record, write_record
from fleetpgo.errors import ProfileError, QuorumError
from fleetpgo.golang.preprofile import preprofile
from fleetpgo.pprof import profile_pb2
from fleetpgo.run.artifacts import FetchedProfile, MergedProfile, ProposedProfile
from fleetpgo.run.profiled import Manifest, Record
from fleetpgo.run.store import RunStore
from fleetpgo.selection import Selection, Target
from fleetpgo.service.files import load_named
from fleetpgo.steps.enough import judge
from fleetpgo.steps.merge import merge_run

PROFILES = sorted((Path(__file__).parents[1] / "testdata" / "profiles").glob("*.pb.gz"))
SECONDS = 3


def target(name: str) -> Target:
    return Target(f"{name}:80", "ams", 1.0, {})


@pytest.fixture
def store(tmp_path):
    """The store of a run that profiled five instances, a to e."""
    store = RunStore(tmp_path, "wshim", "run-1")
    for name, file in zip("abcde", PROFILES, strict=True):
        put(store, name, file.read_bytes())
    return store


@pytest.fixture
def selection():
    return Selection(tuple(map(target, "abcde")), "cpu", ("store lhr is down",))


def put(store, name, data):
    """Leave a profile and its record, as collecting does."""
    instance, sha256 = target(name).instance, hashlib.sha256(data).hexdigest()
    try:
        facts = pprof.check(data, seconds=SECONDS)
    except ProfileError as error:
        record = Record(instance, "ams", 1.0, "refused", f"{error.reason}: {error.message}")
    else:
        record = Record(
            instance,
            "ams",
            1.0,
            "fetched",
            artifact=f"profiles/{sha256}.pb.gz",
            size=len(data),
            sha256=sha256,
            samples=facts.samples,
            main_package=facts.main_package,
            kind=facts.kind,
            modules=facts.modules,
            outside=facts.outside,
            main_functions=facts.main_functions,
            build_id=facts.build_id,
        )
        store.write(FetchedProfile(data), sha256)
    write_record(store, record)


def lose(store, name, reason):
    write_record(store, Record(f"{name}:80", "ams", 1.0, "missing", reason))


def service(**profile):
    wshim = load_named("wshim")
    return wshim.model_validate({**wshim.model_dump(), "name": "wshim", "profile": profile})


def merge(store, selection, **profile):
    return merge_run(service(**profile), store, selection, seconds=SECONDS, go="go")


def test_the_merge_of_what_arrived_is_stored_and_the_committed_profile_says_the_same(store, selection):
    manifest = merge(store, selection)
    merged, committed = store.read(MergedProfile), store.read(ProposedProfile)
    assert merged == pprof.merge(file.read_bytes() for file in PROFILES).data
    assert preprofile(committed) == preprofile(merged)
    assert manifest.profile == hashlib.sha256(committed).hexdigest()[:12]
    assert (manifest.proof, manifest.profile_size < manifest.merged_size) == ("identical", True)


def test_the_manifest_accounts_for_every_instance(store, selection):
    lose(store, "b", "unreachable")
    put(store, "c", b"<html>Sign in</html>")
    manifest = merge(store, selection)
    account = {each.instance: (each.state, each.reason) for each in store.read(Manifest).instances}
    assert (manifest.used, manifest.selected) == (3, 5)
    assert account == {
        "a:80": ("used", ""),
        "b:80": ("missing", "unreachable"),
        "c:80": ("refused", "html: A web page came instead of a profile."),
        "d:80": ("used", ""),
        "e:80": ("used", ""),
    }
    assert manifest.samples == sum(pprof.check(PROFILES[i].read_bytes()).samples for i in (0, 3, 4))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html>", "html"),
        (PROFILES[0].read_bytes()[:-20], "truncated"),
        (gzip.compress(b"", mtime=0), "not-a-profile"),
    ],
)
def test_what_is_no_profile_is_refused_by_name_and_the_rest_is_merged(store, selection, data, reason):
    put(store, "a", data)
    manifest = merge(store, selection)
    refused = manifest.instances[0]
    assert (refused.state, refused.reason.split(":")[0], manifest.used) == ("refused", reason, 4)


def test_below_the_quorum_everything_that_is_missing_is_named(store, selection):
    for name in "bcd":
        lose(store, name, f"reason of {name}")
    with pytest.raises(QuorumError) as raised:
        merge(store, selection)
    assert raised.value.message == (
        "2 of 5 instances gave a usable profile; collection.quorum is 50.0 %. Without a profile:\n"
        "  b:80 (ams): reason of b\n  c:80 (ams): reason of c\n  d:80 (ams): reason of d"
    )
    assert not store.exists(ProposedProfile)


def test_busy_at_every_instance_hints_at_a_continuous_profiler(store, selection):
    for name in "abcde":
        lose(store, name, "busy: HTTP 500 Internal Server Error: Could not enable CPU profiling")
    with pytest.raises(QuorumError) as raised:
        merge(store, selection)
    assert "a continuous profiler" in raised.value.hint
    assert "collection.source" in raised.value.hint


def test_busy_at_some_instances_does_not(store, selection):
    lose(store, "a", "unreachable: refused")
    for name in "bcde":
        lose(store, name, "busy: HTTP 500 Internal Server Error: Could not enable CPU profiling")
    with pytest.raises(QuorumError) as raised:
        merge(store, selection)
    assert "continuous profiler" not in raised.value.hint


def test_the_reviewer_is_told_of_a_window_that_was_cut_at_a_deploy(store, selection):
    record = read_record(store, target("b"))
    write_record(store, replace(record, reason="cut: a deploy lies in the window; used is build 1"))
    manifest = merge(store, selection)
    said = "of 1 of 5 instances only a part is used, as of b:80: a deploy lies in the window; used is build 1"
    assert said in manifest.warnings


def test_what_prometheus_warned_of_reaches_the_reviewer(store, selection):
    assert "store lhr is down" in merge(store, selection).warnings


def test_figures_below_the_warning_line_are_named(store, selection):
    manifest = merge(store, selection, warn_below={"samples": 10**6})
    few = f"samples: {manifest.samples:,}, below 1,000,000, so some of what is hot may be missing"
    assert few in manifest.warnings


def test_figures_below_the_failing_line_fail_but_leave_their_manifest(store, selection):
    with pytest.raises(ProfileError, match="not sufficient: overlap of two halves") as raised:
        merge(store, selection, fail_below={"split_half_overlap": 1.0})
    assert raised.value.reason == "insufficient"
    refused = store.read(Manifest).refused
    assert raised.value.message == f"the merged profile is not sufficient: {refused}"


def test_a_merge_that_is_enough_after_one_that_was_not_takes_its_refusal_back(store, selection):
    with pytest.raises(ProfileError, match="not sufficient"):
        merge(store, selection, fail_below={"split_half_overlap": 1.0})
    merge(store, selection)
    assert store.read(Manifest).refused == ""


def test_equal_bytes_count_once_and_the_reviewer_is_told(store, selection):
    twin = PROFILES[0].read_bytes()
    put(store, "c", twin)
    put(store, "e", twin)
    manifest = merge(store, selection)
    assert [(each.state, each.same_as) for each in manifest.instances] == [
        ("used", ""),
        ("used", ""),
        ("used", "a:80"),
        ("used", ""),
        ("used", "a:80"),
    ]
    assert [each.samples > 0 for each in manifest.instances] == [True, True, False, True, False]
    assert manifest.instances[2].reason.startswith("duplicate: it and a:80 sent the same bytes")
    said = "2 of 5 instances cannot be told apart from others, which answer the same and count once"
    assert f"{said}: c:80 from a:80, e:80 from a:80" in manifest.warnings


def test_one_process_behind_many_instances_is_no_lack_of_a_quorum(store, selection):
    for name in "bcde":
        put(store, name, PROFILES[0].read_bytes())
    manifest = merge(store, selection)
    assert (manifest.used, manifest.samples) == (5, manifest.instances[0].samples)


def test_a_guarded_function_is_renamed_and_said_so(store, selection):
    hottest = pprof.top(pprof.decode(PROFILES[0].read_bytes()), 1)[0].function
    manifest = merge(store, selection, guards=[{"function": hottest, "issue": "https://example.com/1"}])
    names = {
        name
        for edge in pprof.call_edges(pprof.decode(store.read(ProposedProfile))).weights
        for name in edge[:2]
    }
    assert (manifest.renamed, hottest in names) == ((hottest,), False)
    assert hottest in manifest.renamed


def test_the_reviewer_is_told_who_changes_the_hot_edges_most(store, selection):
    manifest = merge(store, selection)
    most = manifest.sufficiency.influence

    told = manifest.figures["Instance that changes the hot edges most"]
    assert told == f"{most.instance}: without it, {most.changed:,} of {most.hot:,} would come or go"
    assert store.read(Manifest).sufficiency.influence == most


def test_merging_again_gives_the_same_bytes(store, selection):
    first = merge(store, selection).profile
    assert merge(store, selection).profile == first


FAULTS = {
    "counts nanoseconds only": lambda p, _: _keep_value(p, 1),
    "counts something else as well": lambda p, n: _add_value(p, n + 1),
    "has another period type": lambda p, n: setattr(p.period_type, "unit", n % len(p.string_table)),
    "has no period type": lambda p, _: p.ClearField("period_type"),
    "has no sample type": lambda p, _: p.ClearField("sample_type"),
    "counts far": lambda p, n: p.sample[0].value.__setitem__(n % len(p.sample[0].value), 1 << n),
    "has a long period": lambda p, n: setattr(p, "period", 1 << n),
    "lasts long": lambda p, n: setattr(p, "duration_nanos", 1 << n),
    "was taken long ago or never": lambda p, n: setattr(p, "time_nanos", -(1 << n)),
    "has a file name that is not UTF-8": lambda p, n: _rename(p, p.function[n % len(p.function)].filename),
    "has a binary that is not UTF-8": lambda p, _: _rename(p, p.mapping[0].filename),
    "has a build id that is not UTF-8": lambda p, _: _rename(p, p.mapping[0].build_id),
    "has a function that is not UTF-8": lambda p, n: _rename(p, p.function[n % len(p.function)].name),
    "has a comment that is not UTF-8": lambda p, n: p.comment.append(_rename(p, n % len(p.string_table))),
    "names what is not there": lambda p, n: setattr(p.function[0], "filename", 1 << n),
    "has an address beyond all": lambda p, n: setattr(p.location[0], "address", 1 << n),
    "has a mapping beyond all": lambda p, n: setattr(p.mapping[0], "memory_limit", 1 << n),
    "has a long text": lambda p, n: p.string_table.__setitem__(p.function[0].name, b"main." + bytes(n << 12)),
    "has labels": lambda p, n: p.sample[0].label.add(key=1, num=1 << n, num_unit=2),
}
"""What may be wrong with a profile, each with a number of how far."""


def _keep_value(profile, index):
    if len(profile.sample_type) <= index:
        return  # another fault has taken it away
    kept = copy.copy(profile.sample_type[index])
    profile.ClearField("sample_type")
    profile.sample_type.append(kept)
    for sample in profile.sample:
        sample.value[:] = [sample.value[index]]


def _add_value(profile, number):
    profile.sample_type.add(type=number % len(profile.string_table), unit=1)
    for sample in profile.sample:
        sample.value.append(number)


def _rename(profile, row):
    profile.string_table[row or 1] = profile.string_table[row or 1] + b"\xff"
    return row


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    faults=st.lists(st.tuples(st.sampled_from(sorted(FAULTS)), st.integers(0, 62)), min_size=1, max_size=2),
    place=st.sampled_from("abcde"),
    strata=st.booleans(),
)
def test_whatever_is_wrong_with_one_profile_costs_that_profile_at_the_most(
    tmp_path_factory, selection, faults, place, strata
):
    store = RunStore(tmp_path_factory.mktemp("run"), "wshim", "run-1")
    for name, file in zip("abcde", PROFILES, strict=True):
        put(store, name, file.read_bytes())
    odd = profile_pb2.Profile.FromString(gzip.decompress(PROFILES["abcde".index(place)].read_bytes()))
    for fault, number in faults:
        FAULTS[fault](odd, number)
    put(store, place, gzip.compress(odd.SerializeToString(), 1, mtime=0))
    if strata:
        selection = replace(selection, strata={"": 10.0})
    manifest = merge_run(service(), store, selection, seconds=SECONDS, go=None)
    lost = [each for each in manifest.instances if each.state != "used"]
    assert [each.instance for each in lost] in ([], [f"{place}:80"])
    assert all(each.reason and len(each.reason) < 1000 for each in lost)
    json.loads(store.read_bytes(Manifest))


def odd_one(change) -> bytes:
    profile = profile_pb2.Profile.FromString(gzip.decompress(PROFILES[0].read_bytes()))
    change(profile)
    return gzip.compress(profile.SerializeToString(), mtime=0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p: _keep_value(p, 1), "incompatible"),
        (lambda p: p.ClearField("period_type"), "incompatible"),
        (lambda p: _add_value(p, 7), "incompatible"),
        (lambda p: p.sample[0].value.__setitem__(0, 1 << 62), "overflow"),
    ],
)
def test_the_first_profile_is_refused_if_it_is_the_odd_one(store, selection, change, reason):
    put(store, "a", odd_one(change))
    manifest = merge(store, selection)
    assert [each.state for each in manifest.instances] == ["refused", *["used"] * 4]
    assert manifest.instances[0].reason.startswith(f"{reason}: ")


def test_a_file_name_that_is_not_utf_8_costs_nothing(store, selection):
    put(store, "a", odd_one(lambda p: _rename(p, p.function[0].filename)))
    assert merge(store, selection).used == 5


def test_what_collecting_accepts_is_small_enough_for_the_merge(store, selection):
    texts = [b"main.%0999x" % number for number in range(20_000)]
    put(store, "a", odd_one(lambda p: p.string_table.extend(texts)))
    assert merge(store, selection).used == 5


def test_what_only_the_merge_finds_is_refused_by_name(store, selection):
    # A record of an earlier version does not say what its profile counts.
    put(store, "c", odd_one(lambda p: _keep_value(p, 1)))
    write_record(store, replace(read_record(store, target("c")), kind=""))
    manifest = merge(store, selection)
    assert [each.instance for each in manifest.instances if each.state == "refused"] == ["c:80"]
    assert manifest.instances[2].reason.startswith("incompatible: Profile 2: ")
    assert manifest.samples == sum(each.samples for each in manifest.instances if each.state == "used")


def test_further_rounds_count_what_the_merge_will_use(store, selection):
    put(store, "a", odd_one(lambda p: _keep_value(p, 1)))
    manifest = merge(store, selection)
    assert judge(service(), store, selection).message.startswith(
        f"{manifest.samples:,} samples from 4 instances"
    )
