"""The level from a real Prometheus: nine instances, of which others run the baseline each week."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from fleetpgo.cli.main import cli
from fleetpgo.errors import MeasurementError
from fleetpgo.measurement.standing import headline, measure_level, next_members, read_standing
from fleetpgo.run.measured import Level
from fleetpgo.run.store import RunStore
from fleetpgo.service.rules import ServiceRules
from fleetpgo.steps.level import keep_level
from tests.measurement.weeks import SAVING, rotated_weeks

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)  # the command asks for now


@pytest.fixture(scope="module")
def prometheus(start_prometheus):
    return start_prometheus(rotated_weeks(NOW))


@pytest.fixture
def service():
    return ServiceRules.model_validate(
        {
            "name": "api",
            "selection": {"cpu": "cpu"},
            "repository": {"forge": "local", "connection": "forge", "project": "api"},
            "build": {"binary": "bin/api"},
            "rollout": {"fraction": "vector(1)", "baseline": "baseline"},
            "measurement": {"cpu": "cpu", "requests": "requests"},
        }
    )


def test_the_level_is_the_known_saving_with_its_interval(prometheus, service):
    found = measure_level(prometheus, service, now=NOW)
    assert found.reason == ""
    assert found.low < SAVING < found.high
    assert found.memberships == 4
    assert found.cores == pytest.approx(found.used * found.saving / (1 - found.saving))
    assert headline(found).startswith(f"PGO saves {100 * found.saving:.1f} % [")


def test_the_weeks_are_as_long_as_the_service_s_week(prometheus, service):
    standing, _ = read_standing(prometheus, service, now=NOW)
    shape = standing.step, standing.day, len(standing.times)
    assert shape == (3_600, 86_400, 4 * 168)
    rules = service.measurement.model_copy(update={"week": timedelta(days=14)})
    longer, _ = read_standing(prometheus, service.model_copy(update={"measurement": rules}), now=NOW)
    assert (longer.step, longer.day, len(longer.times)) == (7_200, 2 * 86_400, 4 * 168)


def test_a_week_is_read_no_finer_than_the_metrics_are(prometheus, service):
    coarse = {"week": timedelta(seconds=90), "step": timedelta(seconds=2)}
    rules = service.measurement.model_copy(update=coarse)
    short = service.model_copy(update={"measurement": rules, "rollout": service.rollout})
    standing, _ = read_standing(prometheus, short, now=NOW)
    assert (standing.step, standing.day, len(standing.times)) == (2, 12, 180)


def test_who_waited_longest_is_next(prometheus, service):
    standing, _ = read_standing(prometheus, service, now=NOW)
    # The fourth week is the first instance's again; the second had its turn before the third.
    assert next_members(standing) == {f"i1.dc{d}:80": f"i0.dc{d}:80" for d in range(3)}


SERVICE = """\
prometheus: {connection: prometheus}
selection: {cpu: cpu}
repository: {forge: local, connection: forge, project: api}
build: {binary: bin/api}
rollout: {fraction: "vector(1)", baseline: baseline}
"""


def test_the_command_says_who_goes_in_and_who_comes_out(prometheus, tmp_path):
    (tmp_path / "api.yaml").write_text(SERVICE)
    runner = CliRunner(env={"FLEETPGO_SERVICES": str(tmp_path)})
    done = runner.invoke(cli, ["services", "rotation", "api", "--prometheus", prometheus.address])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines() == [f"i1.dc{d}:80 in, i0.dc{d}:80 out" for d in range(3)]


def test_the_level_is_kept_in_a_run_of_its_own(prometheus, service, tmp_path):
    found = keep_level(service, tmp_path, prometheus, run="scheduled__2026-03-02")
    assert RunStore(tmp_path, "api", "level__scheduled__2026-03-02").read(Level) == found
    assert found.saving is not None


def test_too_few_memberships_are_said_and_are_no_error(prometheus, service):
    found = measure_level(prometheus, service, now=NOW - timedelta(weeks=2))
    assert found.saving is None
    assert "membership(s); 3 are needed" in found.reason
    assert headline(found).startswith("What PGO saves now is not known: the baseline had")


def test_a_baseline_of_nobody_is_an_error_that_names_the_key(prometheus, service):
    rules = service.rollout.model_copy(update={"baseline": 'baseline{instance="nobody"}'})
    with pytest.raises(MeasurementError, match=r"rollout\.baseline names no instance"):
        measure_level(prometheus, service.model_copy(update={"rollout": rules}), now=NOW)


def test_a_service_without_a_baseline_is_told_what_to_set(prometheus, service):
    rules = service.rollout.model_copy(update={"baseline": None})
    with pytest.raises(MeasurementError, match="api has no baseline"):
        measure_level(prometheus, service.model_copy(update={"rollout": rules}), now=NOW)


def test_the_headline_has_cores_with_their_interval():
    found = Level(NOW, 4, saving=0.031, low=0.027, high=0.035, cores=93.2, cores_low=81.0, cores_high=105.4)
    assert headline(found) == "PGO saves 3.1 % [2.7, 3.5], 93 cores [81, 105], now"
