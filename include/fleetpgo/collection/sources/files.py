"""Profiles that lie in a directory or a bucket, as some other program has put them there.

A pattern names an instance's files: ``s3://profiles/$datacenter/$pod/%Y-%m-%d/*.pb.gz``. Placeholders are the
instance's labels, ``%Y %m %d %H %M %S`` the parts of a time in UTC and ``%s`` Unix seconds (strftime(3)), and
``* ? [a-z] **`` as in a shell. A path without a time has that of the file's last change.
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
"""Parts of a time in a path, and their number of digits."""

_LENGTHS = {"s": 1, "S": 1, "M": 60, "H": 3_600, "d": 86_400}
"""Part → seconds that a time covers of which it is the finest."""

_LONGEST_NAME = 100
"""Characters of a file's name that messages show."""

_TOKEN = re.compile(r"%(?P<part>[YmdHMSs])|(?P<class>\[[^]/]+\])|(?P<deep>\*\*/?)|(?P<star>\*)|(?P<one>\?)")


@dataclass(frozen=True)
class File:
    """One file to read. ``host``: of whom so many are read at once."""

    path: Path | UPath
    host: str

    @property
    def shown(self) -> str:
        """The file's name for messages; whoever puts files there chooses it."""
        return foreign.line(self.path.name, _LONGEST_NAME)


@dataclass(frozen=True)
class Files:
    """Names the files of each instance.

    Args:
        pattern: template of their paths.
    """

    pattern: str

    whole: ClassVar[bool] = False

    def question(self, target: Target, *, seconds: int) -> str:
        """The filled-in pattern; see :class:`~fleetpgo.collection.sources.ProfileSource`."""
        return fill(self.pattern, target, seconds=seconds, quote=glob.escape)

    def request(self, target: Target, *, seconds: int, until: float) -> Request:
        """A pattern is no request: :mod:`fleetpgo.collection.reading` lists the files."""
        raise NotImplementedError

    def profile(self, body: bytes, *, seconds: int, limits: Limits) -> bytes:  # noqa: ARG002  # the protocol's
        """The file itself."""
        return body


def globs(pattern: str, start: float, end: float) -> list[str]:
    """Return patterns without times that match all files from start to end, and not many others.

    Args:
        pattern: filled in.
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
    """Whether the paths of a pattern tell their time."""
    parts = {match["part"] for match in _TOKEN.finditer(pattern)}
    return "s" in parts or {"Y", "m", "d"} <= parts


def span_of(pattern: str, path: str) -> tuple[float, float] | None:
    """Return the time that a path tells, from when to when in Unix seconds.

    Returns:
        None if it is of no such pattern, or the time is none (a 31st of February).
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
