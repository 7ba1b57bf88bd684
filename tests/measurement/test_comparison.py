from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from fleetpgo.measurement.comparison import as_json, conclude, schema
from fleetpgo.measurement.evidence import Amount, Evidence, change
from fleetpgo.measurement.guardrails import compare_guardrails, default_guardrails
from fleetpgo.measurement.plot import mermaid, svg
from fleetpgo.measurement.report import headline, markdown
from fleetpgo.measurement.usage import Usage
from fleetpgo.measurement.windows import WEEK, Windows
from fleetpgo.prometheus import from_timestamp
from fleetpgo.run.proposed import Rollout
from fleetpgo.service.rules import GuardrailRules, MeasurementRules

DOCS = Path(__file__).parents[2] / "docs"
STEP, START = 3_600, 5 * WEEK
TIMES = np.arange(0, START + WEEK, STEP)
WINDOWS = Windows(after=(START, START + WEEK), shift=WEEK, rolling=(START - 7_200, START))
ROLLOUT = Rollout("0123456789ab", from_timestamp(START - 7_200), from_timestamp(START - 3_600), 0.9)
RULES = MeasurementRules(cpu="cpu", settle="1h")


def usage(saving=0.03, *, groups=2):
    random = np.random.default_rng(8)
    cpu = 10 * np.exp(random.normal(0, 0.01, (2, 4, len(TIMES))))
    cpu[0] *= 1 - saving * (TIMES >= START)
    requests = 100 * np.exp(random.normal(0, 0.001, cpu.shape))
    return Usage(
        TIMES, STEP, ("a", "b", "c", "d"), cpu[:groups], requests[:groups], np.full(cpu.shape, 5.0)[:groups]
    )


def concluded(measured, **fields):
    raw = change(40, Amount(80.0, 800.0), Amount(79.0, 800.0))
    evidence = Evidence(measured, measured, panel=None, raw=raw, **fields)
    return conclude(evidence, WINDOWS, ROLLOUT, RULES, period="week")


def test_the_control_group_leads_and_the_weeks_support():
    comparison = concluded(usage())
    assert (comparison.estimate.method, [each.method for each in comparison.supporting]) == ("A", ["B"])
    assert set(comparison.not_possible) == {"S", "E"}


def test_without_a_control_group_the_weeks_lead():
    comparison = concluded(usage(groups=1))
    assert comparison.estimate.method == "B"
    assert "no control group" in comparison.not_possible["A"]


def test_a_defect_of_the_evidence_makes_it_invalid():
    assert concluded(usage(), defects=("store lhr is down",)).verdict.call == "invalid"


def test_nothing_changed_is_no_saving():
    assert concluded(usage(0.0)).verdict.call in {"no material change", "inconclusive"}


def test_the_json_is_plain_and_says_when():
    record = json.loads(json.dumps(as_json(concluded(usage()))))
    assert record["rollout"]["start"] == from_timestamp(START - 7_200).isoformat().replace("+00:00", "Z")
    assert record["estimate"]["method"] == "A"


def test_the_documented_schema_is_that_of_the_json():
    assert json.loads((DOCS / "measurement.schema.json").read_text()) == schema()


def test_the_same_comparison_gives_the_same_picture():
    comparison = concluded(usage())
    first = svg(comparison, usage(), WINDOWS)
    assert first == svg(comparison, usage(), WINDOWS)


def test_the_picture_shows_how_wide_the_interval_is():
    comparison = concluded(usage())
    # By less than the title's digits tell.
    wider = replace(comparison, estimate=replace(comparison.estimate, low=comparison.estimate.low - 1e-6))
    assert wider != comparison
    assert svg(wider, usage(), WINDOWS) != svg(comparison, usage(), WINDOWS)


def chart(measured):
    """The two axes' texts, the labels, and the values of each line of the Mermaid chart."""
    text = mermaid(concluded(measured), measured, WINDOWS)
    (labels,) = re.findall(r"x-axis .* \[(.*)\]", text)
    lines = [[float(value) for value in line.split(", ")] for line in re.findall(r"line \[(.*)\]", text)]
    return text, [float(label) for label in labels.split(", ")], lines


def test_the_chart_has_a_line_for_each_group_and_the_saving_in_the_treated_one():
    text, labels, (treated, control) = chart(usage(0.03))

    assert 'x-axis "days since the rollout began"' in text
    assert 'y-axis "CPU per request, change in %"' in text
    assert len(labels) == len(treated) == len(control) == 16
    after = [at for at, label in enumerate(labels) if label > 0.5]
    assert -4 < np.mean([treated[at] for at in after]) < -2
    assert abs(np.mean([control[at] for at in after])) < 1


def test_the_comment_with_its_chart_is_the_golden_one(golden):
    comparison = concluded(usage())
    golden("measurement/comment_with_chart.md", markdown(comparison, mermaid(comparison, usage(), WINDOWS)))


def test_a_chart_without_a_control_group_has_one_line():
    text, _, lines = chart(usage(groups=1))

    assert (len(lines), "grey" in text) == (1, False)


def test_a_part_of_the_time_that_was_not_measured_is_left_out_of_the_chart():
    measured = usage()
    measured.cpu[1, :, -24 * 3 :] = np.nan
    _, labels, (treated, control) = chart(measured)

    assert len(labels) == len(treated) == len(control) < 16


@pytest.mark.parametrize(("rise", "breached"), [(0.2, True), (0.01, False)])
def test_a_guardrail_is_breached_beyond_its_bound(rise, breached):
    memory = usage(-rise)
    alone = Usage(TIMES, STEP, memory.datacenters, memory.cpu, None, memory.instances)
    (guarded,) = compare_guardrails({"rss": alone}, WINDOWS, [GuardrailRules(name="rss", query="rss")])
    assert guarded.breached == breached
    assert guarded.low < rise < guarded.high


def test_what_appears_from_nothing_breaches_its_guardrail():
    counts = np.zeros((1, 1, len(TIMES)))
    counts[..., TIMES >= START] = 1
    errors = Usage(TIMES, STEP, ("a",), counts, None, np.ones_like(counts))
    (guarded,) = compare_guardrails(
        {"errors": errors}, WINDOWS, [GuardrailRules(name="errors", query="errors")]
    )
    assert (guarded.before, guarded.rise, guarded.breached) == (0.0, None, True)


def test_a_guardrail_without_data_is_missing_and_weakens_the_saving():
    empty = np.empty((1, 0, len(TIMES)))
    nothing = Usage(TIMES, STEP, (), empty, None, empty)
    rules = RULES.model_copy(update={"guardrails": (GuardrailRules(name="rss", query="absent"),)})
    raw = change(40, Amount(80.0, 800.0), Amount(79.0, 800.0))
    evidence = Evidence(usage(), usage(), panel=None, raw=raw, guardrails={"rss": nothing})
    comparison = conclude(evidence, WINDOWS, ROLLOUT, rules, period="week")
    assert (comparison.verdict.call, comparison.verdict.but) == ("saved", ("rss",))
    assert headline(comparison).endswith(
        ", but: rss was not measured: the guardrail's query returned no data."
    )


def test_memory_and_stacks_are_guarded_by_the_matchers_of_cpu():
    rules = RULES.model_copy(update={"cpu": 'rate(process_cpu_seconds_total{job="api",path!~"a{2}"}[1m])'})
    assert [each.query for each in default_guardrails(rules)] == [
        'process_resident_memory_bytes{job="api",path!~"a{2}"}',
        'go_memstats_stack_inuse_bytes{job="api",path!~"a{2}"}',
    ]


def test_what_the_service_file_guards_has_no_second_guardrail():
    own = GuardrailRules(name="rss", query='sum by (instance) (process_resident_memory_bytes{job="api"})')
    rules = RULES.model_copy(update={"cpu": 'cpu{job="api"}', "guardrails": (own,)})
    assert [each.name for each in default_guardrails(rules)] == ["stack memory"]


def test_without_matchers_nothing_is_guarded_by_default():
    assert default_guardrails(RULES) == []


def test_a_window_is_named_in_the_report_by_its_first_and_last_moment():
    comparison = concluded(usage())
    assert comparison.after[1] == (from_timestamp(START) + timedelta(days=7)).isoformat()
