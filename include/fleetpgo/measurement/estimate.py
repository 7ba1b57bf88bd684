"""The result of an estimator: an estimate with its interval, or the reason why there is none.

Estimators work on τ, the change of the logarithm of CPU per request. On that scale a saving of a given share
is the same distance everywhere, and a factor common to two groups cancels. A saving is 1 − exp(τ).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fleetpgo.errors import MeasurementError

FRESH_PROCESS = 0.007
"""What a restart alone was seen to save of CPU per request for hours, as a share: caches, heap, layout."""

FRESH_NOTE = (
    "a fresh process and a new build cannot be told apart: "
    f"the interval's lower end allows {100 * FRESH_PROCESS:.1f} points for it"
)


class NotPossibleError(MeasurementError):
    """The data do not allow this estimator; the message says why, and the report repeats it."""


@dataclass(frozen=True)
class Estimate:
    """A saving as a share of the CPU that would have been used (0.03: 3 % less); a negative one is a loss.

    Attributes:
        method: letter of the estimator.
        basis: what the interval is derived from, in words.
        saving: the estimate.
        low: lower end of its 95 % interval, less the allowance.
        high: upper end.
        cores: the saving in cores, from the CPU that instances with the new build used after the rollout.
        degrees: degrees of freedom of the interval's t distribution.
        placebos: the same estimate at times when nothing was rolled out; their spread is the noise floor.
        notes: limits that a reader must know.
        allowance: the saving, as a share, that fresh processes alone may show, if the estimator cannot
            separate it from the build's. It lowers the interval's lower end; a loss must exceed it.
    """

    method: str
    basis: str
    saving: float
    low: float
    high: float
    cores: float
    degrees: float
    placebos: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    allowance: float = 0.0


def saving(tau: float) -> float:
    """Return the share saved if the logarithm of CPU per request changed by `tau`."""
    return -math.expm1(tau)


def from_tau(
    method: str,
    basis: str,
    tau: float,
    half: float,
    *,
    cores_after: float,
    degrees: float,
    placebos: tuple[float, ...] = (),
    notes: tuple[str, ...] = (),
    allowance: float = 0.0,
    raised: float = 0.0,
) -> Estimate:
    """Return the estimate of a change of `tau` ± `half` in the logarithm, less an allowance at its lower end.

    `placebos` are changes of the logarithm, too. `raised` is added to the upper end, in the logarithm: how
    much dearer the new processes may be only because they are new.
    """
    share = saving(tau)
    return Estimate(
        method=method,
        basis=basis,
        saving=share,
        low=saving(tau + half) - allowance,
        high=saving(tau - half - raised),
        cores=cores_after * share / (1 - share),
        degrees=degrees,
        placebos=tuple(saving(placebo) for placebo in placebos),
        notes=notes,
        allowance=allowance,
    )
