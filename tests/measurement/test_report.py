from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from fleetpgo.measurement.comparison import Change, Comparison, Usage
from fleetpgo.measurement.holdback import Estimate
from fleetpgo.measurement.report import as_json, headline, markdown

NOON = datetime(2026, 1, 7, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def comparison(**changes) -> Comparison:
    fields = {
        "period": "rollout",
        "before": (NOON - HOUR, NOON),
        "after": (NOON + HOUR, NOON + 2 * HOUR),
        "raw": Change(4, Usage(4.0, 200.0), Usage(4.2, 220.0)),
        "groups": {
            "treated": Change(2, Usage(2.0, 100.0), Usage(2.0, 110.0)),
            "control": Change(2, Usage(2.0, 100.0), Usage(2.2, 110.0)),
        },
        "estimate": Estimate("difference in differences", 0.09, 0.04, 0.14, 0.2, 2),
        "no_estimate": "",
        "queries": {"evaluated at": NOON.isoformat(), "cpu before": "sum(cpu offset 1h)"},
        "warnings": ("store lhr is down",),
    }
    return Comparison(**{**fields, **changes})


def test_the_comment_is_the_golden_one(golden):
    golden("measurement/comment.md", markdown(comparison()))


def test_the_comment_without_an_estimate_is_the_golden_one(golden):
    raw_only = comparison(estimate=None, no_estimate="no control group is known", groups={}, warnings=())
    golden("measurement/comment-raw.md", markdown(raw_only))


@pytest.mark.parametrize(
    ("low", "high", "doubt"),
    [(0.01, 0.1, False), (-0.1, -0.01, False), (-0.01, 0.1, True), (-0.1, 0.0, True)],
)
def test_an_interval_that_includes_zero_says_that_it_cannot_be_told(low, high, doubt):
    found = Estimate("did", (low + high) / 2, low, high, 0.2, 2)
    assert ("cannot be told" in headline(comparison(estimate=found))) == doubt


def test_a_loss_is_called_a_loss():
    assert headline(comparison(estimate=Estimate("did", -0.02, -0.03, -0.01, -0.1, 3))).startswith(
        "CPU lost: 2.0 % [-3.0 %, -1.0 %] (95 % interval), -0.10 cores"
    )


def test_the_json_holds_figures_and_what_follows_from_them():
    record = json.loads(json.dumps(as_json(comparison())))
    assert record["raw"]["saved_share"] == pytest.approx(-0.05)
    assert record["groups"]["treated"]["saved_share_per_request"] == pytest.approx(1 / 11)
    assert record["before"] == ["2026-01-07T11:00:00+00:00", "2026-01-07T12:00:00+00:00"]
