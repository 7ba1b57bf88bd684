from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetpgo.measurement.estimate import FRESH_PROCESS, NotPossibleError
from fleetpgo.measurement.estimators.staggered import estimate
from fleetpgo.measurement.usage import Panel


def fleet(saving=0.03, *, fresh=0.0, controls=0, seed=1):
    """Two datacenters of 15 instances that go over in random order; the last ones only restart."""
    random = np.random.default_rng(seed)
    count, times = 30, np.arange(0, 40 * 300, 300)
    datacenter = np.arange(count) % 2
    restarted = random.permutation(np.linspace(3_000, 9_000, count))
    switched = np.where(np.arange(count) < count - controls, restarted, np.inf)
    shared = random.normal(0, 0.1, (2, len(times)))[datacenter]
    requests = 100 * np.exp(random.normal(0, 0.05, (count, len(times))))
    cost = random.normal(0, 0.2, (count, 1)) + shared + random.normal(0, 0.01, (count, len(times)))
    change = np.log(1 - saving) * (times >= switched[:, None]) + fresh * (times >= restarted[:, None])
    cpu = np.exp(cost + change) * (requests / 100) ** 0.85
    return Panel(times, datacenter, cpu, requests, switched, restarted)


def test_estimate_and_error_are_those_of_dense_matrices():
    panel = fleet()
    count, points = panel.cpu.shape
    instance = np.repeat(np.arange(count), points)
    moment = np.tile(np.arange(points), count) + points * panel.datacenter[instance]
    new = panel.times >= panel.switched[:, None]
    design = np.column_stack(
        [np.log(panel.requests).ravel(), np.eye(count)[instance], np.eye(2 * points)[moment]]
    )
    old, y = ~new.ravel(), np.log(panel.cpu).ravel()
    controls = np.array([(~new)[panel.datacenter == d].mean(axis=0) for d in range(2)])[panel.datacenter]
    weights = (new * controls).ravel() / (new * controls).sum()
    prediction = design @ sm.OLS(y[old], design[old]).fit().params
    found = estimate(panel, settle=0)
    tau = weights @ (y - prediction)
    assert np.log1p(-found.saving) == pytest.approx(tau, abs=1e-7)

    combined = weights.copy()
    combined[old] = -np.linalg.pinv(design[old].T) @ (design.T @ weights)
    residuals = np.where(old, y - prediction, y - prediction - tau)
    scores = np.bincount(instance, weights=combined * residuals)
    cells = len(np.unique(moment[old]))
    sample = int(old.sum() + (weights > 0).sum())
    factor = count / (count - 1) * (sample - 1) / (sample - cells - 2)  # a slope and the effect
    half = np.log1p(-found.low - found.allowance) - tau
    assert half == pytest.approx(2.045230 * np.sqrt(factor * scores @ scores), rel=1e-3)  # t(97.5 %, 29)


def test_a_cold_cache_is_in_the_interval():
    panel = fleet(0.0)
    age = np.maximum(panel.times - panel.switched[:, None], 0)
    warming = panel.cpu * (1 + 0.05 * np.exp(-age / 1_800) * (age > 0))
    found = estimate(replace(panel, cpu=warming), settle=900, elasticity=0.85)
    assert found.saving < -0.005
    assert found.low < 0 < found.high


def test_who_went_over_early_is_no_control():
    """An effect that grows with age: as controls, the early ones would make the late ones look dearer."""
    panel = fleet(0.0)
    age = np.maximum(panel.times - panel.switched[:, None], 0)
    growing = replace(panel, cpu=panel.cpu * np.exp(-0.04 * age / 6_000))
    assert estimate(growing, settle=0, elasticity=0.85).saving > 0.004


@settings(max_examples=10)
@given(saving=st.floats(-0.3, 0.5))
def test_a_larger_saving_moves_the_estimate_and_not_its_doubt(saving):
    nothing, something = estimate(fleet(0.0), settle=0), estimate(fleet(saving), settle=0)
    moved = np.log1p(-something.saving) - np.log1p(-nothing.saving)
    assert moved == pytest.approx(np.log1p(-saving), abs=1e-7)


def test_restarted_controls_tell_a_fresh_process_from_a_new_build():
    found = estimate(fleet(0.03, fresh=-0.05, controls=8), settle=0)
    assert found.low < 0.03 < found.high
    assert found.allowance == 0


def test_without_restarted_controls_a_fresh_process_is_allowed_for():
    found = estimate(fleet(0.0, fresh=-0.005), settle=0)
    assert found.allowance == FRESH_PROCESS
    assert found.low < 0 < found.saving
    assert "cannot be told apart" in found.notes[0]


def test_the_time_after_a_restart_is_left_out():
    panel = fleet(0.03)
    age = panel.times - panel.switched[:, None]
    warming = replace(panel, cpu=np.where((age >= 0) & (age < 600), panel.cpu * 3, panel.cpu))
    assert estimate(warming, settle=600).saving == pytest.approx(0.03, abs=0.01)


def test_missing_points_are_left_out():
    panel = fleet(0.03)
    lost = np.random.default_rng(2).random(panel.cpu.shape) < 0.2
    found = estimate(replace(panel, cpu=np.where(lost, np.nan, panel.cpu)), settle=0)
    assert found.low < 0.03 < found.high


def test_a_given_elasticity_withstands_a_balancer_that_looks_at_cpu():
    panel = fleet(0.03)
    cost = panel.cpu / panel.requests**0.85
    requests = cost ** (-1 / 0.85)
    balanced = replace(panel, requests=requests, cpu=cost * requests**0.85)
    assert estimate(balanced, settle=0, elasticity=0.85).saving == pytest.approx(0.03, abs=0.01)


def test_few_instances_are_too_few():
    panel = fleet()
    few = Panel(
        panel.times,
        panel.datacenter[:10],
        panel.cpu[:10],
        panel.requests[:10],
        panel.switched[:10],
        panel.restarted[:10],
    )
    with pytest.raises(NotPossibleError, match="10 instances"):
        estimate(few, settle=0)


def test_a_datacenter_that_went_over_at_once_tells_nothing():
    panel = fleet()
    at_once = np.full(len(panel.switched), 6_000.0)
    with pytest.raises(NotPossibleError, match="at once"):
        estimate(replace(panel, switched=at_once, restarted=at_once), settle=0)
