from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from scipy import stats

from fleetpgo.measurement.certainty import REVERT_LEVEL, chance_of_loss
from fleetpgo.measurement.estimate import from_tau
from fleetpgo.steps.measure import revert_as


def loss(tau, error, *, method="A", degrees=12):
    half = stats.t.ppf(0.975, degrees) * error
    return from_tau(method, "", tau, half, cores_after=100, degrees=degrees)


def week(estimate, call="regression"):
    return SimpleNamespace(estimate=estimate, verdict=SimpleNamespace(call=call))


def test_the_chance_is_the_tail_of_the_t_distribution():
    assert chance_of_loss(loss(0.03, 0.01)) == pytest.approx(stats.t.sf(3, 12))


@pytest.mark.parametrize(("method", "how"), [("A", "open"), ("B", "draft"), ("S", None), ("E", None)])
def test_only_a_proposes_a_revert_and_b_a_draft_of_one(method, how):
    assert revert_as(week(loss(0.05, 0.005, method=method)), "week") == how


def test_a_loss_that_many_services_would_show_by_chance_proposes_none():
    assert REVERT_LEVEL * 200 * 52 < 5
    found = loss(0.03, 0.01)
    assert found.high < 0
    assert revert_as(week(found), "week") is None


def test_the_short_look_proposes_none():
    assert revert_as(week(loss(0.05, 0.005)), "rollout") is None


def test_a_loss_without_any_doubt_is_not_certain():
    assert chance_of_loss(from_tau("A", "", math.inf, 0.1, cores_after=1, degrees=3)) == 1
