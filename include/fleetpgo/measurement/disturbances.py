"""Other events around a rollout that metrics show: releases, restarts, other machines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.errors import MeasurementError
from fleetpgo.measurement.asking import grid
from fleetpgo.measurement.rollout import expression

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fleetpgo.measurement.asking import Asker
    from fleetpgo.measurement.windows import Windows
    from fleetpgo.run.proposed import Rollout
    from fleetpgo.service.rules import ServiceRules

MOST_RESTARTED = 0.05
"""Share of the instances that may start, or change their version, in a window: more is another deploy."""

MOST_BELOW = 0.1
"""Share of the window after the rollout in which it may be incomplete: instances restart, and are rotated."""

_LOOKS = 168  # at the share on the new build, in a window

MOST_EXCHANGED = 0.05
"""Share of the instances that may come onto another kind of machine."""


def _since(windows: Windows) -> int:
    """Return when the window before begins, or the last other rollout in it has settled."""
    return max([windows.before[0], *(last for _, last in windows.rollouts if last <= windows.rolling[0])])


def _until(windows: Windows) -> int:
    """Return when the window after ends, or another rollout begins in it."""
    return min([windows.after[1], *(first for first, _ in windows.rollouts if first >= windows.after[0])])


def revisions(
    ask: Asker, service: ServiceRules, windows: Windows, queries: dict[str, str]
) -> tuple[frozenset[str], frozenset[str]] | None:
    """Return the revisions that ran when the rollout began, and at the end of what is compared after it.

    An empty label is no revision. None if the service file has no rollout.revision.
    """
    query = service.rollout.revision
    if query is None:
        return None
    queries["revisions"] = query
    before, after = (
        frozenset(filter(None, (each.labels.get("revision") for each in ask.instant(query, at).series)))
        for at in (windows.rolling[0], _until(windows))
    )
    return before, after


def restarts(
    ask: Asker, service: ServiceRules, windows: Windows, queries: dict[str, str], *, but: str = ""
) -> Iterator[str]:
    """Yield each window in which so many processes started that something else must have been rolled out.

    Args:
        ask: Prometheus.
        service: what its metrics are called.
        windows: what is compared.
        queries: gets the query of each window that is yielded.
        but: PromQL for instances that were restarted for a known reason.
    """
    started = service.rollout.started
    if started is None:
        return
    known = f" unless on ({service.selection.instance_label}) ({but})" if but else ""
    # Held-back instances may be restarted first: as long before the rollout as it settles after it.
    settle = math.ceil(service.measurement.settle.total_seconds())
    for side, (start, end) in (
        ("before", (_since(windows), windows.rolling[0] - settle)),
        ("after", (windows.after[0], _until(windows))),
    ):
        if end <= start:  # a window that is no longer than the settling time
            continue
        query = f"(count(({started}) > {start}{known}) or vector(0)) / count({started})"
        share = ask.number(query, end)
        if share > MOST_RESTARTED:
            queries[f"restarted in the window {side}"] = query
            yield (
                f"{100 * share:.0f} % of the instances were started in the window {side} the rollout: "
                "another deploy, or a crash loop"
            )


def rolled_back(
    ask: Asker, service: ServiceRules, rollout: Rollout, windows: Windows, queries: dict[str, str]
) -> Iterator[str]:
    """Yield whether the new build went away again in the window after its rollout.

    Times at which another rollout is known are left out, and nothing is yielded if no query names the build.
    """
    rules = service.rollout
    if rules.fraction is None or not rollout.profile:
        return
    query = expression(rules.fraction, rollout.profile)
    step = max(1, windows.length // _LOOKS)
    times = grid([windows.after], step)
    for shares in ask.matrix(query, [windows.after], step, "")[0].values():
        there = np.isfinite(shares)
        for start, end in windows.left_out:
            there &= (times < start) | (times >= end)
        below = float(np.mean(shares[there] < rules.complete)) if there.any() else 0.0
        if below > MOST_BELOW:
            queries["share on the new build"] = query
            yield (
                f"for {100 * below:.0f} % of the window after the rollout fewer instances than "
                "rollout.complete ran the new build: was it rolled back?"
            )


def hardware(ask: Asker, service: ServiceRules, windows: Windows, queries: dict[str, str]) -> Iterator[str]:
    """Yield whether the mix of machines changed between the start and the end of the windows.

    Raises:
        MeasurementError: the query gives nothing, or a negative number of instances.
    """
    query = service.measurement.hardware
    if query is None:
        return
    queries["machines"] = query
    shares = []
    for at in (_since(windows), windows.rolling[0], _until(windows)):
        kinds = {tuple(sorted(each.labels.items())): each.value for each in ask.instant(query, at).series}
        if not kinds or min(kinds.values()) < 0 or sum(kinds.values()) <= 0:
            raise MeasurementError(
                f"no number of instances for any kind of machine at Unix time {at}: {query}",
                hint="measurement.hardware gives one series per kind, its value the instances on it",
            )
        shares.append({kind: count / sum(kinds.values()) for kind, count in kinds.items()})
    first, *others = shares
    # Half of what the shares differ by in total is the share of the instances that changed their kind.
    changed = max(
        sum(abs(each.get(kind, 0) - first.get(kind, 0)) for kind in first.keys() | each.keys()) / 2
        for each in others
    )
    if changed > MOST_EXCHANGED:
        yield f"{100 * changed:.0f} % of the instances came onto another kind of machine around the rollout"
