"""From the answers of many runs to the tables of docs/measurement.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_SCENARIO = "–"

COVERAGE = (0.92, 0.98)
FALSE_CALLS = 0.05
POWER = {("A", 0.01): 0.99, ("B", 0.02): 0.70, ("S", 0.02): 0.95}
STRESS_COVERAGE = 0.90
WRONG_SIGN = 0.025
"""How often a 95 % interval errs to one side, of itself."""


def tabulate(answers: pd.DataFrame) -> pd.DataFrame:
    """One row per estimator, scenario and true saving; shares are of all runs, the rest percentage points."""
    confident = answers["call"].isin(["saved", "regression", "no material change"])
    answered = answers["saving"].notna()
    covered = (answers["low"] <= answers["truth"]) & (answers["truth"] <= answers["high"])
    sign = answers["call"].map({"saved": 1, "regression": -1}).fillna(0)
    frame = answers.assign(
        error=100 * (answers["saving"] - answers["truth"]),
        width=100 * (answers["high"] - answers["low"]),
        covered=covered.where(answered),
        held=covered | ~confident,
        saved=answers["call"] == "saved",
        regression=answers["call"] == "regression",
        invalid=answers["call"] == "invalid",
        wrong_sign=sign * np.sign(answers["truth"]) < 0,
    )
    grouped = frame.groupby(["estimator", "scenario", "truth"], sort=False)
    return grouped.agg(
        runs=("call", "size"),
        bias=("error", "mean"),
        sd=("error", "std"),
        coverage=("covered", "mean"),
        width=("width", "mean"),
        held=("held", "mean"),
        saved=("saved", "mean"),
        regression=("regression", "mean"),
        invalid=("invalid", "mean"),
        wrong_sign=("wrong_sign", "mean"),
    ).reset_index()


def base(table: pd.DataFrame) -> Iterator[str]:
    """Markdown of the rows without a scenario, with the bounds that they must meet."""
    yield "| estimator | true saving | runs | bias | SD | coverage | width | saved | regression | bounds |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|"
    for row in table[table["scenario"] == NO_SCENARIO].to_dict("records"):
        yield _line(
            row["estimator"],
            _percent(row["truth"], 1),
            str(row["runs"]),
            f"{row['bias']:+.2f}",
            f"{row['sd']:.2f}",
            _percent(row["coverage"], 1),
            f"{row['width']:.2f}",
            _percent(row["saved"], 1),
            _percent(row["regression"], 1),
            "; ".join(_missed(row)) or "met",
        )


def _missed(row: dict[Any, Any]) -> Iterator[str]:
    if not COVERAGE[0] <= row["coverage"] <= COVERAGE[1]:
        yield f"coverage outside {_percent(COVERAGE[0])} to {_percent(COVERAGE[1])}"
    if row["truth"] == 0 and row["saved"] + row["regression"] > FALSE_CALLS:
        yield f"more than {_percent(FALSE_CALLS)} false calls"
    if row["saved"] < (least := POWER.get((row["estimator"], row["truth"]), 0.0)):
        yield f"power below {_percent(least)}"


def stress(table: pd.DataFrame) -> Iterator[str]:
    """Markdown of the scenarios: one row each, its true savings side by side."""
    rows = table[table["scenario"] != NO_SCENARIO]
    truths = ", ".join(_percent(truth) for truth in rows["truth"].unique())
    yield (
        f"| estimator | scenario | bias at {truths} | coverage | covered, or not called | false calls at 0 % "
        "| invalid | wrong sign | bounds |"
    )
    yield "|---|---|---|---|---|--:|--:|--:|---|"
    for (estimator, scenario), each in rows.groupby(["estimator", "scenario"], sort=False):
        at_zero = each[each["truth"] == 0].iloc[0]
        missed = []
        if each["held"].min() < STRESS_COVERAGE:
            missed.append("called, and not covered")
        if each["wrong_sign"].max() > WRONG_SIGN:
            missed.append("wrong sign")
        yield _line(
            str(estimator),
            str(scenario),
            " / ".join("–" if pd.isna(value) else f"{value:+.2f}" for value in each["bias"]),
            " / ".join("–" if pd.isna(value) else _percent(value) for value in each["coverage"]),
            " / ".join(map(_percent, each["held"])),
            _percent(at_zero["saved"] + at_zero["regression"], 1),
            _percent(each["invalid"].mean()),
            _percent(each["wrong_sign"].max(), 1),
            "; ".join(missed) or "met",
        )


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"
