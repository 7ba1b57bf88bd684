from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fleetpgo.measurement.distributions import t_quantile
from fleetpgo.measurement.history import (
    COLUMNS,
    Refresh,
    core_hours,
    history,
    latest_savings,
    reclaimed,
    refreshes,
    rollouts,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path):
    def measured(run, period, end, call, cores):
        found = {"method": "A", "saving": 0.03, "low": 0.02, "high": 0.04, "cores": cores}
        record = {
            "period": period,
            "rollout": {"end": end, "profile": "0123456789ab"},
            "verdict": {"call": call, "attribution": "PGO"},
            "estimate": found if cores is not None else None,
        }
        file = tmp_path / "api" / run / f"measure_{period}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(record))

    measured("run-b", "rollout", "2026-02-01T00:00:00Z", "inconclusive", 50.0)
    measured("run-a", "rollout", "2026-01-01T00:00:00Z", "inconclusive", 1.0)
    measured("run-a", "week", "2026-01-01T00:00:00Z", "saved", 10.0)
    measured("run-c", "rollout", "2026-02-15T00:00:00Z", "inconclusive", None)
    (tmp_path / "api" / "run-d").mkdir()
    return tmp_path


def test_there_is_one_row_per_measured_refresh_by_rollout(store):
    frame = history(store, "api", now=NOW)
    assert list(frame.index) == ["run-a", "run-b", "run-c"]
    assert list(frame.columns) == list(COLUMNS)


def test_the_longer_measurement_of_a_run_counts(store):
    assert history(store, "api", now=NOW).loc["run-a", "period"] == "week"


def test_core_hours_go_on_after_the_next_rollout(store):
    frame = history(store, "api", now=NOW)
    sums = [each.cores for each in reclaimed(refreshes(store, "api"))]
    hours = [sums[0] * (31 + 28) * 24, (sums[1] - sums[0]) * 28 * 24, 0.0]  # run-c has no estimate
    assert frame["core_hours"].tolist() == pytest.approx(hours)
    assert frame["core_hours_total"].iloc[-1] == pytest.approx(sum(hours))


def test_a_service_without_a_measurement_has_no_rows(tmp_path):
    assert history(tmp_path, "api", now=NOW).empty


def test_the_latest_savings_are_told_in_the_order_of_their_rollouts(store):
    assert latest_savings(store, "api", count=2) == ["inconclusive", "inconclusive"]
    assert latest_savings(store, "api") == ["saved 3.0 % [2.0, 4.0]", "inconclusive", "inconclusive"]


def refresh(day, cores, half, verdict="saved", degrees=None, method="A"):
    """A refresh after which 100 cores are used; the half-width is one in cores, at its lower end."""
    end = datetime(2026, 1, day, tzinfo=UTC)
    ends = cores - half, cores + half
    shares = [each / (100 + each) for each in (cores, *ends)]
    return Refresh(
        f"run-{day}", end, "", "week", verdict, "PGO", method, *shares, cores, *ends, degrees=degrees
    )


def test_cores_add_up_and_their_errors_as_independent_ones_do():
    points = reclaimed([refresh(2, 5.0, 4.0), refresh(1, 10.0, 3.0)])
    ends = [(each.at.day, each.low, each.high) for each in points]
    assert ends == [(1, *approx(7.0, 13.0)), (2, *approx(10.0, 20.0))]
    assert points[1].cores == pytest.approx(15 * (1 - (5 / 1.96 / 15) ** 2), rel=1e-3)


def approx(*values):
    """An interval in the logarithm is nearly one in cores where it is short."""
    return [pytest.approx(value, rel=1e-3) for value in values]


def test_the_sum_of_one_refresh_has_the_refreshs_own_interval():
    (point,) = reclaimed([refresh(1, 10.0, 3.0, degrees=3.36)])
    assert (point.low, point.high) == tuple(approx(7.0, 13.0))


def test_what_few_degrees_of_freedom_widen_averages_out_in_a_sum():
    last = reclaimed([refresh(day, 1.0, 3.0, degrees=3) for day in range(1, 26)])[-1]
    half = t_quantile(75) * 5 * 3.0 / t_quantile(3)
    assert (last.low, last.high) == tuple(approx(25 - half, 25 + half))


def test_what_fresh_processes_alone_may_save_is_in_no_sum():
    assert reclaimed([refresh(1, 10.0, 0.1, method="S"), refresh(2, 10.0, 0.1, method="E")]) == []


def test_a_sum_that_noise_alone_could_give_is_shrunk_to_nothing():
    (point,) = reclaimed([refresh(1, 1.0, 4.0)])
    assert (point.cores, point.low, point.high) == (0.0, *approx(-3.0, 5.0))


def test_every_valid_change_is_added_whatever_its_verdict():
    rows = [refresh(1, 10.0, 0.1), refresh(2, 4.0, 0.1, "inconclusive"), refresh(3, 9.0, 0.1, "invalid")]
    points = reclaimed([*rows, refresh(4, -2.0, 0.1, "regression")])
    assert [(each.at.day, round(each.cores, 1)) for each in points] == [(1, 10.0), (2, 14.0), (4, 12.0)]


def test_what_a_release_saved_together_with_the_profile_is_not_counted():
    together = replace(refresh(2, 600.0, 60.0), attribution="release")
    rows = [refresh(1, 10.0, 0.001), together, refresh(3, 5.0, 0.001)]
    assert [each.cores for each in reclaimed(rows)] == pytest.approx([10.0, 15.0])
    assert core_hours(rows, now=datetime(2026, 1, 4, tzinfo=UTC)) == pytest.approx([720.0, 0.0, 120.0])


def test_the_next_pull_request_does_not_quote_what_a_release_saved(store):
    file = store / "api" / "run-a" / "measure_week.json"
    file.write_text(file.read_text().replace('"PGO"', '"release"'))
    assert latest_savings(store, "api")[0] == "release and PGO together"


def test_the_rollouts_of_a_service_are_those_that_its_runs_have_seen(tmp_path):
    for run, day in (("run-b", 8), ("run-a", 1)):
        file = tmp_path / "api" / run / "rollout.json"
        file.parent.mkdir(parents=True)
        times = {"start": f"2026-01-0{day}T10:00:00+00:00", "end": f"2026-01-0{day}T12:00:00+00:00"}
        file.write_text(json.dumps({"profile": "0123456789ab", "fraction": 0.9, **times}))
    (tmp_path / "api" / "run-c").mkdir()
    assert [(start.day, end.hour) for start, end in rollouts(tmp_path, "api")] == [(1, 12), (8, 12)]


def test_the_interval_in_cores_is_the_same_share_of_the_same_cpu(store):
    row = history(store, "api", now=NOW).loc["run-a"]
    used = 10.0 * 0.97 / 0.03
    assert (row["cores_low"], row["cores_high"]) == pytest.approx((used * 0.02 / 0.98, used * 0.04 / 0.96))


@pytest.mark.parametrize("end", ["low", "high"])
def test_an_interval_that_reaches_everything_has_no_ends_in_cores(store, end):
    file = store / "api" / "run-a" / "measure_week.json"
    record = json.loads(file.read_text())
    record["estimate"][end] = 1.0
    file.write_text(json.dumps(record))
    row = history(store, "api", now=NOW).loc["run-a"]
    assert row[["cores_low", "cores_high"]].isna().all()
