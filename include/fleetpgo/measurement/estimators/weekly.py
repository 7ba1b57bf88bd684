"""B: the saving week on week, adjusted for traffic, with an interval from the weeks before.

Assumption: apart from the build and traffic, this week differs from the last as earlier weeks differed from
their predecessors; CPU follows traffic with one elasticity.

Over the fleet's hours, with C the CPU in cores and Q the requests per second of all instances:

    r_h = ln(C_h/C_{h−168}) − ε · ln(Q_h/Q_{h−168})      τ = median of r_h over the window after the rollout

The same computation for an imagined rollout k = 1 … K weeks earlier gives placebos: changes without a
rollout. The weeks that start on the days in between are placebos, too. The interval is

    half-width = t(97.5 %, 0.84 K) · √(mean of all squared placebos)

The placebos overlap, so they are not independent. From the autocorrelation of such differences, the 29
placebos over five weeks have 4.2 equivalent degrees of freedom if cost drifts as a random walk, and 6.9 if
weeks are independent (computed as for the overlapping Allan variance). The smaller number is used. The mean
of the placebos is not subtracted: without drift it is zero, and a drift must widen the interval. The median
is robust against an attack of some hours. If CPU per request changed in only some datacenters, by more than
in any earlier week, the cause is not the build: then there is no estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.measurement.distributions import t_quantile
from fleetpgo.measurement.elasticity import HOUR, hourly, week_on_week
from fleetpgo.measurement.estimate import Estimate, NotPossibleError, from_tau
from fleetpgo.measurement.estimators.estimator import Estimator, Traits
from fleetpgo.measurement.figures import signed
from fleetpgo.measurement.usage import LEAST_MEASURED, TREATED
from fleetpgo.measurement.windows import PLACEBOS, WEEK, WORTH, loud

if TYPE_CHECKING:
    from fleetpgo.measurement.usage import Floats, Times, Usage
    from fleetpgo.measurement.windows import Windows

FEWEST_PLACEBOS = 2

APART = 5.0
"""A datacenter that moved so many times its usual distance from the others was not moved by the build.

Of 200 simulated fleets in ten scenarios none reached 4.6; with machines that are 10 % faster in two of ten
datacenters all exceeded 11.
"""


def estimate(usage: Usage, windows: Windows, *, elasticity: float = 1.0) -> Estimate:
    """Estimate the saving against the week before.

    Raises:
        NotPossibleError: the window is shorter than a day, history than two placebo weeks, or some
            datacenters changed as they never did against the others.
    """
    if windows.across_rollout or windows.shift != WEEK:
        raise NotPossibleError("the windows are not between a day and a week long")
    total = usage.total()
    fleet = _changes(usage.times, total.cpu[0, 0], total.work[0, 0], elasticity)
    tau = _median(fleet, windows)
    if tau is None:
        raise NotPossibleError("the week before the rollout, or the one after it, was not measured")
    days = {
        (week, day): _median(fleet, placebo)
        for week in range(1, PLACEBOS + 1)
        for day in range(7 if week < PLACEBOS else 1)
        if (placebo := windows.placebo(week, day)).quiet
    }
    placebos = tuple(change for (_, day), change in days.items() if day == 0 and change is not None)
    count = len(placebos)
    if count < FEWEST_PLACEBOS:
        raise NotPossibleError(
            f"history holds {count} week(s) to take as placebos{loud(windows)}; "
            f"{FEWEST_PLACEBOS} are needed: {FEWEST_PLACEBOS + 1} weeks of metrics before the rollout's own"
        )
    _reject_apart(usage, windows, elasticity)
    squares = [change**2 for change in days.values() if change is not None]
    after, _ = windows.pairs(usage.times)
    return from_tau(
        ESTIMATOR.letter,
        f"{count} placebo weeks",
        tau,
        t_quantile(WORTH * count) * math.sqrt(np.mean(squares)),
        cores_after=float(np.nanmean(total.cpu[0, 0, after])),
        degrees=WORTH * count,
        placebos=placebos,
        notes=()
        if count == PLACEBOS
        else (
            f"history holds {count} of {PLACEBOS} placebo weeks{loud(windows)}: the interval is wider for it",
        ),
    )


@dataclass(frozen=True)
class _Changes:
    """The changes r_h, and the Unix hour of each."""

    hours: Floats
    values: Floats


def _changes(times: Times, cpu: Floats, work: Floats, elasticity: float) -> _Changes:
    hours, log_cpu, log_work = hourly(times, cpu, work)
    at, of_cpu = week_on_week(hours, log_cpu)
    _, of_work = week_on_week(hours, log_work)
    return _Changes(at, of_cpu - elasticity * of_work)


def _median(changes: _Changes, windows: Windows) -> float | None:
    """Return the median change of a window's hours; None if too many are missing."""
    start, end = -(-windows.after[0] // HOUR), windows.after[1] // HOUR
    # Whole hours on either side of what is left out, so that no hour is half of one build, half of another.
    hours = changes.hours
    usable = np.ones(len(hours), dtype=bool)
    left_out = [(a // HOUR, -(-b // HOUR)) for a, b in windows.left_out]
    expected = np.ones(end - start, dtype=bool)
    every = np.arange(start, end)
    for first, last in left_out:
        for shift in (0, windows.shift // HOUR):
            usable &= (hours - shift < first) | (hours - shift >= last)
            expected &= (every - shift < first) | (every - shift >= last)
    chosen = changes.values[usable & (hours >= start) & (hours < end)]
    return float(np.median(chosen)) if len(chosen) >= max(1, LEAST_MEASURED * expected.sum()) else None


def _reject_apart(usage: Usage, windows: Windows, elasticity: float) -> None:
    """Refuse a change in only some datacenters that is larger than any such change in the weeks before.

    Each datacenter's median change less the median of those, in units of its root mean square in the placebo
    weeks: the datacenter's own or that of all, whichever is larger. A small one may be noisier than the rest.
    """
    medians = np.full((PLACEBOS + 1, len(usage.datacenters)), np.nan)
    for d in range(len(usage.datacenters)):
        changes = _changes(usage.times, usage.cpu[TREATED, d], usage.work[TREATED, d], elasticity)
        for week in range(PLACEBOS + 1):
            placebo = windows.placebo(week)
            found = _median(changes, placebo) if week == 0 or placebo.quiet else None
            medians[week, d] = math.nan if found is None else found
    weeks = medians[np.isfinite(medians).any(axis=1)]
    apart = weeks - np.nanmedian(weeks, axis=1, keepdims=True)
    squares = np.square(apart[1:])
    usual = np.sqrt(np.fmax(np.nanmean(squares), np.nansum(squares, axis=0) / len(squares)))
    far = [
        f"{name} by {signed(math.expm1(change))}"
        for name, change, distance, own in zip(usage.datacenters, medians[0], apart[0], usual, strict=True)
        if abs(distance) > APART * own
    ]
    if far:
        raise NotPossibleError(
            f"CPU per request changed in {', '.join(far)}, as never against the other datacenters in the "
            "weeks before: other machines, or a release of their own?"
        )


ESTIMATOR = Estimator(
    letter="B",
    label="week on week, adjusted for traffic",
    traits=Traits(between_times=True, early=False),
    run=lambda inputs: estimate(inputs.usage, inputs.windows, elasticity=inputs.follow),
)
