"""The verdict on an estimate: saved, regression, no material change, inconclusive or invalid.

*Invalid*: the data have a defect, and no figure counts. *Inconclusive*: there is no estimate, another
estimator contradicts it, or it compares two times between which another deploy would not have been seen.
*Saved*: the whole interval lies above zero and the estimate is material. *Regression* is its mirror image,
but estimators that look within hours never call it: to them a cold cache looks like one. *No material
change*: the whole interval lies within ± material. Everything else is *inconclusive*, with the smallest
effect that could have been seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fleetpgo.measurement.estimators.registry import between_times, early
from fleetpgo.measurement.figures import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleetpgo.measurement.estimate import Estimate

_COLD = "for hours after a restart, cold caches look like a regression; the long comparison tells them apart"

Call = Literal["saved", "regression", "no material change", "inconclusive", "invalid"]


@dataclass(frozen=True)
class Verdict:
    """The verdict, and the reasons for it.

    Attributes:
        call: one of the five verdicts.
        reasons: what keeps the verdict from being stronger; empty for a plain *saved*.
        detectable: the smallest effect, as a share, that would have been called; None without an estimate.
        but: guardrails that worsened beyond their bound, or were not measured.
        attribution: ``PGO``; ``release`` if the source changed together with the profile, or may have.
        together: why it is ``release``; "" if it is not.
    """

    call: Call
    reasons: tuple[str, ...]
    detectable: float | None
    but: tuple[str, ...] = ()
    attribution: Literal["PGO", "release"] = "PGO"
    together: str = ""


def judge(
    estimate: Estimate | None,
    supporting: Sequence[Estimate],
    defects: Sequence[str],
    *,
    material: float,
    watched: bool = True,
) -> tuple[Call, tuple[str, ...]]:
    """Return the call and its reasons.

    Args:
        estimate: the headline's.
        supporting: what other estimators say of the same rollout.
        defects: what is wrong with the data.
        material: the smallest share that matters.
        watched: whether another deploy would have been seen, and be among the defects.
    """
    if defects:
        return "invalid", tuple(defects)
    if estimate is None:
        return "inconclusive", (
            "the data allow no comparison (needs a hold-back group, or three weeks of history)",
        )
    against = [other.method for other in supporting if _contradict(estimate, other)]
    if against:
        return "inconclusive", (f"estimator {', '.join(against)} contradicts {estimate.method}",)
    if between_times(estimate.method) and not watched:
        return "inconclusive", (
            "another deploy would look the same, and no metric would show it: rollout.started does",
        )
    return _call(estimate, material)


def _contradict(one: Estimate, other: Estimate) -> bool:
    """Return whether two intervals do not overlap, even after adding the allowance of each."""
    return max(other.low - one.high - one.allowance, one.low - other.high - other.allowance) > 0


def _call(estimate: Estimate, material: float) -> tuple[Call, tuple[str, ...]]:
    """Return the verdict on an estimate without defects or contradiction."""
    if estimate.low > 0 and estimate.saving >= material:
        return "saved", ()
    if estimate.high < -estimate.allowance and estimate.saving <= -material:
        if early(estimate.method):
            return "inconclusive", (_COLD,)
        return "regression", ()
    if -material <= estimate.low and estimate.high <= material and not estimate.allowance:
        return "no material change", (f"the whole interval lies within ±{percent(material)}",)
    return "inconclusive", (_unseen(estimate, material),)


def detectable(estimate: Estimate, material: float) -> float:
    """Return the smallest effect, as a share, that would have been called."""
    return max(material, (estimate.high - estimate.low + estimate.allowance) / 2)


def _unseen(estimate: Estimate, material: float) -> str:
    smallest = f"the smallest effect that could have been seen is {percent(detectable(estimate, material))}"
    if estimate.allowance and estimate.low <= 0 < estimate.low + estimate.allowance:
        return f"what is left after the effect that a fresh process alone can have includes zero; {smallest}"
    if estimate.allowance and estimate.high < 0:
        return f"the loss is not beyond the effect that a fresh process alone can have; {smallest}"
    if estimate.low > 0 or estimate.high < 0:
        return f"the effect is smaller than what matters, {percent(material)}, but may be more; {smallest}"
    return f"the interval includes zero; {smallest}"
