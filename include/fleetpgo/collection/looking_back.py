"""Read an instance's stored profiles backwards in time, until a deploy of another build.

A store is queried for parts of the window, the newest first, because Pyroscope answers for a day at most.
Several build ids in an answer mean a deploy. The window is then cut at the deploy, found by bisection:
earlier samples are from other code, and not from the release that ``--matchers`` selected. Files are read one
by one, the newest first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from fleetpgo.collection.faults import NeverError, NothingError, NotNowError, UnusableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from fleetpgo.collection.examining import Profile
    from fleetpgo.collection.sources.files import File

    Ask = Callable[[float, float], Awaitable[Profile]]

PART = 86_400.0
"""Seconds that one query is about, at most: Pyroscope's default limit (``max_query_length``)."""

FINEST, HALVINGS = 15.0, 8
"""A cut is looked for no finer than so many seconds, as profilers upload every 10 to 15; and so many queries
are made for it: of a day, five minutes may be lost."""

SHORT = 12
"""Letters of a build id that a message names."""


@dataclass(frozen=True)
class Seen:
    """What was seen of one build: profiles, the newest first, and since when (Unix seconds).

    ``cut``: a sentence on what was left out because it is of another build; "": nothing.
    """

    profiles: Sequence[Profile]
    since: float
    cut: str = ""


async def look_back(ask: Ask, *, start: float, end: float) -> Seen:
    """Ask a store about the time from start to end, up to the last deploy in it.

    Args:
        ask: returns the profile of a time, given its start and its end in Unix seconds.
        start: where to begin.
        end: where to end; what runs there is the build that is wanted.

    Raises:
        NothingError: the store has nothing of that time.
        UnusableError: `ask` raised it, or there are two builds however short the time: two programs.
    """
    found: list[Profile] = []
    since = end
    edges = [end, *reversed(_inner(start, end)), start]
    for last, first in pairwise(edges):
        begin = first
        try:
            profile = await ask(begin, last)
        except NothingError:
            continue
        several = bool(profile.facts.other_builds)
        if several:
            profile, begin = await _cut(ask, begin, last)
        if found and another_build(profile, found[0]):
            return Seen(found, since, _said(found[0], since, end))
        found.append(profile)
        since = begin
        if several:
            return Seen(found, since, _said(found[0], since, end))
    if not found:
        raise NothingError("no-samples: the store has no profile for collection.query in that time")
    return Seen(found, since)


async def use_newest(read: Callable[[File], Awaitable[Profile]], files: Sequence[tuple[float, File]]) -> Seen:
    """Read files with the moments that they are of, the newest first, up to one of another build.

    Args:
        read: returns the profile in a file.
        files: with moments in Unix seconds.

    Raises:
        NothingError: there are none.
        UnusableError: none of them can be used; the reason is the newest one's.
        NotNowError: they cannot be read.
    """
    found: list[Profile] = []
    lost: list[str] = []
    known = set[bytes]()
    since = 0.0
    for begin, file in files:
        try:
            profile = await read(file)
        except NotNowError as error:
            if not str(error).startswith("truncated"):
                raise
            lost.append(f"{file.shown}: {error}")
            continue
        except (UnusableError, NeverError) as error:
            lost.append(f"{file.shown}: {error}")
            continue
        if profile.facts.other_builds:
            lost.append(f"{file.shown}: two-builds: it holds two Go programs")
        elif found and another_build(profile, found[0]):
            said = _said(found[0], since, files[0][0])
            return Seen(found, since, "; ".join([said, *_lost(lost, files)]))
        elif profile.data not in known:  # uploaded twice
            known.add(profile.data)
            found.append(profile)
            since = begin
    if not files:
        raise NothingError("no-samples: no file matches collection.files")
    if not found:
        raise UnusableError(f"none of {len(files):,} files can be used: {lost[0]}")
    return Seen(found, since, "; ".join(_lost(lost, files)))


def _lost(lost: Sequence[str], files: Sequence[object]) -> list[str]:
    return [f"{len(lost):,} of {len(files):,} files cannot be used: {lost[0]}"] if lost else []


def another_build(one: Profile, other: Profile) -> bool:
    """Return whether two profiles have different build ids. A profile without one matches any build."""
    ids = one.facts.build_id, other.facts.build_id
    return all(ids) and ids[0] != ids[1]


def moment(seconds: float) -> str:
    """Return a time for people."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _inner(start: float, end: float) -> list[float]:
    """Return the times at which the range from start to end is split into several queries."""
    parts = max(1, -int(-(end - start) // PART))
    return [end - number * PART for number in range(parts - 1, 0, -1)]


async def _cut(ask: Ask, start: float, end: float) -> tuple[Profile, float]:
    """Return the profile of the end of that time that is of one build, and since when it is.

    There are two builds from `low` on, and one at the most from `high` on.
    """
    low, high, best = start, end, None
    for _ in range(HALVINGS):
        if high - low <= FINEST:
            break
        middle = (low + high) / 2
        try:
            profile = await ask(middle, end)
        except NothingError:
            high = middle
            continue
        if profile.facts.other_builds:
            low = middle
        else:
            high, best = middle, profile
    if best is None:
        raise UnusableError(
            f"two-builds: even from {moment(low)} to {moment(end)} the answer holds two Go programs: does "
            "collection.query select a second one (a sidecar), or was there a deploy at that moment?"
        )
    return best, high


def _said(profile: Profile, since: float, end: float) -> str:
    build = profile.facts.build_id[:SHORT] or "the last one"
    return f"cut: a deploy lies in the window; used is build {build}, from {moment(since)} to {moment(end)}"
