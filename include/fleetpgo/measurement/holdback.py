"""A: the saving against a hold-back control group, by difference in differences.

Assumption: whatever else changed between the two windows (traffic, its mix, hardware, other releases) changed
the treated and the held-back instances of a datacenter alike, and datacenters are independent of each other.
The held-back instances were restarted in the same rollout, on the old build: a fresh process alone can look
like a saving.

For datacenter d and part b of the window (a day of a week), with C the CPU in cores and Q the requests per
second, both summed over the group, ε the elasticity of CPU in traffic and Δ = after − before:

    D_db = [Δ ln C − ε Δ ln Q] of the treated − the same of the hold-back
    τ    = mean of D_db
    half-width = max(t(97.5 %, f) · s_d/√n, t(97.5 %, m − 1) · s_b/√m)

s_d² is the variance of the n datacenters' means. The same comparison k = 1 … K weeks earlier gives K more
such variances, of what nobody changed; s_d² is the mean of all K + 1, with f = (n − 1)(K + 1)²/(1.5 K + 1)
degrees of freedom: neighbouring weeks share one, and their differences correlate by −0.5 where weeks are
independent. If this week's variance is larger than theirs allow (F test, 95 %), they do not speak for it:
then it stands alone, with f = n − 1, as it does where history is short.

s_b² is the variance of the m parts' means: few datacenters may agree by chance better than their own noise
over time allows. ε is 1 (CPU per request) where history does not tell it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from fleetpgo.measurement.estimate import CONFIDENCE, Estimate, NotPossibleError, from_tau, quantile
from fleetpgo.measurement.usage import CONTROL, TREATED, log_ratio
from fleetpgo.measurement.windows import PLACEBOS

if TYPE_CHECKING:
    from fleetpgo.measurement.usage import Floats, Usage
    from fleetpgo.measurement.windows import Windows

FEWEST_DATACENTERS = 2


def estimate(usage: Usage, windows: Windows, *, elasticity: float = 1.0) -> Estimate:
    """The saving against the control group.

    Raises:
        NotPossibleError: no control group, or in fewer than two datacenters.
    """
    if not usage.has_control:
        raise NotPossibleError("no instance stayed on the old build: there is no control group")
    differences = _differences(usage, windows, elasticity)
    n, m = differences.shape
    if n < FEWEST_DATACENTERS:
        raise NotPossibleError(
            f"{n} datacenter(s) with both a treated and a held-back group; "
            f"an interval needs at least {FEWEST_DATACENTERS}"
        )
    placebos = _placebos(usage, windows, elasticity)
    variance, degrees = _variance(differences, placebos)
    half = quantile(degrees) * math.sqrt(variance / n)
    if m > 1:
        half = max(half, quantile(m - 1) * differences.mean(axis=0).std(ddof=1) / math.sqrt(m))
    after, _ = windows.pairs(usage.times)
    return from_tau(
        "A",
        f"t interval over {n} datacenters" + (" and the weeks before" if degrees > n - 1 else ""),
        float(differences.mean()),
        float(half),
        cores_after=float(np.nanmean(usage.cpu[TREATED][:, after], axis=1).sum()),
        degrees=degrees,
        placebos=tuple(float(each.mean()) for each in placebos),
        notes=() if degrees > _FEW else (f"{n} datacenters: the interval leans on their noise being normal",),
    )


_FEW = 5
"""Up to so many datacenters no sign test could tell anything at 95 %; only normality of the noise can."""


def _differences(usage: Usage, windows: Windows, elasticity: float) -> Floats:
    """D_db, shape (datacenters, parts): parts with anything in them, datacenters measured in all of those."""
    after, before = windows.pairs(usage.times)
    part = (usage.times[after] - windows.after[0]) // windows.block
    changes = [log_ratio(usage, after[part == b], before[part == b], elasticity) for b in np.unique(part)]
    differences = np.array([change[TREATED] - change[CONTROL] for change in changes]).T
    differences = differences.reshape(len(usage.datacenters), len(changes))
    there = np.isfinite(differences)
    differences = differences[:, there.any(axis=0)]
    complete: Floats = differences[np.isfinite(differences).all(axis=1) & there.any(axis=1)]
    return complete


def _placebos(usage: Usage, windows: Windows, elasticity: float) -> list[Floats]:
    """D_db where nothing was rolled out: the weeks before, as far as they were measured."""
    earlier = (_differences(usage, windows.placebo(k), elasticity) for k in range(1, PLACEBOS + 1))
    parts = -(-windows.length // windows.block)
    return [each for each in earlier if len(each) >= FEWEST_DATACENTERS and each.shape[1] == parts]


def _variance(differences: Floats, placebos: list[Floats]) -> tuple[float, int]:
    """s_d² and its degrees of freedom f."""
    n = len(differences)
    own = float(differences.mean(axis=1).var(ddof=1))
    others = [float(each.mean(axis=1).var(ddof=1)) for each in placebos if len(each) == n]
    weeks = len(others)
    if not weeks:
        return own, n - 1
    # K neighbouring weeks are worth K²/(1.5 K − 0.5) independent ones, as K + 1 are worth what f says.
    earlier = (n - 1) * weeks**2 / (1.5 * weeks - 0.5)
    if own > stats.f.ppf(CONFIDENCE, n - 1, earlier) * np.mean(others):
        return own, n - 1
    return (own + sum(others)) / (weeks + 1), math.floor((n - 1) * (weeks + 1) ** 2 / (1.5 * weeks + 1))
