"""E: the jump of CPU per request across the rollout, less the same clock jump of the weeks before.

Assumption: between the time just before the rollout and the time just after it, CPU per request moves as it
moved between the same clock times of the weeks before. A fresh process may run cheaper or dearer than an old
one for hours; the jump cannot tell that from the build. So the interval's lower end is lowered by what a
fresh process alone was seen to save, and the upper end is raised by three points: about the mean over an
hour of a cold cache that costs 5 % at the restart and half of that 20 minutes later. E never reports a
regression. This estimator is the last resort.

    J   = Δ ln(C/Q) across the rollout,  J_k the same k = 1 … K weeks earlier
    τ   = J − mean of J_k
    half-width = t(97.5 %, K − 1) · s · √(1 + 1/K),  s the standard deviation of the J_k

Traffic's own jump must lie in the 98 % interval that traffic's jumps of those weeks give in the same way. So
there is no estimate across an attack or a failover.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.measurement.distributions import CONFIDENCE, t_quantile
from fleetpgo.measurement.estimate import FRESH_NOTE, FRESH_PROCESS, Estimate, NotPossibleError, from_tau
from fleetpgo.measurement.estimators.estimator import Estimator, Traits
from fleetpgo.measurement.usage import LEAST_MEASURED, log_ratio
from fleetpgo.measurement.windows import PLACEBOS, loud

if TYPE_CHECKING:
    from fleetpgo.measurement.usage import Usage
    from fleetpgo.measurement.windows import Windows

FEWEST_WEEKS = 3

_TRAFFIC = 0.98

COLD = 0.03
"""How much dearer the hour after a restart may be only because caches are cold, in the logarithm."""


def estimate(usage: Usage, windows: Windows, *, elasticity: float = 1.0) -> Estimate:
    """Estimate the saving across the rollout.

    Raises:
        NotPossibleError: the window is a day or longer, history holds fewer than three weeks, or traffic
            jumped across this rollout as in no week before.
    """
    if not windows.across_rollout:
        raise NotPossibleError("E needs windows shorter than a day")
    total = usage.total()
    jumps, traffic = [], []
    for week in range(PLACEBOS + 1):
        each = windows.placebo(week)
        if week and not each.quiet:
            continue
        after, before = each.pairs(total.times)
        there = np.isfinite(total.cpu[0, 0, after] + total.cpu[0, 0, before]).sum()
        complete = there >= max(1, LEAST_MEASURED * each.expected_pairs(total.step))
        ratio = log_ratio(total, after, before, elasticity)[0, 0] if complete else np.nan
        jumps.append(float(ratio))
        # CPU's own jump less elasticity 0 is what is left: that of the work, by difference.
        traffic.append(float(log_ratio(total, after, before, 0.0)[0, 0] - ratio) if complete else np.nan)
    jump, placebos = jumps[0], [each for each in jumps[1:] if math.isfinite(each)]
    count = len(placebos)
    if not math.isfinite(jump) or count < FEWEST_WEEKS:
        raise NotPossibleError(
            f"history holds the same hours of {count} week(s){loud(windows)}; {FEWEST_WEEKS} are needed"
        )
    usual = [each for each in traffic[1:] if math.isfinite(each)]
    if abs(traffic[0] - np.mean(usual)) > _half_width(usual, confidence=_TRAFFIC):
        raise NotPossibleError("traffic jumped across this rollout as in no week before")
    after, _ = windows.pairs(total.times)
    return from_tau(
        ESTIMATOR.letter,
        f"the same clock times of {count} weeks before",
        jump - float(np.mean(placebos)),
        _half_width(placebos),
        cores_after=float(np.nanmean(total.cpu[0, 0, after])),
        degrees=count - 1,
        placebos=tuple(each - float(np.mean(placebos)) for each in placebos),
        notes=(FRESH_NOTE,),
        allowance=FRESH_PROCESS,
        raised=COLD,
    )


def _half_width(weeks: list[float], *, confidence: float = CONFIDENCE) -> float:
    """Return the half-width of the interval for one more week around the mean of these."""
    return (
        t_quantile(len(weeks) - 1, confidence) * float(np.std(weeks, ddof=1)) * math.sqrt(1 + 1 / len(weeks))
    )


ESTIMATOR = Estimator(
    letter="E",
    label="jump across the rollout, less that of other weeks",
    traits=Traits(between_times=True, early=True),
    run=lambda inputs: estimate(inputs.usage, inputs.windows, elasticity=inputs.follow),
)
