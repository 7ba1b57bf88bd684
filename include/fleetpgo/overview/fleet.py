"""One row per service, and what all services have saved together."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from fleetpgo.measurement.history import (
    Change,
    Reclaimed,
    Refresh,
    changes,
    core_hours,
    in_order,
    reclaimed,
    sum_up,
)
from fleetpgo.overview.summaries import look, profiles_made
from fleetpgo.run.measured import Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from upath import UPath

    from fleetpgo.overview.summaries import Profile, PullRequest, Runs, Summary

_NOW = timedelta(days=16)
"""Age up to which a level is what PGO saves now: it is measured every week, and one may fail."""

_DAY_S = 86_400

_AT_ONCE = 16
"""Services that are looked at side by side in object storage, where each request takes its time."""


@dataclass(frozen=True)
class Row:
    """State of a service, from its runs.

    Attributes:
        service: its name.
        profile: the newest profile that was merged into the base branch; None if there is none.
        source_match: share of that profile's weight that the source still had when a run last compared them,
            0 … 1; None if no run did.
        waiting: the open pull request; None if there is none.
        last: the last measured refresh.
        cores: sum of the measured changes of all refreshes, with the interval; positive: cores saved. None if
            nothing was measured.
        core_hours: core-hours saved so far; see :func:`fleetpgo.measurement.history.core_hours`.
        level: what PGO saves now, from the newest measurement against a baseline, without figures if that is
            more than 16 days old; None if there never was one.
        refreshes: all measured refreshes, by the time of their rollout.
        changes: what each of them adds to the sum of all services, where it counts: a table whose columns are
            the fields of :class:`fleetpgo.measurement.history.Change`, the time in Unix seconds.
        problems: artifacts that could not be read.
    """

    service: str
    profile: Profile | None
    source_match: float | None
    waiting: PullRequest | None
    last: Refresh | None
    cores: Reclaimed | None
    core_hours: float
    level: Level | None
    refreshes: tuple[Refresh, ...]
    changes: NDArray[np.float64] = field(compare=False)
    problems: tuple[str, ...]


def look_at_fleet(store: Path | UPath, services: Sequence[str], *, now: datetime) -> list[Row]:
    """Return the row of each service, in their order; see :func:`look_at_service`."""
    one = partial(look_at_service, store, now=now)
    if isinstance(store, Path):
        return [one(service) for service in services]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return list(threads.map(one, services))


def look_at_service(store: Path | UPath, service: str, *, now: datetime) -> Row:
    """Return a service's row; it is empty for a service without runs.

    Args:
        store: root of the artifact store.
        service: its name.
        now: end of the time in which the latest saving counts.
    """
    runs = look(store, service)
    row = _rows.get(runs)
    if row is None:
        row = _rows[runs] = _row(runs.summaries, service)
    if row.last is None and row.level is None:
        return row
    level = None if row.level is None else _current(row.level, now)
    return replace(row, core_hours=_core_hours(row, now), level=level)


_rows: WeakKeyDictionary[Runs, Row] = WeakKeyDictionary()
"""The row of each service in memory, with its core-hours until its last rollout."""


def _core_hours(row: Row, now: datetime) -> float:
    """Return a row's core-hours until now: since its last rollout they grow by its cores."""
    if row.last is None or row.cores is None:
        return row.core_hours
    return row.core_hours + row.cores.cores * (now - row.last.rollout_end).total_seconds() / 3_600


def _current(level: Level, now: datetime) -> Level:
    """Return a level, without its figures if it is too old to be called what PGO saves now."""
    if level.saving is None or now - level.at <= _NOW:
        return level
    reason = f"it was last measured on {level.at:%Y-%m-%d}"
    return Level(at=level.at, memberships=level.memberships, reason=reason)


def reclaimed_by_day(rows: Iterable[Row]) -> list[Reclaimed]:
    """Return the sum of all services' measured changes: the last value of each day with a change."""
    found = np.concatenate([np.empty((0, len(Change._fields))), *(row.changes for row in rows)])
    if not len(found):
        return []
    found = found[np.argsort(found[:, 0])]
    begins = np.flatnonzero(np.diff(found[:, 0] // _DAY_S, prepend=-1))
    ends = np.append(begins[1:], len(found)) - 1
    sums = np.add.reduceat(found[:, 1:], begins)
    return sum_up(
        Change(datetime.fromtimestamp(at, UTC), *each)
        for at, each in zip(found[ends, 0].tolist(), sums.tolist(), strict=True)
    )


def _table(found: Iterable[Change]) -> NDArray[np.float64]:
    """Return changes as a table; see :class:`Row`."""
    rows = [(each.at.timestamp(), *each[1:]) for each in found]
    return np.array(rows, dtype=np.float64).reshape(-1, len(Change._fields))


def level_of(rows: Iterable[Row]) -> Level | None:
    """Return what PGO saves now in all services whose level is known; None if it is known of none.

    The errors of services are independent: half-widths are added in quadrature.
    """
    cores = used = below = above = 0.0
    found = [row.level for row in rows if row.level is not None and row.level.saving is not None]
    for each in found:
        if each.cores is None or each.cores_low is None or each.cores_high is None or each.used is None:
            continue  # they come together
        cores += each.cores
        used += each.used
        below += (each.cores - each.cores_low) ** 2
        above += (each.cores_high - each.cores) ** 2
    if not found or used <= 0:
        return None
    ends = cores - math.sqrt(below), cores, cores + math.sqrt(above)
    low, share, high = (end / (used + end) for end in ends)
    return Level(
        at=max(each.at for each in found),
        memberships=min(each.memberships for each in found),
        saving=share,
        low=low,
        high=high,
        cores=cores,
        cores_low=ends[0],
        cores_high=ends[2],
        used=used,
        basis=f"{len(found)} services with a baseline",
    )


def _row(runs: Sequence[Summary], service: str) -> Row:
    """Return the service's row, with its core-hours until its last rollout."""
    profiles = profiles_made(runs)
    merged = [profile for profile, run in profiles if run.merged]
    current = merged[-1] if merged else None
    waiting = profiles[-1][1].pull_request if profiles else None
    refreshes = in_order(run.refresh for run in runs if run.refresh)
    sums = reclaimed(refreshes)
    return Row(
        service=service,
        profile=current,
        source_match=_last_match(profiles, current),
        waiting=waiting if waiting and waiting.state == "open" else None,
        last=refreshes[-1] if refreshes else None,
        cores=sums[-1] if sums else None,
        core_hours=sum(core_hours(refreshes, now=refreshes[-1].rollout_end)) if refreshes else 0.0,
        level=max((run.level for run in runs if run.level), key=lambda level: level.at, default=None),
        refreshes=tuple(refreshes),
        changes=_table(changes(refreshes)),
        problems=tuple(run.problem for run in runs if run.problem),
    )


def _last_match(profiles: Sequence[tuple[Profile, Summary]], current: Profile | None) -> float | None:
    """Return the source match of the newest run that compared the current profile with the source."""
    found = None
    for profile, run in profiles:
        if profile is current and run.pull_request:
            found = run.pull_request.source_match
        elif current and profile.made_at > current.made_at and run.pull_request:
            found = found if run.pull_request.current_match is None else run.pull_request.current_match
    return found
