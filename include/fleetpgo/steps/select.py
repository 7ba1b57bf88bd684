"""Stage 1: choose the instances to profile, for the whole run or for one of its windows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fleetpgo import selection
from fleetpgo.run.stop import forget_stop
from fleetpgo.selection.stored import read_windows
from fleetpgo.service.files import override

if TYPE_CHECKING:
    from datetime import datetime

    from fleetpgo.prometheus import Prometheus
    from fleetpgo.run.store import RunStore
    from fleetpgo.selection import Pack, Selection
    from fleetpgo.service.rules import ServiceRules


def select_instances(
    service: ServiceRules,
    store: RunStore,
    prometheus: Prometheus,
    *,
    instances: int | None = None,
    seconds: int | None = None,
    matchers: str | None = None,
    window: str | None = None,
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
    """
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
        chosen = selection.select(prometheus, rules, seed=store.run, share=share, taken=taken)
    chosen = replace(chosen, seconds=seconds or service.collection.seconds)
    forget_stop(store)
    store.write(chosen, window or "")
    packs = selection.pack(
        chosen.of_round(1),
        max_tasks=service.collection.max_tasks,
        limits=chosen.at_once(service.collection.max_share),
        per_host=service.collection.per_host,
    )
    return chosen, packs


def window_opens(service: ServiceRules, window: str, now: datetime) -> datetime:
    """Return when a window opens next; if it is open, when it opened."""
    return selection.opening(selection.find_window(service.selection, window), now)
