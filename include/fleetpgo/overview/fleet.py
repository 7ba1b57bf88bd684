"""One row per service, from cached summaries of its runs.

A run is read again only if its directory's modification time has changed; every new artifact changes it,
because it is renamed into the directory. Object stores have no such time. There, a run with a measurement
over the week, or of the level, is complete and not read again; any other run is read again after a minute.
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from fleetpgo.errors import ArtifactError
from fleetpgo.measurement.history import (
    Reclaimed,
    Refresh,
    core_hours,
    in_order,
    read_refresh,
    reclaimed,
)
from fleetpgo.run import storage
from fleetpgo.run.measured import LEVEL_RUN, Level, Measurement
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.proposed import Merge, Proposed
from fleetpgo.run.store import RunStore, runs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from upath import UPath

_RUNS_REMEMBERED = 1 << 16
"""Summaries kept in memory, about a kilobyte each: five years of 200 services."""

_SERVICES_REMEMBERED = 4_096

_NOW = timedelta(days=16)
"""Age up to which a level is what PGO saves now: it is measured every week, and one may fail."""

_FRESH_S = 60
"""Seconds for which the summary of an unfinished run in an object store is cached."""


@dataclass(frozen=True)
class Profile:
    """A profile that a run made, from its manifest.

    Attributes:
        run: id of the run.
        made_at: when it was merged from what the instances sent.
        digest: first 12 hex digits of its SHA-256.
        size: size in bytes.
        samples: CPU samples in it.
        used: number of instances whose profiles were used, of ``selected``.
    """

    run: str
    made_at: datetime
    digest: str
    size: int
    samples: int
    used: int
    selected: int


@dataclass(frozen=True)
class PullRequest:
    """A pull request that a run opened or updated, as of that run.

    Attributes:
        number: its number.
        url: its address.
        state: ``open``, ``merged`` or ``skipped``.
        source_match: source match of the proposed profile, 0 … 1 (:mod:`fleetpgo.golang.sourcematch`); None
            if not recorded.
        current_match: the same of the profile that was on the base branch.
    """

    number: int
    url: str
    state: str
    source_match: float | None
    current_match: float | None


@dataclass(frozen=True)
class Summary:
    """One run's data for the fleet's page. ``problem`` says what could not be read."""

    profile: Profile | None = None
    pull_request: PullRequest | None = None
    refresh: Refresh | None = None
    level: Level | None = None
    problem: str = ""

    @property
    def merged(self) -> bool:
        """Whether its pull request was merged, so the service is built with its profile."""
        return self.pull_request is not None and self.pull_request.state == "merged"


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
    problems: tuple[str, ...]


def look_at_service(store: Path | UPath, service: str, *, now: datetime) -> Row:
    """Return a service's row; it is empty for a service without runs.

    Args:
        store: root of the artifact store.
        service: its name.
        now: end of the time in which the latest saving counts.
    """
    row = _row(_stamps(store, service), service)
    level = None if row.level is None else _current(row.level, now)
    return replace(row, core_hours=sum(core_hours(row.refreshes, now=now)), level=level)


def _current(level: Level, now: datetime) -> Level:
    """Return a level, without its figures if it is too old to be called what PGO saves now."""
    if level.saving is None or now - level.at <= _NOW:
        return level
    reason = f"it was last measured on {level.at:%Y-%m-%d}"
    return Level(at=level.at, memberships=level.memberships, members=level.members, reason=reason)


def summaries(store: Path | UPath, service: str) -> list[Summary]:
    """Return a summary of each run of a service, unsorted."""
    return [_summary(run, stamp) for run, stamp in _stamps(store, service)]


def profiles_made(runs: Iterable[Summary]) -> list[tuple[Profile, Summary]]:
    """Return the profiles that runs have made, each with its run, oldest first."""
    made = [(run.profile, run) for run in runs if run.profile is not None]
    return sorted(made, key=lambda each: each[0].made_at)


def reclaimed_by_day(rows: Iterable[Row]) -> list[Reclaimed]:
    """Return the sum of all services' measured changes: the last value of each day with a change."""
    points = reclaimed(refresh for row in rows for refresh in row.refreshes)
    last_of_day = [one for one, following in pairwise(points) if one.at.date() != following.at.date()]
    return [*last_of_day, *points[-1:]]


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


def _stamps(store: Path | UPath, service: str) -> tuple[tuple[RunStore, int], ...]:
    """Return each run of a service with a stamp that changes when the run changes."""
    if isinstance(store, Path):
        return _changes(store, service)
    minute = int(time.time() // _FRESH_S)
    return tuple((run, 0 if _complete(run) else minute) for run in runs_of(store, service))


def _complete(run: RunStore) -> bool:
    return run.run.startswith(LEVEL_RUN) or run.exists(Measurement, "week")


def _changes(store: Path, service: str) -> tuple[tuple[RunStore, int], ...]:
    directory = store / service
    try:
        with storage.reaching(directory, "list"), os.scandir(directory) as runs:
            return tuple((RunStore(store, service, run.name), run.stat().st_mtime_ns) for run in runs)
    except ArtifactError:
        return ()


@lru_cache(maxsize=_SERVICES_REMEMBERED)
def _row(stamps: tuple[tuple[RunStore, int], ...], service: str) -> Row:
    """Return the service's row without its core-hours, which grow with time."""
    runs = [_summary(run, stamp) for run, stamp in stamps]
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
        core_hours=0.0,
        level=max((run.level for run in runs if run.level), key=lambda level: level.at, default=None),
        refreshes=tuple(refreshes),
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


@lru_cache(maxsize=_RUNS_REMEMBERED)
def _summary(run: RunStore, stamp: int) -> Summary:  # noqa: ARG001  # what is remembered holds for it alone
    """Summarise a run. An outage raises StoreError, so it is not cached as a damaged artifact."""
    found = Summary()
    try:
        found = replace(found, profile=_profile(run))
        found = replace(found, pull_request=_pull_request(run))
        found = replace(found, level=run.find(Level))
        return replace(found, refresh=read_refresh(run))
    except ArtifactError as error:
        # One damaged file must not hide 199 services.
        return replace(found, problem=f"{run.directory}: {error.message}")


def _profile(run: RunStore) -> Profile | None:
    manifest = run.find(Manifest)
    if manifest is None:
        return None
    return Profile(
        run=manifest.run or run.directory.name,
        made_at=manifest.made_at,
        digest=manifest.profile,
        size=manifest.profile_size,
        samples=manifest.samples,
        used=manifest.used,
        selected=manifest.selected,
    )


def _pull_request(run: RunStore) -> PullRequest | None:
    proposed = run.find(Proposed)
    if proposed is None or proposed.pull_request is None or proposed.url is None:
        return None
    merge = run.find(Merge)
    return PullRequest(
        proposed.pull_request,
        proposed.url,
        merge.state if merge else "open",
        proposed.source_match,
        proposed.current_match,
    )
