"""The picture of a comparison: CPU per request over time, both groups, the rollout shaded."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rc_context
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from fleetpgo.measurement.report import interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fleetpgo.measurement.comparison import Comparison
    from fleetpgo.measurement.usage import Floats, Times, Usage
    from fleetpgo.measurement.windows import Windows

_POINTS = 240
_COLOURS = ("#1b7f4f", "#8a8f98")  # treated, control


def svg(comparison: Comparison, usage: Usage, windows: Windows) -> bytes:
    """The picture, as SVG.

    Each curve is a group's CPU per request (or per instance), relative to its own mean before the rollout:
    where the curves part after it is the saving.
    """
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    shown = (usage.times >= windows.before[0]) & (usage.times < windows.after[1])
    times = usage.times[shown]
    for group, name in enumerate(("treated", "control")[: len(usage.cpu)]):
        there = np.isfinite(usage.cpu[group] + usage.work[group])[:, shown]
        cpu, work = (
            np.where(there, values[group][:, shown], 0.0).sum(axis=0) for values in (usage.cpu, usage.work)
        )
        at, curve = _relative(times, cpu, work, before=times < windows.rolling[0])
        axes.plot(at, curve, label=name, color=_COLOURS[group], linewidth=1.4)
    start, end = _moments(np.array(windows.rolling))
    axes.axvspan(start, end, color="#f2b84b", alpha=0.35, label="rollout and settling")
    axes.axhline(0, color="black", linewidth=0.5)
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]  # matplotlib's is not typed
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.set_ylabel(f"CPU per {comparison.per}, change in %")
    axes.set_title(_title(comparison), loc="left", fontsize=10)
    axes.legend(frameon=False)
    picture = io.BytesIO()
    with rc_context({"svg.hashsalt": "fleetpgo"}):  # the same comparison gives the same bytes
        figure.savefig(picture, format="svg", metadata={"Date": None})
    return picture.getvalue()


def _relative(
    times: Times, cpu: Floats, work: Floats, *, before: NDArray[np.bool_]
) -> tuple[NDArray[np.datetime64], Floats]:
    """Ratios of sums over equal parts of the time, in % of the ratio before the rollout."""
    parts = (np.arange(len(times)) * min(_POINTS, len(times))) // len(times)
    sums = [np.bincount(parts, weights=values) for values in (cpu, work)]
    with np.errstate(divide="ignore", invalid="ignore"):  # a gap is NaN, and drawn as one
        level = cpu[before].sum() / work[before].sum()
        curve: Floats = 100 * (sums[0] / sums[1] / level - 1)
    middles = np.bincount(parts, weights=times) / np.bincount(parts)
    return _moments(middles), curve


def _moments(seconds: Times | Floats) -> NDArray[np.datetime64]:
    """Unix seconds as matplotlib reads times: UTC, without saying so."""
    return seconds.astype("datetime64[s]")


def _title(comparison: Comparison) -> str:
    found = comparison.estimate
    if found is None:
        return comparison.verdict.call
    return (
        f"{comparison.verdict.call}: {100 * found.saving:.1f} % {interval(found)}, estimator {found.method}"
    )
