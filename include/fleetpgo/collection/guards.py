"""Limits that protect production during a round.

Never more than ``max_share`` of a datacenter's instances are profiled at once, nor more than ``per_host`` on
one host, nor more than ``concurrency`` in one task. A datacenter is never split over tasks
(:func:`fleetpgo.selection.pack`), so counting inside one process is enough.

A round *stops* when an instance refuses the credentials: further requests would be refused, too, and set off
alarms. It also stops when too many instances answer with server errors: profiling must not make an outage
worse. If one store (Pyroscope, Parca) serves all instances, one error of the store stops the round. After a
stop no request starts; those under way may finish (:mod:`fleetpgo.run.stop`).
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
    from fleetpgo.service.profiling import CollectionRules

log = logging.getLogger(__name__)

FEWEST_ERRORS = 3
"""Fewest instances with server errors that stop a round. In a small fleet one instance is a large share."""


class Guard:
    """Limits concurrent requests, and stops the round.

    Args:
        rules: limits of a task and of a host, and the share of server errors that stops the round.
        limits: datacenter → most instances profiled at once; 1 for a datacenter that is not in it.
        instances: number of instances of this round and all earlier ones, over all tasks.
        store: shared by the round's tasks; holds their server errors and the stop.
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
        """Wait until a request to the instance may start. An error inside the block may stop the round.

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
        """Stop the round in all of its tasks."""
        if not self.stopped:
            self.stopped = reason
            log.error("the round is stopped: %s", reason)
            await asyncio.to_thread(stop, self._store, reason)
