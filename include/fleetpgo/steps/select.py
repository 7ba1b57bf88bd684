"""Stage 1: choose the instances to profile, for the whole run or for one of its windows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fleetpgo import selection
from fleetpgo.run.stop import forget_stop
from fleetpgo.selection.stored import read_windows
from fleetpgo.service.files import override

if TYPE_CHECKING:
    from fleetpgo.prometheus import Prometheus
    from fleetpgo.run.store import RunStore
    from fleetpgo.selection import Pack, Selection
    from fleetpgo.service.rules import ServiceRules

RETENTION = timedelta(days=7, minutes=1)
"""How far back Pyroscope looks by default (``max_query_lookback``); it says nothing of what it leaves out."""


def select_instances(
    service: ServiceRules,
    store: RunStore,
    prometheus: Prometheus,
    *,
    instances: int | None = None,
    seconds: int | None = None,
    matchers: str | None = None,
    window: str | None = None,
    length: str | timedelta | None = None,
) -> tuple[Selection, list[Pack]]:
    """Choose the instances to profile, and pack those of the first round for the tasks that will fetch.

    Args:
        service: whose instances.
        store: takes the :class:`Selection`; a stop of an earlier attempt is forgotten.
        prometheus: knows them.
        instances: how many in a round; default: the service file's.
        seconds: length of each profile; default: the service file's.
        matchers: of the builds to profile; default: the service file's.
        window: name of the window whose share is chosen; default: all of it.
        length: of the time that a store is asked about, such as ``24h``; default: the service file's.
    """
    if service.collection.past and seconds and length is None:
        length = timedelta(seconds=seconds)
    asked = override(service.collection, seconds=seconds, window=length)
    now = datetime.now(UTC)  # before Prometheus is asked: who is there runs the build that the store has seen
    rules = override(service.selection, instances=instances, matchers=matchers)
    if window is None:
        chosen = selection.select(prometheus, rules, seed=store.run)
    else:
        share = selection.find_window(service.selection, window).share
        taken = {
            target.instance
            for name, other in read_windows(store).items()
            if name != window
            for target in other.of_round(1)
        }
        then = None
        if asked.past:
            rule = selection.find_window(service.selection, window)
            now = then = selection.past_end(rule, timedelta(seconds=asked.length), now)
        chosen = selection.select(prometheus, rules, seed=store.run, share=share, taken=taken, at=then)
    chosen = replace(chosen, seconds=asked.length)
    if asked.past:
        chosen = _about_the_past(chosen, now)
    forget_stop(store)
    store.write(chosen, window or "")
    packs = selection.pack(
        chosen.of_round(1),
        max_tasks=service.collection.max_tasks,
        limits=chosen.at_once(service.collection.max_share),
        per_host=service.collection.per_host,
    )
    return chosen, packs


def _about_the_past(chosen: Selection, end: datetime) -> Selection:
    """Return the selection with the time up to which a store is asked."""
    begin = end - timedelta(seconds=chosen.seconds)
    long_ago = datetime.now(UTC) - begin > RETENTION
    return replace(
        chosen,
        targets=tuple(replace(each, until=end.timestamp()) for each in chosen.targets),
        warnings=(
            *chosen.warnings,
            *(
                [f"the store is asked from {begin:%Y-%m-%d %H:%M} UTC: has it what is older than seven days?"]
                if long_ago
                else []
            ),
        ),
    )


def window_opens(service: ServiceRules, window: str, now: datetime) -> datetime:
    """Return when a window opens next; if it is open, when it opened."""
    return selection.opening(selection.find_window(service.selection, window), now)
