from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fleetpgo.errors import MeasurementError
from fleetpgo.measurement.rollout import find_rollout, given, ready_at
from fleetpgo.run.proposed import Merge
from fleetpgo.run.store import RunStore
from fleetpgo.steps.wait import look_for_rollout
from tests.run.artifacts import proposed

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
    with pytest.raises(MeasurementError, match="6 series, not one: cpu"):
        find(fleet, broken, NOON)


def test_without_a_metric_that_names_the_build_start_times_tell(fleet, service):
    started = f"0 * cpu + {NOON.timestamp()} * (time() > bool {NOON.timestamp()})"
    rules = service.rollout.model_copy(update={"fraction": None, "started": started})
    unnamed = service.model_copy(update={"rollout": rules})
    _, rollout = find(fleet, unnamed, NOON + timedelta(hours=1))
    assert abs(rollout.end - NOON) <= timedelta(seconds=35)


def test_where_the_hold_back_is_stated_only_the_others_start_times_count(fleet, service):
    rules = service.rollout.model_copy(
        update={
            "fraction": None,
            # Those that go over started when they did, the others long ago.
            "started": f'(build_info{{pgo="{PROFILE}"}} * 0 + {NOON.timestamp() + 60}) '
            'or on (instance) (build_info{pgo="off"} * 0 + 1)',
            "treated": 'cpu{instance=~"(a1|l1|s1):80"}',
            "complete": 1.0,
        }
    )
    now = NOON + timedelta(hours=1)
    fraction, rollout = find_rollout(fleet, rules, profile=PROFILE, since=NOON, now=now)
    assert (fraction, rollout is not None) == (1, True)


def test_a_fraction_above_one_is_an_error(fleet, service):
    wrong = service.model_copy(
        update={"rollout": service.rollout.model_copy(update={"fraction": "count(cpu)"})}
    )
    with pytest.raises(MeasurementError, match=r"6\.0 of the instances cannot be on the new build"):
        find(fleet, wrong, NOON)


@pytest.mark.parametrize(("days", "state"), [(1, "waiting"), (15, "failed")])
def test_a_rollout_that_never_finishes_ends_the_wait_at_its_deadline(fleet, service, tmp_path, days, state):
    store = RunStore(tmp_path, "api", "run")
    store.write(proposed(profile="ffffffffffff"))
    merged_at = NOON + timedelta(minutes=30) - timedelta(days=days)
    store.write(Merge("merged", merged_at))
    outcome = look_for_rollout(service, store, fleet, NOON + timedelta(minutes=30))
    assert (outcome.state, outcome.message[:16]) == (state, "0.0 % of the ins")


def by_hand(fleet, service, profile, seen):
    end = NOON + timedelta(minutes=10)
    return given(fleet, service.rollout, profile=profile, start=NOON, end=end, seen=seen)


def test_how_far_a_rollout_by_hand_went_is_asked(fleet, service):
    assert by_hand(fleet, service, PROFILE, NOON + timedelta(hours=1)).fraction == 0.5


def test_a_rollout_by_hand_that_never_finished_is_an_error(fleet, service):
    with pytest.raises(MeasurementError, match=r"33.3 % of the instances .* never reached"):
        by_hand(fleet, service, PROFILE, NOON + timedelta(minutes=7))


def test_a_deploy_without_a_profile_is_taken_as_it_is_given(fleet, service):
    assert by_hand(fleet, service, "", NOON).fraction == 1.0


def test_it_can_be_measured_when_the_settled_window_has_passed(service, rollout):
    assert ready_at(service, rollout, timedelta(minutes=30)) == NOON + timedelta(minutes=10 + 5 + 30)
