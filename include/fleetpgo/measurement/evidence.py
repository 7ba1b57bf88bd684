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
    """What instances used before and after, and the difference.

    ``saved_cores`` is before less after, ``saved_share`` the same as a share of before; CPU per request is in
    CPU-seconds, and ``saved_share_per_request`` the share by which it fell (None without a traffic
    expression).
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
        MeasurementError: no CPU, or no requests, on one side: nothing can be compared.
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
    """Everything that was measured of a rollout.

    Attributes:
        usage: the windows and, as far as history reaches, the same ones of earlier weeks.
        history: four weeks or so before the rollout, hourly or finer, for the elasticity.
        panel: instances around the rollout; None where they were not asked for.
        guardrails: the guarded quantity, summed over instances, in the place of CPU; by name.
        raw: the fleet before and after, compared as anybody would.
        revisions: source revisions that ran before the rollout, and after it; None if nobody asked.
        defects: what makes any conclusion invalid.
        watched: whether another deploy would be among the defects, had there been one.
        queries: PromQL that can be pasted, by what it gives.
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
