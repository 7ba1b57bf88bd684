"""S: staggered adoption, a preliminary estimate hours after a rollout that went from instance to instance.

Assumptions:

- The order in which instances were updated is independent of how their CPU was about to change.
- Instances of a datacenter share the same shocks at the same time.
- The effect is the same for all instances, and constant after the settling time.

Two-way fixed effects, fitted by least squares over the hours around the rollout, for instance i of datacenter
d at time t:

    ln C_it = τ · new_it + φ · fresh_it + ε · ln Q_it + α_i + γ_dt + noise

C is CPU, Q traffic. new_it is 1 if the instance runs the new build, fresh_it is 1 if it was restarted in this
rollout, on either build.

ε is the elasticity from history. Without history it is fitted here; a load balancer that follows CPU then
biases it, because it makes traffic depend on cost. φ can be separated from τ only if held-back instances were
restarted, too. Otherwise φ is left out, the estimate says so, and the lower end of its interval is widened by
the effect that a fresh process alone has been seen to have. The settling time after each restart is left out.

Standard errors are clustered by instance (Liang and Zeger, Biometrika 1986), because the noise of an instance
is autocorrelated. With G clusters, N points and k parameters the variance is multiplied by
G/(G − 1) · (N − 1)/(N − k). k counts the slopes and the datacenter × time effects, but not the instance
effects, which are nested in clusters (Cameron and Miller, Journal of Human Resources 2015).

S never reports a regression: for hours after a restart, cold caches look like one.

The fixed effects α and γ are removed from both sides by alternating projections; the slopes are fitted to the
residuals (Frisch, Waugh and Lovell).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.measurement.distributions import t_quantile
from fleetpgo.measurement.estimate import FRESH_NOTE, FRESH_PROCESS, Estimate, NotPossibleError, from_tau
from fleetpgo.measurement.estimators.estimator import Estimator, Inputs, Traits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fleetpgo.measurement.usage import Floats, Panel

FEWEST_INSTANCES = 20
"""Clustered standard errors need many clusters; with few they are too small."""

_TOLERANCE, _MOST_SWEEPS = 1e-9, 500


def estimate(panel: Panel, *, settle: float, elasticity: float | None = None) -> Estimate:
    """Estimate the saving across the staggered rollout.

    Args:
        panel: the instances.
        settle: seconds after each restart that are left out.
        elasticity: d ln(CPU) / d ln(traffic); None: fit it to these hours.

    Raises:
        NotPossibleError: fewer than 20 instances; all instances of a datacenter were updated at once; or
            restart and new build cannot be separated.
    """
    age = panel.times - np.minimum(panel.switched, panel.restarted)[:, None]
    usable = (panel.cpu > 0) & ((age < 0) | (age >= settle))
    if panel.requests is not None:
        usable &= panel.requests > 0
    usable &= (usable & (age < 0)).any(axis=1, keepdims=True)  # a newcomer has no before
    count = int(usable.any(axis=1).sum())
    if count < FEWEST_INSTANCES:
        raise NotPossibleError(f"{count} instances have data from before; {FEWEST_INSTANCES} are needed")
    new = (panel.times >= panel.switched[:, None]).astype(float)
    fresh = (age >= 0).astype(float)
    controls_restarted = bool((np.isinf(panel.switched) & np.isfinite(panel.restarted)).any())
    columns = [new, *([fresh] if controls_restarted else [])]
    with np.errstate(divide="ignore", invalid="ignore"):  # what is not usable is never read
        y = np.where(usable, np.log(panel.cpu), 0.0)
        if panel.requests is not None:
            traffic = np.where(usable, np.log(panel.requests), 0.0)
            if elasticity is None:
                columns.append(traffic)
            else:
                y -= elasticity * traffic
    y, *x = (_within(values, usable, panel.datacenter) for values in (y, *columns))
    if np.square(x[0]).sum() < _TOLERANCE * usable.sum():
        raise NotPossibleError("all instances of a datacenter were updated at once, and none was held back")
    tau, error = _clustered(y, np.stack(x), usable, panel.datacenter)
    if not math.isfinite(error):
        raise NotPossibleError("the effects of the restart and of the new build cannot be separated")
    settled = np.where(usable & (new > 0), panel.cpu, np.nan)[np.isfinite(panel.switched)]
    settled = settled[np.isfinite(settled).any(axis=1)]
    return from_tau(
        ESTIMATOR.letter,
        f"{count} instances, errors clustered by instance",
        tau,
        t_quantile(count - 1) * error,
        cores_after=float(np.nanmean(settled, axis=1).sum()),
        degrees=count - 1,
        notes=() if controls_restarted else (f"no held-back instance was restarted, so {FRESH_NOTE}",),
        allowance=0.0 if controls_restarted else FRESH_PROCESS,
    )


def _within(values: Floats, usable: NDArray[np.bool_], datacenter: NDArray[np.int64]) -> Floats:
    """Return the values minus their instance means and datacenter × time means."""
    left: Floats = np.where(usable, values, 0.0)
    per_instance = np.maximum(usable.sum(axis=1, keepdims=True), 1)
    order = np.argsort(datacenter, kind="stable")
    left, usable, per_instance = left[order], usable[order], per_instance[order]
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


def _clustered(
    y: Floats, x: Floats, usable: NDArray[np.bool_], datacenter: NDArray[np.int64]
) -> tuple[float, float]:
    """Return the first slope of y (instances, times) on x (slopes, instances, times), and its error."""
    bread = np.einsum("ait,bit->ab", x, x)
    if np.linalg.cond(bread) > 1 / _TOLERANCE:
        return math.nan, math.inf
    inverse = np.linalg.inv(bread)
    slopes = inverse @ np.einsum("ait,it->a", x, y)
    residuals = y - np.einsum("a,ait->it", slopes, x)
    scores = np.einsum("ait,it->ai", x, residuals)
    clusters = int((np.abs(x[0]).sum(axis=1) > 0).sum())
    effects = sum(int(usable[datacenter == each].any(axis=0).sum()) for each in np.unique(datacenter))
    points, parameters = int(usable.sum()), len(x) + effects
    if points <= parameters:
        return math.nan, math.inf
    factor = clusters / max(clusters - 1, 1) * (points - 1) / (points - parameters)
    variance = inverse @ (scores @ scores.T) @ inverse * factor
    return float(slopes[0]), float(math.sqrt(variance[0, 0]))


def _run(inputs: Inputs) -> Estimate:
    if inputs.panel is None:
        raise NotPossibleError("instances are followed only across a rollout, not over days")
    return estimate(inputs.panel, settle=inputs.settle, elasticity=inputs.elasticity)


ESTIMATOR = Estimator(
    letter="S",
    label="from instance to instance as they went over",
    traits=Traits(between_times=False, early=True),
    run=_run,
)
