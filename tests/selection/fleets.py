"""Fleets, as Prometheus would answer them."""

from __future__ import annotations

import math
import re
from collections import Counter

from fleetpgo.prometheus import Answer, Series
from fleetpgo.selection import Target
from fleetpgo.service.profiling import SelectionRules


class Answering:
    """Stands where Prometheus stands, and gives an answer that only a strange one would give.

    Of PromQL it knows what selection puts around an expression: `topk`, and the count by datacenter.
    """

    def __init__(self, *series: tuple[dict[str, str], float], warnings: tuple[str, ...] = ()) -> None:
        self.series = tuple(Series(labels, ((0.0, value),)) for labels, value in series)
        self.warnings = warnings

    lost: tuple[str, ...] = ()

    def lost_stores(self):
        return self.lost

    def instant(self, query, *, partial_response):
        if query.startswith("count by"):
            series = self._sizes()
        elif most := re.match(r"topk\((\d+), ", query):
            busiest = sorted(self.series, key=lambda each: (math.isnan(each.value), -each.value))
            series = tuple(busiest[: int(most[1])])
        else:
            series = self.series
        return Answer(query, series, self.warnings)

    def _sizes(self):
        candidates = {
            (each.labels.get("datacenter"), each.labels.get("instance"))
            for each in self.series
            if each.value > 0
        }
        counts = Counter(datacenter for datacenter, _ in candidates)
        return tuple(
            Series({"datacenter": name} if name else {}, ((0.0, float(count)),))
            for name, count in counts.items()
        )


def target(
    number: int, datacenter: str = "", cores: float = 1.0, *, stratum: str = "", **labels: str
) -> Target:
    return Target(f"10.0.0.{number}:80", datacenter, cores, {"datacenter": datacenter, **labels}, stratum)


def rules(**changes) -> SelectionRules:
    return SelectionRules(**{"cpu": "cpu", **changes})
