from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fleetpgo.measurement.estimate import NotPossibleError
from fleetpgo.measurement.estimators.level import Standing, estimate, memberships

STEP, DAYS = 6 * 3_600, 28


def fleet(saving=0.03, *, datacenters=2, instances=4, weeks_of_a_turn=1, noise=0.01, seed=1):
    """Datacenters in which another instance is the baseline each week; machines differ by a tenth."""
    random = np.random.default_rng(seed)
    times = np.arange(0, DAYS * 86_400, STEP)
    place = np.tile(np.arange(instances), datacenters)
    datacenter = np.repeat(np.arange(datacenters), instances)
    turn = times // (7 * 86_400 * weeks_of_a_turn)
    baseline = place[:, None] == turn[None, :] % instances
    shape = baseline.shape
    shared = random.normal(0, 0.1, (datacenters, len(times)))[datacenter]
    cost = random.normal(0, 0.1, (len(place), 1)) + shared + random.normal(0, noise, shape)
    requests = 100 * np.exp(random.normal(0, 0.05, shape))
    cpu = 2 * np.exp(cost) * (requests / 100) ** 0.85 * np.where(baseline, 1, 1 - saving)
    names = tuple(f"i{i}" for i in range(len(place)))
    return Standing(times, STEP, names, datacenter, cpu, requests, baseline)


def test_estimate_and_error_are_those_of_dummies_and_a_jackknife_of_clusters():
    standing = fleet(noise=0.002)
    count, points = standing.cpu.shape
    found = estimate(standing, elasticity=0.85)
    left_out = np.zeros(standing.cpu.shape, dtype=bool)  # the point at which an instance is first seen there
    left_out[:, 1:] = standing.baseline[:, 1:] != standing.baseline[:, :-1]
    instance = np.repeat(np.arange(count), points)
    moment = np.tile(np.arange(points), count) + points * standing.datacenter[instance]
    dummies = np.column_stack([np.eye(count)[instance], np.eye(2 * points)[moment]])
    y = np.log(standing.cpu / standing.requests**0.85).ravel()
    use = ~left_out.ravel()
    design = np.column_stack([standing.baseline.ravel().astype(float), dummies])[use]
    projected = sm.OLS(design[:, 0], design[:, 1:]).fit(method="pinv").resid
    # Each datacenter counts by its CPU, however much its baseline varied.
    own = standing.datacenter[instance][use]
    cores = np.bincount(standing.datacenter, np.quantile(standing.cpu, 0.5, axis=1, method="lower"))
    weights = (cores / cores.sum() / np.bincount(own, projected**2))[own]
    rows = np.sqrt(weights)[:, None] * design
    fitted = np.linalg.lstsq(rows, np.sqrt(weights) * y[use], rcond=None)[0]
    assert np.log1p(-found.saving) == pytest.approx(-fitted[0], abs=1e-6)

    residual = y[use] - design @ fitted
    shares = np.bincount(instance[use], weights * projected**2)
    scores = np.bincount(instance[use], weights * projected * residual) / (1 - shares)
    variance = 4 / 3 * scores @ scores  # four instances in a datacenter
    degrees = 1 / (4 / 3 * shares @ shares) - 1
    half = (np.log1p(-found.low) - np.log1p(-found.high)) / 2
    assert half == pytest.approx(stats.t.ppf(0.975, degrees) * np.sqrt(variance), rel=1e-4)


@settings(max_examples=10)
@given(saving=st.floats(-0.2, 0.3))
def test_a_larger_saving_moves_the_estimate_and_not_its_doubt(saving):
    nothing, something = (estimate(fleet(share), elasticity=0.85) for share in (0.0, saving))
    moved = np.log1p(-something.saving) - np.log1p(-nothing.saving)
    assert moved == pytest.approx(np.log1p(-saving), abs=1e-4)


def test_a_baseline_that_is_not_rotated_is_refused():
    standing = fleet(weeks_of_a_turn=DAYS)
    assert memberships(standing) == 1
    with pytest.raises(NotPossibleError, match=r"1 membership.*Rotate it"):
        estimate(standing)


def test_a_membership_that_is_away_for_a_while_is_the_same_one():
    standing = fleet(weeks_of_a_turn=DAYS)
    away = standing.baseline & ~((standing.times > 5 * 86_400) & (standing.times < 9 * 86_400))
    assert memberships(replace(standing, baseline=away)) == 1


def test_two_sets_that_overlap_for_a_day_are_two():
    standing = fleet(instances=3)
    day = standing.times // 86_400
    members = [np.where(day < 14, turn != 0, turn != 1) for turn in (0, 1, 2, 0, 1, 2)]
    overlapping = np.array(members) & ((day != 14) | (np.arange(6)[:, None] % 3 == 2))
    assert memberships(replace(standing, baseline=overlapping)) == 2


def test_a_day_between_two_memberships_hides_none():
    """Before the rollout all run the build without the profile, so each later set is a part of theirs."""
    standing = fleet(instances=3)
    day = standing.times // 86_400
    without = [(day < 3) | (np.where(day < 14, turn, (turn + 1) % 3) != 0) for turn in (0, 1, 2, 0, 1, 2)]
    assert memberships(replace(standing, baseline=np.array(without))) == 2
    between = np.array(without) & ((day != 14) | (np.arange(6)[:, None] % 3 == 1))
    assert memberships(replace(standing, baseline=between)) == 2


def test_sets_that_overlap_at_each_turn_are_one_each():
    standing = fleet(instances=3)
    day = standing.times // 86_400
    members = [(day >= begin) & (day < end) for begin, end in ((0, 8), (7, 15), (14, 28))] * 2
    assert memberships(replace(standing, baseline=np.array(members))) == 3


def test_a_datacenter_counts_by_its_cpu():
    """Ten times the size, and the same number of instances in the baseline."""
    standing = fleet(0.04, datacenters=3, instances=6, noise=0.001)
    large = np.where(standing.datacenter == 0, 10.0, 1.0)[:, None]
    saved = np.where((standing.datacenter[:, None] == 0) & ~standing.baseline, 0.99 / 0.96, 1.0)
    found = estimate(replace(standing, cpu=standing.cpu * large * saved), elasticity=0.85)
    assert found.saving == pytest.approx((10 * 0.01 + 2 * 0.04) / 12, abs=0.003)
    assert found.low < (10 * 0.01 + 2 * 0.04) / 12 < found.high


def test_what_has_no_baseline_is_in_no_figure_and_is_said():
    standing = fleet(0.1, datacenters=4, noise=0.001)
    alone = standing.baseline & (standing.datacenter < 2)[:, None]
    cpu = np.where(standing.baseline & ~alone, standing.cpu * 0.9, standing.cpu)
    found = estimate(replace(standing, cpu=cpu, baseline=alone), elasticity=0.85)
    assert found.cores == pytest.approx(6 * 2 * 0.1, rel=0.2)
    assert "% of the CPU is in datacenters without a rotated baseline" in found.basis


def test_new_names_at_each_turn_are_refused_with_what_to_set():
    standing = fleet()
    turns = standing.times // (7 * 86_400)
    # Each instance exists for one week only.
    rows = [np.where(turns == week, standing.cpu[i], np.nan) for i in range(8) for week in range(4)]
    renamed = Standing(
        standing.times,
        STEP,
        tuple(f"p{i}" for i in range(32)),
        np.repeat(standing.datacenter, 4),
        np.array(rows),
        np.repeat(standing.requests, 4, axis=0),
        np.repeat(standing.baseline, 4, axis=0),
    )
    with pytest.raises(NotPossibleError, match=r"selection\.instance_label"):
        estimate(renamed)


def test_one_instance_that_spikes_moves_the_level_by_little():
    standing = fleet(instances=12)
    spikes = np.where(np.random.default_rng(2).random(len(standing.times)) < 0.2, 30.0, 1.0)
    cpu = standing.cpu.copy()
    cpu[0] *= spikes
    found = estimate(replace(standing, cpu=cpu), elasticity=0.85)
    assert found.saving == pytest.approx(0.03, abs=0.01)
    assert found.low < 0.03 < found.high


def test_a_baseline_at_another_load_is_refused():
    standing = fleet()
    requests = np.where(standing.baseline, 0.3, 1.0) * standing.requests
    with pytest.raises(NotPossibleError, match=r"0\.3 times the requests"):
        estimate(replace(standing, requests=requests))


def test_one_datacenter_gives_no_interval():
    with pytest.raises(NotPossibleError, match="1 datacenter"):
        estimate(fleet(datacenters=1, instances=8))


def test_cores_are_what_the_others_would_have_used_more():
    found = estimate(fleet(0.1, noise=0), elasticity=0.85)
    others = 6  # of eight instances
    assert found.cores == pytest.approx(others * 2 * 0.1, rel=0.1)


def test_cores_are_those_since_the_profile_came():
    """In the first half nobody had a profile, and what saves now is not halved by that."""
    standing = fleet(0.1, weeks_of_a_turn=0.5, noise=0)
    early = standing.times < DAYS * 43_200
    cpu = np.where(early & ~standing.baseline, standing.cpu / 0.9, standing.cpu)
    young = replace(standing, cpu=cpu, baseline=standing.baseline | early)
    assert estimate(young, elasticity=0.85).cores == pytest.approx(6 * 2 * 0.1, rel=0.1)


@pytest.mark.parametrize(("datacenters", "instances"), [(3, 2), (4, 12)])
def test_intervals_cover(datacenters, instances):
    covered = [
        found.low <= 0 <= found.high
        for seed in range(60)
        for found in [estimate(fleet(0.0, datacenters=datacenters, instances=instances, seed=seed))]
    ]
    assert np.mean(covered) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 60)
