"""A: the saving against a hold-back control group, by difference in differences.

Assumptions: whatever else changed between the windows (traffic, its mix, hardware, other releases) changed
the treated and the held-back instances of a datacenter alike. Datacenters are independent of each other. The
held-back instances were restarted in the same rollout, on the old build, because a fresh process alone can
look like a saving.

For datacenter d and part b of the window (a day of a week), with C the CPU in cores and Q the requests per
second, both summed over the group, ε the elasticity of CPU in traffic, and the parts 1 … m by time:

    A_db = mean of [ln C − ε ln Q] of the treated − the same of the hold-back, after the rollout
    B_db = the same before it
    D_d  = Σ_b w_b A_db − Σ_b w_(m+1−b) B_db      τ = Σ_d v_d D_d

v_d is the datacenter's share of the treated instances' CPU before the rollout. So τ is the change of the
whole fleet: a datacenter of ten times the size counts ten times. The mean is taken over the hours of a day
(the points of a shorter part) that lie between the quartiles, so bursts in less than a quarter of the time
do not count.

*One odd instance.* A datacenter holds few instances back, and one of them may change for a reason of its
own. A datacenter is left out, and a note names it, if both its D_d and the change of its hold-back alone are
more than five times as far from the other datacenters' median as they usually are (root mean square over the
earlier weeks, of the datacenter or of all, whichever is larger). So one held-back instance can move τ by at
most five times that distance times v_d. Treated instances are never left out: where they change, the fleet
did.

*Load.* A process with some work that no request causes has an elasticity that depends on its load. If it is ε
at the treated instances' load, CPU is proportional to 1 − ε + ε·load near it. At ρ times that load the
elasticity is

    ε_c = ρ ε/(1 − ε + ρ ε)

The hold-back's levels use ε_c if its requests per instance differ from those of the treated by more than a
quarter. The formula is an assumption, so the whole correction, (ε − ε_c) times the change of ln Q, is added
to the half-width in quadrature. If it is larger than half a point there is no estimate.

*Weights.* w_b falls with the distance from the rollout, because the costs of the two groups drift apart, so
the days next to the rollout are the most informative. They are the optimal weights for a random walk with
noise (Muth, JASA 1960),

    w_b ∝ (1 − λ)^(b−1),   λ = 2/(1 + √(1 + 4r/q))

where q is the variance of the walk per day, and r that of the noise. Both are estimated from the weeks
before: differences of neighbouring days have the variance 2r + q, of days a week apart 2r + 7q. The weights
are equal without drift (q = 0), with a short history, and for windows of hours. The interval is valid for any
weights:

    half-width = t(97.5 %, f) · s · √(Σ_d v_d²)

*Spread between datacenters.* D_d is assumed to be equally noisy in each datacenter. s² is the variance of
D_d over the n datacenters. The same comparison k = 1 … K weeks earlier gives K more variances; a rollout in
those weeks changed all datacenters, so their spread counts even then. s² is the mean of all K + 1, with f =
(n − 1)(K + 1)²/(1.5 K + 1) degrees of freedom: neighbouring comparisons share a week, so their differences
have a correlation of −0.5 if weeks are independent. If this week's variance is significantly larger than the
earlier ones (F test, 95 %), or if history is short, s² is this week's variance alone, with f = n − 1.

*Common drift.* A drift that all held-back instances share, against all treated ones, is not in that spread.
It shows in the placebos τ_k = Σ_d v_d D_dk of K ≥ 3 earlier weeks, which should be zero. If their mean square
is larger than s² Σ_d v_d², it is used instead:

    half-width = t(97.5 %, 0.84 K) · √(mean of τ_k²)

with the degrees of freedom of B's placebos. In a simulation with normal noise (four and ten datacenters, five
weeks, a common drift of zero to four times the other error) the coverage of these intervals is 95.4 to 98.3
%. Without the τ_k it is 75 % for a drift of 1.5 times, and 50 % for 3 times the other error. The price:
without drift, intervals are 27 to 29 % wider.

*Few datacenters.* If s² is this week's variance alone, few datacenters may agree by chance better than their
own noise over time allows. Then the half-width is at least t(97.5 %, m − 1) · s_b/√m, where s_b² is the
variance over b of Σ_d v_d (A_db − B_db).

ε is 1 (CPU per request) if it cannot be estimated from history.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.measurement.distributions import f_quantile, t_quantile
from fleetpgo.measurement.estimate import Estimate, NotPossibleError, from_tau
from fleetpgo.measurement.estimators.estimator import Estimator, Traits
from fleetpgo.measurement.estimators.holdback_levels import (
    FEWEST_DATACENTERS,
    FEWEST_WEEKS,
    Levels,
    earlier_levels,
    levels_of,
    weights_of,
)
from fleetpgo.measurement.figures import percent
from fleetpgo.measurement.usage import CONTROL, TREATED
from fleetpgo.measurement.windows import PLACEBOS, WORTH, loud

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fleetpgo.measurement.usage import Floats, Positions, Usage
    from fleetpgo.measurement.windows import Windows

_MOST_NAMED = 5
APART = 5.0
"""A hold-back that moved so many times its usual distance from the others is left out."""
_SAME_LOAD = 1.25
_MOST_CORRECTED = 0.005
_DOMINANT = 0.6
"""Share of the fleet's CPU from which on a note says that one datacenter has it."""


def estimate(usage: Usage, windows: Windows, *, elasticity: float = 1.0) -> Estimate:
    """Estimate the saving against the control group.

    Raises:
        NotPossibleError: no control group, or in fewer than two datacenters; or its load per instance differs
            from that of the others, and traffic changed.
    """
    if not usage.has_control:
        raise NotPossibleError("no instance stayed on the old build: there is no control group")
    slopes, corrected = _slopes(usage, windows, elasticity)
    levels = levels_of(usage, windows, slopes)
    weeks = earlier_levels(usage, windows, slopes)
    odd = _odd(levels, [each for _, each in weeks])
    compared = levels.datacenters
    levels = levels.only(np.setdiff1d(compared, odd))
    n, m = levels.after.shape
    if n < FEWEST_DATACENTERS:
        raise NotPossibleError(
            f"{n} datacenter(s) with both a treated and a held-back group; "
            f"an interval needs at least {FEWEST_DATACENTERS}. {_lacking(usage, windows, compared)}"
        )
    earlier = [
        (quiet, each.only(levels.datacenters))
        for quiet, each in weeks
        if np.isin(levels.datacenters, each.datacenters).all()
    ]
    weights = weights_of([each for _, each in earlier], windows)
    differences = levels.differences(weights)
    others = [(quiet, each.differences(weights)) for quiet, each in earlier]
    variance, degrees = _variance(differences, [each for _, each in others])
    after, before = windows.pairs(usage.times)
    cores = _mean_cores(usage, after)
    shares = _mean_cores(usage, before)[levels.datacenters]
    shares /= shares.sum()
    spread = variance * float(np.square(shares).sum())
    moved = [float(shares @ each) for quiet, each in others if quiet]
    drift = float(np.mean(np.square(moved))) if len(moved) >= FEWEST_WEEKS else 0.0
    shared = drift > spread
    half = (
        t_quantile(WORTH * len(moved)) * math.sqrt(drift)
        if shared
        else t_quantile(degrees) * math.sqrt(spread)
    )
    if m > 1 and degrees == n - 1:
        half = max(half, t_quantile(m - 1) * (shares @ levels.changes).std(ddof=1) / math.sqrt(m))
    return from_tau(
        ESTIMATOR.letter,
        f"how all held-back instances drifted in {len(moved)} weeks before"
        if shared
        else f"t interval over {n} datacenters, weighted by CPU"
        + (", and the weeks before" if degrees > n - 1 else ""),
        float(shares @ differences),
        math.hypot(half, corrected),
        cores_after=cores[compared].sum(),
        degrees=WORTH * len(moved) if shared else degrees,
        placebos=tuple(moved),
        notes=(
            *(
                f"{usage.datacenters[d] or 'the one datacenter'} is left out: its held-back instances "
                "changed as never before against those of the other datacenters. Does one of them do "
                "something else?"
                for d in odd
            ),
            *_not_compared(usage, windows, compared, cores),
            *_notes(n, degrees, len(moved), windows, largest=float(shares.max())),
        ),
    )


def _slopes(usage: Usage, windows: Windows, elasticity: float) -> tuple[tuple[float, float], float]:
    """Return the elasticity of the treated and of the control group, and how much the latter corrects.

    Raises:
        NotPossibleError: it corrects more than can be trusted.
    """
    if usage.requests is None:
        return (elasticity, elasticity), 0.0
    after, before = windows.pairs(usage.times)
    both = np.concatenate([after, before])
    counts = usage.instances if usage.serving is None else usage.serving
    work = usage.requests[..., both]
    there = np.isfinite(work).all(axis=0)  # both groups, so that the time of day is the same
    loads = [
        np.where(there, work[group], 0.0).sum() / max(np.where(there, counts[group][:, both], 0.0).sum(), 1.0)
        for group in (TREATED, CONTROL)
    ]
    ratio = loads[1] / loads[0] if min(loads) > 0 else 1.0
    if 1 / _SAME_LOAD <= ratio <= _SAME_LOAD:
        return (elasticity, elasticity), 0.0
    # More than proportional is no work without a request; then both groups follow traffic alike.
    follow = min(elasticity, 1.0)
    control = elasticity - follow + ratio * follow / (1 - follow + ratio * follow)
    change = [np.nansum(usage.requests[CONTROL][:, at]) for at in (after, before)]
    corrected = abs((elasticity - control) * math.log(change[0] / change[1])) if min(change) > 0 else 0.0
    if corrected > _MOST_CORRECTED:
        raise NotPossibleError(
            f"held-back instances get {ratio:.2g} times the requests of the others, and traffic changed by "
            f"{percent(change[0] / change[1] - 1)}: at another load CPU follows traffic in another way. Give "
            "them the load of the others"
        )
    return (elasticity, control), corrected


def _odd(levels: Levels, weeks: list[Levels]) -> Positions:
    """Return the datacenters in which the hold-back alone changed as never before against the others."""
    weeks = [each for each in weeks if np.array_equal(each.datacenters, levels.datacenters)]
    if len(weeks) < FEWEST_WEEKS or len(levels.datacenters) <= FEWEST_DATACENTERS:
        return levels.datacenters[:0]

    def far(values: list[Floats]) -> NDArray[np.bool_]:
        apart = np.array([each - np.median(each) for each in values])
        squares = np.square(apart[1:])
        usual = np.sqrt(np.maximum(squares.mean(), squares.mean(axis=0)))
        return np.asarray(np.abs(apart[0]) > APART * usual)

    every = [levels, *weeks]
    both = far([each.changes.mean(axis=1) for each in every]) & far([each.control for each in every])
    return levels.datacenters[both]


def _mean_cores(usage: Usage, at: Positions) -> Floats:
    """Return the treated instances' mean CPU at those times, by datacenter; 0 where nobody was treated."""
    cpu = usage.cpu[TREATED][:, at]
    there = np.isfinite(cpu)
    return np.asarray(np.where(there, cpu, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1))


def _not_compared(usage: Usage, windows: Windows, compared: Positions, cores: Floats) -> Iterator[str]:
    """Yield a note if datacenters use CPU and are not compared: what they lack, and how much CPU it is."""
    left = np.setdiff1d(np.flatnonzero(cores > 0), compared)
    if len(left):
        yield (
            f"not compared, and in no figure here: {percent(cores[left].sum() / cores.sum())} of the CPU. "
            f"{_lacking(usage, windows, compared)}"
        )


def _lacking(usage: Usage, windows: Windows, compared: Positions) -> str:
    """Say what the datacenters lack that cannot be compared, by name."""
    both = np.concatenate(windows.pairs(usage.times))
    measured = np.asarray(np.isfinite(usage.cpu[..., both]).any(axis=-1))
    said = []
    for d, name in enumerate(usage.datacenters):
        if d in compared:
            continue
        groups = [
            group for group, there in (("treated", TREATED), ("held-back", CONTROL)) if not measured[there, d]
        ]
        lacks = f"no {' and no '.join(groups)} instance" if groups else "gaps on one side of the rollout"
        said.append(f"{name or 'the one datacenter'} has {lacks}")
    more = len(said) - _MOST_NAMED
    return "; ".join(said[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _notes(datacenters: int, degrees: int, weeks: int, windows: Windows, *, largest: float) -> Iterator[str]:
    if largest > _DOMINANT:
        yield f"one datacenter has {percent(largest)} of the CPU: the figure is mostly that datacenter's"
    if degrees <= _FEW:
        yield f"{datacenters} datacenters: the interval leans on their noise being normal"
    if windows.across_rollout or weeks == PLACEBOS:
        return
    if weeks < FEWEST_WEEKS:
        yield (
            f"history holds {weeks} of {PLACEBOS} weeks to tell the noise by{loud(windows)}: a drift "
            "that all held-back instances share is not in the interval"
        )
    else:
        yield (
            f"history holds {weeks} of {PLACEBOS} weeks to tell the noise by{loud(windows)}: "
            "the interval is wider for it"
        )


_FEW = 5
"""Up to so many datacenters no sign test could tell anything at 95 %; only normality of the noise can."""


def _variance(differences: Floats, placebos: list[Floats]) -> tuple[float, int]:
    """Return s² and its degrees of freedom f."""
    n = len(differences)
    own = float(differences.var(ddof=1))
    others = [float(each.var(ddof=1)) for each in placebos]
    weeks = len(others)
    if not weeks:
        return own, n - 1
    # K neighbouring weeks are worth K²/(1.5 K − 0.5) independent ones, as K + 1 are worth what f says.
    earlier = (n - 1) * weeks**2 / (1.5 * weeks - 0.5)
    if own > f_quantile(n - 1, earlier) * np.mean(others):
        return own, n - 1
    return (own + sum(others)) / (weeks + 1), math.floor((n - 1) * (weeks + 1) ** 2 / (1.5 * weeks + 1))


ESTIMATOR = Estimator(
    letter="A",
    label="against the instances that kept the old build",
    traits=Traits(between_times=False, early=False),
    run=lambda inputs: estimate(inputs.usage, inputs.windows, elasticity=inputs.follow),
)
