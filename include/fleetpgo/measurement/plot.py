"""The chart of a comparison: CPU per request over time, both groups, as SVG and as Mermaid."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rc_context
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from fleetpgo.measurement.figures import saving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from fleetpgo.measurement.comparison import Comparison
    from fleetpgo.measurement.usage import Floats, Times, Usage
    from fleetpgo.measurement.windows import Windows

_POINTS = 240
_FEW_POINTS = 16  # as many as a chart in a comment has room for labels
_COLOURS = ("#1b7f4f", "#8a8f98")  # treated, control


def svg(comparison: Comparison, usage: Usage, windows: Windows) -> bytes:
    """Draw the chart as SVG.

    Each curve is a group's CPU per request (or per instance), relative to its own mean before the rollout:
    where the curves part after it is the saving. Beside them the saving, its interval and its placebos.
    """
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes, beside = figure.subplots(1, 2, width_ratios=(7, 1))
    for name, colour, at, curve in _curves(usage, windows, _POINTS):
        axes.plot(_moments(at), curve, label=name, color=colour, linewidth=1.4)
    start, end = _moments(np.array(windows.rolling))
    axes.axvspan(start, end, color="#f2b84b", alpha=0.35, label="rollout and settling")
    axes.axhline(0, color="black", linewidth=0.5)
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]  # matplotlib's is not typed
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.set_ylabel(f"CPU per {comparison.per}, change in %")
    axes.set_xlabel("UTC")
    axes.set_title(_title(comparison), loc="left", fontsize=10)
    axes.legend(frameon=False)
    _draw_interval(beside, comparison)
    picture = io.BytesIO()
    with rc_context({"svg.hashsalt": "fleetpgo"}):  # the same comparison gives the same bytes
        figure.savefig(picture, format="svg", metadata={"Date": None})
    return picture.getvalue()


def _draw_interval(axes: Axes, comparison: Comparison) -> None:
    """Draw the estimate with its interval, and the placebos, in % saved."""
    found = comparison.estimate
    if found is None:
        axes.set_axis_off()
        return
    low, middle, high = (100 * each for each in (found.low, found.saving, found.high))
    axes.errorbar(0, middle, [[middle - low], [high - middle]], fmt="o", color=_COLOURS[0], capsize=5)
    for placebo in found.placebos:
        axes.plot(1, 100 * placebo, "o", color=_COLOURS[1], markersize=4, alpha=0.7)
    axes.axhline(0, color="black", linewidth=0.5)
    axes.set_xlim(-0.6, 1.6)
    axes.set_xticks([0, 1], ["saving", "placebos"], rotation=30, fontsize=8)
    axes.set_title("saved, %", loc="left", fontsize=10)


def mermaid(comparison: Comparison, usage: Usage, windows: Windows) -> str:
    """Return the same curves as a Mermaid chart in Markdown, which forges draw inside a comment.

    Such a chart knows neither legends nor gaps: the legend is a sentence below it, and a part of the time in
    which one of the groups was not measured is left out.
    """
    curves = list(_curves(usage, windows, _FEW_POINTS))
    there = np.all([np.isfinite(curve) for _, _, _, curve in curves], axis=0)
    if not there.any():
        return ""
    unit, length = next(
        (unit, length)
        for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60), ("seconds", 1))
        if windows.after[1] - windows.before[0] >= 4 * length or length == 1
    )
    since = (curves[0][2][there] - windows.rolling[0]) / length
    palette = ", ".join(colour for _, colour, _, _ in curves)
    legend = {"treated": "Green: the new build", "control": "grey: the instances that kept the old one"}
    rolling = (windows.rolling[1] - windows.rolling[0]) / length
    lines = [f"    line [{', '.join(f'{value:.2f}' for value in curve[there])}]" for _, _, _, curve in curves]
    return "\n".join(
        [
            "```mermaid",
            f'%%{{init: {{"themeVariables": {{"xyChart": {{"plotColorPalette": "{palette}"}}}}}}}}%%',
            "xychart-beta",
            f'    x-axis "{unit} since the rollout began" [{", ".join(f"{at:.1f}" for at in since)}]',
            f'    y-axis "CPU per {comparison.per}, change in %"',
            *lines,
            "```",
            "",
            f"{'; '.join(legend[name] for name, _, _, _ in curves)}. Each relative to its own mean before",
            f"the rollout, which took {rolling:.1f} {unit} with its settling.",
        ]
    )


def _curves(usage: Usage, windows: Windows, points: int) -> Iterator[tuple[str, str, Floats, Floats]]:
    """Yield each group's name and colour, the Unix times of its points, and its curve."""
    shown = (usage.times >= windows.before[0]) & (usage.times < windows.after[1])
    times = usage.times[shown]
    for group, name in enumerate(("treated", "control")[: len(usage.cpu)]):
        there = np.isfinite(usage.cpu[group] + usage.work[group])[:, shown]
        cpu, work = (
            np.where(there, values[group][:, shown], 0.0).sum(axis=0) for values in (usage.cpu, usage.work)
        )
        yield name, _COLOURS[group], *_relative(times, cpu, work, points, before=times < windows.rolling[0])


def _relative(
    times: Times, cpu: Floats, work: Floats, points: int, *, before: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Return the middles of equal parts of the time, and ratios of sums in % of that before the rollout."""
    parts = (np.arange(len(times)) * min(points, len(times))) // len(times)
    sums = [np.bincount(parts, weights=values) for values in (cpu, work)]
    with np.errstate(divide="ignore", invalid="ignore"):  # a gap is NaN, and drawn as one
        level = cpu[before].sum() / work[before].sum()
        curve: Floats = 100 * (sums[0] / sums[1] / level - 1)
    middles: Floats = np.bincount(parts, weights=times) / np.bincount(parts)
    return middles, curve


def _moments(seconds: Times | Floats) -> NDArray[np.datetime64]:
    """Return Unix seconds as matplotlib reads times: in UTC."""
    return seconds.astype("datetime64[s]")


def _title(comparison: Comparison) -> str:
    found = comparison.estimate
    if found is None:
        return comparison.verdict.call
    figures = saving(found.saving, found.low, found.high)
    return f"{comparison.verdict.call}: {figures} (95 % interval), estimator {found.method}"
