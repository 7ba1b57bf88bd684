from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from markdown_it import MarkdownIt

from fleetpgo.measurement.comparison import Comparison
from fleetpgo.measurement.estimate import Estimate
from fleetpgo.measurement.evidence import Amount, change
from fleetpgo.measurement.guardrails import Guarded
from fleetpgo.measurement.report import headline, markdown
from fleetpgo.measurement.verdict import Verdict
from fleetpgo.run.proposed import Rollout

NOON = datetime(2026, 1, 7, 12, tzinfo=UTC)
A = Estimate("A", "t interval over 10 datacenters", 0.031, 0.026, 0.036, 85.2, 9, (0.002, -0.001))
COMPARISON = Comparison(
    period="rollout",
    rollout=Rollout("0123456789ab", NOON, NOON + timedelta(minutes=30), 0.9),
    before=("2026-01-07T11:00:00+00:00", "2026-01-07T12:00:00+00:00"),
    after=("2026-01-07T13:00:00+00:00", "2026-01-07T14:00:00+00:00"),
    per="request",
    verdict=Verdict("saved", (), 0.005),
    estimate=A,
    supporting=(
        Estimate(
            "S",
            "400 instances",
            0.029,
            0.02,
            0.038,
            79.6,
            399,
            notes=("no control was restarted",),
            allowance=0.007,
        ),
    ),
    not_possible={"B": "the windows are not between a day and a week long"},
    elasticity=0.85,
    raw=change(500, Amount(3000.0, 500_000.0), Amount(3050.0, 520_000.0)),
    groups={
        "treated": change(450, Amount(2700.0, 450_000.0), Amount(2730.0, 468_000.0)),
        "control": change(50, Amount(300.0, 50_000.0), Amount(320.0, 52_000.0)),
    },
    guardrails=(Guarded("resident memory", 1e8, 1.12e8, 0.12, 0.1, 0.14, 0.05, breached=True),),
    queries={
        "evaluated at": NOON.isoformat(),
        "cpu before": "avg_over_time(sum(cpu)[3600s:60s] offset 7200s)",
    },
)
NOTHING = replace(
    COMPARISON,
    verdict=Verdict("inconclusive", ("the data allow no comparison",), None),
    estimate=None,
    supporting=(),
    not_possible={"A": "no instance stayed on the old build: there is no control group"},
    elasticity=None,
    groups={},
    guardrails=(),
)


HOSTILE = "`@team` | <img src=x> [x](y) --> \n\n# ```"


def called(call, *reasons, **fields):
    return headline(replace(COMPARISON, verdict=Verdict(call, reasons, 0.005, **fields)))


def test_the_comment_is_the_golden_one(golden):
    golden("measurement/comment.md", markdown(COMPARISON))


def test_the_comment_without_an_estimate_is_the_golden_one(golden):
    golden("measurement/comment-raw.md", markdown(NOTHING))


def test_a_saving_is_said_with_its_interval_cores_and_method():
    assert called("saved") == (
        "Saved 3.1 % [2.6, 3.6] of the CPU (95 % interval), +85.20 cores, "
        "against the instances that kept the old build."
    )


def test_a_guardrail_that_broke_turns_saved_into_saved_but():
    said = called("saved", but=("resident memory",))
    assert said.endswith(", but: resident memory rose by 12.0 % (bound 5.0 %).")


@pytest.mark.parametrize("call", ["inconclusive", "no material change"])
def test_what_is_not_a_saving_says_why(call):
    assert "the reason why" in called(call, "the reason why")


def test_an_invalid_comparison_quotes_no_figure():
    assert called("invalid", "store lhr is down") == "Invalid, no figure may be quoted: store lhr is down."


def test_a_regression_is_called_one():
    worse = replace(COMPARISON, estimate=replace(A, saving=-0.02, low=-0.03, high=-0.01, cores=-55.0))
    said = headline(replace(worse, verdict=Verdict("regression", (), 0.005)))
    assert said.startswith("Regression: 2.0 % [1.0, 3.0] more CPU (95 % interval), +55.00 cores")


def test_a_release_that_went_out_together_is_named():
    assert "Release and PGO together" in called("saved", attribution="release")


def test_nothing_that_prometheus_or_the_service_file_says_is_markup_or_a_mention():
    (guarded,) = COMPARISON.guardrails
    comment = markdown(
        replace(
            COMPARISON,
            verdict=Verdict("invalid", (HOSTILE,), 0.005),
            estimate=replace(A, notes=(HOSTILE,)),
            not_possible={"B": HOSTILE},
            guardrails=(replace(guarded, name=HOSTILE),),
            queries={"cpu before": HOSTILE},
        )
    )

    tokens = MarkdownIt().enable("table").parse(comment)
    inside = [part for token in tokens for part in token.children or ()]
    assert {part.type for part in inside} <= {"text", "strong_open", "strong_close", "softbreak", "hardbreak"}
    assert "@team" not in "".join(part.content for part in inside)
    html = [token.content.strip() for token in tokens if token.type == "html_block"]
    assert html == ["<details><summary>PromQL</summary>", "</details>"]
    assert comment.count("@\u200bteam") == 4


def test_a_long_query_is_cut_and_says_where_the_whole_is():
    comment = markdown(replace(COMPARISON, queries={"cpu before": "up or " * 10_000}))

    assert len(comment) < 20_000
    assert "# cut; the measurement's JSON file has all of it\n```\n" in comment
