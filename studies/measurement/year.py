"""A year of 200 services that are refreshed every week, each with a hold-back of its own.

4 datacenters of 12 instances, one of them held back in each, with the noise of :mod:`.fleet` at three-hour
points. Every week brings a rollout that the store knows of, and is measured over the week by estimator A,
the only one that weekly refreshes leave. One row a refresh; the totals and the revert pull requests are
counted from the rows by the code that counts them in the store.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from fleetpgo.measurement import windows
from fleetpgo.measurement.estimate import Estimate, NotPossibleError
from fleetpgo.measurement.estimators import holdback
from fleetpgo.measurement.usage import TREATED, Usage
from fleetpgo.measurement.verdict import judge
from fleetpgo.prometheus import from_timestamp
from fleetpgo.run.proposed import Rollout
from studies.measurement import fleet

STEP = 10_800
WEEK = 7 * 86_400
SERVICES, WEEKS, HISTORY = 200, 52, 6
SIZE = fleet.MIDDLE
START = fleet.ROLL_START // STEP * STEP
MATERIAL = 0.005

SETTLED = "mild warm-up, settled for a day"
"""The same fleets, with ``measurement.settle`` of a day."""

KINDS = ("no effect", "mild warm-up", SETTLED)
TRUE_EFFECT = "true 3 %"
"""Computed from the fleets without effect: see `_with_effect`."""

EFFECT = 0.03
SAVES, LOSES = 8, 30
"""Weeks in which a service of the last kind gains 3 %, and every second one loses it again."""

_WARM_UP, _WARM_LASTS = 0.01, 43_200  # dearer by this share after each restart, and how slowly that fades
_THREE_HOURS = 0.675  # deviation of the mean over three hours, where noise is correlated over one


@dataclass(frozen=True)
class Refreshed:
    """What was measured of one refresh, and its true effect."""

    kind: str
    year: int
    service: int
    week: int
    truth: float
    used: float  # cores that the treated instances used after it
    call: str
    saving: float = np.nan
    low: float = np.nan
    high: float = np.nan
    cores: float = np.nan
    degrees: float = 0


def one(kind: str, seed: int) -> list[Refreshed]:
    """Return all refreshes of one year."""
    rows: list[Refreshed] = []
    for service in range(SERVICES):
        made = _service(kind, seed, service, np.random.default_rng(seed + service))
        rows += made
        if kind == KINDS[0]:
            rows += map(_with_effect, made, effects(service))
    return rows


def effects(service: int) -> list[float]:
    """Return the true saving of each refresh of a service, as a share of what was used before."""
    found = [0.0] * WEEKS
    found[SAVES] = EFFECT
    if service % 2:
        found[LOSES] = -EFFECT
    return found


def _service(kind: str, seed: int, service: int, random: np.random.Generator) -> list[Refreshed]:
    usage = _draw(random, warm_up=kind != KINDS[0])
    settle = timedelta(days=1) if kind == SETTLED else timedelta(0)
    starts = [START + week * WEEK for week in range(-HISTORY, WEEKS)]
    rows = []
    for week in range(WEEKS):
        at = START + week * WEEK
        rollout = Rollout("", from_timestamp(at), from_timestamp(at + STEP), 1.0)
        known = [
            (from_timestamp(start), from_timestamp(start + STEP))
            for start in starts
            if at - 8 * WEEK < start < at
        ]
        # The next refresh ends the week.
        length = timedelta(seconds=WEEK - STEP) - settle
        each = windows.around(rollout, settle=settle, length=length, step=STEP, rollouts=known)
        part = _part(usage, at - HISTORY * WEEK, at + WEEK)
        try:
            found = holdback.estimate(part, each, elasticity=fleet.ELASTICITY)
        except NotPossibleError:
            found = None
        call, _ = judge(found, (), (), material=MATERIAL)
        after = (part.times >= each.after[0]) & (part.times < each.after[1])
        used = float(part.cpu[TREATED][:, after].mean(axis=1).sum())
        row = (kind, seed, service, week, 0.0, used, call)
        rows.append(
            Refreshed(*row)
            if found is None
            else Refreshed(*row, found.saving, found.low, found.high, found.cores, found.degrees)
        )
    return rows


def _with_effect(row: Refreshed, truth: float) -> Refreshed:
    """Return the row as it would be if this refresh had saved that share: it shifts every level alike."""
    kept = 1 - truth
    saving, low, high = (1 - (1 - share) * kept for share in (row.saving, row.low, row.high))
    found = None
    if np.isfinite(saving):
        found = Estimate("A", "", saving, low, high, row.used * kept * saving / (1 - saving), row.degrees)
    call, _ = judge(found, (), (), material=MATERIAL)
    return replace(
        row,
        kind=TRUE_EFFECT,
        truth=truth,
        used=row.used * kept,
        call=call,
        saving=saving,
        low=low,
        high=high,
        cores=np.nan if found is None else found.cores,
    )


def _part(usage: Usage, start: int, end: int) -> Usage:
    a, b = np.searchsorted(usage.times, (start, end))
    return Usage(
        usage.times[a:b],
        STEP,
        usage.datacenters,
        usage.cpu[..., a:b],
        None if usage.requests is None else usage.requests[..., a:b],
        usage.instances[..., a:b],
    )


def _draw(random: np.random.Generator, *, warm_up: bool) -> Usage:
    """Return the groups of one service over the year and the weeks before it."""
    times = np.arange(START - HISTORY * WEEK, START + WEEKS * WEEK, STEP)
    shape = (2, SIZE.datacenters, len(times))
    sizes = np.array([SIZE.instances - SIZE.held_back, SIZE.held_back], dtype=float)[:, None, None]
    hours = STEP / 3_600
    log_traffic = np.log1p(fleet.DAILY * np.sin(2 * np.pi * times / 86_400)) + fleet.weather(
        random, shape[1:], fleet.TRAFFIC_DATACENTER, 24 / hours
    )
    scale = np.sqrt(STEP / fleet.STEP)  # of a walk's steps
    log_cost = (
        fleet.weather(random, shape[1:], fleet.COST_DATACENTER, 12 / hours)
        + fleet.drift(random, shape[1:], fleet.DRIFT_DATACENTER) * scale
        + (
            fleet.weather(random, shape, fleet.COST_INSTANCE * _THREE_HOURS, 1 / hours, heavy=True)
            + fleet.drift(random, shape, fleet.DRIFT_INSTANCE) * scale
        )
        / np.sqrt(sizes)
    )
    if warm_up:
        log_cost[TREATED] += _WARM_UP * np.exp(-((times - START) % WEEK) / _WARM_LASTS)
    traffic = np.exp(log_traffic + random.normal(0, 0.01, shape))
    counts = np.broadcast_to(sizes, shape)
    return Usage(
        times,
        STEP,
        tuple(f"dc{d}" for d in range(SIZE.datacenters)),
        sizes * fleet.CORES * np.exp(log_cost) * traffic**fleet.ELASTICITY,
        sizes * 1_000 * traffic,
        counts,
    )
