"""Profiles in a directory or a bucket, written there by another program.

A pattern names the files of an instance: ``s3://profiles/$datacenter/$pod/%Y-%m-%d/*.pb.gz``.

- ``$name`` is a label of the instance.
- ``%Y %m %d %H %M %S`` are the parts of a time in UTC, ``%s`` is Unix seconds (strftime(3)).
- ``* ? [a-z] **`` match as in a shell.

If the path holds no time, the file's modification time is used.
"""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from fleetpgo import foreign
from fleetpgo.collection.sources.labels import fill

if TYPE_CHECKING:
    from pathlib import Path

    from upath import UPath

    from fleetpgo.collection.sources import Request
    from fleetpgo.pprof import Limits
    from fleetpgo.selection import Target

DIGITS = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2, "s": 10}
"""Part of a time in a path → its number of digits."""

_LENGTHS = {"s": 1, "S": 1, "M": 60, "H": 3_600, "d": 86_400}
"""Finest part of a time → seconds that the time spans: with ``%H`` the finest, an hour."""

_LONGEST_NAME = 100
"""Characters of a file's name that messages show."""

_TOKEN = re.compile(r"%(?P<part>[YmdHMSs])|(?P<class>\[[^]/]+\])|(?P<deep>\*\*/?)|(?P<star>\*)|(?P<one>\?)")


@dataclass(frozen=True)
class File:
    """One file to read. ``host``: the host to which ``collection.per_host`` applies."""

    path: Path | UPath
    host: str

    @property
    def shown(self) -> str:
        """The file's name for messages; whoever puts files there chooses it."""
        return foreign.line(self.path.name, _LONGEST_NAME)


@dataclass(frozen=True)
class Files:
    """Finds the files of each instance.

    Args:
        pattern: pattern of their paths; see the module.
    """

    pattern: str

    whole: ClassVar[bool] = False

    def question(self, target: Target, *, seconds: int) -> str:
        """Return the pattern with the target's labels filled in."""
        return fill(self.pattern, target, seconds=seconds, quote=glob.escape)

    def request(self, target: Target, *, seconds: int, until: float) -> Request:
        """Not used: :mod:`fleetpgo.collection.reading` lists the files of a pattern."""
        raise NotImplementedError

    def profile(self, body: bytes, *, seconds: int, limits: Limits) -> bytes:  # noqa: ARG002  # the protocol's
        """Return the file's bytes unchanged: the file is the profile."""
        return body


def globs(pattern: str, start: float, end: float) -> list[str]:
    """Return shell patterns, one a day, that match all files from start to end, and few others.

    Args:
        pattern: pattern of the paths, labels filled in.
        start: Unix seconds.
        end: Unix seconds.
    """
    days = [start + 86_400 * number for number in range(int((end - start) // 86_400) + 1)] + [end]
    found: dict[str, None] = {}
    for day in days:
        date = datetime.fromtimestamp(day, UTC)
        known = {"Y": f"{date:%Y}", "m": f"{date:%m}", "d": f"{date:%d}"}

        def part(match: re.Match[str], known: dict[str, str] = known) -> str:
            name = match["part"]
            return match[0] if not name else known.get(name) or "[0-9]" * DIGITS[name]

        found[_TOKEN.sub(part, pattern)] = None
    return list(found)


def has_time(pattern: str) -> bool:
    """Return whether the paths of a pattern hold a complete time: a date, or Unix seconds."""
    parts = {match["part"] for match in _TOKEN.finditer(pattern)}
    return "s" in parts or {"Y", "m", "d"} <= parts


def span_of(pattern: str, path: str) -> tuple[float, float] | None:
    """Return start and end of the time in a path, in Unix seconds.

    Returns:
        None if the path does not match the pattern, or its time does not exist (31 February).
    """
    seen = set[str]()

    def regex(match: re.Match[str]) -> str:
        if name := match["part"]:
            if name in seen:
                return f"(?P={name})"
            seen.add(name)
            return rf"(?P<{name}>[0-9]{{{DIGITS[name]}}})"
        if match["class"]:
            letters = match["class"][1:-1].replace("\\", "\\\\").replace("[", "\\[")
            return "[" + re.sub("^!", "^", re.sub(r"^\^", r"\\^", letters)) + "]"
        return ".*" if match["deep"] else "[^/]*" if match["star"] else "[^/]"

    parts, at = [], 0
    for match in _TOKEN.finditer(pattern):
        parts += [re.escape(pattern[at : match.start()]), regex(match)]
        at = match.end()
    found = re.fullmatch("".join([*parts, re.escape(pattern[at:])]), path, re.DOTALL)
    if not found:
        return None
    told = {name: int(value) for name, value in found.groupdict().items()}
    length = min(_LENGTHS[name] for name in told if name in _LENGTHS)
    if "s" in told:
        return float(told["s"]), told["s"] + 1.0
    try:
        date = datetime(
            told["Y"],
            told["m"],
            told["d"],
            told.get("H", 0),
            told.get("M", 0),
            tzinfo=UTC,
        ) + timedelta(seconds=told.get("S", 0))
    except ValueError:
        return None
    return date.timestamp(), date.timestamp() + length
