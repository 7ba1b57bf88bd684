from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpgo.measurement.windows import DAY, WEEK, around, spans
from fleetpgo.run.proposed import Rollout

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ROLLOUT = Rollout("", NOON, NOON + timedelta(hours=2), 1.0)
SETTLE = timedelta(minutes=15)
ENDS = int(NOON.timestamp()) + 2 * 3_600 + 900


def test_a_week_is_compared_with_the_same_clock_times_of_the_week_before():
    windows = around(ROLLOUT, settle=SETTLE, length=timedelta(days=7), step=300)
    assert (windows.after, windows.shift) == ((ENDS, ENDS + WEEK), WEEK)


def test_hours_are_compared_with_the_time_just_before_the_rollout():
    windows = around(ROLLOUT, settle=SETTLE, length=timedelta(hours=1), step=60)
    assert windows.before == (int(NOON.timestamp()) - 3_600, int(NOON.timestamp()))


@pytest.mark.parametrize("seconds", [1, 62, 90, 3_600, DAY, WEEK])
def test_windows_have_five_parts_or_one_for_each_day(seconds):
    windows = around(ROLLOUT, settle=SETTLE, length=timedelta(seconds=seconds), step=1)
    parts = set((np.arange(windows.length) // windows.block).tolist())
    assert len(parts) == min(seconds, max(5, seconds // DAY))


def test_a_placebo_of_long_windows_ends_before_the_rollout():
    windows = around(ROLLOUT, settle=SETTLE, length=timedelta(days=14), step=300)
    assert windows.placebo(1).after[1] <= windows.rolling[1]


def test_times_whose_partner_lies_in_the_rollout_are_left_out():
    windows = around(ROLLOUT, settle=SETTLE, length=timedelta(days=7), step=300)
    times = np.arange(ENDS - WEEK, ENDS + WEEK, 300)
    after, before = windows.pairs(times)
    assert len(after) == (WEEK - 2 * 3_600 - 900) // 300
    assert times[before].max() < NOON.timestamp()


def test_an_excluded_span_takes_its_partners_with_it():
    incident = (NOON + timedelta(days=1), NOON + timedelta(days=1, hours=1))
    windows = around(ROLLOUT, settle=SETTLE, length=timedelta(days=7), step=300, excluded=[incident])
    plain = around(ROLLOUT, settle=SETTLE, length=timedelta(days=7), step=300)
    assert plain.expected_pairs(300) - windows.expected_pairs(300) == 12


def test_of_the_week_before_only_what_ran_the_last_build_is_compared():
    """Another profile went out three days before."""
    other = (NOON - timedelta(days=3, hours=2), NOON - timedelta(days=3))
    windows = around(ROLLOUT, settle=SETTLE, length=timedelta(days=7), step=300, rollouts=[other])
    times = np.arange(ENDS - WEEK, ENDS + WEEK, 300)
    _, before = windows.pairs(times)
    assert times[before].min() == NOON.timestamp() - 3 * DAY + 900


def test_of_the_week_after_nothing_is_compared_that_runs_a_later_build():
    other = (NOON + timedelta(days=5), NOON + timedelta(days=5, hours=2))
    windows = around(ROLLOUT, settle=SETTLE, length=timedelta(days=7), step=300, rollouts=[other])
    times = np.arange(ENDS - WEEK, ENDS + WEEK, 300)
    after, _ = windows.pairs(times)
    assert times[after].max() == NOON.timestamp() + 5 * DAY - 300


def test_a_rollout_that_ended_before_the_window_before_takes_nothing_of_it():
    other = (NOON - timedelta(days=7), NOON - timedelta(days=7) + timedelta(hours=2))
    plain, windows = (
        around(ROLLOUT, settle=SETTLE, length=timedelta(days=7), step=300, rollouts=rollouts)
        for rollouts in ((), [other])
    )
    assert windows.expected_pairs(300) == plain.expected_pairs(300)


@given(
    start=st.integers(0, DAY),
    length=st.sampled_from([60, 90, 3_600, DAY, 3 * DAY, WEEK]),
    step=st.sampled_from([2, 15, 60, 300]),
)
def test_all_times_lie_on_multiples_of_the_step_and_each_pair_is_one_shift_apart(start, length, step):
    rollout = Rollout("", NOON + timedelta(seconds=start), NOON + timedelta(seconds=start + 1_000), 1.0)
    windows = around(rollout, settle=timedelta(seconds=25), length=timedelta(seconds=length), step=step)
    (span,) = spans(windows, weeks=0)
    times = np.arange(*span, step)
    after, before = windows.pairs(times)
    assert not np.any(times % step)
    assert np.all(times[after] - times[before] == windows.shift)
    assert np.all((times[before] < windows.rolling[0]) & (times[after] >= windows.rolling[1]))
    assert len(after) == windows.expected_pairs(step)


def test_the_spans_of_hours_and_their_placebos_leave_out_the_days_between():
    windows = around(ROLLOUT, settle=SETTLE, length=timedelta(hours=1), step=60)
    found = list(spans(windows, weeks=2))
    assert [end - start for start, end in found] == [4 * 3_600 + 900] * 3


def test_the_spans_of_weeks_grow_together():
    windows = around(ROLLOUT, settle=SETTLE, length=timedelta(days=7), step=300)
    assert list(spans(windows, weeks=2)) == [(ENDS - 3 * WEEK, ENDS + WEEK)]
