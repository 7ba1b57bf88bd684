"""A run's measurements, as its page shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleetpgo.measurement.estimators.registry import label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleetpgo.run.store import RunStore

PERIODS = ("rollout", "week")


@dataclass(frozen=True)
class Measurement:
    """A measurement as its page shows it.

    Attributes:
        period: ``rollout`` or ``week``.
        call: the verdict.
        reasons: why it is not more than it is.
        attribution: ``PGO`` or ``release``.
        estimate: the record's, or None; shares of the CPU, and cores.
        method: the estimator in words; "" without an estimate.
        picture: name of the artifact that shows it; "" if there is none.
    """

    period: str
    call: str
    reasons: Sequence[str]
    attribution: str
    estimate: Mapping[str, Any] | None
    method: str
    picture: str


def look_at_measurements(store: RunStore) -> list[Measurement]:
    """Return those that were made, the shorter period first."""
    return [
        _measurement(store, period, record)
        for period in PERIODS
        if (record := store.find_json(f"measure_{period}.json"))
    ]


def _measurement(store: RunStore, period: str, record: Mapping[str, Any]) -> Measurement:
    estimate, verdict, picture = record["estimate"], record["verdict"], f"measure_{period}.svg"
    return Measurement(
        period=period,
        call=verdict["call"],
        reasons=verdict["reasons"],
        attribution=verdict["attribution"],
        estimate=estimate,
        method=label(estimate["method"]) if estimate else "",
        picture=picture if store.exists(picture) else "",
    )
