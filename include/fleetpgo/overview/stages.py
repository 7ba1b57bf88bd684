"""The steps of a run with their figures for people, as far as the run has come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from fleetpgo.measurement.figures import percent, saving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fleetpgo.overview.run import Instance, Measurement
    from fleetpgo.run.store import RunStore

GIVEN = ("fetched", "used")
"""States of an instance that gave a profile."""

PERIODS = ("rollout", "week")


@dataclass(frozen=True)
class Stage:
    """A step of the run. ``figures`` are for people, by name, in the order in which they matter."""

    name: str
    state: Literal["waiting", "done", "skipped"]
    figures: Mapping[str, str]


def look_at_stages(
    store: RunStore,
    instances: Sequence[Instance],
    manifest: Mapping[str, Any] | None,
    measurements: Sequence[Measurement],
) -> Iterator[Stage]:
    """The steps in their order.

    Args:
        store: of the run.
        instances: what became of each.
        manifest: the account of the merge, if there was one.
        measurements: those that were made.
    """
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
    yield _stage(
        "Merge", {"samples": f"{manifest['samples']:,}", **manifest["figures"]} if manifest else None
    )
    proposed, merge = store.find_json("pull_request.json"), store.find_json("merge.json")
    yield _proposal(proposed)
    yield _merging(merge)
    rollout = store.find_json("rollout.json")
    skipped = merge is not None and merge["state"] == "skipped"
    yield _stage(
        "Rollout",
        {
            "instances on the new build": percent(rollout["fraction"]),
            "from": _moment(rollout["start"]),
            "to": _moment(rollout["end"]),
        }
        if rollout
        else None,
        skipped=skipped,
    )
    found = {each.period: each for each in measurements}
    for period in PERIODS:
        figures = _said(found[period]) if period in found else None
        yield _stage(f"Measure: {period}", figures, skipped=skipped)


def _stage(name: str, figures: Mapping[str, str] | None, *, skipped: bool = False) -> Stage:
    """Done if it has figures."""
    if figures is not None:
        return Stage(name, "done", figures)
    return Stage(name, "skipped" if skipped else "waiting", {})


def _proposal(proposed: Mapping[str, Any] | None) -> Stage:
    if proposed is None:
        return Stage("Pull request", "waiting", {})
    if proposed["unchanged"]:
        return Stage("Pull request", "skipped", {"not proposed": proposed["reason"]})
    figures = {"profile": proposed["profile"]}
    if proposed["dry_run"]:
        figures["dry run"] = "nothing was pushed"
    else:
        figures["pull request"] = f"#{proposed['pull_request']} {proposed['url']}"
    figures["binary"] = f"{proposed['size_without']:,} → {proposed['size_with']:,} bytes with the profile"
    if (match := proposed.get("source_match")) is not None:
        figures["source match"] = f"{match:.2f}"
    if proposed["overlap"] is not None:
        figures["overlap with the profile before"] = f"{proposed['overlap']:.2f}"
    return Stage("Pull request", "done", figures)


def _merging(merge: Mapping[str, Any] | None) -> Stage:
    if merge is None:
        return Stage("Review", "waiting", {})
    if merge["state"] == "skipped":
        return Stage("Review", "skipped", {"ended": merge["reason"]})
    return Stage("Review", "done", {"merged": _moment(merge["merged_at"])})


def _moment(iso: str) -> str:
    return f"{datetime.fromisoformat(iso).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _said(measurement: Measurement) -> dict[str, str]:
    """A measurement's figures; a saving never without its interval."""
    figures = {"verdict": measurement.call}
    if measurement.estimate and measurement.call != "invalid":
        shares = (measurement.estimate[name] for name in ("saving", "low", "high"))
        figures["saving"] = f"{saving(*shares)} of the CPU (95 % interval)"
    if measurement.reasons:
        figures["why"] = "; ".join(measurement.reasons)
    return figures
