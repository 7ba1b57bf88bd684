"""Figures for monitoring, from the store: whichever server answers, they are the same.

They are gauges: what the store says now. Counters of what happened, such as fetches, come from the tasks
themselves (:mod:`fleetpgo_airflow.stats`).
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fleetpgo.errors import ArtifactError, StoreError
from fleetpgo.overview import fleet, summaries
from fleetpgo.run import contents, storage
from fleetpgo.run.measured import PERIODS
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.proposed import Failed, Merge, Proposed
from fleetpgo.run.retention import LEAST_RUNS_AFTER
from fleetpgo.run.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from upath import UPath

    from fleetpgo.measurement.history import Refresh
    from fleetpgo.overview.fleet import Row
    from fleetpgo.overview.summaries import Profile, Summary

METRICS = {
    "fleetpgo_store_up": "Whether the artifact store answers.",
    "fleetpgo_store_list_seconds": "Seconds that a listing of the store took just now.",
    "fleetpgo_last_run_timestamp_seconds": "When a run of the service last merged profiles, Unix time.",
    "fleetpgo_profile_timestamp_seconds": "When the committed profile was merged, Unix time.",
    "fleetpgo_instances": "Instances of the newest run, by what became of them and why.",
    "fleetpgo_samples": "CPU samples in the profile of the newest run.",
    "fleetpgo_build_seconds": "Wall seconds of the newest run's builds, without and with the profile.",
    "fleetpgo_build_cpu_seconds": "CPU seconds of all that the newest run's build task has started.",
    "fleetpgo_pull_requests": "Pull requests of all runs, by state.",
    "fleetpgo_waits": "Runs that wait, by stage.",
    "fleetpgo_wait_seconds": "Seconds that the oldest of them has waited, by stage.",
    "fleetpgo_verdicts": "Measured refreshes, by verdict.",
    "fleetpgo_saving_ratio": "Saving of the newest refresh as a share, if it is valid: low, value, high.",
    "fleetpgo_saved_cores": "Cores that all counted refreshes have saved: low, value, high.",
    "fleetpgo_unreadable_runs": "Runs with an artifact that cannot be read.",
}
"""Name of each metric, and what it says."""

TASKS = {
    "review": {"wait_for_merge"},
    "rollout": {"wait_for_rollout", "measure_rollout"},
    "week": {"wait_for_week", "measure_week"},
}
"""The stages in which runs wait, and the tasks whose failure ends the wait."""

_ANSWER_S = 5.0
"""Seconds that the store has for its first answer: whoever scrapes waits for ten."""


@dataclass(frozen=True)
class Figure:
    """One value of a metric, with its labels."""

    metric: str
    value: float
    labels: dict[str, str] = field(default_factory=dict)


def figures(root: Path | UPath, *, now: datetime) -> Iterator[Figure]:
    """Yield the metrics of all services in the store; if it does not answer, only ``fleetpgo_store_up 0``.

    Args:
        root: the store.
        now: until when waits that go on are counted.
    """
    if not answers(root, seconds=_ANSWER_S):
        yield Figure("fleetpgo_store_up", 0.0)
        return
    begin = time.monotonic()
    try:
        services = contents.services_of(root)
        seconds = time.monotonic() - begin
        # All of them first, side by side: each takes object storage some requests.
        rows = fleet.look_at_fleet(root, services, now=now)
        found = [figure for row in rows for figure in _of_service(root, row, now)]
    except StoreError:
        yield Figure("fleetpgo_store_up", 0.0)
        return
    yield Figure("fleetpgo_store_up", 1.0)
    yield Figure("fleetpgo_store_list_seconds", seconds)
    yield from found


def answers(root: Path | UPath, *, seconds: float) -> bool:
    """Return whether the store answers a listing within that time."""
    try:
        storage.names(root, limit=seconds)
    except StoreError:
        return False
    return True


def _of_service(root: Path | UPath, row: Row, now: datetime) -> Iterator[Figure]:
    service = row.service
    labels = {"service": service}
    runs = summaries.summaries(root, service)
    made = summaries.profiles_made(runs)
    yield Figure("fleetpgo_unreadable_runs", len(row.problems), labels)
    if made:
        newest = made[-1][0]
        yield Figure("fleetpgo_last_run_timestamp_seconds", newest.made_at.timestamp(), labels)
        yield from _of_newest(RunStore(root, service, newest.run), labels)
    if row.profile:
        yield Figure("fleetpgo_profile_timestamp_seconds", row.profile.made_at.timestamp(), labels)
    states = Counter(run.pull_request.state for run in runs if run.pull_request)
    for state in ("open", "merged", "skipped"):
        yield Figure("fleetpgo_pull_requests", states[state], {**labels, "state": state})
    yield from _waits(root, service, made, now)
    yield from _savings(row.refreshes, labels)
    if row.cores:
        for bound, cores in (("low", row.cores.low), ("value", row.cores.cores), ("high", row.cores.high)):
            yield Figure("fleetpgo_saved_cores", cores, {**labels, "bound": bound})


def _of_newest(run: RunStore, labels: dict[str, str]) -> Iterator[Figure]:
    """Yield what became of the instances of a run, and what its builds took."""
    try:
        manifest, proposed = run.read(Manifest), run.find(Proposed)
    except ArtifactError:  # it is counted
        return
    yield Figure("fleetpgo_samples", manifest.samples, labels)
    # Of a reason, which may name the instance, only its kind: the words before the colon.
    outcomes = Counter((each.state, each.reason.partition(":")[0][:40]) for each in manifest.instances)
    for (state, reason), count in sorted(outcomes.items()):
        yield Figure("fleetpgo_instances", count, {**labels, "state": state, "reason": reason})
    if proposed is None:
        return
    for build, seconds in (("without", proposed.seconds_without), ("with", proposed.seconds_with)):
        if seconds is not None:
            yield Figure("fleetpgo_build_seconds", seconds, {**labels, "build": build})
    if proposed.cpu_seconds is not None:
        yield Figure("fleetpgo_build_cpu_seconds", proposed.cpu_seconds, labels)


def _waits(
    root: Path | UPath, service: str, made: Sequence[tuple[Profile, Summary]], now: datetime
) -> Iterator[Figure]:
    """Yield how many runs wait in each stage, and for how long.

    Of reviews only the newest run's counts: it has taken over the pull request of those before. A run that
    has failed waits for nothing, and none waits longer than the waits' own limits.
    """
    since: dict[str, list[datetime]] = {stage: [] for stage in TASKS}
    for number, (profile, run) in enumerate(made, start=1):
        store = RunStore(root, service, profile.run)
        if now - profile.made_at > LEAST_RUNS_AFTER:
            continue
        stage, begin = _stage(store, profile, run, newest=number == len(made))
        if stage and TASKS[stage].isdisjoint(store.keys(Failed)):
            since[stage].append(begin)
    for stage, times in since.items():
        labels = {"service": service, "stage": stage}
        yield Figure("fleetpgo_waits", len(times), labels)
        oldest = max(((now - each).total_seconds() for each in times), default=0.0)
        yield Figure("fleetpgo_wait_seconds", oldest, labels)


def _stage(store: RunStore, profile: Profile, run: Summary, *, newest: bool) -> tuple[str, datetime]:
    """Return the stage in which a run waits, "" for none, and since when."""
    if run.pull_request is None:
        return "", profile.made_at
    if run.pull_request.state == "open":
        return "review" if newest else "", profile.made_at
    if run.refresh is not None:
        return "week" if run.refresh.period == PERIODS[0] else "", run.refresh.rollout_end
    return "rollout" if run.merged else "", _merged_at(store) or profile.made_at


def _merged_at(run: RunStore) -> datetime | None:
    try:
        merge = run.find(Merge)
    except ArtifactError:  # it is counted
        return None
    return merge.merged_at if merge else None


def _savings(refreshes: Sequence[Refresh], labels: dict[str, str]) -> Iterator[Figure]:
    for verdict, count in sorted(Counter(each.verdict for each in refreshes).items()):
        yield Figure("fleetpgo_verdicts", count, {**labels, "verdict": verdict})
    if not refreshes or (last := refreshes[-1]).verdict == "invalid" or last.attribution != "PGO":
        return  # there is no figure of PGO that may be quoted
    if last.saving is not None:
        labels = {**labels, "verdict": last.verdict}
        for bound, value in (("low", last.low), ("value", last.saving), ("high", last.high)):
            if value is not None:
                yield Figure("fleetpgo_saving_ratio", value, {**labels, "bound": bound})
