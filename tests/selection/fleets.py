"""Fleets, as Prometheus would answer them."""

from __future__ import annotations

from fleetpgo.config import Selection as Rules
from fleetpgo.prometheus import Answer, Series
from fleetpgo.selection import Target


class Answering:
    """Stands where Prometheus stands, and gives an answer that only a strange one would give."""

    def __init__(self, *series: tuple[dict[str, str], float], warnings: tuple[str, ...] = ()) -> None:
        self.series = tuple(Series(labels, ((0.0, value),)) for labels, value in series)
        self.warnings = warnings

    def instant(self, query, *, partial_response):
        return Answer(query, self.series, self.warnings)


def target(
    number: int, datacenter: str = "", cores: float = 1.0, *, stratum: str = "", **labels: str
) -> Target:
    return Target(f"10.0.0.{number}:80", datacenter, cores, {"datacenter": datacenter, **labels}, stratum)


def rules(**changes) -> Rules:
    return Rules(**{"cpu": "cpu", **changes})
