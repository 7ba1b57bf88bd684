"""A comparison for people: a Markdown comment for the pull request, JSON for the store."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from fleetpgo.measurement.comparison import Change, Comparison


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison and what follows from it, with ISO 8601 times."""
    record = asdict(comparison)
    for key in ("before", "after"):
        record[key] = [when.isoformat() for when in record[key]]
    record["raw"] |= _derived(comparison.raw)
    for name, change in comparison.groups.items():
        record["groups"][name] |= _derived(change)
    return record


def _derived(change: Change) -> dict[str, float | None]:
    return {
        "saved_cores": change.saved_cores,
        "saved_share": change.saved_share,
        "cpu_per_request_before": change.before.cpu_per_request,
        "cpu_per_request_after": change.after.cpu_per_request,
        "saved_share_per_request": change.saved_share_per_request,
    }


def headline(comparison: Comparison) -> str:
    """The one sentence: the estimate with its interval, else the raw figure and why there is no better."""
    if (found := comparison.estimate) is not None:
        sign = "saved" if found.saving >= 0 else "lost"
        doubt = (
            "" if found.low > 0 or found.high < 0 else " The interval includes zero: it cannot be told yet."
        )
        return (
            f"CPU {sign}: {_percent(abs(found.saving))} "
            f"[{_percent(found.low)}, {_percent(found.high)}] (95 % interval), "
            f"{found.cores:+.2f} cores, against the instances that kept the old build.{doubt}"
        )
    return (
        f"CPU used: {_signed(-comparison.raw.saved_share)} ({-comparison.raw.saved_cores:+.2f} cores), raw; "
        f"no interval can be given: {comparison.no_estimate}."
    )


def markdown(comparison: Comparison) -> str:
    """The pull request's comment."""
    return "\n".join(_lines(comparison)) + "\n"


def _lines(comparison: Comparison) -> Iterator[str]:
    span = _span(comparison.after[1] - comparison.after[0])
    yield f"### Measured over {span} before and after the rollout"
    yield ""
    yield headline(comparison)
    yield ""
    yield "| instances | cores before | cores after | change | CPU per request before | after | change |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    yield _row("all (raw)", comparison.raw)
    for name, change in comparison.groups.items():
        yield _row(name, change)
    yield ""
    for name, (start, end) in (("Before", comparison.before), ("after", comparison.after)):
        yield f"{name}: {start:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S} UTC  "
    if (found := comparison.estimate) is not None:
        yield f"Method: {found.method}, t interval over {found.datacenters} datacenters."
    yield "Raw figures compare two times: traffic, its mix and other releases are in them."
    for warning in comparison.warnings:
        yield f"\n⚠ {warning}"
    yield ""
    yield "<details><summary>PromQL</summary>"
    yield ""
    yield "```promql"
    for name, query in comparison.queries.items():
        yield f"# {name}\n{query}" if name != "evaluated at" else f"# evaluated at {query}"
    yield "```"
    yield ""
    yield "</details>"


def _row(name: str, change: Change) -> str:
    per_request = change.saved_share_per_request
    cells = [
        f"{name}: {change.instances}",
        f"{change.before.cores:.3f}",
        f"{change.after.cores:.3f}",
        _signed(-change.saved_share),
        _time(change.before.cpu_per_request),
        _time(change.after.cpu_per_request),
        "–" if per_request is None else _signed(-per_request),
    ]
    return f"| {' | '.join(cells)} |"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _signed(share: float) -> str:
    return f"{round(100 * share, 1) + 0.0:+.1f} %"  # + 0.0: never "-0.0"


def _span(length: timedelta) -> str:
    """A length of time in the largest unit that divides it."""
    seconds = round(length.total_seconds())
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds % size == 0 and seconds > size:
            return f"{seconds // size} {unit}"
    return f"{seconds} seconds"


def _time(seconds: float | None) -> str:
    """A duration in the unit that reads best."""
    if seconds is None:
        return "–"
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
