from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fleetpgo.measurement.estimate import NotPossibleError
from fleetpgo.measurement.estimators.holdback import estimate
from fleetpgo.measurement.usage import Usage
from fleetpgo.measurement.windows import DAY, WEEK, Windows

STEP = 3_600
WINDOWS = Windows(after=(2 * WEEK, 3 * WEEK), shift=WEEK, rolling=(2 * WEEK - 2 * STEP, 2 * WEEK))


def fleet(changes, *, control=0.0, noise=0.0, requests=True):
    """Treated datacenters whose ln CPU changes so much at the rollout, and controls that share the rest."""
    random = np.random.default_rng(1)
    times = np.arange(0, 3 * WEEK, STEP)
    new = times >= WINDOWS.after[0]
    cpu = np.exp(random.normal(0, noise, (2, len(changes), len(times))))
    cpu[0] *= np.exp(np.asarray(changes)[:, None] * new)
    cpu[1] *= np.exp(control * new)
    ones = np.ones_like(cpu)
    names = tuple(f"dc{d}" for d in range(len(changes)))
    return Usage(times, STEP, names, 10 * cpu, 100 * ones if requests else None, 5 * ones)


def test_the_figures_are_those_of_a_t_test_over_the_datacenters():
    changes = [-0.03, -0.01, -0.02, -0.05]
    found = estimate(fleet(changes), WINDOWS)
    oracle = stats.ttest_1samp(changes, 0).confidence_interval(0.95)
    assert found.saving == pytest.approx(1 - np.exp(np.mean(changes)))
    assert (found.low, found.high) == (
        pytest.approx(1 - np.exp(oracle.high)),
        pytest.approx(1 - np.exp(oracle.low)),
    )
    assert found.degrees == 3


def weeks(levels):
    """Treated datacenters with a level of ln CPU in each week, the last after the rollout; flat controls."""
    times = np.arange(0, len(levels) * WEEK, STEP)
    cpu = np.exp(np.stack((np.asarray(levels)[times // WEEK].T, np.zeros((len(levels[0]), len(times))))))
    names = tuple(f"dc{d}" for d in range(len(levels[0])))
    after = (len(levels) - 1) * WEEK, len(levels) * WEEK
    windows = Windows(after=after, shift=WEEK, rolling=(after[0] - 2 * STEP, after[0]))
    return Usage(times, STEP, names, cpu, np.ones_like(cpu), np.ones_like(cpu)), windows


def test_the_weeks_before_tell_the_noise_as_well():
    levels = np.random.default_rng(5).normal(0, 0.01, (7, 4))
    levels -= levels.mean(axis=1, keepdims=True)  # no drift that all share
    found = estimate(*weeks(levels))
    variance = np.diff(levels, axis=0).var(axis=1, ddof=1).mean()
    degrees = int(3 * 6**2 / 8.5)
    half = stats.t.ppf(0.975, degrees) * np.sqrt(variance / 4)
    tau = np.log(1 - found.saving)
    assert found.degrees == degrees
    ends = 1 - np.exp(tau + half), 1 - np.exp(tau - half)
    assert (found.low, found.high) == pytest.approx(ends, abs=1e-6)  # the datacenters' CPU differs by 1 %


def test_a_drift_that_all_held_back_instances_share_is_in_the_interval():
    random = np.random.default_rng(5)
    levels = random.normal(0, 0.001, (7, 4)) + np.cumsum(random.normal(0, 0.01, (7, 1)), axis=0)
    found = estimate(*weeks(levels))
    changes = np.diff(levels, axis=0).mean(axis=1)[:-1]
    half = stats.t.ppf(0.975, 0.84 * 5) * np.sqrt(np.mean(np.square(changes)))
    tau = np.log(1 - found.saving)
    ends = 1 - np.exp(tau + half), 1 - np.exp(tau - half)
    assert (found.low, found.high) == pytest.approx(ends, abs=1e-5)
    assert (found.degrees, found.basis) == (
        pytest.approx(4.2),
        "how all held-back instances drifted in 5 weeks before",
    )


def test_a_week_with_a_rollout_is_no_placebo():
    levels = np.random.default_rng(5).normal(0, 0.001, (7, 4))
    levels[3:] -= 0.05  # an earlier refresh
    usage, windows = weeks(levels)
    rolled = replace(windows, rollouts=((3 * WEEK - 7_200, 3 * WEEK),))
    poisoned, clean = estimate(usage, windows), estimate(usage, rolled)
    assert (len(poisoned.placebos), len(clean.placebos)) == (5, 4)
    assert clean.high - clean.low < (poisoned.high - poisoned.low) / 5


def test_intervals_cover_where_a_drift_is_shared_and_where_none_is():
    random = np.random.default_rng(11)
    covered = {0.0: 0, 0.007: 0}
    runs = 150
    for drift in covered:
        for _ in range(runs):
            own = np.cumsum(random.normal(0, 0.01, (7, 4)), axis=0)
            found = estimate(*weeks(own + np.cumsum(random.normal(0, drift, (7, 1)), axis=0)))
            covered[drift] += found.low <= 0 <= found.high
    # Three Monte-Carlo errors below 95 %.
    assert min(covered.values()) / runs > 0.95 - 3 * np.sqrt(0.95 * 0.05 / runs)


def test_a_week_that_is_noisier_than_those_before_stands_alone():
    levels = np.random.default_rng(5).normal(0, 0.01, (7, 4))
    levels[-1] *= 10
    assert estimate(*weeks(levels)).degrees == 3


WALK, NOISE = 4e-6, 9e-6  # variances in a day


def days(walk, noise, *, seed=2, datacenters=12):
    """Seven weeks of datacenters whose treated and held-back groups drift apart, a level for each day."""
    random = np.random.default_rng(seed)
    shape = (datacenters, 49)
    level = np.cumsum(random.normal(0, walk**0.5, shape), axis=1) + random.normal(0, noise**0.5, shape)
    times = np.arange(0, 7 * WEEK, STEP)
    cpu = np.exp(np.stack((level[:, times // DAY], np.zeros((datacenters, len(times))))))
    windows = Windows(after=(6 * WEEK, 7 * WEEK), shift=WEEK, rolling=(6 * WEEK - 2 * STEP, 6 * WEEK))
    names = tuple(f"dc{d}" for d in range(datacenters))
    return Usage(times, STEP, names, cpu, np.ones_like(cpu), np.ones_like(cpu)), windows


def weighed(usage, windows):
    """The weights of the seven days before the rollout, and of the seven after it."""
    found = []
    untouched = estimate(usage, windows).saving
    for day in range(14):
        touched = usage.cpu.copy()
        at = windows.before[0] + day * DAY
        touched[0][:, (usage.times >= at) & (usage.times < at + DAY)] *= np.exp(-1e-4)
        moved = estimate(replace(usage, cpu=touched), windows).saving - untouched
        found.append(moved / 1e-4)
    return np.array(found)


def test_days_next_to_the_rollout_weigh_as_the_drift_asks():
    usage, windows = days(WALK, NOISE, datacenters=200)
    weights = weighed(usage, windows)
    # The oracle: generalised least squares of the fourteen days, whose covariance is known here.
    day = np.arange(14)
    covariance = WALK * np.minimum.outer(day + 1, day + 1) + NOISE * np.eye(14)
    design = sm.add_constant((day >= 7).astype(float))
    best = sm.GLS(np.zeros(14), design, sigma=covariance).fit().normalized_cov_params[1, 1]
    assert weights @ covariance @ weights < 1.03 * best
    equal = np.repeat((-1 / 7, 1 / 7), 7)
    assert equal @ covariance @ equal > 1.3 * best


def test_days_weigh_alike_where_nothing_drifts_and_where_history_is_short():
    usage, windows = days(0.0, NOISE)
    assert weighed(usage, windows)[7:] == pytest.approx(1 / 7, rel=0.35)
    usage, windows = days(WALK, NOISE)
    usage.cpu[:, :, usage.times < 3 * WEEK] = np.nan
    assert weighed(usage, windows) == pytest.approx(np.repeat((-1 / 7, 1 / 7), 7), rel=0.02)


def test_a_day_that_was_not_measured_leaves_its_weight_to_the_others():
    usage, windows = days(WALK, NOISE)
    gone = (usage.times >= 6 * WEEK) & (usage.times < 6 * WEEK + DAY)
    usage.cpu[:, :, gone] = np.nan
    weights = weighed(usage, windows)
    # The day after the rollout, and the same weekday before it.
    assert (weights[0], weights[7]) == pytest.approx((0, 0), abs=1e-6)
    assert (weights[:7].sum(), weights[7:].sum()) == (pytest.approx(-1, rel=1e-2), pytest.approx(1, rel=1e-2))


@given(common=st.floats(-0.5, 0.5), change=st.floats(-0.5, 0.5))
def test_what_happens_to_both_groups_is_not_the_build(common, change):
    found = estimate(fleet([common + change] * 3, control=common), WINDOWS)
    assert found.saving == pytest.approx(1 - np.exp(change), abs=1e-9)


@given(slope=st.floats(0.5, 1.0), shift=st.floats(-0.3, 0.3))
def test_traffic_that_moves_from_one_group_to_the_other_is_not_the_build(slope, shift):
    usage = fleet([0.0, 0.0])
    moved = np.exp(shift * (usage.times >= WINDOWS.after[0]))
    usage.requests[0] *= moved
    usage.cpu[0] *= moved**slope
    found = estimate(usage, WINDOWS, elasticity=slope)
    assert found.saving == pytest.approx(0, abs=1e-9)


def test_cores_are_what_the_treated_would_have_used_more():
    found = estimate(fleet([np.log(0.9)] * 2), WINDOWS)
    assert found.cores == pytest.approx(2 * 10 * 0.1)


def test_datacenters_that_agree_by_chance_do_not_outdo_their_noise_over_time():
    usage = fleet([0.0, 0.0], noise=0.05)
    usage.cpu[:, 1] = usage.cpu[:, 0]
    found = estimate(usage, WINDOWS)
    assert found.high - found.low > 0.001


def test_placebos_are_the_weeks_before():
    found = estimate(fleet([-0.02] * 3, noise=0.01), WINDOWS)
    assert len(found.placebos) == 1
    assert abs(found.placebos[0]) < 0.005


def test_a_datacenter_without_a_hold_back_is_left_out():
    usage = fleet([-0.02, -0.02, -0.5])
    usage.cpu[1, 2] = np.nan
    found = estimate(usage, WINDOWS)
    assert (found.degrees, found.saving) == (1, pytest.approx(1 - np.exp(-0.02)))


def test_a_day_without_data_is_left_out():
    usage = fleet([-0.02, -0.02])
    usage.cpu[:, :, (usage.times >= 2 * WEEK) & (usage.times < 2 * WEEK + DAY)] = np.nan
    assert estimate(usage, WINDOWS).saving == pytest.approx(1 - np.exp(-0.02))


def test_without_a_control_group_it_is_not_possible():
    usage = fleet([0.0, 0.0])
    alone = Usage(
        usage.times, STEP, usage.datacenters, usage.cpu[:1], usage.requests[:1], usage.instances[:1]
    )
    with pytest.raises(NotPossibleError, match="no control group"):
        estimate(alone, WINDOWS)


def test_one_datacenter_gives_no_interval():
    with pytest.raises(NotPossibleError, match="1 datacenter"):
        estimate(fleet([0.0]), WINDOWS)


def test_the_saving_is_the_fleet_s_and_not_the_datacenters_mean():
    usage = fleet(np.log([0.99, 0.96, 0.96, 0.96]))
    usage.cpu[:, 0] *= 10
    usage.requests[:, 0] *= 10
    found = estimate(usage, WINDOWS)
    saved = usage.cpu[0][:, usage.times < WINDOWS.rolling[0]].mean(axis=1) @ [0.01, 0.04, 0.04, 0.04]
    assert found.saving == pytest.approx(saved / (13 * 10), rel=0.01)
    assert found.cores == pytest.approx(saved, rel=0.01)
    # As wide as one datacenter that is nearly all of the fleet makes it.
    shares = np.array([10, 1, 1, 1]) / 13
    spread = np.log([0.99, 0.96, 0.96, 0.96]).std(ddof=1)
    half = stats.t.ppf(0.975, 3) * spread * np.sqrt(np.square(shares).sum())
    assert np.log(1 - found.low) - np.log(1 - found.saving) == pytest.approx(half)
    assert "one datacenter has 76.9 % of the CPU" in found.notes[0]


def test_datacenters_that_cannot_be_compared_are_named_with_what_they_lack():
    usage = fleet([0.0, 0.0, 0.0])
    usage.cpu[0, 0] = np.nan  # the hold-back fills it
    usage.cpu[1, 1:] = np.nan
    with pytest.raises(
        NotPossibleError,
        match=r"^0 datacenter.*dc0 has no treated instance; dc1 has no held-back instance; dc2 has no held",
    ):
        estimate(usage, WINDOWS)


def test_what_is_not_compared_is_in_no_figure_and_is_said():
    """The largest datacenter has no hold-back."""
    usage = fleet([-0.01, -0.04, -0.05])
    usage.cpu[0, 0] *= 8
    usage.cpu[1, 0] = np.nan
    found = estimate(usage, WINDOWS)
    assert found.saving == pytest.approx(0.044, abs=0.001)
    assert found.cores == pytest.approx(20 * 0.045, rel=0.03)
    assert (
        "not compared, and in no figure here: 80.6 % of the CPU. dc0 has no held-back instance" in found.notes
    )


def test_a_datacenter_that_the_hold_back_fills_spoils_no_figure():
    usage = fleet([np.log(0.9)] * 3)
    usage.cpu[0, 2] = np.nan
    found = estimate(usage, WINDOWS)
    assert (found.saving, found.cores) == (pytest.approx(0.1), pytest.approx(2 * 10 * 0.1))


def test_few_datacenters_and_a_short_history_are_noted():
    datacenters, history = estimate(fleet([0.0, 0.01, 0.02]), WINDOWS).notes
    assert "3 datacenters" in datacenters
    assert "1 of 5 weeks" in history
    assert "a drift that all held-back instances share" in history


def test_nothing_is_noted_of_many_datacenters_with_history():
    assert estimate(*days(WALK, NOISE)).notes == ()


def noisy_weeks(datacenters=4, *, seed=5):
    """Seven weeks of datacenters with noise of their own in both groups."""
    levels = np.random.default_rng(seed).normal(0, 0.01, (7, datacenters))
    return weeks(levels)


def test_bursts_of_one_held_back_instance_do_not_count():
    usage, windows = noisy_weeks()
    burst = (usage.times // STEP % 6 == 0) & (usage.times >= windows.after[0])  # four hours of each day
    cpu = usage.cpu.copy()
    cpu[1, 0, burst] *= 30
    undisturbed, disturbed = estimate(usage, windows), estimate(replace(usage, cpu=cpu), windows)
    assert disturbed.saving == pytest.approx(undisturbed.saving, abs=1e-6)
    assert disturbed.high - disturbed.low == pytest.approx(undisturbed.high - undisturbed.low, rel=1e-6)


def test_a_datacenter_whose_hold_back_alone_changed_is_left_out_by_name():
    usage, windows = noisy_weeks()
    cpu = usage.cpu.copy()
    cpu[1, 2, usage.times >= windows.after[0]] *= 2
    undisturbed, found = estimate(usage, windows), estimate(replace(usage, cpu=cpu), windows)
    assert "dc2 is left out: its held-back instances changed" in found.notes[0]
    assert found.high - found.low < 2 * (undisturbed.high - undisturbed.low)


def test_a_datacenter_in_which_the_build_saves_more_is_not_left_out():
    usage, windows = noisy_weeks()
    cpu = usage.cpu.copy()
    cpu[0, 2, usage.times >= windows.after[0]] *= 0.5
    found = estimate(replace(usage, cpu=cpu), windows)
    assert not [note for note in found.notes if "left out" in note]
    assert found.saving > 0.1


def at_another_load(traffic):
    """Datacenters whose hold-back gets 30 % of the requests, of which some CPU does not depend."""
    usage = fleet([0.0, 0.0, 0.0])
    load = np.ones_like(usage.cpu) * np.where(usage.times >= WINDOWS.after[0], 1 + traffic, 1.0)
    load[1] *= 0.3
    return replace(usage, cpu=5 * (0.15 + 0.85 * load), requests=500 * load)


def test_a_hold_back_at_another_load_follows_traffic_in_another_way():
    usage = at_another_load(0.02)
    found = estimate(usage, WINDOWS, elasticity=0.85)
    assert found.saving == pytest.approx(0, abs=2e-4)  # 0.43 points, if both groups had one elasticity
    assert found.low < 0 < found.high


def test_more_traffic_at_another_load_is_refused_with_both_figures():
    with pytest.raises(NotPossibleError, match=r"0\.3 times the requests.*traffic changed by 10\.0 %"):
        estimate(at_another_load(0.1), WINDOWS, elasticity=0.85)


def test_weekly_rollouts_still_tell_the_spread_between_datacenters():
    levels = np.random.default_rng(5).normal(0, 0.01, (7, 4))
    levels -= 0.02 * np.arange(7)[:, None]  # each week's refresh saves
    usage, windows = weeks(levels)
    known = tuple((week * WEEK - 7_200, week * WEEK) for week in range(1, 6))
    found = estimate(usage, replace(windows, rollouts=known))
    assert (found.degrees, found.placebos) == (12, ())
    assert "a drift that all held-back instances share is not in the interval" in " ".join(found.notes)
