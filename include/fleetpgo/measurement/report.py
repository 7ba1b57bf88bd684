"""A comparison for people: one sentence, and a Markdown comment for the pull request.

What Prometheus or the service file say in it is written as text that is no markup and mentions nobody.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from fleetpgo.markdown import details, promql, prose

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from fleetpgo.measurement.comparison import Comparison
    from fleetpgo.measurement.estimate import Estimate
    from fleetpgo.measurement.evidence import Change
    from fleetpgo.measurement.guardrails import Guarded

METHODS = {
    "A": "against the instances that kept the old build",
    "B": "week on week, adjusted for traffic",
    "S": "from instance to instance as they went over",
    "E": "jump across the rollout, less that of other weeks",
}

_LONGEST_HEADLINE = 2_000
_LONGEST_QUERIES = 15_000
"""Characters. Of two periods' reports, one comment must hold both: GitHub takes 65,536."""


def headline(comparison: Comparison) -> str:
    """The one sentence: the verdict, with the estimate and its interval."""
    return f"{_called(comparison)}{_attributed(comparison)}"


def quoted_headline(comparison: Comparison) -> str:
    """The same in Markdown."""
    return prose(headline(comparison), longest=_LONGEST_HEADLINE)


def _called(comparison: Comparison) -> str:
    verdict, found = comparison.verdict, comparison.estimate
    why = "; ".join(verdict.reasons)
    if verdict.call == "invalid":
        return f"Invalid, no figure may be quoted: {why}."
    if found is None:
        return f"It cannot be told what was saved: {why}."
    figures = f"{interval(found)}, {found.cores:+.2f} cores, {METHODS[found.method]}"
    match verdict.call:
        case "saved":
            but = f", but: {'; '.join(_worse(each) for each in comparison.guardrails if each.breached)}"
            return f"Saved {_percent(found.saving)} of the CPU {figures}{but if verdict.but else ''}."
        case "regression":
            return f"Regression, {_percent(-found.saving)} more CPU: a saving of {figures}."
        case "no material change":
            return f"No material change: a saving of {_percent(found.saving)} {figures}; {why}."
        case _:
            return f"It cannot be told: a saving of {_percent(found.saving)} {figures}; {why}."


def _attributed(comparison: Comparison) -> str:
    if comparison.verdict.attribution == "release":
        return " Release effect, not PGO: the source's revision changed together with the profile."
    return ""


def markdown(comparison: Comparison, chart: str = "") -> str:
    """The pull request's comment, with a chart in Markdown if there is one."""
    return "\n".join(_lines(comparison, chart)) + "\n"


def _lines(comparison: Comparison, chart: str) -> Iterator[str]:
    before, after = (
        tuple(map(datetime.fromisoformat, each)) for each in (comparison.before, comparison.after)
    )
    yield f"### Measured over {_span(after[1] - after[0])} before and after the rollout"
    yield ""
    yield f"**{quoted_headline(comparison)}**"
    yield ""
    if chart:
        yield chart
        yield ""
    yield from _estimators(comparison)
    yield "| instances | cores before | cores after | change | CPU per request before | after | change |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    yield _row("all (raw)", comparison.raw)
    for name, change in comparison.groups.items():
        yield _row(prose(name), change)
    yield ""
    if comparison.guardrails:
        yield "| guardrail | before | after | rise | 95 % interval | bound |"
        yield "|---|--:|--:|--:|---|--:|"
        for guarded in comparison.guardrails:
            yield _guarded(guarded)
        yield ""
    start, end = comparison.rollout.start, comparison.rollout.end
    for name, span in (("Before", before), ("rollout", (start, end)), ("after", after)):
        yield f"{name}: {span[0]:%Y-%m-%d %H:%M:%S} to {span[1]:%Y-%m-%d %H:%M:%S} UTC  "
    yield "Raw figures compare two times: traffic, its mix and other releases are in them."
    yield ""
    queries = "\n".join(
        f"# {name}\n{query}" if name != "evaluated at" else f"# evaluated at {query}"
        for name, query in comparison.queries.items()
    )
    yield details("PromQL", promql(queries, _LONGEST_QUERIES, whole="the measurement's JSON file"))


def _estimators(comparison: Comparison) -> Iterator[str]:
    """What each estimator says, or why it says nothing."""
    found = [*([comparison.estimate] if comparison.estimate else []), *comparison.supporting]
    if found:
        yield "| estimator | saving | 95 % interval | cores | interval from | where nothing changed |"
        yield "|---|--:|---|--:|---|---|"
        for each in found:
            yield (
                f"| {each.method}: {METHODS[each.method]} | {_percent(each.saving)} "
                f"| {_percent(each.low)} to {_percent(each.high)} | {each.cores:+.2f} | {each.basis} "
                f"| {', '.join(map(_signed, each.placebos)) or '–'} |"
            )
        yield ""
    for each in found:
        for note in each.notes:
            yield f"- {each.method}: {prose(note)}"
    for method, reason in comparison.not_possible.items():
        yield f"- {method}, {METHODS[method]}: not possible; {prose(reason)}"
    if comparison.per == "instance":
        yield "- CPU is compared per instance: the service file has no traffic expression"
    elif comparison.elasticity is None:
        yield "- CPU is compared per request; history does not tell how it follows traffic"
    else:
        yield f"- CPU follows traffic with an elasticity of {comparison.elasticity:.2f}, from history"
    yield ""


def interval(found: Estimate) -> str:
    """The estimate's interval, as the headline gives it."""
    return f"[{_percent(found.low)}, {_percent(found.high)}] (95 % interval)"


def _worse(guarded: Guarded) -> str:
    rise = "appeared" if guarded.rise is None else f"rose by {_percent(guarded.rise)}"
    return f"{guarded.name} {rise} (bound {_percent(guarded.bound)})"


def _guarded(guarded: Guarded) -> str:
    cells = [
        f"{'⚠ ' if guarded.breached else ''}{prose(guarded.name)}",
        *("–" if each is None else _figure(each) for each in (guarded.before, guarded.after)),
        "–" if guarded.rise is None else _signed(guarded.rise),
        "–"
        if guarded.low is None or guarded.high is None
        else f"{_signed(guarded.low)} to {_signed(guarded.high)}",
        _percent(guarded.bound),
    ]
    return f"| {' | '.join(cells)} |"


def _row(name: str, change: Change) -> str:
    per_request = change.saved_share_per_request
    cells = [
        f"{name}: {change.instances}",
        f"{change.before.cores:.3f}",
        f"{change.after.cores:.3f}",
        _signed(-change.saved_share),
        _time(change.cpu_per_request_before),
        _time(change.cpu_per_request_after),
        "–" if per_request is None else _signed(-per_request),
    ]
    return f"| {' | '.join(cells)} |"


def _figure(value: float) -> str:
    """A figure in whatever unit the service file's expression has."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"  # noqa: PLR2004


def _percent(share: float) -> str:
    return f"{round(100 * share, 1) + 0.0:.1f} %"  # + 0.0: never "-0.0"


def _signed(share: float) -> str:
    return f"{round(100 * share, 1) + 0.0:+.1f} %"


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
