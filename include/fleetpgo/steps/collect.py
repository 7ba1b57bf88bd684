"""Stages 2 and 3: fetch the chosen instances' profiles, in further rounds while there are too few samples."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fleetpgo import collection
from fleetpgo.collection.fleets import narrowed
from fleetpgo.run.stop import why_stopped
from fleetpgo.selection import read_selection
from fleetpgo.steps.enough import judge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fleetpgo.collection import Access
    from fleetpgo.run.profiled import Record
    from fleetpgo.run.store import RunStore
    from fleetpgo.selection import Target
    from fleetpgo.service.rules import ServiceRules

    Watch = Callable[[str, str], None]


def unwatched(_instance: str, _state: str) -> None:
    """Ignore each instance's progress; the log has it anyway."""


async def collect_profiles(
    service: ServiceRules,
    store: RunStore,
    targets: Sequence[Target],
    *,
    access: Access | None = None,
    watch: Watch = unwatched,
) -> list[Record]:
    """Fetch the targets' profiles into the store; one record each, failed ones included."""
    chosen = read_selection(store)
    rules = service.collection
    if chosen.matchers:
        rules = rules.model_copy(update={"query": narrowed(rules.query, chosen.matchers)})
    return await collection.collect(
        targets,
        rules,
        store,
        seconds=chosen.seconds,
        limits=chosen.at_once(service.collection.max_share),
        fleet=[each for each in chosen.targets if each.round <= targets[0].round],
        access=access or collection.Access(),
        repair=service.profile.repair,
        watch=watch,
    )


async def top_up(
    service: ServiceRules, store: RunStore, *, access: Access | None = None, watch: Watch = unwatched
) -> list[str]:
    """Profile further rounds of instances while there are too few samples.

    Returns:
        one sentence for each check: the samples so far, and whether they were enough.
    """
    chosen = read_selection(store)
    said = []
    for number in range(2, service.selection.max_rounds + 2):
        verdict = await asyncio.to_thread(judge, service, store, chosen)
        targets = chosen.of_round(number)
        said.append(
            verdict.message
            if verdict.enough or targets
            else f"{verdict.message}; {_remedy(service, chosen.seconds)}"
        )
        if verdict.enough or not targets:
            break
        if stopped := await asyncio.to_thread(why_stopped, store):
            said[-1] += f"; nobody else is asked: {stopped}"
            break
        await collect_profiles(service, store, targets, access=access, watch=watch)
    return said


def _remedy(service: ServiceRules, seconds: int) -> str:
    """Return advice on how to get more samples once every chosen instance has been asked."""
    longer = "profile for longer (collection.seconds"
    if service.collection.past:
        longer = "ask about a longer time (collection.window"
    return (
        f"every chosen instance has been tried: for more, {longer} is {seconds}) or in more rounds "
        f"(selection.max_rounds is {service.selection.max_rounds})"
    )
