"""Limits that protect production during a round.

Never more than ``max_share`` of a datacenter's instances are profiled at once, nor more than ``per_host`` on
one host, nor more than ``concurrency`` in one task. A datacenter is never split over tasks
(:func:`fleetpgo.selection.pack`), so counting inside one process is enough.

A round *stops* when an instance refuses our credentials (more askers would only be more refusals, and alarms
over there) or when too many answer with server errors (then something is wrong that profiling must not make
worse). Where one store answers for all instances, its trouble with one is its trouble with all. Nobody is
asked after that; what is under way is let finish (:mod:`fleetpgo.run.stop`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from fleetpgo.collection.faults import ForbiddenError, ServerError, StoppedError
from fleetpgo.run.stop import note_trouble, stop, why_stopped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from fleetpgo.run.store import RunStore
    from fleetpgo.service.rules import CollectionRules

log = logging.getLogger(__name__)

FEWEST_ERRORS = 3
"""So many instances in trouble are needed at least to stop a round: of three, one is already a third."""


class Guard:
    """Hands out turns to ask an instance, and stops the round.

    Args:
        rules: how many at once, and how many server errors are too many.
        limits: datacenter → most instances of it at once; one of a datacenter that it does not name.
        instances: how many instances the run's rounds have up to this one, in all tasks.
        store: where the round's tasks tell each other what they met.
    """

    def __init__(
        self, rules: CollectionRules, limits: Mapping[str, int], *, instances: int, store: RunStore
    ) -> None:
        self._all = asyncio.Semaphore(rules.concurrency)
        self._hosts: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(rules.per_host)
        )
        self._datacenters: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(1))
        self._datacenters.update({name: asyncio.Semaphore(limit) for name, limit in limits.items()})
        self._most_errors = max(FEWEST_ERRORS - 1, rules.max_errors * instances)
        self._store = store
        self.stopped = ""

    @asynccontextmanager
    async def turn(self, instance: str, *, datacenter: str, host: str) -> AsyncIterator[None]:
        """Wait until the instance may be asked; what comes of it decides whether others still may.

        Raises:
            StoppedError: the round was stopped.
        """
        async with AsyncExitStack() as turns:
            for semaphore in (self._datacenters[datacenter], self._hosts[host], self._all):
                await turns.enter_async_context(semaphore)
            await self._go_on()
            try:
                yield
            except ForbiddenError as error:
                await self.stop(f"{instance} answered {error}")
                raise
            except ServerError as error:
                in_trouble = await asyncio.to_thread(note_trouble, self._store, instance, str(error))
                if in_trouble > self._most_errors:
                    await self.stop(
                        f"{in_trouble} instances answer with server errors (collection.max_errors)"
                    )
                raise

    async def _go_on(self) -> None:
        if not self.stopped:
            self.stopped = await asyncio.to_thread(why_stopped, self._store)
        if self.stopped:
            raise StoppedError(f"not asked: the round was stopped: {self.stopped}")

    async def stop(self, reason: str) -> None:
        """Ask nobody else in this round, in no task."""
        if not self.stopped:
            self.stopped = reason
            log.error("the round is stopped: %s", reason)
            await asyncio.to_thread(stop, self._store, reason)
