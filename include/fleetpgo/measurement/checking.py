"""What is wrong with measured data: impossible values are errors, gaps and a changed fleet are defects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.errors import MeasurementError
from fleetpgo.measurement.usage import LEAST_MEASURED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fleetpgo.measurement.usage import Floats, Positions, Usage
    from fleetpgo.measurement.windows import Windows

_NAMES = ("treated", "control")
LEAST_SCRAPED = 0.95
"""Least share of the scrapes that must be there."""

MOST_RESIZED = 0.05
"""By what share a group may grow or shrink between the windows."""

_CENSUS = 3_600
"""Seconds within which a fleet that is scraped completely has one size; fewer instances are lost scrapes."""


def reject_impossible(usage: Usage) -> None:
    """Refuse values that no fleet has.

    Raises:
        MeasurementError: a negative or infinite rate, named by what and where.
    """
    for name, values in (("CPU", usage.cpu), ("requests", usage.requests)):
        if values is None:
            continue
        wrong = np.argwhere((values < 0) | np.isinf(values))
        if len(wrong):
            group, datacenter, time = wrong[0]
            raise MeasurementError(
                f"{name} of the {_NAMES[group]} instances in {usage.datacenters[datacenter] or 'all'} is "
                f"{values[group, datacenter, time]} at Unix time {usage.times[time]}: no rate is",
                hint="take rate() of a counter, not deriv() or delta(); rate() knows counter resets",
            )


def defects(usage: Usage, windows: Windows) -> Iterator[str]:
    """What makes a comparison of those windows invalid, in words."""
    after, before = windows.pairs(usage.times)
    expected = windows.expected_pairs(usage.step)
    if expected == 0:
        yield "nothing is left of the windows after what is excluded"
        return
    measured = np.isfinite(usage.cpu + usage.work)
    for group, name in enumerate(_NAMES[: len(usage.cpu)]):
        for d, datacenter in enumerate(usage.datacenters):
            sides = measured[group, d, after] & measured[group, d, before]
            if not measured[group, d].any():
                continue  # a datacenter without a hold-back is no gap
            if sides.sum() < LEAST_MEASURED * expected:
                yield (
                    f"{name} instances of {datacenter or 'the fleet'}: "
                    f"{100 * sides.sum() / expected:.0f} % of the points were measured on both sides; "
                    f"{100 * LEAST_MEASURED:.0f} % are needed"
                )
        scraped = min(_scraped(usage, usage.instances[group], at) for at in (after, before))
        if scraped < LEAST_SCRAPED:
            yield f"{name} instances: {100 * (1 - scraped):.0f} % of the scrapes are missing"
        sizes = [np.nan_to_num(usage.instances[group][:, at]).mean(axis=1).sum() for at in (before, after)]
        if sizes[0] > 0 and abs(sizes[1] / sizes[0] - 1) > MOST_RESIZED:
            yield f"{name} instances: {sizes[0]:.0f} before and {sizes[1]:.0f} after; nothing explains that"


def _scraped(usage: Usage, instances: Floats, at: Positions) -> float:
    """The share of the instances seen within the hour that is seen at a time, on average."""
    counts = np.nan_to_num(instances[:, at])
    hours = usage.times[at] // _CENSUS
    _, starts = np.unique(hours, return_index=True)
    if not len(starts) or not counts.any():
        return 1.0
    largest = np.maximum.reduceat(counts, starts, axis=1)
    lengths = np.diff([*starts, len(hours)])
    return float(counts.sum() / (largest * lengths).sum())
