"""From what arrived to what is committed, on real profiles of four versions of Go."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import asdict
from pathlib import Path

import pytest

from fleetpgo import pprof
from fleetpgo.collection import Record, profile_name, record_name
from fleetpgo.errors import ProfileError, QuorumError
from fleetpgo.run.store import RunStore
from fleetpgo.selection import Selection, Target
from fleetpgo.service.files import load_named
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
            artifact=profile_name(sha256),
            size=len(data),
            sha256=sha256,
            samples=facts.samples,
            main_package=facts.main_package,
            kind=facts.kind,
            modules=facts.modules,
            outside=facts.outside,
        )
        store.write(profile_name(sha256), data)
    store.write_json(record_name(instance), asdict(record))


def lose(store, name, reason):
    store.write_json(
        record_name(target(name).instance), asdict(Record(f"{name}:80", "ams", 1.0, "missing", reason))
    )


def service(**profile):
    wshim = load_named("wshim")
    return wshim.model_validate({**wshim.model_dump(), "name": "wshim", "profile": profile})


def merge(store, selection, **profile):
    return merge_run(service(**profile), store, selection, seconds=SECONDS, go="go")


def test_the_merge_of_what_arrived_is_stored_and_the_committed_profile_says_the_same(store, selection):
    manifest = merge(store, selection)
    merged, committed = store.read("merged.pb.gz"), store.read("profile.pprof")
    assert merged == pprof.merge(file.read_bytes() for file in PROFILES)
    assert pprof.preprofile(committed) == pprof.preprofile(merged)
    assert manifest.profile == hashlib.sha256(committed).hexdigest()[:12]
    assert (manifest.proof, manifest.profile_size < manifest.merged_size) == ("identical", True)


def test_the_manifest_accounts_for_every_instance(store, selection):
    lose(store, "b", "unreachable")
    put(store, "c", b"<html>Sign in</html>")
    manifest = merge(store, selection)
    account = {
        each["instance"]: (each["state"], each["reason"])
        for each in store.read_json("manifest.json")["instances"]
    }
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
        "2 of 5 instances gave a usable profile; the quorum is 50%. Without one:\n"
        "  b:80 (ams): reason of b\n  c:80 (ams): reason of c\n  d:80 (ams): reason of d"
    )
    assert not store.exists("profile.pprof")


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
    assert store.exists("manifest.json")


def test_a_guarded_function_is_renamed_and_said_so(store, selection):
    hottest = pprof.top(PROFILES[0].read_bytes(), 1)[0].function
    manifest = merge(store, selection, guards=[{"function": hottest, "issue": "https://example.com/1"}])
    names = {name for edge in pprof.call_edges(store.read("profile.pprof")).weights for name in edge[:2]}
    assert (manifest.renamed, hottest in names) == ((hottest,), False)
    assert hottest in manifest.renamed


def test_merging_again_gives_the_same_bytes(store, selection):
    first = merge(store, selection).profile
    assert merge(store, selection).profile == first
