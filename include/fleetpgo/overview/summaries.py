"""What is needed of each run of a service, kept in memory: a run is read again only when it has changed.

In a directory, the modification time of the run's directory tells: every new artifact is renamed into it. It
is read each time, but of a run that has ended only once a minute.

Object storage has no such time. There, what is known of a service is used for a minute. After that one
request lists the service's runs, and one more for each run that has not ended lists the run's artifacts. Runs
that have ended are listed again at most once an hour, and a few of them at a time.

A run has ended when its week, or the level, is measured; a week after its last change, if it proposed nothing
or its pull request was not merged; and when it has not changed for longer than runs may wait.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from fleetpgo.errors import ArtifactError, NotThereError, StoreError
from fleetpgo.measurement.history import Refresh, read_refresh
from fleetpgo.run import storage
from fleetpgo.run.artifacts import FILES
from fleetpgo.run.measured import LEVEL_RUN, Level
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.proposed import Merge, Proposed
from fleetpgo.run.retention import LEAST_RUNS_AFTER
from fleetpgo.run.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from upath import UPath

T = TypeVar("T")

RUNS_KEPT = 1 << 18
"""Most runs in memory, 1.4 kilobytes each: five years of 1,000 services with a run a week."""

FRESH_S = 60.0
"""Seconds for which what is known is used: of runs that have ended, and of all in object storage."""

ENDED_S = 3_600.0
"""Seconds between two listings of a run in object storage that has ended: it may be mended by hand."""

_ENDED_AT_ONCE = 2
"""Most runs that are listed for that in one look at a service."""

_BUSY_S = 5.0
"""Seconds that a look waits for another at the same service, which has read it before."""

_QUIET_S = 7 * 86_400
"""Seconds without a change after which a run in which nothing follows has ended."""


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Summary:
    """One run's data for the fleet's page.

    Attributes:
        profile: the profile that it made.
        pull_request: the pull request that it opened.
        refresh: what was measured of it.
        level: the level, of a run that measured that.
        idle: whether it proposed nothing, or its pull request was not merged: nothing follows.
        problem: what could not be read; "" if all was.
    """

    profile: Profile | None = None
    pull_request: PullRequest | None = None
    refresh: Refresh | None = None
    level: Level | None = None
    idle: bool = False
    problem: str = ""

    @property
    def merged(self) -> bool:
        """Whether its pull request was merged, so the service is built with its profile."""
        return self.pull_request is not None and self.pull_request.state == "merged"

    @property
    def measured(self) -> bool:
        """Whether its last measurement is there."""
        return self.level is not None or (self.refresh is not None and self.refresh.period == "week")


@dataclass(frozen=True, slots=True)
class _Known:
    """A run as it was read.

    Attributes:
        stamp: changes when the run changes.
        ends: from when on the run has ended, Unix time.
        summary: what was read.
    """

    stamp: int
    ends: float
    summary: Summary


@dataclass(frozen=True, eq=False)
class Runs:
    """The runs of a service, by directory. It is the same object for as long as no run has changed."""

    known: Mapping[str, _Known] = field(default_factory=dict)

    @property
    def summaries(self) -> list[Summary]:
        """The summary of each run, unsorted."""
        return [each.summary for each in self.known.values()]


class _Service:
    """A service in memory. One thread at a time brings it up to date."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.runs = Runs()
        self.checked = -math.inf
        self._round, self._left = time.monotonic(), list[str]()

    def again(self, every: float) -> set[str]:
        """Return the runs that are listed though they have ended: a few, none twice in `every` seconds."""
        now = time.monotonic()
        if not self._left and now - self._round >= every:
            self._round = now
            self._left = [name for name, run in self.runs.known.items() if run.ends <= time.time()]
        due, self._left = self._left[:_ENDED_AT_ONCE], self._left[_ENDED_AT_ONCE:]
        return set(due)


class Memory:
    """The runs of services, for all threads.

    Args:
        most: number of runs beyond which the service that nobody has looked at for longest is forgotten.
        fresh: seconds for which what is known is used: of runs that have ended, and of all in object storage.
        ended: seconds for which it is used of runs in object storage that have ended.
    """

    def __init__(self, most: int = RUNS_KEPT, fresh: float = FRESH_S, ended: float = ENDED_S) -> None:
        self._most, self._fresh, self._ended = most, fresh, ended
        self._lock = Lock()
        self._services: OrderedDict[tuple[Path | UPath, str], _Service] = OrderedDict()

    def look(self, store: Path | UPath, service: str) -> Runs:
        """Return the runs of a service.

        Raises:
            StoreError: the store does not answer, or refuses; or another thread is still waiting for it.
        """
        with self._lock:
            known = self._services.setdefault((store, service), _Service())
            self._services.move_to_end((store, service))
        # The first look reads all that there is, which may well take longer.
        patience = storage.LIMIT_S if known.checked == -math.inf else _BUSY_S
        if not known.lock.acquire(timeout=patience):
            raise StoreError(
                f"the runs in {store / service} are still being read for someone else after {patience:g} s",
                hint="try again in a minute; if this stays so, check that the store answers",
            )
        try:
            return self._up_to_date(store, service, known)
        finally:
            known.lock.release()

    def _up_to_date(self, store: Path | UPath, service: str, known: _Service) -> Runs:
        every = time.monotonic() - known.checked >= self._fresh
        if isinstance(store, Path):
            found = _in_directory(store, service, known.runs.known, every=every)
        elif every:
            found = _in_objects(store, service, known.runs.known, again=known.again(self._ended))
        else:
            return known.runs
        if every:
            known.checked = time.monotonic()
        if found != known.runs.known:
            known.runs = Runs(found)
            self._forget()
        return known.runs

    def __len__(self) -> int:
        """Return how many runs are in memory."""
        return sum(len(each.runs.known) for each in self._services.values())

    def _forget(self) -> None:
        with self._lock:
            count = len(self)
            while count > self._most:
                _, forgotten = self._services.popitem(last=False)
                count -= len(forgotten.runs.known)


_memory = Memory()
look = _memory.look


def summaries(store: Path | UPath, service: str) -> list[Summary]:
    """Return a summary of each run of a service, unsorted."""
    return look(store, service).summaries


def profiles_made(runs: Iterable[Summary]) -> list[tuple[Profile, Summary]]:
    """Return the profiles that runs have made, each with its run, oldest first."""
    made = [(run.profile, run) for run in runs if run.profile is not None]
    return sorted(made, key=lambda each: each[0].made_at)


def _in_directory(
    store: Path, service: str, known: Mapping[str, _Known], *, every: bool
) -> dict[str, _Known]:
    """Return a service's runs in a directory; what has not changed is taken from `known`.

    Args:
        store: the store.
        service: name of the service.
        known: its runs as they were read last.
        every: look at every run; else only at those that have not ended.
    """
    directory, now = store / service, time.time()
    found, stamps = dict[str, _Known](), dict[str, int]()
    try:
        with storage.reaching(directory, "list"), os.scandir(directory) as runs:
            for run in runs:
                before = known.get(run.name)
                if not every and before is not None and before.ends <= now:
                    found[run.name] = before
                    continue
                with suppress(FileNotFoundError):  # removed just now, or a link to nowhere
                    stamps[run.name] = run.stat().st_mtime_ns
    except NotThereError:
        return {}
    for name, stamp in stamps.items():
        before = known.get(name)
        if before is None or before.stamp != stamp:
            summary = _read(RunStore(store, service, name))
            before = _Known(stamp, _ends(summary, stamp / 1e9), summary)
        found[name] = before
    return found


def _in_objects(
    store: UPath, service: str, known: Mapping[str, _Known], *, again: set[str]
) -> dict[str, _Known]:
    """Return a service's runs in object storage; see the module for what is asked.

    Args:
        store: the store.
        service: name of the service.
        known: its runs as they were read last.
        again: runs that are listed even if they have ended.
    """
    now = time.time()
    found = {}
    for name in storage.names(store / service):
        before = known.get(name)
        if before is None or name in again or before.ends > now:
            listed = storage.files(RunStore(store, service, name).directory)
            stamp = hash(frozenset(listed))
            if before is None or before.stamp != stamp:
                names = frozenset(each.name for each in listed)
                summary = _read(_Listed(store, service, name, names=names))
                changed = max((each.changed for each in listed), default=0.0)
                before = _Known(stamp, _ends(summary, changed), summary)
        found[name] = before
    return found


def _ends(summary: Summary, changed: float) -> float:
    """Return from when on a run has ended, Unix time; `changed`: its last change, 0 if that is not known."""
    if summary.problem:
        return math.inf  # somebody will mend it
    if summary.measured:
        return changed
    if not changed:
        return math.inf
    return changed + (_QUIET_S if summary.idle else LEAST_RUNS_AFTER.total_seconds())


@dataclass(frozen=True)
class _Listed(RunStore):
    """A run in object storage whose files have been listed: no request asks for one that is not there."""

    names: frozenset[str] = frozenset()

    def find(self, kind: type[T], key: str = "") -> T | None:
        return super().find(kind, key) if FILES[kind].path(key) in self.names else None


def _read(run: RunStore) -> Summary:
    """Summarise a run. An outage raises StoreError, so it is not kept as a damaged artifact."""
    found = Summary()
    try:
        if run.run.startswith(LEVEL_RUN):
            level = run.find(Level)
            # No page names the members, who may be hundreds of instances.
            return replace(found, level=level and replace(level, members=()))
        found = replace(found, profile=_profile(run))
        if proposed := run.find(Proposed):
            request = _pull_request(run, proposed)
            idle = request is None or request.state == "skipped"
            found = replace(found, pull_request=request, idle=idle)
        return replace(found, refresh=read_refresh(run))
    except ArtifactError as error:
        # One damaged file must not hide 999 services.
        return replace(found, problem=f"{run.directory}: {error.message}")


def _profile(run: RunStore) -> Profile | None:
    manifest = run.find(Manifest)
    if manifest is None:
        return None
    return Profile(
        run=manifest.run or run.directory.name,
        made_at=manifest.made_at,
        digest=sys.intern(manifest.profile),
        size=manifest.profile_size,
        samples=manifest.samples,
        used=manifest.used,
        selected=manifest.selected,
    )


def _pull_request(run: RunStore, proposed: Proposed) -> PullRequest | None:
    if proposed.pull_request is None or proposed.url is None:
        return None
    merge = run.find(Merge)
    return PullRequest(
        proposed.pull_request,
        sys.intern(proposed.url),
        merge.state if merge else "open",
        proposed.source_match,
        proposed.current_match,
    )
