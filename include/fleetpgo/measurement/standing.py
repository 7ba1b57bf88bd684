"""The standing baseline: read it from Prometheus, measure the level, and say who should be in it next.

`rollout.baseline` names the instances that run a build without the profile. They are compared with the others
all the time, outside any rollout (:mod:`.estimators.level`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.errors import MeasurementError
from fleetpgo.measurement.asking import Asker, grid
from fleetpgo.measurement.elasticity import elasticity
from fleetpgo.measurement.estimate import NotPossibleError
from fleetpgo.measurement.estimators import level
from fleetpgo.measurement.estimators.level import Standing
from fleetpgo.measurement.figures import number, saving
from fleetpgo.measurement.usage import Usage
from fleetpgo.prometheus import from_timestamp
from fleetpgo.run.measured import Level
from fleetpgo.service.values import written

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from fleetpgo.measurement.usage import Floats, Positions
    from fleetpgo.prometheus import Prometheus
    from fleetpgo.service.rules import ServiceRules

WEEKS = 4
"""Lengths of ``measurement.week`` that are looked at; the baseline should have had as many memberships."""

_HOURS, _DAYS = 168, 7  # of a week
_MOST_POINTS = 500_000
"""Points of all instances at most; large fleets are read less often than every hour of the week."""


def measure_level(prometheus: Prometheus, service: ServiceRules, *, now: datetime) -> Level:
    """Return what PGO saves now, against the baseline of the last four weeks; or why that cannot be said.

    Raises:
        MeasurementError: the service has no baseline, or its instances have no CPU.
        PrometheusError: Prometheus is unreachable, or refuses a query.
    """
    standing, warnings = read_standing(prometheus, service, now=now)
    found, reason = None, "; ".join(f"Prometheus warns: {each}" for each in dict.fromkeys(warnings))
    if not reason:
        usage = _sums(standing)
        slope = elasticity(usage, until=int(standing.times[-1]) + standing.step)
        try:
            found = level.estimate(
                standing,
                elasticity=1.0 if slope is None else slope,
                settle=service.measurement.settle.total_seconds(),
            )
        except NotPossibleError as error:
            reason = error.message
    members = tuple(sorted(np.array(standing.names)[_members(standing)].tolist()))
    count = level.memberships(standing)
    at = from_timestamp(int(standing.times[-1]) + standing.step)
    if found is None:
        return Level(at=at, memberships=count, members=members, reason=reason)
    used = found.cores * (1 - found.saving) / found.saving if found.saving else 0.0
    ends = (used * share / (1 - share) for share in (found.low, found.high))
    return Level(
        at=at,
        memberships=count,
        members=members,
        saving=found.saving,
        low=found.low,
        high=found.high,
        cores=found.cores,
        cores_low=next(ends),
        cores_high=next(ends),
        used=used,
        basis=found.basis,
    )


def read_standing(
    prometheus: Prometheus, service: ServiceRules, *, now: datetime
) -> tuple[Standing, list[str]]:
    """Return the instances of the last four weeks with their membership, and Prometheus' warnings.

    A week is as long as ``measurement.week`` says, and is read every 168th part of it: every hour.
    """
    baseline = service.rollout.baseline
    if baseline is None:
        raise MeasurementError(
            f"{service.name} has no baseline",
            hint="rollout.baseline names the instances that run a build without the profile "
            "(docs/measurement.md, “The level”)",
        )
    ask = Asker(prometheus)
    rules, measured = service.selection, service.measurement
    week = math.ceil(measured.week.total_seconds())
    # An hour of a week of seven days; never finer than the metrics are.
    hour = max(math.ceil(week / _HOURS), math.ceil(measured.step.total_seconds()))
    end = math.floor(now.timestamp()) // hour * hour
    count = ask.number(f"count(count by ({rules.instance_label}) ({measured.cpu})) or vector(0)", end)
    step = hour * max(1, math.ceil(count * WEEKS * week / hour / _MOST_POINTS))
    end = end // step * step
    span = end - WEEKS * week // step * step, end
    times = grid([span], step)

    def by_instance(of: str) -> tuple[dict[str, Floats], dict[str, str]]:
        query = f"sum by ({rules.instance_label}, {rules.datacenter_label}) ({of})"
        values, labels = ask.matrix(query, [span], step, rules.instance_label)
        return values, {name: each.get(rules.datacenter_label, "") for name, each in labels.items()}

    cpu, datacenters = by_instance(measured.cpu)
    if not cpu:
        raise MeasurementError(
            f"no instance of {service.name} has CPU in the last {written(WEEKS * measured.week)}: "
            f"{measured.cpu}",
            hint="check measurement.cpu",
        )
    names = sorted(cpu)
    missing = np.full(len(times), np.nan)
    requests = None if measured.requests is None else by_instance(measured.requests)[0]
    query = f"count by ({rules.instance_label}) ({baseline})"
    members = ask.matrix(query, [span], step, rules.instance_label)[0]
    if not set(members) & set(names):
        raise MeasurementError(
            "rollout.baseline names no instance of measurement.cpu in the last "
            f"{written(WEEKS * measured.week)}: {baseline}",
            hint="does an instance run the build without the profile, with the same "
            f"{rules.instance_label} in both?",
        )
    return (
        Standing(
            times=times,
            step=step,
            day=week // _DAYS,
            names=tuple(names),
            datacenter=np.unique([datacenters[name] for name in names], return_inverse=True)[1],
            cpu=np.array([cpu[name] for name in names]),
            requests=None if requests is None else np.array([requests.get(name, missing) for name in names]),
            baseline=np.array([np.isfinite(members.get(name, missing)) for name in names]),
        ),
        ask.warnings,
    )


def _sums(standing: Standing) -> Usage:
    """Return sums by datacenter, for the elasticity."""
    datacenters = np.unique(standing.datacenter)

    def summed(values: Floats) -> Floats:
        rows = [np.nansum(values[standing.datacenter == d], axis=0) for d in datacenters]
        return np.array([rows])

    return Usage(
        times=standing.times,
        step=standing.step,
        datacenters=tuple(map(str, datacenters)),
        cpu=summed(standing.cpu),
        requests=None if standing.requests is None else summed(standing.requests),
        instances=summed(np.where(np.isfinite(standing.cpu), 1.0, 0.0)),
    )


def _members(standing: Standing) -> NDArray[np.bool_]:
    """Return who was in the baseline when anybody last was."""
    there = np.flatnonzero(standing.baseline.any(axis=0))
    return np.asarray(standing.baseline[:, there[-1]])


def next_members(standing: Standing) -> dict[str, str]:
    """Return who should be in the baseline next, each with who should leave it for that.

    In each datacenter as many as are in it now: those that never were first, then those whose turn is longest
    ago.
    """
    members = _members(standing)
    last = np.where(standing.baseline.any(axis=1), _last(standing), -1)
    seen = np.isfinite(standing.cpu[:, -max(1, standing.day // standing.step) :]).sum(axis=1)
    turns: dict[str, str] = {}
    for d in np.unique(standing.datacenter):
        own = np.flatnonzero(standing.datacenter == d)
        leaving = [i for i in own if members[i]]
        waiting = [i for i in own if not members[i] and seen[i]]
        waiting.sort(key=lambda i: (last[i], standing.names[i]))
        pairs = zip(waiting, leaving, strict=False)  # of a datacenter where nobody waits, nobody leaves
        turns |= {standing.names[new]: standing.names[old] for new, old in pairs}
    return turns


def _last(standing: Standing) -> Positions:
    """Return the last position at which each instance was in the baseline."""
    return np.asarray(standing.baseline.shape[1] - 1 - standing.baseline[:, ::-1].argmax(axis=1))


def headline(found: Level) -> str:
    """Return the level in one sentence: ``PGO saves 3.1 % [2.7, 3.5], 93 cores [81, 105], now``."""
    if found.saving is None or found.low is None or found.high is None:
        return f"What PGO saves now is not known: {found.reason}"
    shown = saving(found.saving, found.low, found.high)
    cores = f"{number(found.cores)} cores [{number(found.cores_low)}, {number(found.cores_high)}]"
    return f"PGO saves {shown}, {cores}, now"
