"""Give functions the names back that the compiler knows them by, from the binary that was profiled.

Some stores take the type arguments (``[go.shape.int]``) out of names; Go's tracebacks write ``[...]``. The
compiler finds no function of such a name, so each edge from or into a generic function is lost, without a
word. Names are held against the linker's. One that the binary does not have is restored

1. if the binary has one function of that name but for type arguments;
2. else, for each place by itself, from what the binary has at its address, if their build ids are equal;
3. else from what is inlined there: the binary says which of them is, on that line of that function.

Nothing is guessed: a name that still may be several functions' stays as it is, and is counted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.pprof.codec.texts import Texts
from fleetpgo.pprof.startlines import are_foreign

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from fleetpgo.pprof.binaries import Binary, Frame
    from fleetpgo.pprof.codec.columns import Columns

    At = Callable[[int], list[Sequence[Frame]]]
    """The frames that the binary may have at a location; none: that is not known."""


@dataclass(frozen=True)
class Renamed:
    """A profile with the linker's names.

    Attributes:
        columns: of the profile.
        restored: the names that were given back.
        ambiguous: names that may be of several functions, in some place at least.
        unknown: names of Go that the binary has not.
    """

    columns: Columns
    restored: AbstractSet[bytes]
    ambiguous: AbstractSet[bytes]
    unknown: AbstractSet[bytes]


def rename(columns: Columns, binary: Binary, at: At) -> Renamed:
    """Hold the names of a profile against the binary's, and restore what is missing in them.

    Args:
        columns: of one profile.
        binary: that was profiled, or one of the same source.
        at: the frames that the binary has at a location of the profile.
    """
    names = columns.strings.cut(columns.functions[:, 0])
    candidates = {name: list(binary.candidates(name)) for name in set(names) if name not in binary.known}
    one = {name: found[0] for name, found in candidates.items() if len(found) == 1}
    several = {name for name, found in candidates.items() if len(found) > 1}
    foreign = are_foreign(columns, np.arange(len(names))).tolist()
    unknown = {
        name for name, other in zip(names, foreign, strict=True) if not other and candidates.get(name) == []
    }
    by_line, ambiguous = _by_place(columns, binary, at, names, several) if several else ({}, set())
    if not one and not by_line:
        return Renamed(columns, frozenset(), ambiguous, unknown)
    restored = {*one.values(), *by_line.values()}
    return Renamed(_with_names(columns, names, one, by_line), restored, ambiguous, unknown)


def _by_place(
    columns: Columns, binary: Binary, at: At, names: Sequence[bytes], several: AbstractSet[bytes]
) -> tuple[Mapping[int, bytes], set[bytes]]:
    """Return the name for each row of ``lines`` that tells it, and the names that some place leaves open."""
    found: dict[int, bytes] = {}
    ambiguous: set[bytes] = set()
    functions = columns.lines[:, 0].tolist()
    doubted = np.array([name in several for name in names] + [False], np.bool_)[columns.lines[:, 0]]
    owners = np.repeat(np.arange(len(columns.locations)), np.diff(columns.line_starts))
    for location in np.unique(owners[doubted]).tolist():
        start, stop = columns.line_starts[location : location + 2].tolist()
        written = [names[row] for row in functions[start:stop]]
        lines = columns.lines[start:stop, 1].tolist()
        told = _there(binary, written, lines, at(location)) or _inlined(binary, written, lines)
        for row, name, whole in zip(range(start, stop), written, told, strict=True):
            if name in several and whole:
                found[row] = whole
            elif name in several:
                ambiguous.add(name)
    return found, ambiguous


def _there(
    binary: Binary, written: Sequence[bytes], lines: Sequence[int], possible: Sequence[Sequence[Frame]]
) -> list[bytes]:
    """Return the names of the first of some frames that agree with what is written; nothing if none do."""
    for frames in possible:
        if [frame.line for frame in frames] == list(lines) and all(
            frame.name in whole_names(binary, name) for frame, name in zip(frames, written, strict=True)
        ):
            return [frame.name for frame in frames]
    return []


def _inlined(binary: Binary, written: Sequence[bytes], lines: Sequence[int]) -> list[bytes]:
    """Return the names in one location from what is inlined into the last one; empty where several fit."""
    possible: list[set[bytes]] = [set() for _ in written]
    for outer in whole_names(binary, written[-1]):
        frames = binary.frames_of(outer)
        inner = [
            {each.name for each in frames if each.line == line and each.name in whole_names(binary, name)}
            for name, line in zip(written[:-1], lines[:-1], strict=True)
        ]
        if all(inner):
            possible = [names | more for names, more in zip(possible, [*inner, {outer}], strict=True)]
    return [names.pop() if len(names) == 1 else b"" for names in possible]


def whole_names(binary: Binary, name: bytes) -> Sequence[bytes]:
    """Return the binary's functions that a name of the profile may stand for."""
    return (name,) if name in binary.known else binary.candidates(name)


def _with_names(
    columns: Columns, names: Sequence[bytes], one: Mapping[bytes, bytes], by_line: Mapping[int, bytes]
) -> Columns:
    """Return the profile with new names: of functions, and of single lines' functions."""
    strings = list(columns.strings)
    rows = _Rows(strings, [*one.values(), *by_line.values()])
    functions = columns.functions.copy()
    for row, name in enumerate(names):
        if name in one:
            functions[row, :2] = rows[one[name]]
    lines = columns.lines.copy()
    made: dict[tuple[int, bytes], int] = {}
    for line, name in by_line.items():
        key = int(lines[line, 0]), name
        lines[line, 0] = made.setdefault(key, len(functions) + len(made))
    new = functions[[row for row, _ in made]]
    new[:, :2] = np.array([[rows[name]] for _, name in made], np.int64).reshape(-1, 1)
    return replace(
        columns,
        strings=Texts.of(strings),
        functions=np.concatenate((functions, new)),
        function_starts=np.append(columns.function_starts[:-1], len(functions) + len(new)),
        lines=lines,
    )


class _Rows(dict[bytes, int]):
    """The rows of texts that are appended to a string table."""

    def __init__(self, strings: list[bytes], texts: Iterable[bytes]) -> None:
        super().__init__()
        for text in texts:
            if text not in self:
                self[text] = len(strings)
                strings.append(text)
