"""How certain a regression is: the chance of one as large if nothing had changed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fleetpgo.measurement.distributions import t_quantile

if TYPE_CHECKING:
    from fleetpgo.measurement.estimate import Estimate

REVERT_LEVEL = 0.0004
"""Largest chance at which a revert is proposed: 4 a year for 200 services that are refreshed every week."""


def chance_of_loss(found: Estimate) -> float:
    """Return the one-sided chance that an estimate shows such a loss or a larger one if nothing changed.

    The standard error is the half of the interval in the logarithm, divided by the t quantile of its degrees
    of freedom.
    """
    from scipy import special  # noqa: PLC0415  # as in fleetpgo.measurement.distributions

    ends = found.saving, found.low + found.allowance, found.high
    if not all(math.isfinite(each) and each < 1 for each in ends):
        return 1.0
    half = (math.log1p(-found.low - found.allowance) - math.log1p(-found.high)) / 2
    if half <= 0:
        return 1.0
    loss = math.log1p(-found.saving)
    return float(special.stdtr(found.degrees, -loss / half * t_quantile(found.degrees)))
