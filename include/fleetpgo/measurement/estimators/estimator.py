"""What an estimator is: a letter, a label, traits, and a function from measured data to an estimate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleetpgo.measurement.estimate import Estimate
    from fleetpgo.measurement.usage import Panel, Usage
    from fleetpgo.measurement.windows import Windows


@dataclass(frozen=True)
class Inputs:
    """Everything that an estimator may read.

    Attributes:
        usage: data of the windows, and of the same windows in earlier weeks as far as history reaches.
        windows: the times to compare.
        elasticity: d ln(CPU) / d ln(traffic); None if it cannot be estimated from history.
        panel: data of each instance around the rollout; None if they were not queried.
        settle: seconds after a restart that are left out.
    """

    usage: Usage
    windows: Windows
    elasticity: float | None
    panel: Panel | None
    settle: float

    @property
    def follow(self) -> float:
        """Return the elasticity; 1 if it is unknown, which compares plain CPU per request."""
        return 1.0 if self.elasticity is None else self.elasticity


@dataclass(frozen=True)
class Traits:
    """Properties of an estimator that the rest of the measurement uses.

    Attributes:
        between_times: it compares the fleet before with the fleet after, and no instance stayed behind. Any
            other deploy between the two times looks the same to it.
        early: it compares new processes with old ones within hours, when caches are cold. It may call a
            saving, but no regression.
    """

    between_times: bool
    early: bool


@dataclass(frozen=True)
class Estimator:
    """One way to measure a saving.

    Attributes:
        letter: its name in records: ``A``.
        label: what it compares, in words that continue "a saving of 3.1 %, …".
        traits: see :class:`Traits`.
        run: the estimate. Raises NotPossibleError, with the reason, if the data do not allow it.
    """

    letter: str
    label: str
    traits: Traits
    run: Callable[[Inputs], Estimate]
