from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fleetpgo.errors import MeasurementError
from fleetpgo.measurement.rollout import find_rollout, ready_at

NOON = datetime(2026, 1, 7, 12, tzinfo=UTC)
PROFILE = "0123456789ab"


def find(fleet, service, now, profile=PROFILE):
    since = NOON - timedelta(hours=1)
    return find_rollout(fleet, service.rollout, profile=profile, since=since, now=now)


def test_before_the_rollout_nothing_runs_the_new_build(fleet, service):
    assert find(fleet, service, NOON - timedelta(minutes=1)) == (0.0, None)


def test_half_way_through_it_is_not_complete(fleet, service):
    fraction, rollout = find(fleet, service, NOON + timedelta(minutes=7))
    assert (fraction, rollout) == (pytest.approx(1 / 3), None)


def test_a_complete_rollout_has_its_start_and_end(fleet, service):
    _, rollout = find(fleet, service, NOON + timedelta(hours=1))
    # The first instance goes over 100 s after noon, the last 500 s after; scrapes are 30 s apart.
    assert NOON <= rollout.start <= NOON + timedelta(seconds=130)
    assert timedelta(seconds=500) <= rollout.end - NOON <= timedelta(seconds=560)
    assert (rollout.profile, rollout.fraction) == (PROFILE, 0.5)


def test_another_profile_is_not_the_rollout(fleet, service):
    assert find(fleet, service, NOON + timedelta(hours=1), profile="ffffffffffff") == (0.0, None)


def test_a_fraction_that_is_no_number_is_an_error_with_its_query(fleet, service):
    broken = service.model_copy(update={"rollout": service.rollout.model_copy(update={"fraction": "cpu"})})
    with pytest.raises(MeasurementError, match="6 series: cpu"):
        find(fleet, broken, NOON)


def test_it_can_be_measured_when_the_settled_window_has_passed(service, rollout):
    assert ready_at(service, rollout, timedelta(minutes=30)) == NOON + timedelta(minutes=10 + 5 + 30)
