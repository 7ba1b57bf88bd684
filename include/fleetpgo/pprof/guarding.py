"""The guard list: functions that profile-guided inlining is known to make worse.

Each is neutralised by renaming it in the profile: the compiler then finds no function of that name and treats it
as if it had never been seen. Deleting its samples would be simpler and wrong: the hot threshold is a share of the
total weight, so it would move for everything else.

A guard goes as soon as the last Go version in its range is out of use. Nothing else needs to change.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetpgo.pprof import profile_pb2
from fleetpgo.pprof.edges import go_bytes
from fleetpgo.pprof.reading import Limits, message
from fleetpgo.pprof.writing import gzipped

if TYPE_CHECKING:
    from collections.abc import Iterable

SUFFIX = ".guarded-by-fleetpgo"
"""Appended to a guarded name; no Go symbol ends so."""


@dataclass(frozen=True)
class Guard:
    """One function that must not be inlined because of a profile.

    Args:
        function: its linker symbol, as profiles name it.
        since: first Go version that is affected, as ``1.21``.
        until: first Go version that is not, or "" while none is known.
        issue: link to the report.
        why: what goes wrong, in a few words.
    """

    function: str
    since: str
    until: str
    issue: str
    why: str


GUARDS = (
    Guard(
        function="google.golang.org/grpc/internal/transport.(*loopyWriter).processData",
        since="1.21",
        until="",
        issue="https://github.com/golang/go/issues/65532",
        why="its 16 KB buffer moves into the frame of a goroutine that every connection keeps: stack memory grows",
    ),
    Guard(
        function="runtime.gopark",
        since="1.21",
        until="",
        issue="https://github.com/golang/go/issues/74045",
        why="inlined into its callers, tracebacks and the tracer lose the frame that they look for",
    ),
)


def guard(data: bytes, *, go_version: str | None = None, extra: Iterable[Guard] = ()) -> tuple[bytes, tuple[str, ...]]:
    """Rename the guarded functions in a profile.

    Args:
        data: a profile, gzipped or not.
        go_version: version of the toolchain that will build, as ``1.27.3`` or ``go1.27.3``; None: every guard applies.
        extra: more guards, from the service file.

    Returns:
        The profile and the names that were renamed, sorted. With none, the profile is ``data`` itself.

    Raises:
        ProfileError: ``data`` cannot be read.
    """
    guarded = {go_bytes(g.function) for g in (*GUARDS, *extra) if go_version is None or _affects(g, go_version)}
    profile = profile_pb2.Profile.FromString(message(data, Limits()))
    strings = profile.string_table
    renamed: dict[int, int] = {}
    for function in profile.function:
        if strings[function.name] in guarded and function.name not in renamed:
            renamed[function.name] = len(strings)
            strings.append(strings[function.name] + go_bytes(SUFFIX))
        function.name = renamed.get(function.name, function.name)
        function.system_name = renamed.get(function.system_name, function.system_name)
    if not renamed:
        return data, ()
    names = tuple(sorted(strings[index].decode() for index in renamed))
    return gzipped(profile.SerializeToString(deterministic=True)), names


def _affects(entry: Guard, go_version: str) -> bool:
    version = _version(go_version)
    return _version(entry.since) <= version and (not entry.until or version < _version(entry.until))


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text.split("-")[0])[:3])
