"""S: staggered adoption, a preliminary estimate hours after a rollout that went from instance to instance.

Assumptions:

- The order in which instances were updated is independent of how their CPU was about to change.
- Instances of a datacenter share the same shocks at the same time.

For instance i of datacenter d at time t, without the new build:

    ln C_it = ε · ln Q_it + φ · fresh_it + α_i + γ_dt + noise

C is CPU, Q traffic. fresh_it is 1 for a held-back instance that was restarted in this rollout on the old
build. The model is fitted by least squares to instances *before* they went over, and to those that never do.
It gives what each new instance would have used at that time, as long as some instance of its datacenter has
not gone over. τ is the mean of what they used more, weighted by the number of instances still on the old
build over that of all. So instances that went over earlier are never controls: their CPU may still be
falling (the imputation estimator of Borusyak, Jaravel and Spiess, Review of Economic Studies 2024).

ε is the elasticity from history. Without history it is fitted here; a load balancer that follows CPU then
biases it, because it makes traffic depend on cost. φ can be separated from the build's effect only if
held-back instances were restarted, too. Otherwise φ is left out, the estimate says so, and the lower end of
its interval is lowered by the effect that a fresh process alone has been seen to have. The settling time
after each restart is left out.

τ is a weighted sum of the ln C_it. Its error is clustered by instance (Liang and Zeger, Biometrika 1986),
because the noise of an instance is autocorrelated. With G clusters, N points and k parameters the variance
is multiplied by G/(G − 1) · (N − 1)/(N − k). k counts the slopes, the datacenter × time effects and τ, but
not the instance effects, which are nested in clusters (Cameron and Miller, Journal of Human Resources 2015).

*Cold caches.* A new process may be dearer at first. Where CPU per request is still falling, the younger half
of the new instances' points lies above the older half. If that difference decays exponentially and the older
half keeps at most half of it, τ is too large by at most 1.5 times the difference. The interval's upper end
is raised by that, at the 97.5 % limit of the difference. S never reports a regression.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fleetpgo.measurement.distributions import t_quantile
from fleetpgo.measurement.estimate import FRESH_NOTE, FRESH_PROCESS, Estimate, NotPossibleError, from_tau
from fleetpgo.measurement.estimators.estimator import Estimator, Inputs, Traits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fleetpgo.measurement.usage import Floats, Panel

    Flags = NDArray[np.bool_]

FEWEST_INSTANCES = 20
"""Clustered standard errors need many clusters; with few they are too small."""

_STILL_COLD = 1.5
_SMALLEST = 1e-9


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
    new = usable & (panel.times >= panel.switched[:, None])
    old = usable & ~new
    controls_restarted = bool((np.isinf(panel.switched) & np.isfinite(panel.restarted)).any())
    columns = [(age >= 0).astype(float)] if controls_restarted else []
    with np.errstate(divide="ignore", invalid="ignore"):  # what is not usable is never read
        y = np.where(usable, np.log(panel.cpu), 0.0)
        if panel.requests is not None:
            traffic = np.where(usable, np.log(panel.requests), 0.0)
            if elasticity is None:
                columns.append(traffic)
            else:
                y -= elasticity * traffic
    weights = _weights(old, new, panel.datacenter)
    if weights is None:
        raise NotPossibleError("all instances of a datacenter were updated at once, and none was held back")
    model = _Model(old, panel.datacenter, np.array(columns).reshape(len(columns), *old.shape))
    tau, error = _mean(model, y, weights, weights)
    if not math.isfinite(error):
        raise NotPossibleError("the effects of the restart and of the new build cannot be separated")
    critical = t_quantile(count - 1)
    cold = 0.0
    younger = _younger(weights, age)
    if younger is not None:
        drop, doubt = _mean(model, y, younger, weights)
        cold = max(0.0, _STILL_COLD * (drop + critical * doubt))
    settled = np.where(new, panel.cpu, np.nan)[np.isfinite(panel.switched)]
    settled = settled[np.isfinite(settled).any(axis=1)]
    return from_tau(
        ESTIMATOR.letter,
        f"{count} instances, errors clustered by instance",
        tau,
        critical * error,
        cores_after=float(np.nanmean(settled, axis=1).sum()),
        degrees=count - 1,
        notes=() if controls_restarted else (f"no held-back instance was restarted, so {FRESH_NOTE}",),
        allowance=0.0 if controls_restarted else FRESH_PROCESS,
        raised=cold,
    )


def _weights(old: Flags, new: Flags, datacenter: NDArray[np.int64]) -> Floats | None:
    """Return the weight of each point on the new build; None if none has a control at its time."""
    weights = np.zeros(old.shape)
    for each in np.unique(datacenter):
        own = datacenter == each
        before, after = (flags[own].sum(axis=0, dtype=float) for flags in (old, new))
        weights[own] = new[own] * (before / np.maximum(before + after, 1.0))
    total = weights.sum()
    return weights / total if total > 0 else None


def _younger(weights: Floats, age: NDArray[Any]) -> Floats | None:
    """Return weights of the younger half of the new points less those of the older half; None: one age."""
    there = weights > 0
    middle = np.median(age[there])
    halves = [np.where(there & side, weights, 0.0) for side in (age < middle, age >= middle)]
    totals = [float(each.sum()) for each in halves]
    if min(totals) <= 0:
        return None
    return np.asarray(halves[0] / totals[0] - halves[1] / totals[1])


@dataclass(frozen=True)
class _Model:
    """What CPU is on the old build: effects of instances and of datacenter × time, and slopes.

    Attributes:
        old: the points it is fitted to; shape (instances, times).
        datacenter: of each instance.
        columns: what the slopes are of; shape (slopes, instances, times).
    """

    old: Flags
    datacenter: NDArray[np.int64]
    columns: Floats

    def effects(self, values: Floats) -> Floats:
        """Return α_i + γ_dt of the least-squares fit to the values at old points, everywhere.

        The instances' effects are eliminated; what is left are as many equations as times, in each
        datacenter.
        """
        fitted = np.zeros(values.shape)
        for each in np.unique(self.datacenter):
            own = self.datacenter == each
            old = self.old[own].astype(float)
            value = values[own] * old
            fitted[own] = sum(_solve(old, value.sum(axis=1), value.sum(axis=0)))
        return fitted

    def counterparts(self, weights: Floats) -> Floats:
        """Return the weights of old points whose sum predicts the weighted sum of the points' α_i + γ_dt."""
        result = np.zeros(weights.shape)
        for each in np.unique(self.datacenter):
            own = self.datacenter == each
            old = self.old[own].astype(float)
            result[own] = old * sum(_solve(old, weights[own].sum(axis=1), weights[own].sum(axis=0)))
        return result


def _solve(old: Floats, of_instances: Floats, of_times: Floats) -> tuple[Floats, Floats]:
    """Return the instances' and the times' part of the normal equations' solution, to be broadcast."""
    per_instance = np.maximum(old.sum(axis=1), 1.0)
    scaled = old / per_instance[:, None]
    matrix = np.diag(old.sum(axis=0)) - old.T @ scaled
    times = np.linalg.lstsq(matrix, of_times - scaled.T @ of_instances, rcond=_SMALLEST)[0]
    instances = (of_instances - old @ times) / per_instance
    return instances[:, None], times[None, :]


def _mean(model: _Model, y: Floats, weights: Floats, effect: Floats) -> tuple[float, float]:
    """Return the weighted sum of what new points have above the model, and its error clustered by instance.

    Args:
        model: of the old points.
        y: ln C, less what is known of traffic's part.
        weights: of new points.
        effect: weights of the mean effect, for residuals; their sum is 1.
    """
    old, columns = model.old, model.columns
    left = [np.where(old, each - model.effects(each), 0.0) for each in columns]
    counterparts = model.counterparts(weights)
    combined = weights - counterparts
    slopes = np.zeros(len(columns))
    if len(columns):
        gram = np.array([[float((a * b).sum()) for b in left] for a in left])
        if min(np.diag(gram)) < _SMALLEST or np.linalg.cond(gram) > 1 / _SMALLEST:
            return math.nan, math.inf
        carried = np.linalg.solve(gram, [float((combined * each).sum()) for each in columns])
        combined = combined - sum(c * each for c, each in zip(carried, left, strict=True))
        slopes = np.linalg.solve(gram, [float((each * y).sum()) for each in left])
    rest = y - sum((slope * each for slope, each in zip(slopes, columns, strict=True)), np.zeros(y.shape))
    rest = rest - model.effects(rest)
    tau = float((effect * rest).sum())
    residuals = np.where(old, rest, rest - tau)
    scores = (combined * residuals).sum(axis=1)
    clusters = int((combined != 0).any(axis=1).sum())
    cells = sum(int(old[model.datacenter == each].any(axis=0).sum()) for each in np.unique(model.datacenter))
    points, parameters = int(old.sum() + (effect > 0).sum()), len(columns) + cells + 1
    if points <= parameters or clusters <= 1:
        return math.nan, math.inf
    factor = clusters / (clusters - 1) * (points - 1) / (points - parameters)
    return float((weights * rest).sum()), math.sqrt(factor * float(np.square(scores).sum()))


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
