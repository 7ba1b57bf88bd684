"""Numbers and matrices from Prometheus; keeps the warnings in its answers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.errors import MeasurementError
from fleetpgo.prometheus import from_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleetpgo.measurement.usage import Floats, Times
    from fleetpgo.measurement.windows import Span
    from fleetpgo.prometheus import Answer, Prometheus

_PIECE = 2_016
"""Points asked at once: 20,000 instances stay within the 50 million samples that one query may load."""


_OVERLAP, _OVERLAP_SHARE = 5, 0.05
"""Points, and share of all, for which a series may have the name of the one that follows it."""


def grid(spans: Sequence[Span], step: int) -> Times:
    """Return the times of half-open spans, in Unix seconds."""
    return np.concatenate([np.arange(start, end, step) for start, end in spans])


@dataclass
class Asker:
    """A Prometheus, and the warnings in its answers."""

    prometheus: Prometheus
    warnings: list[str] = field(default_factory=list)

    def number(self, query: str, at: int) -> float:
        """Return the one number that the query gives at a Unix time."""
        value, warnings = self.prometheus.number(query, at=from_timestamp(at))
        self.warnings += warnings
        return value

    def instant(self, query: str, at: int) -> Answer:
        """Return the series that the query gives at a Unix time."""
        answer = self.prometheus.instant(query, at=from_timestamp(at))
        self.warnings += answer.warnings
        return answer

    def matrix(
        self, query: str, spans: Sequence[Span], step: int, label: str, *, times: Times | None = None
    ) -> tuple[dict[str, Floats], dict[str, Mapping[str, str]]]:
        """Return the values at the spans' times, and all labels, by one label of the series. NaN: no value.

        Long spans are read in pieces. With `times`, which must contain the spans' times, values are at
        those.

        Raises:
            MeasurementError: two series have the same value of the label at the same times, for longer than
                one takes to give way to the other.
        """
        if times is None:
            times = grid(spans, step)
        values: dict[str, Floats] = {}
        labels: dict[str, Mapping[str, str]] = {}
        twice = Counter[str]()
        for span_start, span_end in spans:
            for start in range(span_start, span_end, _PIECE * step):
                last = min(start + _PIECE * step, span_end) - 1
                answer = self.prometheus.range(
                    query,
                    start=from_timestamp(start),
                    end=from_timestamp(start + (last - start) // step * step),
                    step=timedelta(seconds=step),
                )
                self.warnings += answer.warnings
                for series in answer.series:
                    name = series.labels.get(label, "")
                    row = values.setdefault(name, np.full(len(times), np.nan))
                    points = np.array(series.points)
                    at = np.searchsorted(times, points[:, 0].astype(np.int64))
                    twice[name] += int(np.isfinite(row[at]).sum())
                    if twice[name] > max(_OVERLAP, _OVERLAP_SHARE * len(times)):
                        raise MeasurementError(
                            f"two series have the {label} {name} at the same time: "
                            f"{dict(labels[name])} and {dict(series.labels)}",
                            hint="choose a selection.instance_label that no two instances share",
                        )
                    labels[name] = series.labels
                    row[at] = points[:, 1]
        return values, labels
