from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fleetpgo import overview
from fleetpgo.measurement.distributions import t_quantile
from fleetpgo.measurement.history import core_hours, reclaimed
from fleetpgo.run.measured import Level, Measurement
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.proposed import Proposed
from fleetpgo.run.store import RunStore
from fleetpgo.steps.wait import look_for_merge
from tests.pages import fleet

NOW = fleet.LEVEL.at


@pytest.fixture
def store(fleet_root, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(fleet_root / "store", tmp_path / "store")


def row(store, service="edge"):
    return overview.look_at_service(store, service, now=NOW)


def test_the_current_profile_is_the_one_that_was_merged_last(store):
    manifest = RunStore(store, "edge", fleet.FIRST).read(Manifest)
    found = row(store).profile
    assert (found.run, found.digest, found.samples) == (fleet.FIRST, manifest.profile, manifest.samples)


def test_the_newest_runs_open_pull_request_waits(store):
    assert (row(store).waiting.number, row(store).waiting.url) == (2, fleet.url(2))


def test_a_pull_request_waits_no_more_once_it_is_merged(store):
    row(store)
    look_for_merge(RunStore(store, "edge", fleet.SECOND), fleet.Forge("merged", NOW))
    assert (row(store).waiting, row(store).profile.run) == (None, fleet.SECOND)


def test_the_last_verdict_has_its_interval(store):
    last = row(store).last
    assert last.verdict == "saved"
    assert last.low < 0.04 < last.high


def test_the_cores_are_those_of_the_measurement_with_its_interval(store):
    estimate = RunStore(store, "edge", fleet.FIRST).read(Measurement, "week").estimate
    cores = row(store).cores
    half = math.log((1 - estimate.low) / (1 - estimate.high)) / 2 * estimate.cores / estimate.saving
    assert estimate.cores * 0.9 < cores.cores < estimate.cores  # shrunk by its noise
    assert (cores.low, cores.high) == pytest.approx((estimate.cores - half, estimate.cores + half))


def test_the_source_match_is_that_of_the_merged_profile(store):
    run = RunStore(store, "edge", fleet.FIRST)
    run.write(replace(run.read(Proposed), source_match=0.5))
    assert row(store).source_match == 0.5


def test_the_source_match_is_what_the_newest_run_found_of_the_merged_profile(store):
    run = RunStore(store, "edge", fleet.SECOND)
    run.write(replace(run.read(Proposed), current_match=0.25))
    assert row(store).source_match == 0.25


def test_a_run_from_before_the_source_match_was_recorded_has_none(store):
    run = RunStore(store, "edge", fleet.FIRST)
    record = json.loads(run.read_bytes(Proposed))
    del record["source_match"]
    run.path(Proposed).write_text(json.dumps(record))
    assert row(store).source_match is None


def test_a_service_without_runs_has_an_empty_row(store):
    found = row(store, "quiet")
    assert (found.profile, found.waiting, found.last, found.core_hours) == (None, None, None, 0.0)


def test_a_run_that_has_not_changed_is_not_read_again(store, monkeypatch):
    row(store)

    def unwelcome(path):
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr("pathlib.Path.read_bytes", unwelcome)
    assert row(store).profile.run == fleet.FIRST


def test_a_damaged_artifact_is_named_and_hides_no_other(store):
    run = RunStore(store, "edge", fleet.SECOND)
    run.path(Manifest).write_bytes(b'{"run": ')
    found = row(store)
    assert found.profile.run == fleet.FIRST
    assert [str(run.directory) in problem for problem in found.problems] == [True]


def test_the_days_sums_add_up_over_services(store):
    shutil.copytree(store / "edge", store / "other")
    rows = [row(store), row(store, "other")]
    (day,) = overview.reclaimed_by_day(rows)
    each = rows[0].refreshes[0]
    half = t_quantile(2 * each.degrees) * 2**0.5 * each.error
    assert (day.low, day.high) == pytest.approx((2 * each.cores - half, 2 * each.cores + half))


def test_a_days_sum_is_the_last_of_its_points(store):
    shutil.copytree(store / "edge", store / "other")
    later = RunStore(store, "other", fleet.FIRST)
    record = dict(later.read(Measurement, "week").whole)
    record["rollout"] = {**record["rollout"], "end": "2026-02-03T23:00:00+00:00"}
    later.write(replace(later.read(Measurement, "week"), whole=record), "week")
    rows = [row(store), row(store, "other")]
    (day,) = overview.reclaimed_by_day(rows)
    last = reclaimed(each for row in rows for each in row.refreshes)[-1]
    assert (day.at, day.cores, day.low, day.high) == (
        last.at,
        *(pytest.approx(each) for each in (last.cores, last.low, last.high)),
    )


@pytest.mark.parametrize("days", [0, 30])
def test_the_core_hours_are_those_of_the_history_until_now(store, days):
    now = NOW + timedelta(days=days)
    found = overview.look_at_service(store, "edge", now=now)
    assert found.core_hours == pytest.approx(sum(core_hours(found.refreshes, now=now)))
    assert found.core_hours > 0


def test_the_fleets_rows_are_those_of_its_services_in_their_order(store):
    names = ["quiet", "edge", "gateway"]
    assert overview.look_at_fleet(store, names, now=NOW) == [row(store, name) for name in names]


def test_a_run_cannot_be_called_out_of_its_service(tmp_path):
    assert RunStore(tmp_path, "edge", "..").directory.parent == tmp_path / "edge"
    assert RunStore(tmp_path, "edge", ".").directory.parent == tmp_path / "edge"


def test_times_are_aware(store):
    assert row(store).profile.made_at.astimezone(UTC) == datetime(2026, 2, 2, 12, tzinfo=UTC)


def level(day, **figures):
    return Level(NOW + timedelta(days=day), 4, **figures)


KNOWN = {
    "saving": 0.03,
    "low": 0.02,
    "high": 0.04,
    "cores": 3.0,
    "cores_low": 2.0,
    "cores_high": 4.0,
    "used": 97.0,
}


def test_the_newest_level_counts_and_its_run_is_no_refresh(store):
    RunStore(store, "edge", "level__b").write(level(1, **KNOWN))
    RunStore(store, "edge", "level__a").write(level(2, reason="not rotated"))
    found = row(store)
    assert (found.level.reason, len(found.refreshes), found.problems) == ("not rotated", 1, ())


def test_a_level_of_a_month_ago_is_not_what_pgo_saves_now(store):
    RunStore(store, "edge", "level__a").write(level(0, **KNOWN))
    found = overview.look_at_service(store, "edge", now=NOW + timedelta(days=30)).level
    assert (found.saving, found.cores) == (None, None)
    assert found.reason == f"it was last measured on {NOW:%Y-%m-%d}"


def test_the_levels_of_services_add_up_and_their_errors_as_independent_ones_do(store):
    for service in ("edge", "gateway"):
        RunStore(store, service, "level__a").write(level(1, **KNOWN))
    found = overview.level_of([row(store, each) for each in ("edge", "gateway", "quiet")])
    assert (found.cores, found.saving) == (6.0, pytest.approx(6 / 200))
    assert (found.cores_low, found.cores_high) == (pytest.approx(6 - 2**0.5), pytest.approx(6 + 2**0.5))


def test_without_a_baseline_there_is_no_level(store):
    assert overview.level_of([row(store, "gateway"), row(store, "quiet")]) is None
