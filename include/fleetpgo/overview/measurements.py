"""A run's measurements, as its page shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetpgo.measurement.estimators.registry import label
from fleetpgo.run.artifacts import FILES, Picture
from fleetpgo.run.measured import PERIODS, Measurement

if TYPE_CHECKING:
    from fleetpgo.run.measured import Period, Saving
    from fleetpgo.run.store import RunStore


@dataclass(frozen=True)
class MeasuredPeriod:
    """A measurement as its page shows it.

    Attributes:
        period: ``rollout`` or ``week``.
        call: the verdict.
        reasons: why it is not more than it is.
        attribution: ``PGO`` or ``release``.
        estimate: None if no estimator was possible.
        method: the estimator in words; "" without an estimate.
        picture: name of the artifact that shows it; "" if there is none.
    """

    period: Period
    call: str
    reasons: tuple[str, ...]
    attribution: str
    estimate: Saving | None
    method: str
    picture: str


def look_at_measurements(store: RunStore) -> tuple[MeasuredPeriod, ...]:
    """Return the finished measurements, the shorter period first."""
    found = ((period, store.find(Measurement, period)) for period in PERIODS)
    return tuple(_shown(store, period, measured) for period, measured in found if measured)


def _shown(store: RunStore, period: Period, measured: Measurement) -> MeasuredPeriod:
    estimate, verdict = measured.estimate, measured.verdict
    return MeasuredPeriod(
        period=period,
        call=verdict.call,
        reasons=verdict.reasons,
        attribution=verdict.attribution,
        estimate=estimate,
        method=label(estimate.method) if estimate else "",
        picture=FILES[Picture].path(period) if store.exists(Picture, period) else "",
    )
