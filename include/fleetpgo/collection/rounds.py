"""One round: ask every target, retry some, and write a record of each.

An instance that is busy with another profile, answers with an error or cannot be reached is asked again after
a random pause. The pause keeps many requests from arriving at once; the start of a round is spread for the
same reason.
"""

from __future__ import annotations

import asyncio
import logging
import random
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from aiohttp import ThreadedResolver

from fleetpgo.collection.access import Access, open_session
from fleetpgo.collection.asking import Asker
from fleetpgo.collection.calling import Caller
from fleetpgo.collection.examining import Examiner, keep
from fleetpgo.collection.faults import (
    NeverError,
    NoProfileError,
    NothingError,
    NotNowError,
    StoppedError,
    UnusableError,
)
from fleetpgo.collection.fetching import Limits
from fleetpgo.collection.guards import Guard
from fleetpgo.collection.looking_back import look_back, moment, use_newest
from fleetpgo.collection.packs import Packer
from fleetpgo.collection.reading import Reader
from fleetpgo.collection.records import read_record, write_record
from fleetpgo.collection.sources.command import Command
from fleetpgo.collection.sources.files import File, Files
from fleetpgo.collection.sources.parca import Parca
from fleetpgo.collection.sources.pprof_http import PprofHttp
from fleetpgo.collection.sources.pyroscope import Pyroscope
from fleetpgo.collection.spool import Spool
from fleetpgo.collection.usage import require_plausible
from fleetpgo.network.addresses import parse_allow
from fleetpgo.run.profiled import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiohttp.abc import AbstractResolver

    from fleetpgo.collection.examining import Kept, Profile
    from fleetpgo.collection.sources import ProfileSource
    from fleetpgo.run.store import RunStore
    from fleetpgo.selection import Target
    from fleetpgo.service.profiling import CollectionRules

T = TypeVar("T")

log = logging.getLogger(__name__)

_JITTER = 0.05  # of a profile's length: over this time the starts of a round are spread


async def collect(
    targets: Sequence[Target],
    rules: CollectionRules,
    store: RunStore,
    *,
    seconds: int,
    limits: Mapping[str, int],
    fleet: Sequence[Target] | None = None,
    access: Access = Access(),  # noqa: B008  # frozen
    repair: bool = False,
    resolver: AbstractResolver | None = None,
    watch: Callable[[str, str], None] = lambda _instance, _state: None,
) -> list[Record]:
    """Fetch the targets' profiles; one record each, in the order of the targets.

    Args:
        targets: instances to profile.
        rules: how.
        store: takes profiles and records; instances whose profile it holds are not asked.
        seconds: length of each profile.
        limits: datacenter → most of its instances at once; see :class:`fleetpgo.collection.guards.Guard`.
        fleet: the targets of the run's rounds up to this one, in all tasks; default: `targets`. Of those
            about which the same would be asked, the first is asked for all.
        access: credentials and TLS.
        repair: whether profiles are kept that lack start lines alone: the merge step repairs them.
        resolver: asks the DNS; default: the system's.
        watch: is told an instance and what it is doing, whenever that changes.

    Raises:
        ServiceFileError: credentials, but no word of where they may go; certificates that cannot be used;
            a program to call that is not there.
    """
    fleet = targets if fleet is None else fleet
    if rules.past:  # no instance notices
        limits = dict.fromkeys((target.datacenter for target in targets), rules.concurrency)
    guard = Guard(rules, limits, instances=len(fleet), store=store)
    async with open_session(rules, access, resolver or ThreadedResolver()) as session:
        with (
            tempfile.TemporaryFile(buffering=0) as file,
            ThreadPoolExecutor(max_workers=1) as thread,
            Caller(rules, Limits.of(rules, seconds=seconds)) as caller,
        ):
            source, within = _source(rules), Limits.of(rules, seconds=seconds)
            allow = parse_allow(rules.allow)
            checked = None if rules.past else seconds
            examiner = Examiner(thread, source, limits=within, seconds=checked, repair=repair)
            spool, reader = Spool(file, most=rules.max_bytes), Reader(rules, access)
            asker = Asker(rules, guard, session, caller, reader, spool, examiner, within, allow, watch)
            round_ = _Round(source, asker, store, fleet, seconds)
            records = [asyncio.create_task(round_.record(target)) for target in targets]
            try:
                return await asyncio.gather(*records)
            finally:
                # What ends the round for one, such as a store that cannot be written, ends it for all.
                for record in records:
                    record.cancel()
                await asyncio.gather(*records, return_exceptions=True)
                await round_.end()


def _source(rules: CollectionRules) -> ProfileSource:
    match rules.source:
        case "pprof_http":
            return PprofHttp(rules.url, rules.ports)
        case "command":
            return Command(rules.command)
        case "files":
            return Files(rules.files)
        case "pyroscope":
            return Pyroscope(rules.url, rules.query)
        case "parca":
            return Parca(rules.url, rules.query)


async def _as_it_is(profile: Profile) -> Profile:
    return profile


class _Round:
    """State that all targets of a round share."""

    def __init__(
        self,
        source: ProfileSource,
        asker: Asker,
        store: RunStore,
        fleet: Sequence[Target],
        seconds: int,
    ) -> None:
        self._rules, self._guard, self._watch = asker.rules, asker.guard, asker.watch
        self._source, self._asker, self._store, self._seconds = source, asker, store, seconds
        self._now = time.time()
        self._packer, self._packing = Packer(store), asyncio.Lock()
        self._asked_for: dict[str, str] = {}
        for target in fleet:
            with suppress(NeverError):  # whoever asks will see it
                self._asked_for.setdefault(source.question(target, seconds=seconds), target.instance)

    async def record(self, target: Target) -> Record:
        """Fetch one target's profile unless the store has it; write its record.

        A target of a further round that was not asked at all leaves none: it counts for no quorum.
        """
        earlier = await asyncio.to_thread(read_record, self._store, target)
        if earlier.state == "fetched":
            self._tell(target, "already in the store", logging.INFO)
            return earlier
        twin = self._twin(target)
        record = Record(target.instance, target.datacenter, target.cores, "missing", same_as=twin)
        try:
            kept, note = await self._persist(target, twin)
        except NoProfileError as error:
            reason = str(error)
            if not self._source.whole:
                reason = await self._of_a_store(target, error)
            record = replace(
                record, state="refused" if isinstance(error, UnusableError) else "missing", reason=reason
            )
            self._tell(target, f"no profile: {reason}", logging.WARNING)
            if isinstance(error, StoppedError) and target.round > 1:
                return record
        else:
            note = "; ".join(filter(None, (kept.reason, note)))
            record = replace(record, **vars(kept) | {"state": "fetched", "reason": note})
            said = f"{kept.samples:,} samples in {kept.size:,} bytes" + (f"; {note}" if note else "")
            self._tell(target, said, logging.INFO)
        await asyncio.to_thread(write_record, self._store, record)
        return record

    async def _of_a_store(self, target: Target, error: NoProfileError) -> str:
        """Return why a store gave no profile, with the query. An error of the store stops the round."""
        reason = str(error)
        if isinstance(error, NothingError):
            question, until = self._source.question(target, seconds=self._seconds), self._until(target)
            return f"{reason}: {question} from {moment(until - self._seconds)} to {moment(until)}"
        if isinstance(error, NotNowError) and not reason.startswith("truncated"):
            who = "the storage" if self._rules.files else self._rules.source
            await self._guard.stop(f"{who} does not answer: {reason}")
        return reason

    def _twin(self, target: Target) -> str:
        """Return the instance with the same request; "" if there is none or no request can be built."""
        with suppress(NeverError):
            first = self._asked_for.get(self._source.question(target, seconds=self._seconds), "")
            return "" if first == target.instance else first
        return ""

    def _tell(self, target: Target, state: str, level: int) -> None:
        log.log(level, "%s: %s", target.instance, state)
        self._watch(target.instance, state)

    def _until(self, target: Target) -> float:
        """Return where the time ends that a store is asked about, in Unix seconds."""
        return target.until or self._now

    async def _persist(self, target: Target, twin: str) -> tuple[Kept, str]:
        """Ask until the instance gives a profile or a retry is pointless; what is to be said about it."""
        if twin:
            keys = {"pprof_http": "url", "command": "command", "files": "files"}
            key = keys.get(self._rules.source, "query")
            raise UnusableError(
                f"duplicate: it and {twin} make the same request, so it was made once: "
                f"collection.{key} needs a label that tells them apart"
            )
        if isinstance(self._source, Files):
            return await self._of_files(target, self._source)
        if self._rules.past:
            return await self._of_a_window(target)
        await asyncio.sleep(random.uniform(0, _JITTER * self._seconds))  # noqa: S311  # not for secrets
        request = self._source.request(target, seconds=self._seconds, until=0)
        take = partial(self._keep, target, seconds=self._seconds)
        ask = partial(self._asker.ask, target, request, take, seconds=self._seconds)
        return await self._asker.patiently(target, ask, seconds=self._seconds), ""

    async def _of_a_window(self, target: Target) -> tuple[Kept, str]:
        """Ask a store about the target's window, as far as the build reaches that runs at its end."""

        async def ask(start: float, end: float) -> Profile:
            seconds = max(1, round(end - start))
            request = self._source.request(target, seconds=seconds, until=end)
            return await self._asker.ask(target, request, _as_it_is, seconds=seconds)

        end = self._until(target)
        seen = await look_back(ask, start=end - self._seconds, end=end)
        profile = await self._asker.examiner.joined(seen.profiles)
        return await self._keep(target, profile, seconds=end - seen.since), seen.cut

    async def _of_files(self, target: Target, source: Files) -> tuple[Kept, str]:
        """Read the target's files of the window, as far as the build reaches that the newest is of."""
        end = self._until(target)
        pattern = source.question(target, seconds=self._seconds)
        start, find_files = end - self._seconds, self._asker.reader.find

        async def find() -> tuple[list[tuple[float, File]], str]:
            async with self._guard.turn(target.instance, datacenter=target.datacenter, host=target.instance):
                ask = partial(asyncio.to_thread, find_files, pattern, target.instance, start, end)
                return await self._asker.patiently(target, ask, seconds=self._seconds)

        files, said = await find()

        async def read(file: File) -> Profile:
            return await self._asker.ask(target, file, _as_it_is, seconds=self._seconds)

        seen = await use_newest(read, files)
        profile = await self._asker.examiner.joined(seen.profiles)
        taken = sum(each.facts.duration_seconds for each in seen.profiles)
        kept = await self._keep(target, profile, seconds=taken, whole=True)
        return kept, "; ".join(filter(None, (seen.cut, said)))

    async def _keep(
        self, target: Target, profile: Profile, *, seconds: float, whole: bool | None = None
    ) -> Kept:
        """Put a profile into the store if it can be the target's."""
        require_plausible(
            profile.facts,
            cores=target.cores if seconds else 0,  # files need not say how long a time they are of
            seconds=seconds,
            whole=self._source.whole if whole is None else whole,
        )
        kept = await asyncio.to_thread(keep, profile, self._store)
        if profile.edges:
            async with self._packing:
                await asyncio.to_thread(self._packer.add, kept.sha256, profile.edges)
        return kept

    async def end(self) -> None:
        """Write the call edges that are left."""
        async with self._packing:
            await asyncio.to_thread(self._packer.write)
