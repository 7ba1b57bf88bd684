"""Asks a target for a profile, once or again and again, in whatever way its source needs."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from fleetpgo.collection.examining import TOGETHER
from fleetpgo.collection.faults import NotNowError, StoppedError
from fleetpgo.collection.fetching import receive
from fleetpgo.collection.sources import Call
from fleetpgo.collection.sources.files import File

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import aiohttp

    from fleetpgo.collection.calling import Caller
    from fleetpgo.collection.examining import Examiner, Profile
    from fleetpgo.collection.fetching import Limits
    from fleetpgo.collection.guards import Guard
    from fleetpgo.collection.reading import Reader
    from fleetpgo.collection.sources import Request
    from fleetpgo.collection.spool import Body, Spool
    from fleetpgo.network.addresses import Allow
    from fleetpgo.selection import Target
    from fleetpgo.service.profiling import CollectionRules

T = TypeVar("T")

_STORES_PAUSE = 3  # seconds before a store is asked again
_HELD = 2 * TOGETHER  # profiles in memory at once: some are checked while others are written


@dataclass(frozen=True)
class Asker:
    """What all requests for profiles share, in one round of asking instances.

    Args:
        rules: which source is asked, and how often.
        guard: limits how many instances are profiled at once.
        session: sends HTTP requests.
        caller: runs the command of the source ``command``.
        reader: reads the files of the source ``files``.
        spool: keeps each answer on disk until it has been checked.
        examiner: checks each answer.
        limits: largest size of an answer, packed and unpacked.
        allow: hosts that requests may go to.
        watch: is called with an instance and what is being done with it.
    """

    rules: CollectionRules
    guard: Guard
    session: aiohttp.ClientSession
    caller: Caller
    reader: Reader
    spool: Spool
    examiner: Examiner
    limits: Limits
    allow: Allow
    watch: Callable[[str, str], None]
    held: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_HELD))

    async def patiently(self, target: Target, ask_once: Callable[[], Awaitable[T]], *, seconds: int) -> T:
        """Ask again, after a pause, what may be answered then.

        Args:
            target: whom.
            ask_once: does it.
            seconds: length of a profile.

        Raises:
            NoProfileError: the last one.
        """
        # A store profiles nobody: it is not busy for as long as a profile takes.
        pause = _STORES_PAUSE if self.rules.past else seconds
        retrying = AsyncRetrying(
            retry=retry_if_exception(self._may_pass),
            stop=stop_after_attempt(self.rules.attempts),
            # Somebody else's profile takes about as long as ours.
            wait=wait_random_exponential(multiplier=pause, max=2 * pause),
            reraise=True,
        )
        failed: NotNowError | None = None

        async def ask() -> T:
            nonlocal failed
            try:
                return await ask_once()
            except NotNowError as error:
                failed = error
                self.watch(target.instance, f"to be asked again: {error}")
                raise
            except StoppedError:
                if failed:  # it was asked before the round was stopped, and said something itself
                    raise failed from None
                raise

        return await retrying(ask)

    async def ask(
        self,
        target: Target,
        request: Request | Call | File,
        take: Callable[[Profile], Awaitable[T]],
        *,
        seconds: int,
    ) -> T:
        """Ask when it is the target's turn, and pass the profile on while there is room for it.

        An instance is asked once. A store is asked patiently, and keeps the turn: one server answers for all,
        so nobody else need try meanwhile.
        """
        self.watch(target.instance, "waiting")
        with ExitStack() as stack:

            async def receive_once() -> Body:
                body = stack.enter_context(self.spool.body())
                self.watch(target.instance, "asked")
                await self._answer(target, request, body)
                return body

            async with self.guard.turn(target.instance, datacenter=target.datacenter, host=request.host):
                if self.rules.past:
                    body = await self.patiently(target, receive_once, seconds=seconds)
                else:
                    body = await receive_once()
            async with self.held:
                return await take(await self.examiner.profile(body, seconds=seconds))

    async def _answer(self, target: Target, request: Request | Call | File, body: Body) -> None:
        """Put what comes of a request into the spool."""
        if isinstance(request, Call):
            await self.caller.call(request, body)
        elif isinstance(request, File):
            body.write(await asyncio.to_thread(self.reader.read, request))
        else:
            await receive(
                self.session,
                request,
                body,
                limits=self.limits,
                allow=self.allow,
                received=lambda size: self.watch(target.instance, f"{size:,} bytes"),
            )

    def _may_pass(self, error: BaseException) -> bool:
        """Return whether a retry may succeed."""
        return isinstance(error, NotNowError) and not self.guard.stopped
