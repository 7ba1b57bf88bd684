"""Restore the compiler's names of generic functions, from the binary that was profiled.

Some profile stores remove the type arguments (``[go.shape.int]``) from names; Go's tracebacks write
``[...]``. The compiler finds no function with such a name, so it silently ignores every edge from or to a
generic function. Each name is compared with the linker's. A name that the binary does not have is restored

1. if the binary has exactly one function with that name and any type arguments;
2. else, for each location, from the function at its address in the binary, if the build ids are equal;
3. else from the inlined calls: the binary says which of the candidates is inlined on that line of the caller;
4. else from the direct calls: the binary says which of the candidates is called on that line of the caller. A
   location with several callers may then become several locations.

Nothing is guessed: if several functions remain possible, the name stays as it is, and is counted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.pprof.codec.arrays import ranges
from fleetpgo.pprof.codec.texts import Texts
from fleetpgo.pprof.startlines import are_foreign

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from fleetpgo.pprof.binaries import Binary, Frame
    from fleetpgo.pprof.codec.columns import Columns

    At = Callable[[int], list[Sequence[Frame]]]
    """The frames that the binary may have at a location; none: that is not known."""

Told = tuple[bytes, ...]
"""The whole name of each line of a location; empty where it is not known. Of no line: nothing is known."""

_NOTHING: Told = ()


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
    places = _Places(columns, binary, names, several) if several else None
    if places:
        places.resolve(at)
        columns = places.columns
    by_line = places.by_line() if places else {}
    ambiguous = places.ambiguous() if places else set()
    if not one and not by_line:
        return Renamed(columns, frozenset(), ambiguous, unknown)
    restored = {*one.values(), *by_line.values()}
    return Renamed(_with_names(columns, names, one, by_line), restored, ambiguous, unknown)


class _Places:
    """Locations in which a name may be several functions', and what each name is there.

    Args:
        columns: of the profile.
        binary: that was profiled.
        names: of the rows of ``columns.functions``.
        several: those that may be several functions'.
    """

    def __init__(
        self, columns: Columns, binary: Binary, names: Sequence[bytes], several: AbstractSet[bytes]
    ) -> None:
        self.columns = columns
        self._binary, self._names, self._several = binary, names, several
        doubted = np.array([name in several for name in names] + [False], np.bool_)[columns.lines[:, 0]]
        owners = np.repeat(np.arange(len(columns.locations)), np.diff(columns.line_starts))
        self._told: dict[int, Told] = dict.fromkeys(np.unique(owners[doubted]).tolist(), ())

    def resolve(self, at: At) -> None:
        """Find out what the names are, from what is there, and from who called."""
        for row in self._told:
            written, lines = self._written(row)
            self._told[row] = _there(self._binary, written, lines, at(row)) or _inlined(
                self._binary, written, lines, whole_names(self._binary, written[-1])
            )
        self._by_callers()

    def by_line(self) -> dict[int, bytes]:
        """Return the name for each row of ``lines`` that may be several functions' and is told."""
        starts = self.columns.line_starts.tolist()
        return {
            starts[row] + place: name
            for row, told in self._told.items()
            for place, name in enumerate(told)
            if name and self._written(row)[0][place] in self._several
        }

    def ambiguous(self) -> set[bytes]:
        """Return the names that stay untold somewhere."""
        used = set(self.columns.stacks.tolist())
        return {
            written
            for row, told in self._told.items()
            if row in used
            for written, name in zip(self._written(row)[0], told, strict=True)
            if not name and written in self._several
        }

    def _written(self, row: int) -> tuple[list[bytes], list[int]]:
        """Return the names and the lines in a location, as the profile has them."""
        start, stop = self.columns.line_starts[row : row + 2].tolist()
        lines = self.columns.lines[start:stop].tolist()
        return [self._names[function] if function >= 0 else b"" for function, *_ in lines], [
            line for _, line, _ in lines
        ]

    def _by_callers(self) -> None:
        """Tell locations by their callers, from each stack's root to its leaf; each answer is a location."""
        unsure = {row for row, told in self._told.items() if told and not told[-1]}
        stacks, ends = self.columns.stacks.tolist(), np.cumsum(self.columns.depths).tolist()
        memo: dict[tuple[int, int, Told], Told] = {}
        made: dict[tuple[int, Told], int] = {}
        of_stacks = np.isin(self.columns.stacks, list(unsure))
        for end, depth in zip(ends, self.columns.depths.tolist(), strict=True):
            if not of_stacks[end - depth : end].any():
                continue
            caller, told = -1, _NOTHING
            for position in range(end - 1, end - depth - 1, -1):
                row = stacks[position]
                known: Told = self._told.get(row, ())
                if row in unsure and caller >= 0:
                    key = row, caller, told
                    if key not in memo:
                        memo[key] = self._called(row, caller, told) or known
                    if memo[key] != known:
                        known = memo[key]
                        stacks[position] = made.setdefault(
                            (row, known), len(self.columns.locations) + len(made)
                        )
                caller, told = row, known
        self._told |= {place: known for (_, known), place in made.items()}
        self._add([row for row, _ in made], stacks)

    def _called(self, row: int, caller: int, told: Told) -> Told:
        """Return what a location's names are if it is called from another; nothing if that does not tell."""
        outer, lines_of_outer = self._written(caller)
        whole = [
            [name] if name else whole_names(self._binary, written)
            for written, name in zip(outer, told or [b""] * len(outer), strict=True)
        ]
        if not whole:
            return ()
        targets = {
            target
            for physical in whole[-1]
            for name, line, target in self._binary.calls_of(physical)
            if line == lines_of_outer[0] and name in whole[0]
        }
        written, lines = self._written(row)
        possible = [each for each in whole_names(self._binary, written[-1]) if each in targets]
        return _inlined(self._binary, written, lines, possible) if len(possible) == 1 else ()

    def _add(self, rows: Sequence[int], stacks: Sequence[int]) -> None:
        """Append copies of some locations, and take new stacks."""
        columns = self.columns
        counts = np.diff(columns.line_starts)[list(rows)]
        more = columns.lines[ranges(columns.line_starts[list(rows)], counts)]
        self.columns = replace(
            columns,
            stacks=np.array(stacks, np.int64),
            locations=np.concatenate((columns.locations, columns.locations[list(rows)])),
            lines=np.concatenate((columns.lines, more)),
            line_starts=np.append(columns.line_starts, columns.line_starts[-1] + np.cumsum(counts)),
        )


def _there(
    binary: Binary, written: Sequence[bytes], lines: Sequence[int], possible: Sequence[Sequence[Frame]]
) -> Told:
    """Return the names of the first of some frames that agree with what is written; nothing if none do."""
    for frames in possible:
        if [frame.line for frame in frames] == list(lines) and all(
            frame.name in whole_names(binary, name) for frame, name in zip(frames, written, strict=True)
        ):
            return tuple(frame.name for frame in frames)
    return ()


def _inlined(binary: Binary, written: Sequence[bytes], lines: Sequence[int], outers: Sequence[bytes]) -> Told:
    """Return the names in a location from what is inlined into the last one; empty where several fit.

    Args:
        binary: that was profiled.
        written: the names in the profile, the innermost first.
        lines: of each.
        outers: what the last one may be.
    """
    whole = [frozenset(whole_names(binary, name)) for name in written]
    stacks = [stack for outer in outers for stack in binary.stacks_of(outer)]
    possible = [
        {frame.name for frame in frames}
        for frames in zip(*(stack for stack in stacks if _fits(stack, whole, lines)), strict=True)
    ]
    if not possible:  # built with another profile, it may have inlined something else
        possible = [{name for name in names if name in outers} for names in whole[-1:]]
        possible = [set()] * (len(written) - 1) + possible
    return tuple(next(iter(names)) if len(names) == 1 else b"" for names in possible)


def _fits(stack: Sequence[Frame], whole: Sequence[AbstractSet[bytes]], lines: Sequence[int]) -> bool:
    """Return whether frames of the binary match those in the profile: same functions on the same lines."""
    return len(stack) == len(lines) and all(
        frame.line == line and frame.name in names
        for frame, names, line in zip(stack, whole, lines, strict=True)
    )


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
