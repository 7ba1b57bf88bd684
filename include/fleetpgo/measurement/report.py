"""A comparison in words: one sentence, tables, and the Markdown comment on the pull request.

Text from Prometheus and from the service file is escaped: nothing in it becomes markup or mentions anybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from fleetpgo.markdown import details, promql, prose
from fleetpgo.measurement.estimators.registry import label
from fleetpgo.measurement.figures import interval, percent, saving, signed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from fleetpgo.measurement.comparison import Comparison
    from fleetpgo.measurement.evidence import Change
    from fleetpgo.measurement.guardrails import Guarded

_LONGEST_HEADLINE = 2_000
_LONGEST_QUERIES = 15_000
"""Characters. One comment must hold the reports of two periods: GitHub takes 65,536."""

_NONE = "–"


@dataclass(frozen=True)
class Table:
    """Names of the columns, and rows of as many cells; ``words`` are the columns that hold no figures."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: tuple[str, ...]


def headline(comparison: Comparison) -> str:
    """Return the one sentence: the verdict, with the estimate and its interval."""
    return f"{_called(comparison)}{_attributed(comparison)}"


def quoted_headline(comparison: Comparison) -> str:
    """Return the headline as Markdown."""
    return prose(headline(comparison), longest=_LONGEST_HEADLINE)


def _called(comparison: Comparison) -> str:
    verdict, found = comparison.verdict, comparison.estimate
    why = "; ".join(verdict.reasons)
    if verdict.call == "invalid":
        return f"Invalid, no figure may be quoted: {why}."
    if found is None:
        return f"No result: {why}."
    figures = saving(found.saving, found.low, found.high)
    # What a sentence calls more is positive in all of its figures.
    cores = -found.cores if verdict.call == "regression" else found.cores
    basis = f"(95 % interval), {cores:+,.2f} cores, {label(found.method)}"
    match verdict.call:
        case "saved":
            but = f", but: {'; '.join(_worse(each) for each in comparison.guardrails if each.weakens)}"
            return f"Saved {figures} of the CPU {basis}{but if verdict.but else ''}."
        case "regression":
            return f"Regression: {saving(-found.saving, -found.high, -found.low)} more CPU {basis}."
        case "no material change":
            return f"No material change: a saving of {figures} {basis}; {why}."
        case _:
            return f"Inconclusive: a saving of {figures} {basis}; {why}."


def _attributed(comparison: Comparison) -> str:
    if comparison.verdict.attribution == "release":
        why = comparison.verdict.together or "the source's revision changed together with the profile"
        return f" Release and PGO together, so the figure is not PGO's alone: {why}."
    return ""


def title(comparison: Comparison) -> str:
    """Return what was compared: how long the windows are."""
    after = [datetime.fromisoformat(each) for each in comparison.after]
    return f"Measured over {_span(after[1] - after[0])} before and after the rollout"


def times(comparison: Comparison) -> Iterator[str]:
    """Yield when the windows and the rollout were, a line each."""
    before, after = (map(datetime.fromisoformat, each) for each in (comparison.before, comparison.after))
    rollout = comparison.rollout.start, comparison.rollout.end
    for name, (start, end) in (("Before", before), ("Rollout", rollout), ("After", after)):
        yield f"{name}: {start:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S} UTC"


def estimates(comparison: Comparison) -> Table:
    """Return what each possible estimator says, the headline's first."""
    found = [*([comparison.estimate] if comparison.estimate else []), *comparison.supporting]
    return Table(
        ("estimator", "saving (95 % interval)", "cores", "interval from", "where nothing changed"),
        tuple(
            (
                f"{each.method}: {label(each.method)}",
                saving(each.saving, each.low, each.high),
                f"{each.cores:+,.2f}",
                each.basis,
                ", ".join(map(signed, each.placebos)) or _NONE,
            )
            for each in found
        ),
        words=("estimator", "interval from", "where nothing changed"),
    )


def amounts(comparison: Comparison) -> Table:
    """Return what the whole fleet and each group used, before and after."""
    named = {"all (raw)": comparison.raw, **comparison.groups}
    return Table(
        (
            "instances",
            "cores before",
            "cores after",
            "change",
            "CPU per request before",
            "after",
            "change",
        ),
        tuple(_amount(name, change) for name, change in named.items()),
        words=("instances",),
    )


def guardrails(comparison: Comparison) -> Table:
    """Return how each guarded quantity changed."""
    return Table(
        ("guardrail", "before", "after", "rise (95 % interval)", "bound"),
        tuple(map(_guarded, comparison.guardrails)),
        words=("guardrail",),
    )


def remarks(comparison: Comparison) -> Iterator[str]:
    """Yield the estimators' notes, why others are not possible, and how CPU was compared; plain text."""
    for each in (*([comparison.estimate] if comparison.estimate else []), *comparison.supporting):
        for note in each.notes:
            yield f"{each.method}: {note}"
    for method, reason in comparison.not_possible.items():
        yield f"{method}, {label(method)}: not possible; {reason}"
    if comparison.per == "instance":
        yield "CPU is compared per instance: the service file has no measurement.requests"
    elif comparison.elasticity is None:
        yield "CPU is compared per request; history does not tell how it follows traffic"
    else:
        yield f"CPU follows traffic with an elasticity of {comparison.elasticity:.2f}, from history"


def markdown(comparison: Comparison, chart: str = "") -> str:
    """Return the pull request's comment, with a chart in Markdown if there is one."""
    return "\n".join(_lines(comparison, chart)) + "\n"


def _lines(comparison: Comparison, chart: str) -> Iterator[str]:
    yield f"### {title(comparison)}"
    yield ""
    yield f"**{quoted_headline(comparison)}**"
    yield ""
    if chart:
        yield chart
        yield ""
    yield from _table(estimates(comparison))
    for remark in remarks(comparison):
        yield f"- {prose(remark)}"
    yield ""
    yield from _table(amounts(comparison))
    yield from _table(guardrails(comparison))
    for line in times(comparison):
        yield f"{line}  "
    yield "Raw figures compare two times: traffic, its mix and other releases are in them."
    yield ""
    queries = "\n".join(
        f"# {name}\n{query}" if name != "evaluated at" else f"# evaluated at {query}"
        for name, query in comparison.queries.items()
    )
    yield details("PromQL", promql(queries, _LONGEST_QUERIES, whole="the measurement's JSON file"))


def _table(table: Table) -> Iterator[str]:
    """Yield a table as Markdown; nothing if it has no rows."""
    if not table.rows:
        return
    yield f"| {' | '.join(table.columns)} |"
    yield f"|{'|'.join('---' if name in table.words else '--:' for name in table.columns)}|"
    for row in table.rows:
        yield f"| {' | '.join(map(prose, row))} |"
    yield ""


def _worse(guarded: Guarded) -> str:
    if guarded.missing:
        return f"{guarded.name} was not measured: the guardrail's query returned no data"
    rise = "appeared" if guarded.rise is None else f"rose by {percent(guarded.rise)}"
    return f"{guarded.name} {rise} (bound {percent(guarded.bound)})"


def _guarded(guarded: Guarded) -> tuple[str, ...]:
    rise = _NONE
    if guarded.rise is not None:
        rise = signed(guarded.rise)
        if guarded.low is not None and guarded.high is not None:
            rise += f" {interval(guarded.low, guarded.high)}"
    return (
        f"{'⚠ ' if guarded.weakens else ''}{guarded.name}",
        *(_NONE if each is None else _figure(each) for each in (guarded.before, guarded.after)),
        rise,
        percent(guarded.bound),
    )


def _amount(name: str, change: Change) -> tuple[str, ...]:
    per_request = change.saved_share_per_request
    return (
        f"{name}: {change.instances:,}",
        f"{change.before.cores:,.3f}",
        f"{change.after.cores:,.3f}",
        signed(-change.saved_share),
        _time(change.cpu_per_request_before),
        _time(change.cpu_per_request_after),
        _NONE if per_request is None else signed(-per_request),
    )


def _figure(value: float) -> str:
    """Return a figure in whatever unit the service file's expression has."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"  # noqa: PLR2004


def _span(length: timedelta) -> str:
    """Return a length of time in the largest unit that divides it."""
    seconds = round(length.total_seconds())
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds % size == 0 and seconds > size:
            return f"{seconds // size} {unit}"
    return f"{seconds} seconds"


def _time(seconds: float | None) -> str:
    """Return a duration in the unit that reads best."""
    if seconds is None:
        return _NONE
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
