from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime

import pytest

from fleetpgo import overview
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.proposed import Failed, Turn
from fleetpgo.run.released import Begun, Fit
from fleetpgo.run.store import RunStore
from fleetpgo.steps.wait import look_for_merge
from fleetpgo.steps.watch import skip
from tests.pages import fleet


def look(fleet_root, service, run):
    return overview.look_at_run(RunStore(fleet_root / "store", service, run))


def states(found):
    return {stage.name: stage.state for stage in found.stages}


def test_each_instance_that_gave_nothing_has_its_reason(fleet_root):
    found = look(fleet_root, "edge", fleet.SECOND)
    lost = {each.datacenter: each.reason for each in found.instances if each.state != "used"}
    assert lost.keys() == {"ams", "lhr"}
    assert lost["ams"].startswith("busy: HTTP 500")
    assert lost["lhr"].startswith("html: ")


def test_instances_are_counted_by_datacenter(fleet_root):
    found = look(fleet_root, "edge", fleet.SECOND)
    assert [(each.name, each.fetched, each.asked) for each in found.datacenters] == [
        ("ams", 2, 3),
        ("lhr", 1, 2),
        ("sjc", 1, 1),
    ]
    assert [sum(each.reasons.values()) for each in found.datacenters] == [1, 1, 0]


def test_stages_show_how_far_the_run_has_come(fleet_root):
    assert states(look(fleet_root, "edge", fleet.SECOND)) == {
        "Select": "done",
        "Fetch": "done",
        "Merge": "done",
        "Pull request": "done",
        "Review": "waiting",
        "Rollout": "waiting",
        "Measure: rollout": "waiting",
        "Measure: week": "waiting",
    }
    assert set(states(look(fleet_root, "edge", fleet.FIRST)).values()) == {"done"}


def test_a_failed_stage_says_which_task_failed_and_why(tmp_path):
    store = RunStore(tmp_path, "edge", "run")
    store.write(Failed("there is no connection"), "peak.select_instances")
    found = next(iter(overview.look_at_run(store).stages))
    assert (found.name, found.state) == ("Select", "failed")
    assert found.figures == {"task": "peak.select_instances", "why": "there is no connection"}


def test_a_run_for_a_release_shows_it_first(tmp_path):
    store = RunStore(tmp_path, "edge", "run")
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    store.write(Begun("run", at, "4f2a", at, 0.62))
    store.write(Fit("4f2a", "default.pgo", "0123", 0.71, 0.9))
    found = overview.look_at_run(store).stages[0]
    assert (found.name, found.state) == ("Release", "done")
    assert found.figures == {
        "release": "4f2a",
        "since": "2026-03-02 12:00:00 UTC",
        "instances that run it": "62.0 %",
        "source match of the profile before": "0.71",
    }


def test_a_run_that_gives_way_to_another_says_so_first(tmp_path):
    store = RunStore(tmp_path, "edge", "run")
    store.write(Begun("run", datetime(2026, 3, 2, 12, tzinfo=UTC)))
    skip(store, "run 7 refreshes the profile for release 4f2a")
    found = overview.look_at_run(store).stages[0]
    assert (found.name, found.state) == ("Release", "skipped")
    assert found.figures == {"ended": "run 7 refreshes the profile for release 4f2a"}


def test_a_failure_before_a_release_is_known_is_shown(tmp_path):
    store = RunStore(tmp_path, "edge", "run")
    store.write(Failed("Prometheus is down"), "notice_release")
    found = overview.look_at_run(store).stages[0]
    assert (found.name, found.state, found.figures["why"]) == ("Release", "failed", "Prometheus is down")


def test_a_merge_that_was_refused_says_why_before_its_figures(tmp_path):
    store = RunStore(tmp_path, "edge", "run")
    store.write(Manifest("cpu", 1, 80, (), refused="samples: 80, below 1,000"))
    found = next(stage for stage in overview.look_at_run(store).stages if stage.name == "Merge")
    assert list(found.figures.items()) == [("refused", "samples: 80, below 1,000"), ("samples", "80")]


def test_a_run_under_way_shows_who_has_not_answered(fleet_root, tmp_path):
    shutil.copytree(fleet_root / "store", tmp_path / "store")
    store = RunStore(tmp_path / "store", "gateway", fleet.LIVE)
    before = overview.look_at_run(store)
    assert sorted(each.state for each in before.instances) == ["fetched", "waiting", "waiting"]
    assert states(before)["Fetch"] == "waiting"
    asyncio.run(fleet.answer_late(fleet_root / "services", store))
    after = overview.look_at_run(store)
    assert sorted(each.state for each in after.instances) == ["fetched", "missing", "missing"]
    assert states(after)["Fetch"] == "done"


def test_a_run_that_waits_to_build_says_for_what(tmp_path):
    store = RunStore(tmp_path, "edge", "run")
    store.write(Turn(waits_for="4 build(s) of acme/edge have begun within an hour"))
    found = next(each for each in overview.look_at_run(store).stages if each.name == "Pull request")
    assert (found.state, found.figures) == (
        "waiting",
        {"waits for": "4 build(s) of acme/edge have begun within an hour"},
    )


def test_a_saving_is_said_with_its_interval(fleet_root):
    stage = next(
        stage for stage in look(fleet_root, "edge", fleet.FIRST).stages if stage.name == "Measure: week"
    )
    assert stage.figures["verdict"] == "saved"
    assert "(95 % interval)" in stage.figures["saving"]


def test_a_run_that_has_left_nothing_is_all_waiting(tmp_path):
    found = overview.look_at_run(RunStore(tmp_path, "edge", "new"))
    assert set(states(found).values()) == {"waiting"}
    assert (found.instances, found.artifacts, found.has_profile) == ((), (), False)


def test_a_closed_pull_request_skips_what_would_follow(fleet_root, tmp_path):
    shutil.copytree(fleet_root / "store", tmp_path / "store")
    store = RunStore(tmp_path / "store", "edge", fleet.SECOND)
    look_for_merge(store, fleet.Forge("closed", fleet.MEASURED_AT))
    found = states(overview.look_at_run(store))
    assert [found[name] for name in ("Review", "Rollout", "Measure: week")] == ["skipped"] * 3


@pytest.mark.parametrize("name", ["../manifest.json", "stop.json", "profiles", "", "merged.pb.gz/"])
def test_only_listed_names_are_downloads(fleet_root, name):
    assert overview.find_download(RunStore(fleet_root / "store", "edge", fleet.SECOND), name) is None


def test_the_profile_before_is_the_one_merged_before(fleet_root):
    old, before, own = overview.previous_run(RunStore(fleet_root / "store", "edge", fleet.SECOND))
    assert (old.run, before.run, own.run) == (fleet.FIRST, fleet.FIRST, fleet.SECOND)


def test_nothing_comes_before_the_first_profile(fleet_root):
    assert overview.previous_run(RunStore(fleet_root / "store", "edge", fleet.FIRST)) is None


def test_the_difference_names_functions_and_edges_of_both(fleet_root):
    new = RunStore(fleet_root / "store", "edge", fleet.SECOND)
    old, before, own = overview.previous_run(new)
    found = overview.compare_runs(old, new, before.digest, own.digest)
    assert 0 < found.overlap < 1
    assert (found.hot_gained, found.hot_lost) == (len(found.gained), len(found.lost))
    square = next(each for each in found.functions if each.function == "main.square.area")
    assert square.old != square.new
    assert all(0 <= share <= 1 for each in found.functions for share in (each.old, each.new))
