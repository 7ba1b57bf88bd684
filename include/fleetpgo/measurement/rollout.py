"""When the new build went out, read from metrics."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from string import Template
from typing import TYPE_CHECKING

from fleetpgo.errors import MeasurementError
from fleetpgo.measurement.figures import percent
from fleetpgo.prometheus import from_timestamp
from fleetpgo.run.proposed import Rollout

if TYPE_CHECKING:
    from fleetpgo.prometheus import Prometheus
    from fleetpgo.service.rules import RolloutRules, ServiceRules

_POINTS = 5_000
"""Resolution of the search: a two-hour rollout found a week later is placed to within two minutes."""


def expression(template: str, profile: str) -> str:
    """Return PromQL of the service file with the profile's digest filled in."""
    return Template(template).substitute(profile=profile)


def names_profile(template: str) -> bool:
    """Whether PromQL of the service file has the placeholder ``$profile``."""
    return "profile" in Template(template).get_identifiers()


def treated_query(rules: RolloutRules, profile: str) -> str | None:
    """Return PromQL for the instances on the new build; None if nothing tells who they are.

    Without ``$profile`` it states who is not held back, and needs no profile.
    """
    if rules.treated is None or (names_profile(rules.treated) and not profile):
        return None
    return expression(rules.treated, profile)


def fraction_query(rules: RolloutRules, *, profile: str, since: datetime, instance: str = "instance") -> str:
    """Return PromQL for the share of instances on the new build.

    Without ``rollout.fraction`` it is the share that started since a time; of those that are not held back,
    if ``rollout.treated`` states who that is.

    Args:
        rules: the queries.
        profile: digest of the new profile.
        since: a time before which the rollout cannot have begun.
        instance: the label of an instance's name.
    """
    if rules.fraction is not None:
        return expression(rules.fraction, profile)
    since_seconds = math.floor(since.timestamp())
    started, of = f"({rules.started})", ""
    if rules.treated is not None and not names_profile(rules.treated):
        of = f" and on ({instance}) ({rules.treated})"
    return f"(count({started} > {since_seconds}{of}) or vector(0)) / count({started}{of})"


def find_rollout(
    prometheus: Prometheus,
    rules: RolloutRules,
    *,
    profile: str,
    since: datetime,
    now: datetime,
    instance: str = "instance",
) -> tuple[float, Rollout | None]:
    """Return the fraction that is on the new build now, and the rollout if it is complete.

    Args:
        prometheus: where to look.
        rules: what to look for.
        profile: digest of the new profile, as instances expose it.
        since: a time before which the rollout cannot have begun (the merge).
        now: when to look.
        instance: the label of an instance's name.

    Returns:
        The fraction, 0 to 1. The rollout begins after the last point at which no instance was on the new
        build, and ends at the first point from which on the fraction stayed at or above `rules.complete`.

    Raises:
        MeasurementError: the query does not give one number, or not a share.
        PrometheusError: unreachable, or the query is refused.
    """
    query = fraction_query(rules, profile=profile, since=since, instance=instance)
    fraction, _ = prometheus.number(query, at=now)
    if not 0 <= fraction <= 1:
        raise MeasurementError(
            f"{fraction} of the instances cannot be on the new build: {query}",
            hint="rollout.fraction is a share: instances on the new build / all instances",
        )
    if fraction < rules.complete:
        return fraction, None
    step = timedelta(seconds=max(1, math.ceil((now - since).total_seconds() / _POINTS)))
    answer = prometheus.range(query, start=since, end=now, step=step)
    points = [point for point in answer.series[0].points if math.isfinite(point[1])] if answer.series else []
    below = [at for at, share in points if share < rules.complete]
    untouched = [at for at, share in points if share == 0]
    complete = [at for at, _ in points if not below or at > below[-1]]
    if not complete:  # complete at this very moment only: the next look will see it stay
        return fraction, None
    start = from_timestamp(untouched[-1]) if untouched else since
    end = from_timestamp(complete[0])
    if end < start:
        raise MeasurementError(
            f"the rollout of {profile} seems to end ({end}) before it begins ({start})",
            hint=f"rollout.fraction must rise from 0 to {rules.complete}: {query}",
        )
    return fraction, Rollout(profile, start, end, fraction)


def given(
    prometheus: Prometheus,
    rules: RolloutRules,
    *,
    profile: str,
    start: datetime,
    end: datetime,
    seen: datetime,
) -> Rollout:
    """Return a rollout with known times; Prometheus gives its fraction at the time `seen`.

    Raises:
        MeasurementError: it was not complete then, or the query does not give one number.
        PrometheusError: unreachable, or the query is refused.
    """
    if not profile or rules.fraction is None:
        return Rollout(profile, start, end, 1.0)
    fraction, _ = prometheus.number(expression(rules.fraction, profile), at=seen)
    if fraction < rules.complete:
        raise MeasurementError(
            f"{percent(fraction)} of the instances ran the build with profile {profile} at {seen}; it "
            f"never reached rollout.complete, {percent(rules.complete)}",
            hint="check the profile and the times; rollout.complete is 1 minus the share that is held back",
        )
    return Rollout(profile, start, end, fraction)


def ready_at(service: ServiceRules, rollout: Rollout, window: timedelta) -> datetime:
    """Return when a window of that length after the rollout has passed."""
    return rollout.end + service.measurement.settle + window
