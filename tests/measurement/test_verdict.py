from __future__ import annotations

import pytest

from fleetpgo.measurement.estimate import Estimate
from fleetpgo.measurement.verdict import detectable, judge


def found(low, high, method="A", allowance=0.0):
    return Estimate(method, "", (low + high) / 2, low, high, 0.0, 9, allowance=allowance)


@pytest.mark.parametrize(
    ("low", "high", "call"),
    [
        (0.01, 0.03, "saved"),
        (-0.03, -0.01, "regression"),
        (-0.004, 0.004, "no material change"),
        (-0.01, 0.03, "inconclusive"),
        (0.001, 0.007, "inconclusive"),  # above zero, below what matters, but perhaps more
    ],
)
def test_the_call_follows_from_the_interval_and_what_matters(low, high, call):
    assert judge(found(low, high), (), (), material=0.005)[0] == call


def test_a_defect_makes_it_invalid_whatever_the_interval():
    assert judge(found(0.01, 0.03), (), ("lhr is down",), material=0.005) == ("invalid", ("lhr is down",))


def test_another_estimator_that_contradicts_makes_it_inconclusive():
    call, reasons = judge(found(0.01, 0.02), (found(-0.03, 0.0, "B"),), (), material=0.005)
    assert (call, reasons) == ("inconclusive", ("estimator B contradicts A",))


def test_intervals_that_a_fresh_process_can_hold_apart_do_not_contradict():
    preliminary = found(-0.012, 0.005, "S", allowance=0.007)
    assert judge(found(0.01, 0.02), (preliminary,), (), material=0.005)[0] == "saved"


def test_what_a_fresh_process_can_do_alone_is_not_called():
    call, (reason,) = judge(found(-0.002, 0.015, "S", allowance=0.007), (), (), material=0.005)
    assert call == "inconclusive"
    assert "a fresh process alone can have includes zero; the smallest effect" in reason
    assert reason.endswith("1.2 %")


def test_a_loss_that_a_fresh_process_could_make_up_for_is_not_called():
    assert judge(found(-0.02, -0.005, "S", allowance=0.007), (), (), material=0.005)[0] == "inconclusive"
    assert judge(found(-0.02, -0.008, "A", allowance=0.007), (), (), material=0.005)[0] == "regression"


@pytest.mark.parametrize("letter", ["S", "E"])
def test_no_regression_is_called_within_hours_where_cold_caches_look_like_one(letter):
    call, (reason,) = judge(found(-0.06, -0.04, letter, allowance=0.007), (), (), material=0.005)
    assert call == "inconclusive"
    assert "cold caches" in reason
    assert judge(found(0.04, 0.06, letter, allowance=0.007), (), (), material=0.005)[0] == "saved"


def test_two_times_are_not_compared_where_another_deploy_would_not_be_seen():
    call, (reason,) = judge(found(0.01, 0.03, "B"), (), (), material=0.005, watched=False)
    assert (call, "rollout.started" in reason) == ("inconclusive", True)
    assert judge(found(0.01, 0.03, "A"), (), (), material=0.005, watched=False)[0] == "saved"


def test_inconclusive_says_the_smallest_effect_that_could_have_been_seen():
    _, (reason,) = judge(found(-0.01, 0.03), (), (), material=0.005)
    assert reason == "the interval includes zero; the smallest effect that could have been seen is 2.0 %"


def test_nothing_smaller_than_what_matters_is_called_detectable():
    assert detectable(found(0.0, 0.001), material=0.005) == 0.005


def test_without_an_estimate_it_cannot_be_told():
    assert judge(None, (), (), material=0.005)[0] == "inconclusive"
