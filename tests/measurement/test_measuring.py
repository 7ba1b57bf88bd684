"""From a real Prometheus to a conclusion: fleets with weeks of history and a saving that is known."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from fleetpgo.errors import MeasurementError
from fleetpgo.measurement.measuring import measure
from fleetpgo.proposal.checkout import clone
from fleetpgo.proposal.commits import commit, push
from fleetpgo.proposal.forges.local import LocalForge
from fleetpgo.run.digest import digest
from fleetpgo.run.proposed import Merge, Reverted, Rollout
from fleetpgo.run.store import RunStore
from fleetpgo.service.rules import GuardrailRules, ServiceRules
from fleetpgo.steps.measure import measure_period
from tests.run.artifacts import proposed

DOCS = Path(__file__).parents[2] / "docs"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
STEP = 900
PROFILE = "0123456789ab"
SAVING = 0.04
DATACENTERS, EDGES, HELD_BACK = 4, 6, 2  # instances of each datacenter


def weather(random, shape, deviation):
    """Noise that lasts about two hours."""
    noise = random.normal(0, deviation, shape)
    return sum(np.roll(noise, shift, axis=-1) for shift in range(8)) / math.sqrt(8)


@pytest.fixture(scope="session")
def weeks(start_prometheus):
    """Five weeks before a rollout in random order from 12:00 to 14:00, and one after it."""
    random = np.random.default_rng(5)
    start, end = NOON - timedelta(days=35, hours=6), NOON + timedelta(days=7, hours=4)
    times = np.arange(start.timestamp(), end.timestamp(), STEP).astype(int)
    shape = (DATACENTERS, len(times))
    day = 1 + 0.3 * np.sin(2 * np.pi * times / 86_400)
    traffic = np.exp(weather(random, len(times), 0.03) + weather(random, shape, 0.02)) * day
    cost = np.exp(weather(random, shape, 0.01) + np.repeat(random.normal(0, 0.003, 50), 200)[: len(times)])
    order = iter(random.permutation(DATACENTERS * EDGES))
    data = []
    for d in range(DATACENTERS):
        for i in range(EDGES + HELD_BACK):
            role = "edge" if i < EDGES else "holdback"
            labels = {"instance": f"{role}{i}.dc{d}:80", "datacenter": f"dc{d}", "role": role}
            turn = next(order) if role == "edge" else random.integers(DATACENTERS * EDGES)
            restart = NOON.timestamp() + 7_200 * (turn + 1) / (DATACENTERS * EDGES)
            new = (times >= restart) & (role == "edge")
            requests = 100 * traffic[d] * np.exp(weather(random, len(times), 0.01))
            cpu = 2 * cost[d] * (requests / 100) ** 0.85 * (1 - SAVING * new)
            cpu *= np.exp(weather(random, len(times), 0.01))
            started = np.where(times >= restart, restart, times[0] - 1e6)
            memory = 1e8 * np.where(new, 1.2, 1.0) * np.exp(random.normal(0, 0.01, len(times)))
            for name, values in (("cpu", cpu), ("requests", requests), ("started", started), ("rss", memory)):
                data.append((name, labels, zip(times.tolist(), values.tolist(), strict=True)))
            for pgo in ("off", PROFILE):
                present = times[new == (pgo == PROFILE)].tolist()
                data.append(("build_info", {**labels, "pgo": pgo}, [(at, 1) for at in present]))
    return start_prometheus(data)


@pytest.fixture
def service():
    return ServiceRules.model_validate(
        {
            "name": "api",
            "prometheus": {"connection": "prometheus"},
            "selection": {"cpu": "cpu"},
            "repository": {"forge": "local", "connection": "forge", "project": "api"},
            "build": {"binary": "bin/api"},
            "rollout": {"treated": 'build_info{pgo="$profile"}', "started": "started", "complete": 0.75},
            "measurement": {"cpu": "cpu", "requests": "requests", "step": "15m", "settle": "15m"},
        }
    )


@pytest.fixture
def rollout():
    return Rollout(PROFILE, NOON, NOON + timedelta(hours=2), 0.75)


def changed(service, part, **fields):
    return service.model_copy(update={part: getattr(service, part).model_copy(update=fields)})


def edges_only(service):
    """The same service without its hold-back."""
    rules = changed(service, "measurement", cpu='cpu{role="edge"}', requests='requests{role="edge"}')
    return changed(rules, "rollout", started='started{role="edge"}')


@pytest.fixture
def over_a_week(weeks, service, rollout):
    def compare(rules=service):
        return measure(weeks, rules, rollout, period="week", window=timedelta(days=7)).comparison

    return compare


@pytest.fixture
def over_hours(weeks, service, rollout):
    def compare(rules=service, window=timedelta(hours=4)):
        # The rollout's hour is the noise's hour: six hours hold enough points of fifteen minutes.
        return measure(weeks, rules, rollout, period="rollout", window=window).comparison

    return compare


def test_a_recovers_the_known_saving(over_a_week):
    comparison = over_a_week()
    found = comparison.estimate
    assert found.method == "A"
    assert found.low < SAVING < found.high
    assert found.high - found.low < 0.02
    assert comparison.verdict.call == "saved"


def test_b_recovers_the_known_saving(over_a_week, service):
    comparison = over_a_week(edges_only(service))
    found = comparison.estimate
    assert (found.method, len(found.placebos)) == ("B", 4)
    assert found.low < SAVING < found.high
    assert comparison.verdict.call == "saved"


def test_b_is_not_called_where_another_deploy_would_not_be_seen(over_a_week, service):
    fraction = 'count(build_info{pgo="$profile"}) / count(build_info)'
    comparison = over_a_week(changed(edges_only(service), "rollout", started=None, fraction=fraction))
    assert comparison.estimate.method == "B"
    assert comparison.verdict.call == "inconclusive"
    assert "rollout.started" in comparison.verdict.reasons[0]


def test_s_recovers_the_known_saving(over_hours, service):
    comparison = over_hours(edges_only(service))
    found = comparison.estimate
    assert found.method == "S"
    assert found.low < SAVING < found.high
    assert found.high - found.low < 0.04


def test_s_tells_a_fresh_process_from_a_new_build_by_restarted_controls(over_hours):
    by_method = {each.method: each for each in over_hours().supporting}
    assert by_method["S"].low < SAVING < by_method["S"].high
    assert by_method["S"].allowance == 0


def test_e_has_the_known_saving_in_its_interval(over_hours, service):
    by_method = {each.method: each for each in over_hours(edges_only(service)).supporting}
    assert by_method["E"].low < SAVING < by_method["E"].high


def test_the_elasticity_of_cpu_in_traffic_is_found_in_history(over_a_week):
    assert over_a_week().elasticity == pytest.approx(0.85, abs=0.05)


def test_raw_figures_equal_what_the_literal_promql_returns(weeks, over_a_week):
    comparison = over_a_week()
    queries, raw = comparison.queries, comparison.raw
    at = datetime.fromisoformat(queries["evaluated at"])
    names = ["cpu before", "cpu after", "requests before", "requests after"]
    said = [weeks.number(queries[name], at=at)[0] for name in names]
    assert said == [raw.before.cores, raw.after.cores, raw.before.requests, raw.after.requests]


def test_a_guardrail_beyond_its_bound_turns_saved_into_saved_but(over_a_week, service):
    guardrail = GuardrailRules(name="resident memory", query="rss")
    comparison = over_a_week(changed(service, "measurement", guardrails=(guardrail,)))
    (memory,) = comparison.guardrails
    assert comparison.verdict.but == ("resident memory",)
    assert memory.low < 0.2 < memory.high


def test_a_second_deploy_in_the_window_makes_it_invalid(weeks, service, rollout):
    deployed = NOON.timestamp() + 86_400
    again = changed(
        service, "rollout", started=f"clamp_min(started, {deployed} * (time() > bool {deployed}))"
    )
    comparison = measure(weeks, again, rollout, period="week", window=timedelta(days=7)).comparison
    assert comparison.verdict.call == "invalid"
    assert "another deploy" in comparison.verdict.reasons[0]


@pytest.mark.parametrize("days", [-3, 3])
def test_another_rollout_that_the_store_knows_does_not_make_it_invalid(weeks, service, rollout, days):
    deployed = NOON + timedelta(days=days)
    other = (deployed - timedelta(hours=1), deployed + timedelta(hours=1))
    at = deployed.timestamp()
    again = changed(service, "rollout", started=f"clamp_min(started, {at} * (time() > bool {at}))")
    comparison = measure(
        weeks, again, rollout, period="week", window=timedelta(days=7), rollouts=[other]
    ).comparison
    assert comparison.verdict.call == "saved", comparison.verdict.reasons


def test_a_build_that_is_rolled_back_in_the_window_makes_it_invalid(over_a_week, service, rollout):
    gone = int(rollout.end.timestamp()) + 3 * 86_400
    fraction = f"vector(0.99) - 0.5 * (vector(time()) > bool {gone})"
    comparison = over_a_week(changed(service, "rollout", fraction=fraction))
    assert comparison.verdict.call == "invalid"
    assert "was it rolled back?" in " ".join(comparison.verdict.reasons)


def test_without_a_traffic_expression_cpu_is_compared_per_instance(over_a_week, service):
    comparison = over_a_week(changed(service, "measurement", requests=None))
    assert comparison.per == "instance"
    assert comparison.estimate.low < SAVING < comparison.estimate.high


def test_short_history_gives_fewer_placebos_and_says_so(weeks, service, rollout):
    since = (NOON - timedelta(days=24)).timestamp()
    rules = edges_only(service)
    recent = {
        name: f'{name}{{role="edge"}} and on() (vector(time()) > {since})' for name in ("cpu", "requests")
    }
    comparison = measure(
        weeks, changed(rules, "measurement", **recent), rollout, period="week", window=timedelta(days=7)
    ).comparison
    assert len(comparison.estimate.placebos) == 2
    assert "2 of 5 placebo weeks" in comparison.estimate.notes[0]


def test_retention_that_is_too_short_is_an_error(weeks, service, rollout):
    forgotten = changed(service, "measurement", cpu=f"cpu and on() (vector(time()) > {NOON.timestamp()})")
    with pytest.raises(MeasurementError, match=r"(?s)no series.*retention"):
        measure(weeks, forgotten, rollout, period="week", window=timedelta(days=7))


def test_no_requests_is_an_error(weeks, service, rollout):
    idle = changed(service, "measurement", requests="requests * 0")
    with pytest.raises(MeasurementError, match="no requests in one of the windows"):
        measure(weeks, idle, rollout, period="week", window=timedelta(days=7))


def test_a_negative_rate_is_an_error_that_names_the_query(weeks, service, rollout):
    wrong = changed(service, "measurement", cpu="deriv(cpu[1h])")
    with pytest.raises(MeasurementError, match=r"(?s)deriv\(cpu.*take rate"):
        measure(weeks, wrong, rollout, period="week", window=timedelta(days=7))


def test_instances_that_change_their_names_are_an_error_that_says_so(weeks, service, rollout):
    renamed = changed(
        service,
        "measurement",
        cpu='cpu{role="holdback"} or (cpu{role="edge"} and on (instance) build_info{pgo="0123456789ab"})',
    )
    with pytest.raises(MeasurementError, match=r"(?s)treated instances.*keep their names"):
        measure(weeks, renamed, rollout, period="week", window=timedelta(days=7))


def test_the_files_of_a_measurement_are_json_markdown_and_a_picture(weeks, service, rollout):
    measured = measure(weeks, service, rollout, period="week", window=timedelta(days=7))
    files = measured.files()
    record = json.loads(files["json"])
    assert record["verdict"]["call"] == "saved"
    jsonschema.validate(record, json.loads((DOCS / "measurement.schema.json").read_text()))
    assert files["md"].startswith(b"### Measured over 7 days")
    assert b"<svg" in files["svg"]


@pytest.fixture
def merged_run(rollout, origin, tmp_path):
    """The run of a service, with the forge on which its pull request has been merged."""

    def build(service):
        described = changed(service, "repository", project="tiny")
        forge = LocalForge(str(origin), "tiny")
        with clone(forge.clone_url, "main", described.branch, config={}) as checkout:
            files = {"default.pgo": b"profile"}
            head = commit(checkout, files, "Refresh", exact="default.pgo")
            push(checkout, head)
        forge.create(described.branch, "main", "Refresh", "Body")
        merged = forge.merge(1)
        store = RunStore(tmp_path / "store", "api", "run")
        store.write(rollout)
        store.write(Merge("merged", merged.merged_at, merged.merge_commit))
        store.write(proposed(url=merged.url, profile=digest(b"profile"), head=head))
        return described, store, forge

    return build


# The reciprocal of what was saved is a regression.
BACKWARDS = {"cpu": "requests * requests / cpu", "window": timedelta(hours=4)}


def test_a_regression_is_said_on_its_pull_request_and_reverted_by_another(weeks, service, merged_run):
    described, store, forge = merged_run(changed(service, "measurement", **BACKWARDS))

    comparison = measure_period(described, store, weeks, forge, period="week")

    assert (comparison.verdict.call, comparison.estimate.method) == ("regression", "A")
    assert "xychart-beta" in forge.comments(1)["measurement"]
    reverting = forge.find(f"{described.branch}-revert")
    assert (2, "open", Reverted(2, reverting.url)) == (
        reverting.number,
        reverting.state,
        store.read(Reverted),
    )
    assert forge.comments(1)["measurement"] in reverting.body


def test_the_short_look_says_a_regression_and_reverts_nothing(weeks, service, merged_run):
    described, store, forge = merged_run(changed(service, "measurement", **BACKWARDS))

    comparison = measure_period(described, store, weeks, forge, period="rollout")

    assert (comparison.verdict.call, comparison.estimate.method) == ("regression", "A")
    assert "**Regression: " in forge.comments(1)["measurement"]
    assert (forge.find(f"{described.branch}-revert"), store.exists(Reverted)) == (None, False)


def test_a_revert_that_the_week_does_not_confirm_is_withdrawn_with_a_comment(weeks, service, merged_run):
    described, store, forge = merged_run(service)  # it saved
    branch = described.revert_branch
    with clone(forge.clone_url, "main", branch, config={}) as checkout:
        push(checkout, commit(checkout, {"default.pgo": b"other"}, "Revert", exact="default.pgo"))
    opened = forge.create(branch, "main", "Revert", "Body")
    store.write(Reverted(opened.number, opened.url))

    comparison = measure_period(described, store, weeks, forge, period="week")

    assert comparison.verdict.call == "saved"
    assert forge.get(opened.number).state == "closed"
    assert "withdraws this" in forge.comments(opened.number)["withdrawn"]
    assert store.read(Reverted).pull_request is None


def test_a_regression_over_the_week_without_a_hold_back_is_reverted_by_a_draft(weeks, service, merged_run):
    edge = {"cpu": 'requests{role="edge"} * requests{role="edge"} / cpu{role="edge"}'}
    described, store, forge = merged_run(changed(edges_only(service), "measurement", **edge))

    comparison = measure_period(described, store, weeks, forge, period="week")

    assert (comparison.verdict.call, comparison.estimate.method) == ("regression", "B")
    reverting = forge.find(described.revert_branch)
    assert (reverting.draft, store.read(Reverted)) == (True, Reverted(reverting.number, reverting.url))
