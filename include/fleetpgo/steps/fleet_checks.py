"""The checks of :mod:`fleetpgo.steps.doctor` that a fleet answers: its metrics, and one of its instances."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fleetpgo.collection.faults import NeverError, NoProfileError, NotNowError
from fleetpgo.collection.probing import probe_target
from fleetpgo.errors import FleetPGOError, MeasurementError, PrometheusError, QueryError
from fleetpgo.measurement.power import expected
from fleetpgo.selection.counters import require_rate
from fleetpgo.selection.releases import release_shares
from fleetpgo.steps.checks import Check, failure
from fleetpgo.steps.outlook import estimator, expected_queries
from fleetpgo.steps.select import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fleetpgo.collection import Access
    from fleetpgo.prometheus import Prometheus
    from fleetpgo.run.selected import Selection
    from fleetpgo.service.rules import ServiceRules

_PROBED = 3
"""Instances that are asked until one answers."""

_LONG = timedelta(hours=2)
"""Longest time of a round: the DAG's tasks that fetch have no more."""

_WEEKS = 4
"""Weeks of metrics that are looked for."""


def fleet_checks(
    service: ServiceRules, prometheus: Prometheus, access: Callable[[], Access]
) -> Iterator[Check]:
    """Check all that Prometheus tells, and what follows from it; ask an instance for its list of profiles.

    Args:
        service: what is checked.
        prometheus: the one of the service.
        access: makes the client of the instances; called when it is needed.
    """
    try:
        chosen = choose(
            service.collection,
            service.selection,
            prometheus,
            seed="doctor",
            end=datetime.now(UTC),
            access=access() if service.selection.source == "store" else None,
        )
    except FleetPGOError as error:
        yield failure("selection.cpu", error)
        return
    first, sizes = chosen.of_round(1), chosen.datacenters
    names = {each.instance for each in chosen.targets}
    busiest = max(chosen.targets, key=lambda each: each.cores)
    yield Check(
        "selection.cpu",
        "ok",
        f"{sum(sizes.values()):,} instances in {len(sizes)} datacenter(s); the busiest of them, "
        f"{busiest.instance}, uses {busiest.cores:.3g} cores; {len(first)} would be profiled",
    )
    for warning in chosen.warnings:
        yield Check("selection.cpu", "warning", warning)
    if sizes.keys() == {""}:
        yield Check(
            "selection.datacenter_label",
            "warning",
            f"no instance has the label {service.selection.datacenter_label}: all count as one datacenter",
            "name the label in selection.datacenter_label",
        )
    if not service.collection.past:  # nobody waits for what is over
        yield _round(service, chosen)
    yield from _probes(service, access, chosen)
    yield from _queries(service, prometheus, names)
    if service.release is not None:
        yield _releases(service, prometheus)
    weeks = _weeks(service, prometheus)
    if weeks is not None:
        yield Check(
            "measurement.week",
            "ok" if weeks else "warning",
            f"Prometheus has metrics of {'at least ' if weeks == _WEEKS else ''}{weeks} whole week(s)",
            ""
            if weeks
            else "keep metrics for longer than measurement.week (Prometheus: "
            "--storage.tsdb.retention.time), or wait until there are some",
        )
        possible, said, hint = estimator(service, datacenters=len(sizes), weeks=weeks)
        yield Check("estimator", "ok" if possible else "warning", said, hint)
        held_back = service.rollout.treated is not None and len(sizes) > 1
        seen = expected(sum(sizes.values()), held_back=held_back)
        yield Check("power", "ok", f"{seen} (docs/measurement.md)")


def _round(service: ServiceRules, chosen: Selection) -> Check:
    """Say how long a round takes at least: a datacenter's instances are profiled a few at a time."""
    rules = service.collection
    limits = chosen.at_once(rules.max_share)
    counts = Counter(each.datacenter for each in chosen.of_round(1))
    turns = {name: math.ceil(count / limits.get(name, 1)) for name, count in counts.items()}
    slowest = max(turns, key=lambda name: turns[name])
    takes = timedelta(seconds=turns[slowest] * rules.seconds)
    said = (
        f"a round takes at least {takes}: {counts[slowest]} instances of "
        f"{slowest or 'the one datacenter'}, {limits.get(slowest, 1)} at a time (collection.max_share), "
        f"{rules.seconds} s each"
    )
    if takes > _LONG:
        return Check(
            "collection.max_share",
            "warning",
            f"{said}; the tasks that fetch end after {_LONG}",
            "raise collection.max_share, or lower selection.instances or collection.seconds",
        )
    return Check("collection.max_share", "ok", said)


def _probes(service: ServiceRules, access: Callable[[], Access], chosen: Selection) -> Iterator[Check]:
    """Ask one instance for the list of its profiles, and a few more where it does not answer."""
    rules = service.collection
    try:
        client = access()
    except FleetPGOError as error:
        yield failure("collection.connection", error)
        return
    if rules.source != "pprof_http":
        yield Check("collection.url", "ok", f"not asked: profiles come from the source {rules.source}")
        return
    reasons = []
    for target in chosen.of_round(1)[:_PROBED]:
        try:
            where = probe_target(target, rules, client)
        except NeverError as error:
            yield Check(
                "collection.url",
                "failure",
                f"{target.instance} may not be asked: {error}",
                "correct collection.url, or list its host in collection.allow and its port in "
                "collection.ports",
            )
            return
        except NotNowError as error:
            reasons.append(str(error))
        except NoProfileError as error:
            reasons = [str(error)]
            break
        except FleetPGOError as error:
            yield failure("collection.url", error)
            return
        else:
            yield Check("collection.url", "ok", f"{where} lists profiles")
            return
    yield Check(
        "collection.url",
        "warning",
        f"{len(reasons)} instance(s) asked, none lists its profiles: {'; '.join(reasons)}",
        "does the service import net/http/pprof, and at the host, port and path of collection.url?",
    )


def _queries(service: ServiceRules, prometheus: Prometheus, names: set[str]) -> Iterator[Check]:
    """Run every other query of the service file, and show what it gives."""
    label = service.selection.instance_label
    for each in expected_queries(service, now=datetime.now(UTC)):
        try:
            if each.cpu:
                require_rate(each.query, each.key)
            answer = prometheus.instant(each.query, partial_response=True)
        except FleetPGOError as error:
            failed = failure(each.key, error)
            hint = f"correct {each.key}" if isinstance(error, QueryError) else error.hint
            yield Check(failed.name, failed.outcome, failed.said, hint, passing=failed.passing)
            continue
        count = len(answer.series)
        own = {series.labels.get(label, "") for series in answer.series}
        said, hint = each.judge(answer, own & names, label)
        yield Check(each.key, "warning" if hint else "ok", said or f"{count:,} series", hint)


def _releases(service: ServiceRules, prometheus: Prometheus) -> Check:
    """Check that a release is seen, and that its instances can be told."""
    builds = service.selection.builds
    try:
        shares = release_shares(prometheus, service)
        if not shares:
            return Check(
                "release",
                "warning",
                "no instance runs a revision that could be a release",
                "rollout.revision must give numbers of instances, by commit or tag in the label `revision`",
            )
        revision, share = next(iter(shares.items()))
        named = prometheus.instant(f'count({builds}{{revision="{revision}"}})').series
    except FleetPGOError as error:
        return failure("release", error)
    said = f"{100 * share:.0f} % of the instances run {revision}"
    if not named:
        return Check(
            "release",
            "warning",
            f"{said}, and no series of {builds} has that revision",
            "selection.builds and rollout.revision must name revisions alike",
        )
    return Check("release", "ok", said)


def _weeks(service: ServiceRules, prometheus: Prometheus) -> int | None:
    """Return for how many whole weeks back Prometheus has the CPU; None if that cannot be asked."""
    now = datetime.now(UTC)
    found = 0
    try:
        for week in range(1, _WEEKS + 1):
            query = f"count({service.measurement.cpu}\n)"
            if not prometheus.instant(query, at=now - timedelta(weeks=week)).series:
                break
            found = week
    except (PrometheusError, MeasurementError):
        return None  # the query was run before, and is reported there
    return found
