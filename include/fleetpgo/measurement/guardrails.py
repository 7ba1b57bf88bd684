"""Guardrails: quantities that a saving of CPU must not worsen, such as memory, latency, restarts, errors.

A guarded quantity is compared like CPU, as its average over instances: against the hold-back where there is
one, else week on week or across the rollout, and then without an interval.

Two guardrails need no word in the service file: resident memory, and stacks, which PGO grows because inlined
functions need larger frames. They apply where Prometheus has Go's and the process's own metrics under the
labels that measurement.cpu selects by.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.measurement.estimate import NotPossibleError
from fleetpgo.measurement.estimators import holdback
from fleetpgo.measurement.usage import TREATED
from fleetpgo.service.rules import GuardrailRules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleetpgo.measurement.usage import Usage
    from fleetpgo.measurement.windows import Windows
    from fleetpgo.service.rules import MeasurementRules


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
        missing: whether it was not measured before or after the rollout: nothing guards it.
    """

    name: str
    before: float | None
    after: float | None
    rise: float | None
    low: float | None
    high: float | None
    bound: float
    breached: bool
    missing: bool = False

    @property
    def weakens(self) -> bool:
        """Whether it qualifies a saving: it rose beyond its bound, or was not measured."""
        return self.breached or self.missing


_SELECTOR = re.compile(r"""\{((?:[^{}"']|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')+)\}""")
"""The matchers of a PromQL selector."""

_DEFAULTS = (
    ("resident memory", "process_resident_memory_bytes", 0.05),
    ("stack memory", "go_memstats_stack_inuse_bytes", 0.25),
)
"""Name, metric, bound as a share. Stacks are a small part of memory; a little growth is the price of PGO."""


def default_guardrails(rules: MeasurementRules) -> list[GuardrailRules]:
    """Return guardrails of memory and stacks, except what the service file guards itself.

    They select the instances by the first matchers in measurement.cpu. Without matchers there are none: the
    metrics would be those of all services.
    """
    found = _SELECTOR.search(rules.cpu)
    if found is None:
        return []
    own = " ".join(each.query for each in rules.guardrails)
    return [
        GuardrailRules(name=name, query=f"{metric}{{{found[1]}}}", bound=bound)
        for name, metric, bound in _DEFAULTS
        if metric not in own
    ]


def compare_guardrails(
    measured: Mapping[str, Usage], windows: Windows, rules: Sequence[GuardrailRules]
) -> tuple[Guarded, ...]:
    """Return each guardrail's change; `measured` has its sums in the place of CPU, by name."""
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
    missing = before is None or after is None
    # From nothing to something has no share, but is a rise beyond any.
    appeared = before == 0 and after is not None and after > 0
    breached = appeared or (rise or 0.0) > rule.bound
    return Guarded(rule.name, before, after, rise, low, high, rule.bound, breached, missing)


def _mean(usage: Usage, at: np.ndarray[tuple[int], np.dtype[np.intp]]) -> float | None:
    """Return the treated instances' average; None if it was not measured."""
    values, instances = usage.cpu[TREATED][:, at], usage.instances[TREATED][:, at]
    there = np.isfinite(values) & (instances > 0)
    if not there.any():
        return None
    return float(values[there].sum() / instances[there].sum())
