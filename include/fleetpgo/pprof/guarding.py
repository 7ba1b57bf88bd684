"""The guard list: functions that profile-guided inlining is known to make worse.

Each is neutralised by renaming it in the profile: the compiler then finds no function of that name and treats
it as if it had never been seen. Deleting its samples would be simpler and wrong: the hot threshold is a share
of the total weight, so it would move for everything else.

A guard goes as soon as the last Go version in its range is out of use. Nothing else needs to change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.pprof.codec.texts import Texts, go_bytes, go_name
from fleetpgo.pprof.profile import Profile

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


def guard(profile: Profile, *, extra: Iterable[Guard] = ()) -> tuple[Profile, tuple[str, ...]]:
    """Rename the guarded functions in a profile.

    Args:
        profile: of any kind.
        extra: more guards, from the service file.

    Returns:
        The profile and the names that were renamed, sorted. With none, it is the same profile.
    """
    guarded = {go_bytes(entry.function) for entry in (*GUARDS, *extra)}
    columns = profile.columns
    names = set(columns.strings.cut(np.unique(columns.functions[:, 0]))) & guarded
    if not names:
        return profile, ()
    strings = [text + go_bytes(SUFFIX) if text in names else text for text in columns.strings]
    renamed = Profile(replace(columns, strings=Texts.of(strings)), profile.limits)
    return renamed, tuple(sorted(map(go_name, names)))
