"""Check received bodies and store the good profiles. A thread of its own checks several bodies at once.

Only a profile that has passed the check gets into the store, so a truncated body never counts. Reasons:
docs/decisions/0306-bodies-go-through-a-file.md.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from fleetpgo import foreign, pprof
from fleetpgo.collection.faults import NoProfileError, NothingError, NotNowError, UnusableError
from fleetpgo.errors import ProfileError
from fleetpgo.pprof.codec.reading import message
from fleetpgo.run.artifacts import FILES, FetchedProfile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Executor

    from fleetpgo.collection.fetching import Limits
    from fleetpgo.collection.sources import ProfileSource
    from fleetpgo.collection.spool import Body
    from fleetpgo.run.store import RunStore

_LONGEST_REASON = 1000
"""Characters of why a profile is refused."""

TOGETHER = 6
"""Bodies that are checked at once: more of them take more memory, and no less time."""

REPAIRABLE = ("no-start-line", "partial-start-line")
"""Reasons for which a profile is kept if it is to be repaired (``profile.repair``)."""

_KEPT = 16 << 20  # bytes: about what a check takes


@dataclass(frozen=True)
class Profile:
    """A profile that has passed the check, as it is to be kept; or fails it only for what it ``lacks``."""

    data: bytes
    facts: pprof.Facts
    edges: pprof.OwnEdges | None = None
    lacks: str = ""


@dataclass(frozen=True)
class Kept:
    """A profile that is in the store."""

    artifact: str
    size: int
    sha256: str
    samples: int
    main_package: str
    kind: str
    modules: Mapping[str, int]
    outside: int
    main_functions: Mapping[str, int]
    build_id: str
    other_builds: tuple[str, ...]
    repairable: bool
    reason: str


class Examiner:
    """Checks bodies in batches: all that arrived since the last batch.

    Args:
        thread: executor with a single thread, so that the next check reuses the memory of the last one.
        source: takes the profile out of a body.
        limits: largest allowed profile.
        seconds: required length of each profile; None for a store, where the query determines it.
        repair: keep a profile that lacks only start lines, so that the merge step can repair it.
    """

    def __init__(
        self,
        thread: Executor,
        source: ProfileSource,
        *,
        limits: Limits,
        seconds: int | None,
        repair: bool = False,
    ) -> None:
        self._repair = repair
        self._thread, self._source, self._seconds = thread, source, seconds
        self._limits = limits.of_profiles
        self._waiting: list[_Waiting] = []
        self._known = pprof.KnownNames()
        self._turn = asyncio.Lock()
        _keep_freed_memory()

    async def profile(self, body: Body, *, seconds: int | None = None) -> Profile:
        """Check a body and return the profile in it.

        Args:
            body: what was answered.
            seconds: the length that was asked for; default: the one that each profile must have.

        Raises:
            UnusableError: there is none that can be used.
            NotNowError: its end is missing.
        """
        own = _Waiting(body, self._seconds or 0 if seconds is None else seconds)
        self._waiting.append(own)
        try:
            async with self._turn:
                if own in self._waiting:  # else it was checked with one that came before it
                    await self._check_next()
        finally:
            if own in self._waiting:
                self._waiting.remove(own)
        if isinstance(own.found, Profile):
            return own.found
        raise own.found

    async def _check_next(self) -> None:
        """Check the bodies that have waited longest. An unexpected error fails each of them."""
        part = self._waiting[: self._next()]
        found: Sequence[Profile | Exception]
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, self._examine, part)
        except Exception as error:  # noqa: BLE001  # each of them raises it
            found = [error] * len(part)
        for each, outcome in zip(part, found, strict=True):
            each.found = outcome
        self._waiting = [each for each in self._waiting if each not in part]

    def _next(self) -> int:
        """Return how many bodies to check next. Their total size stays within the limit of one body."""
        sizes = accumulate(each.body.size for each in self._waiting[:TOGETHER])
        return max(1, sum(size <= self._limits.packed_bytes for size in sizes))

    async def joined(self, profiles: Sequence[Profile]) -> Profile:
        """Add several profiles of one instance up to one.

        Raises:
            UnusableError: they cannot be added up, or are too large together.
        """
        if len(profiles) == 1:
            return profiles[0]
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._join, profiles)

    def _join(self, profiles: Sequence[Profile]) -> Profile:
        try:
            data = pprof.merge((each.data for each in profiles), limits=self._limits).data
            (checked,) = pprof.check_each([data], limits=self._limits, known=self._known, edges=True)
            found = self._judged(data, checked)
        except ProfileError as error:
            raise UnusableError(f"{error.reason}: {foreign.line(error.message, _LONGEST_REASON)}") from error
        if isinstance(found, NoProfileError):
            raise found
        return found

    def _examine(self, waiting: Sequence[_Waiting]) -> list[Profile | NoProfileError]:
        found = list(map(self._taken, waiting))
        profiles = [data for data in found if isinstance(data, bytes)]
        outcomes = iter(
            pprof.check_each(
                profiles, limits=self._limits, seconds=self._seconds, known=self._known, edges=True
            )
        )

        def checked(data: bytes) -> Profile | NoProfileError:
            judged = self._judged(data, next(outcomes))
            if isinstance(judged, NoProfileError):
                return judged
            # Names in a profile reach the repository, whose readers are many more than those of a log.
            if foreign.knows_any() and foreign.holds_secret(message(data, self._limits)):
                return UnusableError(
                    "credentials: names in it repeat a secret that was sent to it; does it put headers into "
                    "labels (pprof.Do)?"
                )
            return judged

        return [checked(data) if isinstance(data, bytes) else data for data in found]

    def _judged(self, data: bytes, said: pprof.Checked | ProfileError) -> Profile | NoProfileError:
        """Return a checked profile, also one that lacks only what is repaired later; or why it is refused."""
        if isinstance(said, pprof.Checked):
            return Profile(data, *said)
        if not (self._repair and said.reason in REPAIRABLE):
            return self._refusal(said)
        lacks = f"{said.reason}: {foreign.line(said.message, _LONGEST_REASON)}"
        return Profile(data, pprof.facts(data, limits=self._limits), lacks=lacks)

    def _taken(self, waiting: _Waiting) -> bytes | NoProfileError:
        """Return the profile that the source finds in a body."""
        try:
            body = waiting.body.read()
            return self._source.profile(body, seconds=waiting.seconds, limits=self._limits)
        except NoProfileError as error:
            return error
        except ProfileError as error:
            return self._refusal(error)

    def _refusal(self, error: ProfileError) -> NoProfileError:
        kinds = {"truncated": NotNowError, "no-samples": NothingError}
        kind = kinds.get(error.reason, UnusableError)
        return kind(f"{error.reason}: {foreign.line(error.message, _LONGEST_REASON)}")


@dataclass(eq=False)
class _Waiting:
    """A body waiting for its check, then the result."""

    body: Body
    seconds: int
    found: Profile | Exception = field(init=False)


def keep(profile: Profile, store: RunStore) -> Kept:
    """Put a profile into the store under its digest. Blocks."""
    data, facts = profile.data, profile.facts
    sha256 = hashlib.sha256(data).hexdigest()
    store.write(FetchedProfile(data), sha256)
    return Kept(
        artifact=FILES[FetchedProfile].path(sha256),
        size=len(data),
        sha256=sha256,
        samples=facts.samples,
        main_package=facts.main_package,
        kind=facts.kind,
        modules=facts.modules,
        outside=facts.outside,
        main_functions=facts.main_functions,
        build_id=facts.build_id,
        other_builds=facts.other_builds,
        repairable=bool(profile.lacks),
        reason=f"repairable: {profile.lacks}" if profile.lacks else "",
    )


def _keep_freed_memory() -> None:
    """Have the C library keep what a check frees for the next one, instead of giving it back each time.

    Mapping it anew is a quarter of a check's CPU. glibc keeps up to twice the largest block that was mapped
    and freed again (M_TRIM_THRESHOLD in mallopt(3)); of this one nothing is ever touched.
    """
    bytes(_KEPT)
