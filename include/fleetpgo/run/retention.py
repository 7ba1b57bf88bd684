"""Removal of what is old from the store. What the history, the fleet's page and waiting runs need stays.

Three ages of a run:

- Until `profiles_after` everything stays.
- Then the profiles of single instances go: they are most of the bytes, and the merged profile has their sum.
- After `runs_after` all goes but :data:`HISTORY`, a few kilobytes a run.

The newest run that merged profiles and the newest whose pull request was merged keep everything but the
profiles of single instances: the next run is compared with the one, the fleet runs the profile of the other.
No run waits as long as `runs_after`, which is 120 days at least.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fleetpgo.errors import ArtifactError, StoreError
from fleetpgo.run import contents, storage
from fleetpgo.run.artifacts import FetchedProfile, Trouble
from fleetpgo.run.measured import Measurement
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.proposed import Merge, Proposed, Reverted, Rollout
from fleetpgo.run.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from upath import UPath

    from fleetpgo.run.contents import Held

PROFILES_AFTER = timedelta(days=30)
"""Age at which the profiles of single instances go."""

RUNS_AFTER = timedelta(days=400)
"""Age at which all goes but the history: a year and a month, so that a page of last year's is whole."""

LEAST_RUNS_AFTER = timedelta(days=120)
"""The waits of a run may take so long: 60 days for the merge, the rollout, and 60 days over the week."""

PROFILES = (FetchedProfile, Trouble)

HISTORY = (Manifest, Proposed, Merge, Rollout, Measurement, Reverted)
"""What `fleetpgo history`, the fleet's page and the measurements of later runs read."""


@dataclass(frozen=True)
class Pruned:
    """What was removed of a service, or would be.

    Attributes:
        service: its name.
        files: kind of artifact → number of files.
        bytes: kind of artifact → bytes.
        runs: number of runs of which something was removed, of `of` runs.
        kept: bytes that are left.
    """

    service: str
    files: Mapping[str, int]
    bytes: Mapping[str, int]
    runs: int
    of: int
    kept: int


@dataclass(frozen=True)
class _Run:
    """A run, its files, and what of its state rules what may go."""

    store: RunStore
    held: list[Held]
    made: datetime | None
    merged: bool

    @property
    def at(self) -> datetime:
        """When it merged profiles, else when its newest file was changed."""
        changed = max((each.found.changed for each in self.held), default=0.0)
        return self.made or datetime.fromtimestamp(changed, UTC)


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
        profiles_after: see the module.
        runs_after: see the module; 120 days at least.
        dry_run: remove nothing.

    Raises:
        StoreError: the store does not answer, refuses, or `runs_after` is shorter than the waits of a run.
    """
    if runs_after < LEAST_RUNS_AFTER:
        raise StoreError(
            f"runs may not be removed after {runs_after.days} days: one may wait for {LEAST_RUNS_AFTER.days}",
            hint=f"keep runs for {LEAST_RUNS_AFTER.days} days or longer",
        )
    runs = [
        _look_at(RunStore(root, service, name), held)
        for name, held in contents.files_of(root, service).items()
    ]
    in_use = _in_use(runs)
    files, sizes, touched = Counter[str](), Counter[str](), 0
    for run in runs:
        whole = now - run.at > runs_after and run.store.run not in in_use
        kinds = PROFILES if now - run.at > profiles_after else ()
        gone = [
            each
            for each in run.held
            if each.kind in kinds or (whole and each.kind is not None and each.kind not in HISTORY)
        ]
        touched += bool(gone)
        for each in gone:
            name = each.kind.__name__ if each.kind else ""
            files[name] += 1
            sizes[name] += each.found.size
        if not dry_run:
            for each in gone:
                run.store.remove(each.kind or object, each.key)
            storage.remove_empty(run.store.directory)
    total = sum(each.found.size for run in runs for each in run.held)
    return Pruned(service, dict(files), dict(sizes), touched, len(runs), total - sum(sizes.values()))


def _look_at(store: RunStore, held: list[Held]) -> _Run:
    """Return a run's state. A damaged artifact counts as there: `fleetpgo store check` names it."""
    kinds = {each.kind for each in held}

    def find(kind: type) -> object:
        try:
            return store.read(kind) if kind in kinds else None
        except ArtifactError:
            return None

    manifest, merge = find(Manifest), find(Merge)
    made = manifest.made_at if isinstance(manifest, Manifest) else None
    merged = isinstance(merge, Merge) and merge.state == "merged"
    return _Run(store, held, made if made and made.timestamp() else None, merged)


def _in_use(runs: Sequence[_Run]) -> set[str]:
    """Return the runs that keep everything but profiles of single instances."""
    made = sorted((run for run in runs if run.made), key=lambda run: run.at)
    merged = [run for run in made if run.merged]
    return {run.store.run for run in (*made[-1:], *merged[-1:])}
