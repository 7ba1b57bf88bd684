"""Ratios of CPU per request, with intervals.

Each round measures every variant once, one soon after the other, so what disturbs the machine for minutes
disturbs all of them. The ratio of a variant to the build without anything is therefore taken within the
round. Over the rounds the logarithms of the ratios are averaged, with Student's t for their mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.measurement.distributions import t_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Ratio:
    """CPU per request of a variant, as a share of that of another one, mostly the build without anything.

    Attributes:
        mean: geometric mean over the rounds.
        low, high: its 95 % interval.
        rounds: how many.
    """

    mean: float
    low: float
    high: float
    rounds: int

    @property
    def holds_one(self) -> bool:
        """Whether no difference can be told."""
        return self.low <= 1 <= self.high

    def __str__(self) -> str:
        digits = 3
        while any(end != 1 and float(f"{end:.{digits}f}") == 1 for end in (self.low, self.high)):
            digits += 1  # an end that is not 1 must not look like 1
        return f"{self.mean:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def ratio(variant: Sequence[float], base: Sequence[float]) -> Ratio:
    """Compare CPU per request, round by round.

    Args:
        variant: CPU per request in each round, in any unit.
        base: that of the build it is compared with, in the same rounds.

    Raises:
        ValueError: fewer than two rounds: nothing says how much they differ.
    """
    logs = np.log(np.asarray(variant, dtype=np.float64)) - np.log(np.asarray(base, dtype=np.float64))
    if len(logs) < 2:  # noqa: PLR2004  a standard deviation takes two
        raise ValueError("an interval takes two rounds at least")
    mean = float(logs.mean())
    half = t_quantile(len(logs) - 1) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    return Ratio(math.exp(mean), math.exp(mean - half), math.exp(mean + half), len(logs))
