"""Removal of what is old from the store. What the history, the fleet's page and waiting runs need stays.

Three ages of a run:

- Until `profiles_after` everything stays.
- Then the profiles of single instances go, and remains of killed writes: they are most of the bytes, and the
  merged profile has their sum. Of a run that has merged nothing they stay until `runs_after`.
- After `runs_after` all goes but :data:`HISTORY`, a few kilobytes a run.

The newest run that merged profiles and the newest whose pull request was merged keep everything but the
profiles of single instances: the next run is compared with the one, the fleet runs the profile of the other.
So does one whose manifest or merge cannot be read (`fleetpgo store check` names it). A run's age begins with
its newest change; a run without any known time is never pruned.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fleetpgo.errors import ArtifactError, NotThereError, StoreError
from fleetpgo.run import contents, storage
from fleetpgo.run.artifacts import EdgePack, FetchedProfile, Trouble
from fleetpgo.run.measured import Level, Measurement
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.proposed import Merge, Proposed, Reverted, Rollout
from fleetpgo.run.released import Begun
from fleetpgo.run.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from upath import UPath

    from fleetpgo.run.contents import Held

PROFILES_AFTER = timedelta(days=30)
"""Age at which the profiles of single instances go."""

RUNS_AFTER = timedelta(days=400)
"""Age at which all goes but the history: a year and a month, so that a page of last year's is whole."""

LEAST_RUNS_AFTER = timedelta(days=200)
"""The waits of a run may take 187 days, with the week of the defaults: thrice 60, and the week itself."""

LEAST_PROFILES_AFTER = timedelta(days=8)
"""A run may collect for so long: its windows lie within a week."""

PROFILES = (FetchedProfile, EdgePack, Trouble)

HISTORY = (Begun, Manifest, Proposed, Merge, Rollout, Measurement, Level, Reverted)
"""What `fleetpgo history`, the fleet's page, the measurements of later runs and the next releases read."""


@dataclass(frozen=True)
class Pruned:
    """What was removed of a service, or would be.

    Attributes:
        service: its name.
        files: kind of artifact → number of files.
        bytes: kind of artifact → bytes.
        runs: number of runs of which something was removed, of `of` runs.
        kept: bytes that are left.
        faults: why what should have gone is still there, a sentence a file.
    """

    service: str
    files: Mapping[str, int]
    bytes: Mapping[str, int]
    runs: int
    of: int
    kept: int
    faults: Sequence[str] = ()


@dataclass(frozen=True)
class _Run:
    """A run, its files, and what of its state rules what may go."""

    store: RunStore
    held: list[Held]
    made: datetime | None
    merged: bool
    damaged: bool = False

    def age(self, now: datetime) -> timedelta:
        """Return the time since it merged profiles, or since its newest file was changed if that is later."""
        changed = max((each.found.changed for each in self.held), default=0.0)
        times = [datetime.fromtimestamp(changed, UTC)] if changed else []
        if self.made:
            times.append(self.made)
        return now - max(times, default=now)


def prune(
    root: Path | UPath,
    service: str,
    *,
    now: datetime,
    profiles_after: timedelta = PROFILES_AFTER,
    runs_after: timedelta = RUNS_AFTER,
    dry_run: bool = False,
) -> Pruned:
    """Remove what is old of a service's runs; with `dry_run`, say only what would be removed.

    Args:
        root: the store.
        service: name of the service.
        now: end of the ages.
        profiles_after: see the module; 8 days at least.
        runs_after: see the module; 200 days at least.
        dry_run: remove nothing.

    Raises:
        StoreError: the store does not answer, refuses, or an age is shorter than a run may take.
    """
    for what, after, least in (
        ("runs", runs_after, LEAST_RUNS_AFTER),
        ("profiles of instances", profiles_after, LEAST_PROFILES_AFTER),
    ):
        if after < least:
            raise StoreError(
                f"{what} may not be removed after {after.days} days: a run may need them for {least.days}",
                hint=f"keep {what} for {least.days} days or longer",
            )
    runs = [
        _look_at(RunStore(root, service, name), held)
        for name, held in contents.files_of(root, service).items()
    ]
    in_use = _in_use(runs)
    files, sizes, touched = Counter[str](), Counter[str](), 0
    faults: list[str] = []
    for run in runs:
        gone = list(_old(run, run.age(now), profiles_after, runs_after, keep=run.store.run in in_use))
        touched += bool(gone)
        for each in gone:
            if not dry_run:
                try:
                    storage.remove(run.store.directory / each.name)
                except NotThereError:
                    pass
                except StoreError as error:
                    storage.names(
                        run.store.directory
                    )  # raises if it is the store that is ill, and not this file
                    faults.append(str(error))
                    continue
            name = each.kind.__name__ if each.kind else "remains"
            files[name] += 1
            sizes[name] += each.found.size
        if gone and not dry_run:
            storage.remove_empty(run.store.directory)
    total = sum(each.found.size for run in runs for each in run.held)
    left = total - sum(sizes.values())
    return Pruned(service, dict(files), dict(sizes), touched, len(runs), left, tuple(faults))


def _old(
    run: _Run, age: timedelta, profiles_after: timedelta, runs_after: timedelta, *, keep: bool
) -> Iterator[Held]:
    """Yield the files of a run that have had their time; see the module."""
    for each in run.held:
        if each.kind in PROFILES:
            after = profiles_after if run.made else runs_after
        elif each.kind is None:
            if not each.name.endswith(".part"):
                continue
            after = profiles_after
        elif keep or each.kind in HISTORY:
            continue
        else:
            after = runs_after
        if age > after:
            yield each


def _look_at(store: RunStore, held: list[Held]) -> _Run:
    """Return a run's state; if its manifest or merge cannot be read, it is kept as if it were in use."""
    kinds = {each.kind for each in held}
    try:
        manifest = store.read(Manifest) if Manifest in kinds else None
        merge = store.read(Merge) if Merge in kinds else None
    except (ArtifactError, StoreError):
        storage.names(store.directory)  # raises if it is the store that is ill
        return _Run(store, held, None, merged=False, damaged=True)
    made = manifest.made_at if manifest and manifest.made_at.timestamp() else None
    return _Run(store, held, made, merged=merge is not None and merge.state == "merged")


def _in_use(runs: Sequence[_Run]) -> set[str]:
    """Return the runs that keep everything but profiles of single instances."""
    made = sorted((run.made, run.store.run, run.merged) for run in runs if run.made)
    merged = [each for each in made if each[2]]
    damaged = [run.store.run for run in runs if run.damaged]
    return {*damaged, *(name for _, name, _ in (*made[-1:], *merged[-1:]))}
