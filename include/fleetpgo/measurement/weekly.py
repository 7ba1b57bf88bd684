"""B: the saving week on week, adjusted for traffic, with an interval from the weeks before.

Assumption: but for the build and its traffic, this week differs from the last as the weeks before differed
from theirs; CPU follows traffic with one elasticity.

Over the fleet's hours, with C the CPU in cores and Q the requests per second of all instances:

    r_h = ln(C_h/C_{h−168}) − ε · ln(Q_h/Q_{h−168})      τ = median of r_h over the window after the rollout

The same with the rollout thought k = 1 … K weeks earlier gives placebos: changes that no rollout made.
Those between them, a day apart, are placebos as well. Half-width: t(97.5 %, 0.84 K) · root of the mean of
all their squares. They overlap, so they are far from independent: by the autocorrelation of such
differences, the 29 over five weeks are worth 4.2 where cost drifts as a random walk, and 6.9 where each
week is a matter of its own (the equivalent degrees of freedom, as for the overlapping Allan variance). The
lesser is taken. Their mean is not estimated: it is zero if nothing drifts, and if something drifts, that is
doubt. The median lets an attack of hours pass by.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.measurement.elasticity import HOUR, hourly, week_on_week
from fleetpgo.measurement.estimate import Estimate, NotPossibleError, from_tau, quantile
from fleetpgo.measurement.usage import COVERAGE
from fleetpgo.measurement.windows import DAY, PLACEBOS, WEEK

if TYPE_CHECKING:
    from fleetpgo.measurement.usage import Floats, Usage
    from fleetpgo.measurement.windows import Windows

FEWEST_PLACEBOS = 2

WORTH = 0.84
"""Degrees of freedom for each week of placebos a day apart."""


def estimate(usage: Usage, windows: Windows, *, elasticity: float = 1.0) -> Estimate:
    """The saving against the weeks before.

    Raises:
        NotPossibleError: the window is shorter than a day, or history than two placebo weeks.
    """
    if windows.length < DAY or windows.shift != WEEK:
        raise NotPossibleError("the windows are not between a day and a week long")
    total = usage.total()
    hours, log_cpu, log_work = hourly(total.times, total.cpu[0, 0], total.work[0, 0])
    change_hours, cpu = week_on_week(hours, log_cpu)
    _, work = week_on_week(hours, log_work)
    changes = cpu - elasticity * work
    tau = _median(change_hours, changes, windows)
    if tau is None:
        raise NotPossibleError("the week before the rollout, or the one after it, was not measured")
    days = {
        (week, day): _median(change_hours, changes, windows.placebo(week, day))
        for week in range(1, PLACEBOS + 1)
        for day in range(7 if week < PLACEBOS else 1)
    }
    placebos = tuple(change for (_, day), change in days.items() if day == 0 and change is not None)
    count = len(placebos)
    if count < FEWEST_PLACEBOS:
        raise NotPossibleError(
            f"history holds {count} week(s) to take as placebos; an interval needs {FEWEST_PLACEBOS}: "
            f"{FEWEST_PLACEBOS + 1} weeks of metrics before the rollout's own"
        )
    squares = [change**2 for change in days.values() if change is not None]
    after, _ = windows.pairs(usage.times)
    return from_tau(
        "B",
        f"{count} placebo weeks",
        tau,
        quantile(WORTH * count) * math.sqrt(np.mean(squares)),
        cores_after=float(np.nanmean(total.cpu[0, 0, after])),
        degrees=math.floor(WORTH * count),
        placebos=placebos,
        notes=()
        if count == PLACEBOS
        else (f"history holds {count} of {PLACEBOS} placebo weeks: the interval is wider for it",),
    )


def _median(hours: Floats, changes: Floats, windows: Windows) -> float | None:
    """The median change of a window's hours; None if too many are missing."""
    start, end = -(-windows.after[0] // HOUR), windows.after[1] // HOUR
    # Whole hours on either side of what is left out, so that no hour is half of one build, half of another.
    usable = np.ones(len(hours), dtype=bool)
    left_out = [(a // HOUR, -(-b // HOUR)) for a, b in (windows.rolling, *windows.excluded)]
    expected = np.ones(end - start, dtype=bool)
    every = np.arange(start, end)
    for first, last in left_out:
        for shift in (0, windows.shift // HOUR):
            usable &= (hours - shift < first) | (hours - shift >= last)
            expected &= (every - shift < first) | (every - shift >= last)
    chosen = changes[usable & (hours >= start) & (hours < end)]
    return float(np.median(chosen)) if len(chosen) >= max(1, COVERAGE * expected.sum()) else None
