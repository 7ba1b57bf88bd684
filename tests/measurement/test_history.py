from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from fleetpgo.measurement.history import COLUMNS, history, latest_savings

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


def test_core_hours_run_from_rollout_to_rollout_and_only_for_what_could_be_told(store):
    frame = history(store, "api", now=NOW)
    assert frame["core_hours"].tolist() == [10.0 * 31 * 24, 0, 0]
    assert frame["core_hours_total"].iloc[-1] == 10.0 * 31 * 24


def test_a_service_without_a_measurement_has_no_rows(tmp_path):
    assert history(tmp_path, "api", now=NOW).empty


def test_the_latest_savings_are_told_in_the_order_of_their_rollouts(store):
    assert latest_savings(store, "api", count=2) == ["inconclusive", "inconclusive"]
    assert latest_savings(store, "api") == ["saved 3.0 % [2.0, 4.0]", "inconclusive", "inconclusive"]
