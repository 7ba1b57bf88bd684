"""From the answers of many runs to the tables of the documentation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd

from fleetpgo.measurement.certainty import REVERT_LEVEL, chance_of_loss
from fleetpgo.measurement.estimate import Estimate
from fleetpgo.measurement.history import Refresh, core_hours, reclaimed
from studies.measurement.effects import BASE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COVERAGE, TOO_WIDE = 0.92, 0.98
FALSE_CALLS = 0.05
MOST_REFUSED = 0.05
FEWEST_FOR_S = 20
ERRORS = 2
"""A bound counts as missed only beyond so many Monte-Carlo errors."""

_REFRESHED = datetime(2026, 1, 5, tzinfo=UTC)
_HOURS = 168

REASONS = {
    ("B", "2 % faster everywhere, unseen"): "compares two times; `measurement.hardware` would show it",
    ("B", "the same, and 10 % more traffic"): "its elasticity is that of a smaller load",
    ("E", "attack after"): "refused unless traffic jumps as usual",
}
"""Rows that are known to be wrong, and why."""

KEY = ["estimator", "effect", "instances"]


def tabulate(answers: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each estimator, effect and size; shares of 1, widths as shares.

    ``refused`` is the share of runs that are invalid or without an estimate, ``coverage`` that of intervals
    that hold the truth among the rest, ``false`` that of wrong calls where nothing was saved; ``power_2`` and
    ``power_35`` are shares of runs called *saved* at these true savings.
    """
    given = answers["saving"].notna() & (answers["call"] != "invalid")
    covered = (answers["low"] <= answers["truth"]) & (answers["truth"] <= answers["high"])
    frame = answers.assign(
        refused=~given,
        covered=covered.where(given),
        width=(answers["high"] - answers["low"]).where(given),
        saved=answers["call"] == "saved",
        called=answers["call"].isin(["saved", "regression"]),
    )
    rows = []
    for key, each in frame.groupby(KEY, sort=False):
        at = dict(iter(each.groupby("wanted")))
        none = at[0.0]
        coverages = {wanted: part["covered"].mean() for wanted, part in at.items()}
        rows.append(
            dict(zip(KEY, key, strict=True))
            | {
                "runs": len(none),
                "refused": none["refused"].mean(),
                "answered": int((~none["refused"]).sum()),
                "coverage": min(coverages.values()) if none["covered"].notna().any() else math.nan,
                "false": none["called"].mean(),
                "width": none["width"].median(),
                "power_2": at[0.02]["saved"].mean(),
                "power_35": at[0.035]["saved"].mean(),
            }
        )
    return pd.DataFrame(rows)


def error(share: float, runs: int) -> float:
    """Return the Monte-Carlo standard error of a share, not less than that of one run in all."""
    if not runs or math.isnan(share):
        return math.nan
    inside = min(max(share, 1 / runs), 1 - 1 / runs) if runs > 1 else share
    return math.sqrt(inside * (1 - inside) / runs)


def remarks(row: Mapping[Any, Any]) -> Iterator[str]:
    """Yield what of a row misses its bounds, or is wider than it needs to be."""
    runs, answered = row["runs"], row["answered"]
    if answered:
        doubt = ERRORS * error(row["coverage"], answered)
        if row["coverage"] + doubt < COVERAGE:
            yield "covers too little"
        if row["coverage"] - doubt > TOO_WIDE:
            yield "too wide"
    if row["false"] - ERRORS * error(row["false"], runs) > FALSE_CALLS:
        yield "false calls"
    small = row["estimator"] == "S" and row["instances"] < FEWEST_FOR_S
    if (
        row["effect"] == BASE
        and not small
        and row["refused"] - ERRORS * error(row["refused"], runs) > MOST_REFUSED
    ):
        yield "refused too often"


def rows(table: pd.DataFrame, before: pd.DataFrame | None) -> Iterator[str]:
    """Yield the Markdown of the table, with coverage and power before where it is known."""
    yield (
        "| | effect | instances | runs | refused | coverage | false calls | width | power at 2 % | at 3.5 % "
        "| before: coverage, false, power | remarks |"
    )
    yield "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|---|"
    known = {} if before is None else {tuple(row[k] for k in KEY): row for row in before.to_dict("records")}
    for row in table.sort_values(["estimator", "effect", "instances"], key=_order).to_dict("records"):
        said = list(remarks(row))
        key = (row["estimator"], row["effect"])
        if said and said != ["too wide"] and key in REASONS:
            said.append(REASONS[key])
        old = known.get(tuple(row[k] for k in KEY))
        yield _line(
            str(row["estimator"]),
            str(row["effect"]),
            f"{row['instances']:,}",
            f"{row['runs']:,}",
            _share(row["refused"], row["runs"]),
            _share(row["coverage"], row["answered"]),
            _share(row["false"], row["runs"]),
            "–" if math.isnan(row["width"]) else f"{100 * row['width']:.1f}",
            _share(row["power_2"], row["runs"]),
            _share(row["power_35"], row["runs"]),
            "–" if old is None else _before(old),
            "; ".join(said) or "met",
        )


def _order(values: pd.Series[Any]) -> pd.Series[Any]:
    if values.name == "estimator":
        return values.map("ABSEL".index)
    if values.name == "effect":
        order = list(dict.fromkeys(values))
        return values.map(lambda name: -1 if name == BASE else order.index(name))
    return values


def _before(old: Mapping[Any, Any]) -> str:
    shares = (old["coverage"], old["false"], old["power_2"], old["power_35"])
    return ", ".join("–" if math.isnan(each) else f"{100 * each:.0f}" for each in shares)


def power(seen: pd.DataFrame) -> Iterator[str]:
    """Yield the Markdown of the smallest saving that is called in 80 % of the runs."""
    yield "| instances | hold-back | after 1 hour | after 1 day | after 7 days |"
    yield "|--:|---|--:|--:|--:|"
    for (instances, held_back), each in seen.groupby(["instances", "held_back"], sort=True):
        cells = []
        for after in ("1 hour", "1 day", "7 days"):
            part = each[each["after"] == after]
            letter = part["estimator"].mode()[0]
            cells.append(f"{_smallest(part['smallest'])} ({letter})")
        yield _line(f"{instances:,}", "yes" if held_back else "no", *cells)


def power_lines(seen: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the same table as records of :class:`fleetpgo.measurement.power.Line`."""
    lines: list[dict[str, Any]] = []
    for (instances, held_back), each in seen.groupby(["instances", "held_back"], sort=True):
        found = {after: smallest(part["smallest"]) for after, part in each.groupby("after")}
        shares = {
            name: round(found[after], 4) if math.isfinite(found[after]) else None
            for name, after in (("hour", "1 hour"), ("day", "1 day"), ("week", "7 days"))
        }
        lines.append({"instances": int(str(instances)), "held_back": bool(held_back), **shares})
    return lines


def smallest(values: pd.Series[float]) -> float:
    """Return the saving that 80 % of the runs would have called; infinite: more than 20 % refused."""
    return float(values.sort_values().iloc[math.ceil(0.8 * len(values)) - 1])


def _smallest(values: pd.Series[float]) -> str:
    found = smallest(values)
    return f"{100 * found:.1f} %" if math.isfinite(found) else "none"


def years(rows: pd.DataFrame) -> Iterator[str]:
    """Yield the Markdown of the years: revert pull requests, and the sums against the truth."""
    yield (
        "| 200 services, refreshed weekly | years | false revert PRs a year: mean (range) "
        "| true regressions of 3 % found | a service's sum covered | the fleet's sum covered "
        "| core-hours: measured / true |"
    )
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for kind, each in rows.groupby("kind", sort=False):
        counted = [_year(year) for _, year in each.groupby("year")]
        false = [one.false for one in counted]
        found, losses = sum(one.found for one in counted), sum(one.losses for one in counted)
        covered = [flag for one in counted for flag in one.covered]
        true_hours = sum(one.true_hours for one in counted)
        yield _line(
            str(kind),
            str(len(counted)),
            f"{sum(false) / len(false):.1f} ({min(false)}–{max(false)})",
            f"{found} of {losses}" if losses else "–",
            f"{_share(sum(covered) / len(covered), len(covered))} %",
            f"{sum(one.fleet_covered for one in counted)} of {len(counted)}",
            f"{sum(one.hours for one in counted) / true_hours:.2f}" if true_hours else "–",
        )


@dataclass(frozen=True)
class _Year:
    false: int
    found: int
    losses: int
    covered: tuple[bool, ...]
    fleet_covered: bool
    hours: float
    true_hours: float


def _year(rows: pd.DataFrame) -> _Year:
    """Count one year of all services, by the code that counts in the store."""
    end = _REFRESHED + timedelta(weeks=int(rows["week"].max()) + 1)
    false = found = losses = 0
    covered: list[bool] = []
    everything: list[Refresh] = []
    hours = true_hours = true_sum = 0.0
    for _, service in rows.groupby("service"):
        refreshes: list[Refresh] = []
        truth = 0.0
        for row in service.sort_values("week").to_dict("records"):
            at = _REFRESHED + timedelta(weeks=int(row["week"]))
            losses += row["truth"] < 0
            truth += row["used"] * row["truth"] / (1 - row["truth"])
            true_hours += truth * _HOURS
            shares = row["saving"], row["low"], row["high"]
            if math.isnan(shares[0]):
                continue
            estimate = Estimate("A", "", *shares, row["cores"], float(row["degrees"]))
            if row["call"] == "regression" and chance_of_loss(estimate) <= REVERT_LEVEL:
                found += row["truth"] < 0
                false += row["truth"] >= 0
            ends = [row["used"] * share / (1 - share) for share in shares[1:]]
            figures = (*shares, row["cores"], *ends)
            one = Refresh(str(row["week"]), at, "", "week", row["call"], "PGO", "A", *figures)
            refreshes.append(replace(one, degrees=estimate.degrees))
        last = reclaimed(refreshes)[-1]
        covered.append(last.low <= truth <= last.high)
        hours += sum(core_hours(refreshes, now=end))
        everything += refreshes
        true_sum += truth
    total = reclaimed(everything)[-1]
    return _Year(false, found, losses, tuple(covered), total.low <= true_sum <= total.high, hours, true_hours)


def _share(share: float, runs: int) -> str:
    if math.isnan(share):
        return "–"
    return f"{100 * share:.1f} ± {100 * error(share, runs):.1f}"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
