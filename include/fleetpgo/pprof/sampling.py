"""Count the CPU samples and the CPU time of a profile. No other module counts them.

A profile from Go's runtime has both columns, ``samples/count`` and ``cpu/nanoseconds``; each is summed. A
store may send only nanoseconds, with a wrong period: Pyroscope always says one second. The values of such a
profile are multiples of the true period, so :func:`sampling_period` can find it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fleetpgo.pprof.codec.columns import CPU_VALUE_TYPES

if TYPE_CHECKING:
    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.columns import Header

SAMPLES, NANOSECONDS = CPU_VALUE_TYPES

GO_PERIOD = 10_000_000
"""Nanoseconds of CPU time between two samples: runtime/pprof takes 100 a second."""

SHORTEST, LONGEST = 100_000, 100_000_000
"""Between two samples, in nanoseconds: no profiler takes more than 10,000 a second, or fewer than 10."""


class Counts(NamedTuple):
    """What a profile counts.

    Args:
        samples: CPU samples.
        nanoseconds: CPU time; 0: unknown.
    """

    samples: int
    nanoseconds: int

    @property
    def period(self) -> int:
        """Nanoseconds of CPU time between two samples; 0: unknown."""
        return round(self.nanoseconds / self.samples) if self.samples else 0


def count(header: Header, values: Ints) -> Counts:
    """Count the samples of a profile, and its CPU time.

    Args:
        header: of the profile.
        values: (samples, value types) none of them negative; their sums fit into 64 bits.
    """
    sums: dict[tuple[str, str], int] = dict(
        zip(header.sample_types, values.sum(axis=0).tolist(), strict=True)
    )
    samples, nanoseconds = sums.get(SAMPLES, 0), sums.get(NANOSECONDS, 0)
    said = header.period if header.period_type == NANOSECONDS else 0
    if samples and not nanoseconds:
        return Counts(samples, samples * said)
    if nanoseconds and not samples:
        column = values[:, header.sample_types.index(NANOSECONDS)]
        samples = max(1, round(nanoseconds / sampling_period(column, said)))
    return Counts(samples, nanoseconds)


def sampling_period(nanoseconds: Ints, said: int) -> int:
    """Return the CPU time between two samples, in nanoseconds.

    It is the period that the profile says, if that can be one and divides all values. Else it is Go's, if
    that divides them; else what they have in common. Of values that have nothing in common, such as those of
    a weighted merge, the period that is said counts, or else Go's.

    Args:
        nanoseconds: (samples,) CPU time of each.
        said: the profile's period; 0: it says none.
    """
    common = int(np.gcd.reduce(nanoseconds))
    if SHORTEST <= said <= LONGEST and (common % said == 0 or common < SHORTEST):
        return said
    return common if common >= SHORTEST and common % GO_PERIOD else GO_PERIOD
