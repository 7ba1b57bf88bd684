from __future__ import annotations

import pytest

from demo import aa
from demo.processes import DemoError


def answer(call: str) -> aa.Answer:
    estimate = {"saving": 0.012, "low": -0.01, "high": 0.034}
    return aa.Answer.of({"verdict": {"call": call}, "estimate": estimate})


def test_a_change_that_was_called_of_nothing_is_an_error():
    with pytest.raises(DemoError, match="rollout 2 "):
        aa.check([answer("inconclusive"), answer("saved"), answer("no material change")])


def test_doubt_is_no_error():
    aa.check([answer("inconclusive"), answer("no material change"), answer("invalid")])


def test_an_answer_without_an_estimate_has_no_figures():
    assert aa.Answer.of({"verdict": {"call": "invalid"}, "estimate": None}) == aa.Answer(
        "invalid", None, None, None
    )
