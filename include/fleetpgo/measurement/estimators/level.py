"""L: what PGO saves now, against a standing baseline of instances that run a build without the profile.

Assumptions: the baseline's members are chosen without regard to how their CPU is about to change, and change
in turn (*rotation*); instances of a datacenter share the same shocks at the same time; an instance keeps its
name when it joins or leaves the baseline.

For instance i of datacenter d at time t, over some weeks:

    ln C_it − ε ln Q_it = −τ · baseline_it + α_i + γ_dt + noise

C is CPU, Q requests, ε the elasticity. τ is the change of ln CPU by the profile; a saving is 1 − exp(τ). The
effects of instances and of datacenter × time are removed by alternating projections. What is left of a value
is limited to ± 5 robust standard deviations, so one value of one instance moves τ by a bounded amount.

*Weights.* With x the baseline's indicator and y the left side after projection, sums over the instances and
times of datacenter d, and v_d its share of the CPU:

    τ = −Σ_d v_d Σ xy/Σ xx

So τ is the change of the whole fleet, as A's is: a datacenter of ten times the size counts ten times, however
few of its instances are in the baseline. It is the least-squares slope with the weights w_d = v_d/Σ xx.
Datacenters without a rotated baseline are in no sum, and the basis says how much of the CPU they have.

Machines differ by several percent, so the difference between a fixed baseline and the others says nothing: it
drops out with α_i. Only instances that were seen with both builds count, so fewer than three memberships are
refused.

*Interval.* Errors are clustered by instance, with each cluster's residual divided by one minus its share h_i
of the regressor's variation (the jackknife, CR3: MacKinnon, Nielsen and Webb, Journal of Applied
Econometrics 2023):

    se² = Σ_i n_i/(n_i − 1) · (w_i Σ_t x_it e_it/(1 − h_i))²,   h_i = w_i Σ_t x_it²

e is the residual, w_i the weight and n_i the number of instances of i's datacenter: what one of them has too
much, the others have too little, so of two instances one tells what both tell. The t quantile has G* − 1
degrees of freedom, where G* = 1/Σ_i h_i² n_i/(n_i − 1) is the effective number of clusters (Carter, Schnepel
and Steigerwald, Review of Economics and Statistics 2017).

*Load.* If baseline instances get other loads than the rest, as canaries may, their elasticity differs: see
:mod:`.holdback`. Then there is no estimate beyond a quarter more or less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.measurement.distributions import t_quantile
from fleetpgo.measurement.estimate import Estimate, NotPossibleError, from_tau
from fleetpgo.measurement.figures import percent
from fleetpgo.measurement.windows import DAY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fleetpgo.measurement.usage import Floats, Times

    Flags = NDArray[np.bool_]

LETTER = "L"
LABEL = "against a standing baseline without the profile"

FEWEST_MEMBERSHIPS = 3
FEWEST_DATACENTERS = 2
_FEWEST_CLUSTERS = 3
_SAME_LOAD = 1.25
_LIMIT = 5.0
_MAD_TO_SIGMA = 1.4826
_MOST_OF_A_DAY = 0.5
_MOST_SHARE = 0.9  # of the regressor's variation, in the jackknife
_LEAST_VARIED = 0.05  # of what half a time in the baseline gives one instance: less is no rotation
_TOLERANCE, _MOST_SWEEPS = 1e-7, 200


@dataclass(frozen=True)
class Standing:
    """Instances over some weeks, some of them in the baseline. Arrays have the shape (instances, times).

    Attributes:
        times: Unix seconds, ascending multiples of `step`.
        step: seconds.
        names: of the instances.
        datacenter: number of each instance's datacenter.
        cpu: cores; NaN: not measured.
        requests: per second; None if the service has no traffic expression.
        baseline: whether the instance runs the build without the profile.
        day: seconds of a part of the week, by which memberships are told apart: who is in the baseline for
            more than half of it is a member.
    """

    times: Times
    step: int
    names: tuple[str, ...]
    datacenter: NDArray[np.int64]
    cpu: Floats
    requests: Floats | None
    baseline: Flags
    day: int = DAY


def memberships(standing: Standing) -> int:
    """Return how many sets of members the baseline had, one after the other.

    A part of the set before, or more than it, is no new one: a member may have a gap, and two sets overlap
    while one gives way to the other. So a set is also compared with the last one that was counted. A set that
    is a part of both of its neighbours, and stands no longer than they do, is left out: a gap, or the members
    left before the next ones came.
    """
    present = standing.baseline & np.isfinite(standing.cpu)
    days = standing.times // max(standing.day, standing.step)
    sets = [
        frozenset(np.flatnonzero(present[:, days == day].mean(axis=1) > _MOST_OF_A_DAY).tolist())
        for day in np.unique(days)
    ]
    runs = [(each, len(list(same))) for each, same in groupby(filter(None, sets))]
    gaps = {
        at
        for at in range(1, len(runs) - 1)
        if all(runs[at][0] < each and runs[at][1] <= length for each, length in (runs[at - 1], runs[at + 1]))
    }
    count, counted, before = 0, frozenset[int](), frozenset[int]()
    for at, (each, _) in enumerate(runs):
        if at in gaps:
            continue
        if not count or any(not (each <= other or other <= each) for other in (counted, before)):
            count, counted = count + 1, each
        before = each
    return count


def estimate(standing: Standing, *, elasticity: float = 1.0, settle: float = 0.0) -> Estimate:
    """Estimate what PGO saves, as a mean over the times given.

    Args:
        standing: the instances.
        elasticity: d ln(CPU) / d ln(traffic); 1 compares CPU per request.
        settle: seconds that are left out after an instance joins or leaves the baseline.

    Raises:
        NotPossibleError: fewer than three memberships or two datacenters with a baseline; too few instances
            were seen with both builds; or the baseline gets another load.
    """
    count = memberships(standing)
    if count < FEWEST_MEMBERSHIPS:
        raise NotPossibleError(
            f"the baseline had {count} membership(s); {FEWEST_MEMBERSHIPS} are needed, because machines "
            "differ. Rotate it: every week other instances of each datacenter (fleetpgo services says which)"
        )
    usable = (standing.cpu > 0) & ~_changing(standing, settle)
    if standing.requests is not None:
        usable &= standing.requests > 0
    baseline = standing.baseline & usable
    here = np.array([baseline[standing.datacenter == d].any() for d in range(standing.datacenter.max() + 1)])
    if here.sum() < FEWEST_DATACENTERS:
        raise NotPossibleError(
            f"{here.sum()} datacenter(s) with a baseline; an interval needs at least {FEWEST_DATACENTERS}"
        )
    usable &= here[standing.datacenter][:, None]
    _reject_load(standing, usable)
    with np.errstate(divide="ignore", invalid="ignore"):  # what is not usable is never read
        y = np.where(usable, np.log(standing.cpu), 0.0)
        if standing.requests is not None:
            y -= elasticity * np.where(usable, np.log(standing.requests), 0.0)
    x = _within(baseline.astype(float), usable, standing.datacenter)
    y = _within(y, usable, standing.datacenter)
    y = _within(_limited(y, x, usable), usable, standing.datacenter)
    squares = np.square(x).sum(axis=1)
    both = (
        (squares > _TOLERANCE * max(float(squares.sum()), _TOLERANCE))
        & baseline.any(axis=1)
        & (usable & ~baseline).any(axis=1)
    )
    cores = _usual_cores(standing)
    weights = _weights(standing.datacenter, squares, cores, points=len(standing.times))
    compared = weights > 0
    seen, rotated = int((both & compared).sum()), len(np.unique(standing.datacenter[compared]))
    if seen < _FEWEST_CLUSTERS:
        raise NotPossibleError(
            f"{seen} instances were seen with both builds; {_FEWEST_CLUSTERS} are needed. If instances get "
            "new names when they restart, set selection.instance_label to that of the machine or slot"
        )
    if rotated < FEWEST_DATACENTERS:
        raise NotPossibleError(
            f"{rotated} datacenter(s) with a rotated baseline; an interval needs {FEWEST_DATACENTERS} or more"
        )
    shares = weights * squares
    slope = float((weights * (x * y).sum(axis=1)).sum())
    scores = weights * (x * (y - slope * x)).sum(axis=1) / (1 - np.minimum(shares, _MOST_SHARE))
    together = np.array(
        [int(usable[standing.datacenter == d].any(axis=1).sum()) for d in standing.datacenter]
    )
    mirrored = together / np.maximum(together - 1, 1)
    error = math.sqrt(float((mirrored * np.square(scores)).sum()))
    effective = 1 / float((mirrored * np.square(shares)).sum())
    degrees = max(effective - 1, 1.0)
    profiled = usable & ~baseline & compared[:, None]
    used = np.where(profiled, standing.cpu, 0.0).sum()
    return from_tau(
        LETTER,
        f"{seen} instances that ran both builds in {count} memberships, "
        f"errors clustered by instance{_left_out(cores, compared)}",
        -slope,
        t_quantile(degrees) * error,
        # Of the times since the first profile came: before, it saved nothing.
        cores_after=float(used / max(profiled.any(axis=0).sum(), 1)),
        degrees=degrees,
    )


def _weights(datacenter: NDArray[np.int64], squares: Floats, cores: Floats, *, points: int) -> Floats:
    """Return the weight of each instance's datacenter, v_d/Σx²; 0 where hardly anybody changed the build."""
    numbers = np.arange(datacenter.max() + 1)
    varied = np.array([squares[datacenter == d].sum() for d in numbers])
    used = np.array([cores[datacenter == d].sum() for d in numbers])
    used[varied < _LEAST_VARIED * points / 4] = 0.0
    weights = np.divide(used / max(used.sum(), _TOLERANCE), varied, out=np.zeros_like(used), where=used > 0)
    return np.asarray(weights[datacenter])


def _usual_cores(standing: Standing) -> Floats:
    """Return each instance's median CPU times its share of the time; shape (instances,)."""
    ordered = np.sort(standing.cpu, axis=1)  # NaN last
    counts = np.isfinite(standing.cpu).sum(axis=1)
    middle = ordered[np.arange(len(ordered)), np.maximum(counts - 1, 0) // 2]
    return np.asarray(np.where(counts > 0, middle, 0.0) * counts / ordered.shape[1])


def _left_out(cores: Floats, compared: Flags) -> str:
    """Say which share of the CPU is in datacenters without a rotated baseline; "" if none is."""
    share = cores[~compared].sum() / cores.sum()
    if share <= 0:
        return ""
    return (
        f"; {percent(share)} of the CPU is in datacenters without a rotated baseline, and in no figure here"
    )


def _changing(standing: Standing, settle: float) -> Flags:
    """Return the points within the settling time after an instance joined or left the baseline."""
    joined = np.zeros(standing.baseline.shape, dtype=bool)
    joined[:, 1:] = standing.baseline[:, 1:] != standing.baseline[:, :-1]
    # The point at which it is first seen is an average over the step before it: always left out.
    changing = joined.copy()
    for later in range(1, math.ceil(settle / standing.step) + 1):
        changing[:, later:] |= joined[:, :-later]
    return changing


def _reject_load(standing: Standing, usable: Flags) -> None:
    """Refuse a baseline whose requests per instance are not those of the others."""
    if standing.requests is None:
        return
    logs = []
    for d in np.unique(standing.datacenter):
        own = standing.datacenter == d
        requests, there = standing.requests[own], usable[own]
        sides = [there & standing.baseline[own], there & ~standing.baseline[own]]
        at = sides[0].any(axis=0) & sides[1].any(axis=0)
        means = [np.where(side, requests, 0.0)[:, at].sum(axis=0) / side[:, at].sum(axis=0) for side in sides]
        if at.any():
            logs.append(float(np.median(np.log(means[0] / means[1]))))
    if logs and abs(mean := float(np.mean(logs))) > math.log(_SAME_LOAD):
        raise NotPossibleError(
            f"the baseline gets {math.exp(mean):.2g} times the requests of the other instances: at another "
            "load CPU follows traffic in another way. Give it the load of the others"
        )


def _limited(y: Floats, x: Floats, usable: Flags) -> Floats:
    """Return y with residuals of more than five robust standard deviations cut down to that."""
    slope = float((x * y).sum() / max(float(np.square(x).sum()), _TOLERANCE))
    residuals = y - slope * x
    limit = _LIMIT * _MAD_TO_SIGMA * float(np.median(np.abs(residuals[usable])))
    return np.asarray(slope * x + np.clip(residuals, -limit, limit))


def _within(values: Floats, usable: Flags, datacenter: NDArray[np.int64]) -> Floats:
    """Return the values minus their instance means and datacenter × time means."""
    order = np.argsort(datacenter, kind="stable")
    usable = usable[order]
    left: Floats = np.where(usable, values[order], 0.0)
    per_instance = np.maximum(usable.sum(axis=1, keepdims=True), 1)
    names, starts = np.unique(datacenter[order], return_index=True)
    row = np.searchsorted(names, datacenter[order])
    per_time = np.maximum(np.add.reduceat(usable, starts, axis=0, dtype=float), 1)
    for _ in range(_MOST_SWEEPS):
        means = left.sum(axis=1, keepdims=True) / per_instance
        left = np.where(usable, left - means, 0.0)
        time_means = np.add.reduceat(left, starts, axis=0) / per_time
        left = np.where(usable, left - time_means[row], 0.0)
        if max(np.abs(means).max(), np.abs(time_means).max()) < _TOLERANCE:
            break
    restored = np.empty_like(left)
    restored[order] = left
    return restored
