"""The guard list: functions that profile-guided inlining is known to make worse.

Each is neutralised by renaming it in the profile: the compiler then finds no function of that name and treats
it as if it had never been seen. Deleting its samples would be simpler and wrong: the hot threshold is a share
of the total weight, so it would move for everything else.

A guard goes as soon as the last Go version in its range is out of use. Nothing else needs to change.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.pprof.codec.decoding import read
from fleetpgo.pprof.codec.reading import Limits
from fleetpgo.pprof.codec.texts import Texts, go_bytes, go_name
from fleetpgo.pprof.codec.writing import write

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
        why="inlined three times into the loop that each connection keeps, its 16 KB buffer is on that stack "
        "thrice: memory grows with the connections",
    ),
    Guard(
        function="runtime.gopark",
        since="1.21",
        until="",
        issue="https://github.com/golang/go/issues/74045",
        why="inlined into runtime.ReadTrace, it leaves no point at which that loop can be preempted: a "
        "program that stops the world while an execution trace ends hangs",
    ),
)


def guard(
    data: bytes,
    *,
    go_version: str | None = None,
    extra: Iterable[Guard] = (),
    limits: Limits = Limits(),  # noqa: B008 -- frozen
) -> tuple[bytes, tuple[str, ...]]:
    """Rename the guarded functions in a profile.

    Args:
        data: a profile, gzipped or not.
        go_version: version of the toolchain that will build, as ``1.27.3`` or ``go1.27.3``; None: every guard
            applies.
        extra: more guards, from the service file.
        limits: what the profile may be.

    Returns:
        The profile and the names that were renamed, sorted. With none, the profile is ``data`` itself.

    Raises:
        ProfileError: ``data`` cannot be read.
    """
    guarded = {go_bytes(entry.function) for entry in (*GUARDS, *extra) if _affects(entry, go_version)}
    profile = read(data, limits)
    names = set(profile.strings.cut(np.unique(profile.functions[:, 0]))) & guarded
    if not names:
        return data, ()
    strings = [text + go_bytes(SUFFIX) if text in names else text for text in profile.strings]
    return write(replace(profile, strings=Texts.of(strings))), tuple(sorted(map(go_name, names)))


def _affects(entry: Guard, go_version: str | None) -> bool:
    if go_version is None:
        return True
    version = _version(go_version)
    return _version(entry.since) <= version and (not entry.until or version < _version(entry.until))


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text.split("-", maxsplit=1)[0])[:3])
