"""CPU and requests of a fleet over time: the common form of all data sources and estimators."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
Positions = NDArray[np.intp]

TREATED, CONTROL = 0, 1
"""Positions of the two groups in the first dimension of :class:`Usage`'s arrays."""

LEAST_MEASURED = 0.95
"""Least share of a window's points that must have been measured."""


@dataclass(frozen=True)
class Usage:
    """CPU, work and instances of a fleet, by group, datacenter and time.

    The arrays have the shape (groups, datacenters, times): one group, the treated, or two, the second one
    held back. NaN: not measured. Sums over the group's instances, never means of them.

    Attributes:
        times: Unix seconds, ascending multiples of `step`; there may be gaps.
        step: seconds.
        datacenters: their names.
        cpu: cores.
        requests: per second; None if the service has no traffic expression.
        instances: how many have a value for CPU.
        serving: how many have a value for requests; None if that was not counted.
    """

    times: NDArray[np.int64]
    step: int
    datacenters: tuple[str, ...]
    cpu: Floats
    requests: Floats | None
    instances: Floats
    serving: Floats | None = None

    @property
    def has_control(self) -> bool:
        """Whether there is a hold-back group."""
        return len(self.cpu) > CONTROL

    @property
    def work(self) -> Floats:
        """What CPU is compared per: requests per second, else instances (so that churn does not count)."""
        return self.instances if self.requests is None else self.requests

    def total(self) -> Usage:
        """Return the treated group of all datacenters as one.

        A time at which one of them is missing is missing. A datacenter in which nobody was ever treated, as
        where the hold-back fills it, does not count.
        """
        treated = np.isfinite(self.cpu[TREATED]).any(axis=-1)

        def summed(values: Floats) -> Floats:
            total: Floats = values[:1, treated].sum(axis=1, keepdims=True)
            return total if treated.any() else np.full_like(total, np.nan)

        return replace(
            self,
            datacenters=("all",),
            cpu=summed(self.cpu),
            requests=None if self.requests is None else summed(self.requests),
            instances=summed(self.instances),
            serving=None if self.serving is None else summed(self.serving),
        )


@dataclass(frozen=True)
class Panel:
    """Instances over the hours around a rollout.

    Attributes:
        times: Unix seconds, ascending; shape (times,).
        datacenter: number of each instance's datacenter; shape (instances,).
        cpu: cores; shape (instances, times); NaN: not measured.
        requests: per second, likewise; None if the service has no traffic expression.
        switched: Unix seconds at which each instance went over to the new build; infinite: it did not.
        restarted: Unix seconds at which each was restarted in the rollout, on either build; infinite: not.
    """

    times: Times
    datacenter: NDArray[np.int64]
    cpu: Floats
    requests: Floats | None
    switched: Floats
    restarted: Floats


def log_ratio(usage: Usage, after: NDArray[np.intp], before: NDArray[np.intp], elasticity: float) -> Floats:
    """Return Δ ln C − elasticity · Δ ln Q between two sets of times; shape (groups, datacenters).

    C and Q are sums over the times that are there on both sides. An elasticity of 1 compares CPU per request.
    """
    cpu, work = usage.cpu, usage.work
    there = np.isfinite(cpu[..., after] + cpu[..., before] + work[..., after] + work[..., before])

    def change(values: Floats) -> Floats:
        sums = [np.where(there, values[..., at], 0.0).sum(axis=-1) for at in (after, before)]
        with np.errstate(divide="ignore", invalid="ignore"):  # nothing on one side: NaN, which callers check
            ratio: Floats = np.log(sums[0] / sums[1])
        return ratio

    result: Floats = change(cpu) - elasticity * change(work)
    return np.where(np.isfinite(result), result, np.nan)
