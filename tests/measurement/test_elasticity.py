from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from fleetpgo.measurement.elasticity import elasticity, hourly, huber, week_on_week
from fleetpgo.measurement.usage import Usage
from fleetpgo.measurement.windows import WEEK

HOURS = np.arange(0, 3 * WEEK, 3_600)


def fleet(slope=0.85, spread=0.05):
    random = np.random.default_rng(3)
    requests = 100 * np.exp(random.normal(0, spread, (1, 2, len(HOURS))))
    cpu = requests**slope * np.exp(random.normal(0, 0.005, requests.shape))
    return Usage(HOURS, 3_600, ("ams", "lhr"), cpu, requests, np.ones_like(cpu))


def test_the_robust_fit_is_that_of_statsmodels():
    random = np.random.default_rng(4)
    x = random.normal(0, 1, 200)
    y = 0.3 + 0.8 * x + random.normal(0, 0.1, 200)
    y[:20] += 5
    oracle = sm.RLM(y, sm.add_constant(x), M=sm.robust.norms.HuberT(1.345)).fit(tol=1e-10)
    assert huber(x, y) == pytest.approx(tuple(oracle.params), rel=2e-3)


def test_the_slope_of_a_fleet_is_found():
    assert elasticity(fleet(), until=3 * WEEK) == pytest.approx(0.85, abs=0.01)


def test_an_attack_that_is_cheap_does_not_bend_it():
    usage = fleet()
    attacked = slice(400, 420)
    usage.requests[..., attacked] *= 3
    usage.cpu[..., attacked] *= 1.1
    assert elasticity(usage, until=3 * WEEK) == pytest.approx(0.85, abs=0.01)


def test_what_comes_after_the_rollout_is_not_read():
    usage = fleet()
    usage.cpu[..., HOURS >= 2 * WEEK] = 1.0
    assert elasticity(usage, until=2 * WEEK) == pytest.approx(0.85, abs=0.01)


@pytest.mark.parametrize(("until", "spread"), [(WEEK + 3_600, 0.05), (3 * WEEK, 0.0)])
def test_too_little_history_or_traffic_that_never_changes_tells_nothing(until, spread):
    assert elasticity(fleet(spread=spread), until=until) is None


def test_without_a_traffic_expression_there_is_none():
    usage = fleet()
    alone = Usage(HOURS, 3_600, usage.datacenters, usage.cpu, None, usage.instances)
    assert elasticity(alone, until=3 * WEEK) is None


def test_points_are_averaged_over_their_hour():
    times = np.array([0, 1_800, 3_600])
    hours, log_cpu, log_work = hourly(times, np.array([1.0, 3.0, 5.0]), np.array([1.0, 1.0, 2.0]))
    assert (hours.tolist(), np.exp(log_cpu).tolist()) == ([0, 1], pytest.approx([2, 5]))
    assert np.exp(log_work).tolist() == pytest.approx([1, 2])


def test_only_hours_with_a_partner_a_week_before_are_compared():
    at, changes = week_on_week(np.array([0.0, 1.0, 168.0, 170.0]), np.array([1.0, 1.0, 3.0, 9.0]))
    assert (at.tolist(), changes.tolist()) == ([168.0], [2.0])
