from __future__ import annotations

import string
from dataclasses import replace

import numpy as np
import pytest

from fleetpgo.measurement.distributions import t_quantile
from fleetpgo.measurement.estimate import NotPossibleError
from fleetpgo.measurement.estimators.weekly import estimate
from fleetpgo.measurement.usage import Usage
from fleetpgo.measurement.windows import DAY, WEEK, Windows

HOURS = np.arange(0, 7 * WEEK, 3_600)
START = 6 * WEEK
WINDOWS = Windows(after=(START, START + WEEK), shift=WEEK, rolling=(START - 7_200, START))


def fleet(weeks, *, slope=1.0, traffic=0.0):
    """CPU whose logarithm changes by so much from each week to the next; then traffic after the rollout."""
    level = np.cumsum([0, *weeks])[HOURS // WEEK]
    requests = 100 * np.exp(traffic * (HOURS >= START))
    cpu = np.exp(level) * requests**slope
    shape = (1, 1, len(HOURS))
    return Usage(HOURS, 3_600, ("ams",), cpu.reshape(shape), requests.reshape(shape), np.ones(shape))


def test_estimate_and_interval_are_those_of_the_formula():
    changes = [0.01, -0.02, 0.005, 0.0, 0.01, -0.04]
    found = estimate(fleet(changes), WINDOWS)
    placebos = changes[:5]
    # A window that begins some days into a week has its median in the week that fills more of it.
    daily = [placebos[week - (day > 3)] for week in range(1, 5) for day in range(7)] + [placebos[0]]
    half = t_quantile(0.84 * 5) * np.sqrt(np.mean(np.square(daily)))
    assert found.saving == pytest.approx(1 - np.exp(-0.04))
    assert found.low == pytest.approx(1 - np.exp(-0.04 + half))
    assert found.placebos == pytest.approx([1 - np.exp(each) for each in reversed(placebos)])


def test_traffic_is_taken_out_by_its_elasticity():
    usage = fleet([0.0] * 5 + [-0.03], slope=0.8, traffic=0.2)
    assert estimate(usage, WINDOWS, elasticity=0.8).saving == pytest.approx(1 - np.exp(-0.03))


def test_an_attack_of_hours_passes_by():
    usage = fleet([0.0] * 5 + [-0.03])
    usage.cpu[..., (HOURS >= START + DAY) & (HOURS < START + 2 * DAY)] *= 2
    assert estimate(usage, WINDOWS).saving == pytest.approx(1 - np.exp(-0.03))


def test_a_placebo_week_that_was_not_measured_is_left_out_and_said():
    usage = fleet([0.01] * 6)
    usage.cpu[..., HOURS < 2 * WEEK] = np.nan
    found = estimate(usage, WINDOWS)
    assert len(found.placebos) == 3
    assert "3 of 5 placebo weeks" in found.notes[0]


def test_weeks_with_a_rollout_are_no_placebos():
    changes = [0.01, -0.02, 0.005, -0.1, 0.01, -0.04]
    rolled = replace(WINDOWS, rollouts=((4 * WEEK - 7_200, 4 * WEEK),))  # the loss of 10 %
    found = estimate(fleet(changes), rolled)
    assert found.placebos == pytest.approx([1 - np.exp(each) for each in (0.01, 0.005, -0.02, 0.01)])
    assert found.high - found.low < 0.1
    assert "4 of 5 placebo weeks (1 hold the rollout of a profile)" in found.notes[0]


def test_at_weekly_cadence_no_placebo_is_left_and_it_says_so():
    weekly = replace(WINDOWS, rollouts=tuple((week * WEEK - 7_200, week * WEEK) for week in range(1, 6)))
    with pytest.raises(NotPossibleError, match=r"history holds 0 week.*5 hold the rollout of a profile"):
        estimate(fleet([0.0] * 6), weekly)


def test_without_placebos_it_is_not_possible():
    usage = fleet([0.01] * 6)
    usage.cpu[..., HOURS < 4 * WEEK] = np.nan
    with pytest.raises(NotPossibleError, match="history holds 1 week"):
        estimate(usage, WINDOWS)


def test_a_week_that_was_hardly_measured_is_not_possible():
    usage = fleet([0.01] * 6)
    usage.cpu[..., HOURS >= START + DAY] = np.nan
    with pytest.raises(NotPossibleError, match="was not measured"):
        estimate(usage, WINDOWS)


def test_hours_are_too_short_for_it():
    short = Windows(after=(START, START + 7_200), shift=14_400, rolling=(START - 7_200, START))
    with pytest.raises(NotPossibleError, match="between a day and a week"):
        estimate(fleet([0.0] * 6), short)


def test_a_datacenter_that_the_hold_back_fills_is_left_out():
    usage = datacenters([0, 0, 0, 0, 0])
    others = estimate(datacenters([0, 0, 0, 0, 0]), WINDOWS)
    held_back = replace(
        usage,
        datacenters=(*usage.datacenters, "held"),
        **{
            name: np.concatenate((values, np.full_like(values[:, :1], np.nan)), axis=1)
            for name in ("cpu", "requests", "instances")
            for values in [getattr(usage, name)]
        },
    )
    assert estimate(held_back, WINDOWS).saving == others.saving


def datacenters(own):
    """Datacenters with noise of their own each week, and what they did beside the rollout's 2 %."""
    random = np.random.default_rng(7)
    level = np.cumsum(random.normal(0, 0.005, (len(own), 7)), axis=1)
    level[:, 6] += np.array(own) - 0.02
    cpu = np.exp(level[:, HOURS // WEEK])[None]
    return Usage(
        HOURS,
        3_600,
        tuple(string.ascii_letters[: len(own)]),
        cpu,
        np.full_like(cpu, 100.0),
        np.ones_like(cpu),
    )


def test_what_only_some_datacenters_did_is_not_the_build():
    with pytest.raises(NotPossibleError, match=r"changed in b by -1\d.\d %, as never"):
        estimate(datacenters([0, -0.1, 0, 0, 0]), WINDOWS)


def test_a_datacenter_that_always_was_noisy_is_not_apart():
    usage = datacenters([0] * 40)
    usage.cpu[0, 4] *= np.exp(0.2 * (HOURS // WEEK % 2))  # 20 % up and down from week to week
    assert estimate(usage, WINDOWS).method == "B"


def test_what_all_datacenters_did_is():
    assert estimate(datacenters([0, 0, 0, 0, 0]), WINDOWS).method == "B"
