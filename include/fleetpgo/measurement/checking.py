"""Faults of measured data. Impossible values are errors; gaps and a changed fleet are defects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.errors import MeasurementError
from fleetpgo.measurement.usage import LEAST_MEASURED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from fleetpgo.measurement.usage import Floats, Positions, Usage
    from fleetpgo.measurement.windows import Windows

_NAMES = ("treated", "control")
LEAST_SCRAPED = 0.95
"""Least share of the scrapes that must be there."""

MOST_RESIZED = 0.05
"""By what share a group may grow or shrink between the windows."""

_MOST_UNPAIRED = 4
"""Into so many parts `material` is divided: instances without CPU or requests may be one of them."""

_CENSUS = 3_600
"""Seconds within which a fleet that is scraped completely has one size; fewer instances are lost scrapes."""


def reject_impossible(usage: Usage) -> None:
    """Check that each value is one that a fleet can have.

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
                f"{values[group, datacenter, time]} at Unix time {usage.times[time]}: a rate cannot be that",
                hint="take rate() of a counter, not deriv() or delta(); rate() knows counter resets",
            )


def defects(usage: Usage, windows: Windows) -> Iterator[str]:
    """Yield a sentence for each defect that makes the comparison invalid."""
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


def absent(usage: Usage, expected: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each datacenter of which there is not one value, although it is expected.

    A store that Thanos has dropped takes all of its history along, so no gap shows that it is gone. Nothing
    is yielded if the series have no datacenters at all.
    """
    there = {name for d, name in enumerate(usage.datacenters) if np.isfinite(usage.cpu[:, d]).any()}
    if there <= {""}:
        return
    for name in sorted(expected):
        if name and name not in there:
            yield f"{name}: no value at all, and the fleet has instances there: does Prometheus not reach it?"


def unpaired(usage: Usage, windows: Windows, *, material: float) -> Iterator[str]:
    """Yield where CPU and requests are sums over different instances, so that their ratio says nothing.

    In each group, datacenter and window the counts of instances with CPU and with requests may differ by a
    quarter of `material` at most: one missing CPU series in a hundred looks like a saving of 1 %. Counts are
    compared and not names: to join a large fleet at each step costs Prometheus four times as much.

    Args:
        usage: with ``serving``; nothing is yielded without.
        windows: what is compared.
        material: the smallest share that matters.
    """
    if usage.serving is None:
        return
    after, before = windows.pairs(usage.times)
    for group, name in enumerate(_NAMES[: len(usage.cpu)]):
        for d, datacenter in enumerate(usage.datacenters):
            for side, at in (("before", before), ("after", after)):
                cpu, requests = (
                    np.nan_to_num(counts[group, d, at]) for counts in (usage.instances, usage.serving)
                )
                apart = np.abs(cpu - requests).sum() / max(np.maximum(cpu, requests).sum(), 1.0)
                if apart > material / _MOST_UNPAIRED:
                    lacking = "CPU" if cpu.sum() < requests.sum() else "requests"
                    yield (
                        f"{name} instances of {datacenter or 'the fleet'}: {100 * apart:.2f} % have no value "
                        f"for {lacking} {side} the rollout; {100 * material / _MOST_UNPAIRED:.2f} % may. "
                        "measurement.cpu and measurement.requests must have the same instances"
                    )


def _scraped(usage: Usage, instances: Floats, at: Positions) -> float:
    """Return the share of the scrapes that are there: instances seen at a time, of those seen in its hour."""
    counts = np.nan_to_num(instances[:, at])
    hours = usage.times[at] // _CENSUS
    _, starts = np.unique(hours, return_index=True)
    if not len(starts) or not counts.any():
        return 1.0
    largest = np.maximum.reduceat(counts, starts, axis=1)
    lengths = np.diff([*starts, len(hours)])
    return float(counts.sum() / (largest * lengths).sum())
