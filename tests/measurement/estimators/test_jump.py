from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from fleetpgo.measurement.estimate import FRESH_PROCESS, NotPossibleError
from fleetpgo.measurement.estimators.jump import COLD, estimate
from fleetpgo.measurement.usage import Usage
from fleetpgo.measurement.windows import WEEK, Windows

STEP, START = 600, 6 * WEEK
TIMES = np.arange(0, START + 7_200, STEP)
WINDOWS = Windows(after=(START, START + 3_600), shift=7_200, rolling=(START - 3_600, START))
JUMPS = [0.021, 0.018, 0.02, 0.024, 0.017]


def fleet(own=0.0, traffic=(0.0, 0.001, -0.001, 0.0005, 0.0, -0.0005)):
    """The clock's own jump of each week, and the rollout's."""
    cpu, requests = np.ones(len(TIMES)), np.full(len(TIMES), 100.0)
    for week, jump in enumerate([0.02 + own, *JUMPS]):
        after = (TIMES >= START - week * WEEK) & (TIMES < START - week * WEEK + 7_200)
        requests[after] *= np.exp(traffic[week])
        cpu[after] *= np.exp(jump + traffic[week])
    shape = (1, 1, len(TIMES))
    return Usage(TIMES, STEP, ("ams",), cpu.reshape(shape), requests.reshape(shape), np.ones(shape))


def test_the_clock_s_own_jump_is_no_saving():
    found = estimate(fleet(own=-0.03), WINDOWS)
    tau = 0.02 - 0.03 - np.mean(JUMPS)
    half = stats.t.ppf(0.975, 4) * np.std(JUMPS, ddof=1) * np.sqrt(1 + 1 / 5)
    assert found.saving == pytest.approx(1 - np.exp(tau))
    assert found.low == pytest.approx(1 - np.exp(tau + half) - FRESH_PROCESS)
    assert found.high == pytest.approx(1 - np.exp(tau - half - COLD))


def test_a_fresh_process_is_allowed_for():
    assert estimate(fleet(), WINDOWS).allowance > 0


def test_traffic_that_jumps_as_never_before_makes_it_impossible():
    with pytest.raises(NotPossibleError, match="as in no week before"):
        estimate(fleet(traffic=(0.3, 0.001, -0.001, 0.0005, 0.0, -0.0005)), WINDOWS)


def test_weeks_with_a_rollout_give_no_jump():
    rolled = replace(
        WINDOWS, rollouts=tuple((START - week * WEEK - 3_600, START - week * WEEK) for week in (1, 2, 3))
    )
    with pytest.raises(NotPossibleError, match=r"2 week\(s\) \(3 hold the rollout of a profile\)"):
        estimate(fleet(), rolled)


def test_too_short_a_history_makes_it_impossible():
    usage = fleet()
    usage.cpu[..., TIMES < START - 2 * WEEK - 20_000] = np.nan
    with pytest.raises(NotPossibleError, match="2 week"):
        estimate(usage, WINDOWS)
