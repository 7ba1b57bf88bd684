"""The data of a comparison, whether they come from Prometheus, a file or a simulation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fleetpgo.errors import MeasurementError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleetpgo.measurement.usage import Panel, Usage


@dataclass(frozen=True)
class Amount:
    """Average CPU, in cores, and average requests per second (None if there is no traffic expression)."""

    cores: float
    requests: float | None


@dataclass(frozen=True)
class Change:
    """CPU of some instances before and after, and the difference.

    Attributes:
        instances: number of instances.
        before: amounts before the rollout.
        after: amounts after it.
        saved_cores: cores before minus cores after.
        saved_share: the same as a share of the cores before.
        cpu_per_request_before: CPU-seconds per request; None without a traffic expression. The same holds
            for ``cpu_per_request_after``.
        saved_share_per_request: share by which CPU per request fell; None without a traffic expression.
    """

    instances: int
    before: Amount
    after: Amount
    saved_cores: float
    saved_share: float
    cpu_per_request_before: float | None
    cpu_per_request_after: float | None
    saved_share_per_request: float | None


def change(instances: int, before: Amount, after: Amount) -> Change:
    """Return the change between two amounts.

    Raises:
        MeasurementError: CPU or requests are 0 before or after.
    """
    if min(before.cores, after.cores) <= 0:
        raise MeasurementError(
            f"{before.cores} cores were used before and {after.cores} after: nothing to compare",
            hint="check measurement.cpu, and that the windows lie in a time in which the fleet ran",
        )
    if 0 in {before.requests, after.requests}:
        raise MeasurementError(
            "there were no requests in one of the windows: CPU per request has no meaning",
            hint="check measurement.requests; leave it out to compare CPU per instance",
        )
    saved = before.cores - after.cores
    costs = [each.cores / each.requests if each.requests else None for each in (before, after)]
    return Change(
        instances=instances,
        before=before,
        after=after,
        saved_cores=saved,
        saved_share=saved / before.cores,
        cpu_per_request_before=costs[0],
        cpu_per_request_after=costs[1],
        saved_share_per_request=1 - costs[1] / costs[0] if costs[0] and costs[1] else None,
    )


@dataclass(frozen=True)
class Evidence:
    """All data of a comparison.

    Attributes:
        usage: CPU and traffic in the windows before and after, and in the same windows of earlier weeks as
            far as the data reach.
        history: about four weeks before the rollout, hourly or finer; for the elasticity.
        panel: CPU of each instance around the rollout; None if it was not queried.
        guardrails: name → a guarded quantity summed over instances, in the field for CPU.
        raw: plain difference of the fleet before and after, without correction.
        revisions: source revisions that ran before and after the rollout; None if they were not queried.
        defects: reasons why no conclusion is valid, in sentences.
        watched: whether another deploy in the windows would have been detected (and be in ``defects``).
        queries: description → PromQL to paste into Prometheus.
    """

    usage: Usage
    history: Usage
    panel: Panel | None
    raw: Change
    guardrails: Mapping[str, Usage] = field(default_factory=dict)
    revisions: tuple[frozenset[str], frozenset[str]] | None = None
    defects: tuple[str, ...] = ()
    watched: bool = True
    queries: Mapping[str, str] = field(default_factory=dict)
