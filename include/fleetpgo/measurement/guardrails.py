"""What a saving of CPU must not cost: memory, latency, restarts, errors.

A guarded quantity is compared like CPU, as its average over instances: against the hold-back where there is
one, else week on week or across the rollout, and then without an interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.measurement.estimate import NotPossibleError
from fleetpgo.measurement.estimators import holdback
from fleetpgo.measurement.usage import TREATED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleetpgo.measurement.usage import Usage
    from fleetpgo.measurement.windows import Windows
    from fleetpgo.service.rules import GuardrailRules


@dataclass(frozen=True)
class Guarded:
    """How a guarded quantity changed on the new build.

    Attributes:
        name: what it is.
        before: its average over instances and time, in the query's unit; None: not measured.
        after: likewise.
        rise: as a share; None if it cannot be told, as from zero.
        low: lower end of the rise's 95 % interval; None without a control group.
        high: upper end.
        bound: the largest rise that the service file allows.
        breached: whether the rise is beyond the bound.
    """

    name: str
    before: float | None
    after: float | None
    rise: float | None
    low: float | None
    high: float | None
    bound: float
    breached: bool


def compare_guardrails(
    measured: Mapping[str, Usage], windows: Windows, rules: Sequence[GuardrailRules]
) -> tuple[Guarded, ...]:
    """Each guardrail's change; `measured` holds its sums over instances in the place of CPU, by name."""
    return tuple(_compare(measured[rule.name], windows, rule) for rule in rules if rule.name in measured)


def _compare(usage: Usage, windows: Windows, rule: GuardrailRules) -> Guarded:
    after, before = (_mean(usage, at) for at in windows.pairs(usage.times))
    rise = low = high = None
    if before is not None and after is not None and before > 0:
        rise = after / before - 1
    try:
        found = holdback.estimate(usage, windows)
    except NotPossibleError:
        pass
    else:
        rise, low, high = -found.saving, -found.high, -found.low
    # From nothing to something has no share, but is a rise beyond any.
    appeared = before == 0 and after is not None and after > 0
    return Guarded(
        rule.name, before, after, rise, low, high, rule.bound, appeared or (rise or 0.0) > rule.bound
    )


def _mean(usage: Usage, at: np.ndarray[tuple[int], np.dtype[np.intp]]) -> float | None:
    """The treated instances' average."""
    values, instances = usage.cpu[TREATED][:, at], usage.instances[TREATED][:, at]
    there = np.isfinite(values) & (instances > 0)
    if not there.any():
        return None
    return float(values[there].sum() / instances[there].sum())
