"""Does ``selection.cpu`` give cores, or a counter of CPU seconds without its rate?

A raw counter looks like a fleet of large machines, and the oldest process like the busiest.

There are two signs. The name: a metric that ends in ``_total`` is a counter
(https://prometheus.io/docs/practices/naming/); no client library gives a gauge such a name. The values: if
most instances seem to use more than MANY cores, which few machines have, the hour before is queried. If no
value has fallen, it is a counter.
"""

from __future__ import annotations

import re
import statistics
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from fleetpgo.errors import SelectionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleetpgo.prometheus import Prometheus
    from fleetpgo.run.selected import Target

MANY = 64
"""Cores from which the fleet's median is looked into; a process passes as many CPU seconds within hours."""

_LOOKS, _EVERY = 12, timedelta(minutes=5)
_COUNTER = re.compile(r"[a-zA-Z_:][\w:]*_total(?![\w:])")
_RATE = re.compile(r"(rate|increase|deriv|delta)\w*\s*\(", re.IGNORECASE)
_TEXTS = re.compile(r""" "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | `[^`]*` | \#[^\n]* """, re.VERBOSE)
_HINT = (
    "selection.cpu must give cores: rate(process_cpu_seconds_total[5m]), say. A gauge with such a name can "
    "be recorded under another one"
)


def require_rate(cpu: str, key: str = "selection.cpu") -> None:
    """Refuse PromQL that uses a counter without rate().

    Args:
        cpu: the PromQL.
        key: of the service file that holds it.

    Raises:
        SelectionError: it does.
    """
    bare = _TEXTS.sub(" ", cpu)
    if (counter := _COUNTER.search(bare)) and not _RATE.search(bare):
        raise SelectionError(
            f"{key} uses {counter[0]} as cores, but it is a counter: it grows as long as a process "
            f"lives\nquery: {cpu}",
            hint=_HINT.replace("selection.cpu", key),
        )


def require_no_counter(prometheus: Prometheus, query: str, fleet: Sequence[Target]) -> None:
    """Refuse values that look like a counter: high everywhere, and only rising for the last hour.

    Raises:
        SelectionError: they have.
        PrometheusError: unreachable, or the query is refused.
    """
    median = statistics.median(target.cores for target in fleet)
    if median <= MANY:
        return
    now = datetime.now(UTC)
    past = prometheus.range(query, start=now - _LOOKS * _EVERY, end=now, step=_EVERY)
    looks = [[value for _, value in series.points] for series in past.series]
    steps = [(before, after) for values in looks for before, after in pairwise(values)]
    if steps and all(before < after for before, after in steps):
        raise SelectionError(
            f"selection.cpu says that an instance uses {median:,.0f} cores (half of them more), and none has "
            f"used less than before in the last hour: a counter without rate()?\nquery: {query}",
            hint=_HINT,
        )
