from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fleetpgo.errors import MeasurementError
from fleetpgo.measurement.asking import Asker
from fleetpgo.measurement.measuring import measure
from fleetpgo.prometheus import Prometheus

NOON = datetime(2026, 1, 7, 12, tzinfo=UTC)
WINDOW = timedelta(minutes=30)


def change(service, part, **fields):
    return service.model_copy(update={part: getattr(service, part).model_copy(update=fields)})


def compare(*arguments, **options):
    return measure(*arguments, **options).comparison


@pytest.fixture
def comparison(fleet, service, rollout):
    return compare(fleet, service, rollout, period="rollout", window=WINDOW)


def test_the_raw_figures_are_what_the_literal_promql_gives(fleet, comparison):
    queries, raw = comparison.queries, comparison.raw
    at = datetime.fromisoformat(comparison.after[1])
    names = ["cpu before", "cpu after", "requests before", "requests after"]
    said = [fleet.number(queries[name], at=at)[0] for name in names]
    assert said == [raw.before.cores, raw.after.cores, raw.before.requests, raw.after.requests]


def test_the_windows_lie_around_the_rollout_and_its_settling(comparison, rollout):
    assert comparison.before == ((rollout.start - WINDOW).isoformat(), rollout.start.isoformat())
    start = rollout.end + timedelta(minutes=5)
    assert comparison.after == (start.isoformat(), (start + WINDOW).isoformat())


def test_growth_of_traffic_is_a_loss_to_raw_cores_and_none_per_request(comparison):
    # Before: 6 × 1 core. After: traffic × 1.2, and half the fleet saves 5 %.
    assert comparison.raw.saved_share == pytest.approx(-0.17)
    assert comparison.raw.saved_share_per_request == pytest.approx(0.025)


def test_groups_are_told_apart_by_their_build(comparison):
    shares = {name: each.saved_share_per_request for name, each in comparison.groups.items()}
    assert shares == {"treated": pytest.approx(0.05), "control": pytest.approx(0, abs=1e-12)}


def test_the_known_saving_lies_within_the_interval_against_the_control_group(comparison):
    found = comparison.estimate
    assert found.saving == pytest.approx(0.05, abs=0.0005)
    assert found.low < 0.05 < found.high
    assert found.degrees == 2


def test_without_a_control_group_there_is_no_interval_and_it_says_so(fleet, service, rollout):
    without = change(service, "rollout", treated=None)
    comparison = compare(fleet, without, rollout, period="rollout", window=WINDOW)
    assert comparison.estimate is None
    assert "no control group" in comparison.not_possible["A"]


def test_without_a_traffic_expression_only_cores_are_compared(fleet, service, rollout):
    without = change(service, "measurement", requests=None)
    comparison = compare(fleet, without, rollout, period="rollout", window=WINDOW)
    assert (comparison.raw.before.requests, comparison.raw.saved_share_per_request) == (None, None)
    assert comparison.estimate.saving == pytest.approx(0.05, abs=0.0005)


def test_series_that_split_an_instance_are_added_up(fleet, service, rollout, comparison):
    def split(metric):
        coded = [f'label_replace({metric} / 2, "code", "{code}", "", "")' for code in (200, 500)]
        return " or ".join(coded)

    by_code = change(service, "measurement", cpu=split("cpu"), requests=split("requests"))
    found = compare(fleet, by_code, rollout, period="rollout", window=WINDOW)
    assert found.groups == comparison.groups
    assert found.estimate == comparison.estimate


def test_no_cpu_in_a_window_is_an_error_that_names_the_query(fleet, service, rollout):
    absent = change(service, "measurement", cpu="absent_metric")
    with pytest.raises(MeasurementError, match="absent_metric"):
        compare(fleet, absent, rollout, period="rollout", window=WINDOW)


def test_no_requests_in_a_window_is_an_error(fleet, service, rollout):
    idle = change(service, "measurement", requests="requests * 0")
    with pytest.raises(MeasurementError, match="no requests in one of the windows"):
        compare(fleet, idle, rollout, period="rollout", window=WINDOW)


def test_an_instance_that_was_there_in_one_window_only_makes_it_invalid(fleet, service, rollout):
    at = rollout.end.timestamp()
    newcomer = f'cpu{{instance="a1:80"}} and on() (vector(time()) > {at})'
    late = change(service, "measurement", cpu=f'cpu{{instance!="a1:80"}} or ({newcomer})')
    comparison = compare(fleet, late, rollout, period="rollout", window=WINDOW)
    assert comparison.verdict.call == "invalid"
    assert any("treated instances: 2 before and 3 after" in reason for reason in comparison.verdict.reasons)


def test_an_instance_whose_cpu_is_lost_after_the_rollout_makes_it_invalid(fleet, service, rollout):
    at = rollout.end.timestamp()
    lost = f'cpu unless on (instance) (cpu{{instance="a2:80"}} and on() (vector(time()) > {at}))'
    comparison = compare(
        fleet, change(service, "measurement", cpu=lost), rollout, period="rollout", window=WINDOW
    )
    assert comparison.verdict.call == "invalid"
    assert any("have no value for CPU after the rollout" in each for each in comparison.verdict.reasons)


def test_memory_and_stacks_are_guarded_where_the_metrics_are(start_prometheus, fleet, service, rollout):
    """The fleet of `fleet`, with a label to select by and the stack metric of Go."""
    start, end = (int((NOON + timedelta(hours=hours)).timestamp()) for hours in (-2, 2))
    data = []
    for number, instance in enumerate(("a1:80", "a2:80", "l1:80", "l2:80")):
        labels = {"instance": instance, "datacenter": instance[0], "job": "api"}
        new = instance[1] == "1"
        times = range(start, end, 30)
        switch = NOON.timestamp() + 100 * (number + 1)
        stack = [(at, 100 * (1.5 if new and at > switch else 1)) for at in times]
        data.append(("cpu", labels, [(at, 1.0) for at in times]))
        data.append(("requests", labels, [(at, 100.0) for at in times]))
        data.append(("go_memstats_stack_inuse_bytes", labels, stack))
        for pgo in ("off", "0123456789ab"):
            points = [(at, 1) for at in times if (new and at > switch) == (pgo != "off")]
            data.append(("build_info", {**labels, "pgo": pgo}, points))
    selected = change(service, "measurement", cpu='cpu{job="api"}')
    comparison = compare(start_prometheus(data), selected, rollout, period="rollout", window=WINDOW)
    (stacks,) = comparison.guardrails
    assert (stacks.name, stacks.breached) == ("stack memory", True)
    assert stacks.rise == pytest.approx(0.5)


def machines(since):
    """PromQL: the two instances in ams are on new machines since a Unix time."""
    new = f'(cpu{{datacenter="ams"}} and on () (vector(time()) > {since}))'
    kinds = {"new": new, "old": f"(cpu unless on (instance) {new})"}
    return " or ".join(
        f'count by (machine) (label_replace({of}, "machine", "{kind}", "", ""))' for kind, of in kinds.items()
    )


def test_machines_that_change_around_the_rollout_make_it_invalid(fleet, service, rollout):
    exchanged = change(service, "measurement", hardware=machines(rollout.start.timestamp()))
    comparison = compare(fleet, exchanged, rollout, period="rollout", window=WINDOW)
    assert comparison.verdict.call == "invalid"
    assert comparison.verdict.reasons == (
        "33 % of the instances came onto another kind of machine around the rollout",
    )


def test_machines_that_stay_are_no_defect(fleet, service, rollout):
    since = (rollout.start - timedelta(hours=1)).timestamp()
    stayed = change(service, "measurement", hardware=machines(since))
    comparison = compare(fleet, stayed, rollout, period="rollout", window=WINDOW)
    assert comparison.verdict.call == "saved"


def test_a_query_of_machines_that_gives_nothing_is_an_error(fleet, service, rollout):
    absent = change(service, "measurement", hardware="count by (machine) (absent_metric)")
    with pytest.raises(MeasurementError, match=r"kind of machine.*absent_metric"):
        compare(fleet, absent, rollout, period="rollout", window=WINDOW)


def test_who_was_replaced_in_the_rollout_counts_among_the_treated(fleet, service, rollout):
    """As pods are, which get new names."""
    at = rollout.start.timestamp()

    def renamed(metric):
        new = f'(({metric} unless on (instance) build_info{{pgo="off"}}) and on () (vector(time()) > {at}))'
        kept = f"({metric} unless on (instance) {new})"
        return f'label_replace({new}, "instance", "new-$1", "instance", "(.*)") or {kept}'

    treated = 'label_replace(build_info{pgo="$profile"}, "instance", "new-$$1", "instance", "(.*)")'
    pods = change(
        change(service, "measurement", cpu=renamed("cpu"), requests=renamed("requests")),
        "rollout",
        treated=treated,
    )
    found = compare(fleet, pods, rollout, period="rollout", window=WINDOW)
    shares = {name: each.saved_share_per_request for name, each in found.groups.items()}
    assert shares == {"treated": pytest.approx(0.05), "control": pytest.approx(0, abs=1e-12)}


def test_a_hold_back_that_is_stated_needs_no_profile(fleet, service, rollout, comparison):
    stated = change(service, "rollout", treated='cpu{instance=~"(a1|l1|s1):80"}')
    found = compare(fleet, stated, replace(rollout, profile=""), period="by hand", window=WINDOW)
    assert (found.estimate.method, found.estimate.saving) == ("A", comparison.estimate.saving)
    assert found.groups.keys() == {"treated", "control"}


def test_a_profile_that_nobody_runs_is_an_error(fleet, service, rollout):
    unknown = replace(rollout, profile="ffffffffffff")
    with pytest.raises(MeasurementError, match="no instance ran the build with profile ffffffffffff"):
        compare(fleet, service, unknown, period="rollout", window=WINDOW)


def test_a_traffic_metric_that_is_not_there_is_an_error_that_names_it(fleet, service, rollout):
    absent = change(service, "measurement", requests="absent_metric")
    with pytest.raises(MeasurementError, match=r"no series, not one: .*absent_metric"):
        compare(fleet, absent, rollout, period="rollout", window=WINDOW)


def test_a_warning_makes_the_result_invalid_not_smaller(fleet, service, rollout):
    class Warned(Prometheus):
        def range(self, query, **options):
            return replace(super().range(query, **options), warnings=("store lhr: deadline exceeded",))

    comparison = compare(Warned(fleet.address), service, rollout, period="rollout", window=WINDOW)
    assert comparison.verdict.call == "invalid"
    assert comparison.verdict.reasons == ("Prometheus warns: store lhr: deadline exceeded",)


def test_long_ranges_are_read_in_pieces_that_fit_together(fleet):
    start = int(NOON.timestamp()) - 7_200
    values, _ = Asker(fleet).matrix("sum(requests)", [(start, start + 14_400)], 2, "")
    (row,) = values.values()
    assert len(row) == 7_200  # four pieces
    assert (row[0], row[-1]) == (600, 720)


def test_a_revision_that_changed_with_the_profile_is_a_release_effect(fleet, service, rollout):
    at = rollout.start.timestamp()
    revision = (
        f'label_replace(vector(1) and on() (vector(time()) > {at}), "revision", "bbbb", "", "") '
        f'or label_replace(vector(1) and on() (vector(time()) <= {at}), "revision", "aaaa", "", "")'
    )
    released = change(service, "rollout", revision=revision)
    comparison = compare(fleet, released, rollout, period="rollout", window=WINDOW)
    assert comparison.verdict.attribution == "release"


def revisions(rollout, before, after):
    """PromQL: the instances run one revision until the rollout begins, and others after it."""
    at = rollout.start.timestamp()
    sides = [(f"<= {at}", before), *((f"> {at}", each) for each in after)]
    return " or ".join(
        f'label_replace(vector(1) and on() (vector(time()) {when}), "revision", "{each}", "", "")'
        for when, each in sides
    )


@pytest.mark.parametrize(
    ("else_", "attribution"), [("", "PGO"), ("1 other commit(s) lie between them", "release")]
)
def test_a_saving_is_pgo_s_only_if_nothing_else_lies_between_the_revisions(
    fleet, service, rollout, else_, attribution
):
    asked = []

    def what_else(before, after):
        asked.append((before, after))
        return else_

    # The hold-back keeps the old revision.
    query = revisions(rollout, "aaaa", ["aaaa", "bbbb"])
    ran = change(service, "rollout", revision=query)
    comparison = compare(fleet, ran, rollout, period="rollout", window=WINDOW, what_else=what_else)
    assert asked == [({"aaaa"}, {"bbbb"})]
    assert (comparison.verdict.attribution, comparison.verdict.together) == (attribution, else_)


def test_the_same_revision_before_and_after_is_pgo_alone(fleet, service, rollout):
    same = change(service, "rollout", revision=revisions(rollout, "aaaa", ["aaaa"]))
    comparison = compare(fleet, same, rollout, period="rollout", window=WINDOW)
    assert comparison.verdict.attribution == "PGO"


def test_an_empty_revision_is_none(fleet, service, rollout):
    nameless = change(service, "rollout", revision=revisions(rollout, "", ["bbbb"]))
    verdict = compare(fleet, nameless, rollout, period="rollout", window=WINDOW).verdict
    assert (verdict.attribution, verdict.together) == (
        "release",
        "rollout.revision names no revision before the rollout",
    )
