"""The steps of a run: the state of each, and figures for people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Literal

from fleetpgo.measurement.figures import percent, saving
from fleetpgo.overview.instances import GIVEN
from fleetpgo.run.measured import PERIODS
from fleetpgo.run.proposed import Failed, Merge, Proposed, Rollout, Turn
from fleetpgo.run.released import Begun, Fit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from fleetpgo.overview.instances import Instance
    from fleetpgo.overview.measurements import MeasuredPeriod
    from fleetpgo.run.profiled import Manifest
    from fleetpgo.run.store import RunStore


TASKS = {
    "notice_release": "Release",
    "needs_profile": "Release",
    "preflight": "Select",
    "wait_for_window": "Select",
    "select_instances": "Select",
    "fetch_profile": "Fetch",
    "top_up": "Fetch",
    "merge_profiles": "Merge",
    "wait_for_turn": "Pull request",
    "build_and_open_pr": "Pull request",
    "wait_for_merge": "Review",
    "wait_for_rollout": "Rollout",
    "measure_rollout": "Measure: rollout",
    "wait_for_week": "Measure: week",
    "measure_week": "Measure: week",
}
"""The stage of each task that may fail."""


@dataclass(frozen=True)
class Stage:
    """A step of the run. ``figures``: name → formatted figure for the page, the most important first."""

    name: str
    state: Literal["waiting", "done", "skipped", "failed"]
    figures: Mapping[str, str]


def look_at_stages(
    store: RunStore,
    instances: Sequence[Instance],
    manifest: Manifest | None,
    measurements: Sequence[MeasuredPeriod],
) -> Iterator[Stage]:
    """Return the steps of a run, in order. A step whose task failed is failed, and says why.

    Args:
        store: artifacts of the run.
        instances: results of all instances.
        manifest: record of the merge; None if there was no merge yet.
        measurements: measurements so far.
    """
    why = {}
    for task in store.keys(Failed):
        # In a window's group, a task has the window's name before its own.
        if stage := TASKS.get(task.rpartition(".")[2]):
            why[stage] = {"task": task, "why": store.read(Failed, task).reason}
    release = list(_release(store, instances)) or (
        [Stage("Release", "failed", {})] if "Release" in why else []
    )
    for each in (*release, *_succeeded(store, instances, manifest, measurements)):
        yield Stage(each.name, "failed", {**why[each.name], **each.figures}) if each.name in why else each


def _succeeded(
    store: RunStore,
    instances: Sequence[Instance],
    manifest: Manifest | None,
    measurements: Sequence[MeasuredPeriod],
) -> Iterator[Stage]:
    """Return the steps as their artifacts show them."""
    given = [each for each in instances if each.state in GIVEN]
    answered = [each for each in instances if each.state != "waiting"]
    yield _stage("Select", {"instances": f"{len(instances):,}"} if instances else None)
    yield Stage(
        "Fetch",
        "done" if instances and len(answered) == len(instances) else "waiting",
        {
            "profiles": f"{len(given):,} of {len(instances):,}",
            "samples": f"{sum(each.samples for each in given):,}",
        }
        if answered
        else {},
    )
    yield _merge(manifest)
    proposed, merge = store.find(Proposed), store.find(Merge)
    skipped = merge is not None and merge.state == "skipped"
    yield _waiting(store, skipped=skipped) if proposed is None else _proposal(proposed)
    yield _merging(merge)
    rollout = store.find(Rollout)
    yield _stage(
        "Rollout",
        {
            "instances on the new build": percent(rollout.fraction),
            "from": _moment(rollout.start),
            "to": _moment(rollout.end),
        }
        if rollout
        else None,
        skipped=skipped,
    )
    found = {each.period: each for each in measurements}
    for period in PERIODS:
        figures = _said(found[period]) if period in found else None
        yield _stage(f"Measure: {period}", figures, skipped=skipped)


def _release(store: RunStore, instances: Sequence[Instance]) -> Iterator[Stage]:
    """Yield for which release the run is, or why it ended before it selected instances; else nothing."""
    begun, fit = store.find(Begun), store.find(Fit)
    if begun is None:
        return
    merge = None if instances else store.find(Merge)
    figures = {"ended": merge.reason} if merge else {}
    if begun.since is not None:
        figures |= {
            "release": begun.revision,
            "since": _moment(begun.since),
            "instances that run it": percent(begun.share),
        }
    if fit is not None:
        told = fit.why if fit.share is None else f"{fit.share:.2f}"
        figures["source match of the profile before"] = told
    if figures:
        yield Stage("Release", "skipped" if merge else "done", figures)


def _stage(name: str, figures: Mapping[str, str] | None, *, skipped: bool = False) -> Stage:
    """Return a step: done if it has figures, else skipped or waiting."""
    if figures is not None:
        return Stage(name, "done", figures)
    return Stage(name, "skipped" if skipped else "waiting", {})


def _waiting(store: RunStore, *, skipped: bool) -> Stage:
    """Return the step before anything was proposed, with what the build waits for."""
    turn = store.find(Turn)
    if turn is None or not turn.waits_for:
        return Stage("Pull request", "waiting", {})
    return Stage("Pull request", "skipped" if skipped else "waiting", {"waits for": turn.waits_for})


def _proposal(proposed: Proposed) -> Stage:
    if proposed.unchanged:
        return Stage("Pull request", "skipped", {"not proposed": proposed.reason})
    figures = {"profile": proposed.profile}
    if proposed.dry_run:
        figures["dry run"] = "nothing was pushed"
    else:
        figures["pull request"] = f"#{proposed.pull_request} {proposed.url}"
    if proposed.size_without is not None and proposed.size_with is not None:
        figures["binary"] = f"{proposed.size_without:,} → {proposed.size_with:,} bytes with the profile"
    if proposed.source_match is not None:
        figures["source match"] = f"{proposed.source_match:.2f}"
    if proposed.overlap is not None:
        figures["overlap with the profile before"] = f"{proposed.overlap:.2f}"
    return Stage("Pull request", "done", figures)


def _merge(manifest: Manifest | None) -> Stage:
    if manifest is None:
        return Stage("Merge", "waiting", {})
    refused = {"refused": manifest.refused} if manifest.refused else {}
    return Stage("Merge", "done", {**refused, "samples": f"{manifest.samples:,}", **manifest.figures})


def _merging(merge: Merge | None) -> Stage:
    if merge is None:
        return Stage("Review", "waiting", {})
    if merge.merged_at is None:
        return Stage("Review", "skipped", {"ended": merge.reason})
    return Stage("Review", "done", {"merged": _moment(merge.merged_at)})


def _moment(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _said(measurement: MeasuredPeriod) -> dict[str, str]:
    """Return a measurement's figures. A saving always has its interval."""
    figures = {"verdict": measurement.call}
    if measurement.estimate and measurement.call != "invalid":
        found = measurement.estimate
        figures["saving"] = f"{saving(found.saving, found.low, found.high)} of the CPU (95 % interval)"
    if measurement.reasons:
        figures["why"] = "; ".join(measurement.reasons)
    return figures
