"""A store of a version whose artifacts had no version yet."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from fleetpgo import overview
from fleetpgo.cli.main import cli
from fleetpgo.run.store import RunStore

STORE = Path(__file__).parents[1] / "testdata/stores/before-versions"
MEASURED, WAITING = "manual__2026-02-02T00_00_00+00_00", "manual__2026-02-09T08_30_00.123456+00_00"


def test_the_fleet_shows_its_service():
    row = overview.look_at_service(STORE, "edge", now=datetime(2026, 3, 1, tzinfo=UTC))
    assert row.problems == ()
    assert (row.profile.digest, row.profile.samples, row.waiting.number) == ("0f948f72cc28", 258, 2)
    assert (row.last.verdict, row.cores is not None) == ("saved", True)


def test_a_measured_run_shows_every_stage():
    found = overview.look_at_run(RunStore(STORE, "edge", MEASURED))
    assert {stage.state for stage in found.stages} == {"done"}
    assert [(each.period, each.call) for each in found.measurements] == [
        ("rollout", "saved"),
        ("week", "saved"),
    ]
    assert (len(found.instances), found.has_profile, found.stopped) == (2, True, "")


def test_a_waiting_run_shows_why_instances_gave_nothing():
    found = overview.look_at_run(RunStore(STORE, "edge", WAITING))
    assert sorted(each.state for each in found.instances) == ["missing", "refused", *["used"] * 4]


def test_profiles_of_old_runs_are_compared():
    new = RunStore(STORE, "edge", WAITING)
    old, before, own = overview.previous_run(new)
    assert 0 < overview.compare_runs(old, new, before.digest, own.digest).overlap < 1


@pytest.mark.parametrize("option", [[], ["--json"], ["--csv"]])
def test_the_history_command_tells_of_it(option):
    done = CliRunner().invoke(cli, ["history", "edge", "--store", str(STORE), *option])
    assert (done.exit_code, "saved" in done.output) == (0, True)


def test_the_history_has_the_interval_of_the_record():
    done = CliRunner().invoke(cli, ["history", "edge", "--store", str(STORE), "--json"])
    (row,) = json.loads(done.stdout)
    record = json.loads((STORE / "edge" / MEASURED / "measure_week.json").read_text())
    assert [row[name] for name in ("saving", "low", "high")] == [
        pytest.approx(record["estimate"][name]) for name in ("saving", "low", "high")
    ]
