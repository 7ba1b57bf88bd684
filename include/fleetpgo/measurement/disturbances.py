"""What else happened around a rollout, as far as metrics tell: other releases, restarts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fleetpgo.measurement.usage import COVERAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fleetpgo.config import Service
    from fleetpgo.measurement.asking import Asker
    from fleetpgo.measurement.windows import Windows


def revisions(
    ask: Asker, service: Service, windows: Windows, queries: dict[str, str]
) -> tuple[frozenset[str], frozenset[str]]:
    """Revisions that ran when the rollout began, and when the window after it ended."""
    query = service.rollout.revision
    if query is None:
        return frozenset(), frozenset()
    queries["revisions"] = query
    before, after = (
        frozenset(series.labels.get("revision", "") for series in ask.instant(query, at).series)
        for at in (windows.rolling[0], windows.after[1])
    )
    return before, after


def restarts(ask: Asker, service: Service, windows: Windows, queries: dict[str, str]) -> Iterator[str]:
    """Windows in which so many processes started that something else must have been rolled out."""
    started = service.rollout.started
    if started is None:
        return
    # Held-back instances may be restarted first: as long before the rollout as it settles after it.
    settle = math.ceil(service.measurement.settle.total_seconds())
    for side, (start, end) in (
        ("before", (windows.before[0], windows.rolling[0] - settle)),
        ("after", windows.after),
    ):
        query = f"(count(({started}) > {start}) or vector(0)) / count({started})"
        share = ask.number(query, end)
        if share > 1 - COVERAGE:
            queries[f"restarted in the window {side}"] = query
            yield (
                f"{100 * share:.0f} % of the instances were started in the window {side} the rollout: "
                "another deploy, or a crash loop"
            )
