"""Stage 1: choose the instances to profile, for the whole run or for one of its windows."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fleetpgo import selection
from fleetpgo.collection import Access, fleets
from fleetpgo.errors import SelectionError
from fleetpgo.run.stop import forget_stop
from fleetpgo.selection import absence
from fleetpgo.selection.stored import read_windows
from fleetpgo.service.files import override

if TYPE_CHECKING:
    from collections.abc import Collection

    from fleetpgo.prometheus import Prometheus
    from fleetpgo.run.store import RunStore
    from fleetpgo.selection import Pack, Selection
    from fleetpgo.service.profiling import CollectionRules, SelectionRules
    from fleetpgo.service.rules import ServiceRules

RETENTION = timedelta(days=7, minutes=1)
"""How far back Pyroscope looks by default (``max_query_lookback``); it says nothing of what it leaves out."""


def select_instances(
    service: ServiceRules,
    store: RunStore,
    prometheus: Prometheus | None,
    *,
    instances: int | None = None,
    seconds: int | None = None,
    matchers: str | None = None,
    window: str | None = None,
    length: str | timedelta | None = None,
    access: Access | None = None,
) -> tuple[Selection, list[Pack]]:
    """Choose the instances to profile, and pack those of the first round for the tasks that will fetch.

    Args:
        service: rules of the service.
        store: artifacts of the run; the :class:`Selection` is written, a stop of an earlier attempt removed.
        prometheus: Prometheus with the instances; None for ``selection.source: store``.
        instances: number of instances per round; default: as in the service file.
        seconds: length of each profile; default: as in the service file.
        matchers: label matchers of the builds to profile; default: as in the service file.
        window: name of the window to select for; default: select for the whole run.
        length: length of a profile store's window, such as ``24h``; default: as in the service file.
        access: credentials and TLS settings for the profile store.
    """
    if service.collection.past and seconds and length is None:
        length = timedelta(seconds=seconds)
    asked = override(service.collection, seconds=seconds, window=length)
    now = datetime.now(UTC)  # before Prometheus is asked: who is there runs the build that the store has seen
    rules = override(service.selection, instances=instances, matchers=matchers)
    share, taken, then = 1.0, frozenset[str](), None
    if window is not None:
        share = selection.find_window(service.selection, window).share
        taken = frozenset(
            target.instance
            for name, other in read_windows(store).items()
            if name != window
            for target in other.of_round(1)
        )
        if asked.past:
            rule = selection.find_window(service.selection, window)
            now = then = selection.past_end(rule, timedelta(seconds=asked.length), now)
    chosen = choose(
        asked, rules, prometheus, seed=store.run, share=share, taken=taken, end=now, at=then, access=access
    )
    missing = absence.compare(chosen, absence.last_fleet(store), rules)
    chosen = replace(chosen, seconds=asked.length, warnings=(*missing, *chosen.warnings))
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


def choose(
    asked: CollectionRules,
    rules: SelectionRules,
    prometheus: Prometheus | None,
    *,
    seed: str,
    end: datetime,
    share: float = 1,
    taken: Collection[str] = frozenset(),
    at: datetime | None = None,
    access: Access | None = None,
) -> Selection:
    """Choose the instances to profile, by Prometheus or by the store of profiles.

    Args:
        asked: names the store.
        rules: how to choose, and how many.
        prometheus: knows the instances; None: the store does.
        seed: see :func:`fleetpgo.selection.select`.
        end: up to when the store is asked.
        share: as `seed`.
        taken: as `seed`.
        at: as `seed`.
        access: credentials and TLS of the store.
    """
    if rules.source == "prometheus":
        if prometheus is None:
            raise SelectionError(
                "the instances are queried from Prometheus, and no Prometheus was given",
                hint="give one with --prometheus, or select from a profile store: selection.source: store",
            )
        return selection.select(prometheus, rules, seed=seed, share=share, taken=taken, at=at)
    labels, query = fleets.labels_needed(rules, asked), fleets.narrowed(rules.cpu, rules.matchers)
    answer = asyncio.run(fleets.ask_fleet(query, labels, asked, end=end, access=access or Access()))
    chosen = selection.select_seen(answer, rules, seed=seed, share=share, taken=taken)
    return replace(chosen, matchers=rules.matchers)


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
