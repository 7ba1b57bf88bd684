"""Name the functions at addresses that a profile does not name, from the binary with the same build id.

Profilers that look from outside (perf, eBPF) may send addresses alone, or a function without its line. What
Go's own profiler leaves out is left out here, too: wrappers, which the compiler made to call a function
otherwise. What is in the binary and not of Go (C, through cgo) gets a name that no function of Go has.

A caller's address is that of the instruction after its call, or one in the call: the byte before it is in the
call either way. A leaf's is that of its own instruction, and so is that of a function that a signal made call
another one. An address that occurs as both becomes two locations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.pprof.codec.arrays import ranges, starts_of
from fleetpgo.pprof.codec.texts import Texts
from fleetpgo.pprof.startlines import any_between, are_foreign

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

    from fleetpgo.pprof.binaries import Binary, Frame
    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.columns import Columns

NOT_GO = b"[not of Go]"
"""The name of what is in the binary and no function of Go; nothing of Go's begins so."""

TRAPS = frozenset((b"runtime.asyncPreempt", b"runtime.sigpanic", b"runtime.debugCallV2"))
"""Functions that a signal makes another one call, anywhere in it (``unwindTrap`` in runtime/traceback.go)."""

_FIRST_FLAG = 5
"""The column of a mapping from which on it says what is known: functions, files, lines, inlined calls."""

_EVERYWHERE = (0, -1)
"""The limit of a mapping that stands for all addresses: then these are as the file counts."""


@dataclass(frozen=True)
class Symbolised:
    """A profile with more functions.

    Attributes:
        columns: of the profile.
        named: locations that were named.
        unnamed: locations in no mapping of the binary's build id that stay without a function.
    """

    columns: Columns
    named: int
    unnamed: int


def symbolise(columns: Columns, binary: Binary, mappings: Ints) -> Symbolised:
    """Name the functions at addresses in some mappings, where the profile names none, or no line.

    Args:
        columns: of one profile.
        binary: whose addresses they are.
        mappings: rows of the mappings that are of this binary.
    """
    counts = np.diff(columns.line_starts)
    lacking = (counts == 0) | _without_lines(columns)
    of_binary = np.isin(columns.locations[:, 0], mappings) & (columns.locations[:, 1] != 0)
    unnamed = int(np.count_nonzero((counts == 0) & ~of_binary))
    rows = np.flatnonzero(lacking & of_binary)
    if not len(rows):
        return Symbolised(columns, 0, unnamed)
    addresses = {row: _address(columns, binary, row) for row in rows.tolist()}
    columns, addresses, exact = _apart(columns, binary, addresses)
    known = columns.mappings.copy()
    known[mappings, _FIRST_FLAG:] = 1
    columns = replace(columns, mappings=known)
    frames: dict[int, Sequence[Frame]] = {}
    others: list[int] = []
    counts = np.diff(columns.line_starts)
    for row, address in addresses.items():
        found = None if address is None else binary.frames(address if row in exact else address - 1)
        if found is not None:
            frames[row] = found
        elif not counts[row]:
            others.append(row)
    return Symbolised(_with_frames(columns, frames, others), len(frames), unnamed)


def _apart(
    columns: Columns, binary: Binary, addresses: Mapping[int, int | None]
) -> tuple[Columns, dict[int, int | None], AbstractSet[int]]:
    """Return the profile with two locations for an address that occurs both as a call and not.

    Args:
        columns: of the profile.
        binary: whose addresses they are.
        addresses: row of a location → its address as the file counts.

    Returns:
        The profile, the rows' addresses, and the rows whose address is that of an instruction itself.
    """
    firsts = starts_of(columns.depths)[:-1][columns.depths > 0]
    exact = np.zeros(len(columns.stacks) + 1, np.bool_)
    exact[firsts] = True
    traps = [row for row, address in addresses.items() if address and _is_trap(binary.frames(address))]
    exact[np.flatnonzero(np.isin(columns.stacks, traps)) + 1] = True
    exact = exact[:-1]
    given = np.isin(columns.stacks, list(addresses))
    once = np.unique(columns.stacks[given & exact])
    both = np.intersect1d(once, columns.stacks[given & ~exact])
    count = len(columns.locations)
    places = {row: count + number for number, row in enumerate(both.tolist())}
    stacks = columns.stacks.copy()
    for position in np.flatnonzero(exact & np.isin(stacks, both)).tolist():
        stacks[position] = places[int(stacks[position])]
    more = np.full(len(both), columns.line_starts[-1])
    apart = replace(
        columns,
        stacks=stacks,
        locations=np.concatenate((columns.locations, columns.locations[both])),
        line_starts=np.append(columns.line_starts, more),
    )
    found = {**addresses, **{place: addresses[row] for row, place in places.items()}}
    return apart, found, {places.get(row, row) for row in once.tolist()}


def _is_trap(frames: Sequence[Frame] | None) -> bool:
    return any(frame.name in TRAPS for frame in (frames or ())[:1])


def _without_lines(columns: Columns) -> NDArray[np.bool_]:
    """(locations,) whether a function of Go in it has no line."""
    foreign = np.append(are_foreign(columns, np.arange(len(columns.functions))), [True])
    lacking = (columns.lines[:, 1] <= 0) & ~foreign[columns.lines[:, 0]]
    return any_between(lacking, columns.line_starts[:-1], columns.line_starts[1:])


def frames_at(columns: Columns, binary: Binary, mappings: Ints) -> Callable[[int], list[Sequence[Frame]]]:
    """Return what tells the frames that the binary may have at a location: as a call, and as a leaf.

    Args:
        columns: of the profile.
        binary: whose addresses they are.
        mappings: rows of the mappings that are of this binary.
    """
    own = set(mappings.tolist())

    def frames(row: int) -> list[Sequence[Frame]]:
        mapping, address, _ = columns.locations[row].tolist()
        there = _address(columns, binary, row) if mapping in own and address else None
        return [] if there is None else [binary.frames(each) or () for each in (there - 1, there)]

    return frames


def _address(columns: Columns, binary: Binary, row: int) -> int | None:
    """A location's address as the binary's file counts; None: it is not in the file."""
    mapping, address, _ = columns.locations[row].tolist()
    start, limit, offset, *_ = columns.mappings[mapping].tolist()
    if start == 0 and limit in _EVERYWHERE:
        return int(address)
    return binary.address_of(address - start + offset)


def _with_frames(columns: Columns, frames: dict[int, Sequence[Frame]], others: Sequence[int]) -> Columns:
    """Return the profile with these frames at some locations; without those that have none.

    Args:
        columns: of the profile.
        frames: row of a location → the functions there, the innermost first; none: it is left out.
        others: rows of locations that are no function of Go.
    """
    strings = list(columns.strings)
    numbers: dict[bytes, int] = {}
    functions: dict[tuple[int, int, int, int], int] = {}

    def text(value: bytes) -> int:
        if value not in numbers:
            numbers[value] = len(strings)
            strings.append(value)
        return numbers[value]

    def function(name: bytes, file: bytes, start_line: int) -> int:
        record = text(name), text(name), text(file), start_line
        return functions.setdefault(record, len(columns.functions) + len(functions))

    lines = {
        row: [(function(each.name, each.file, each.start_line), max(each.line, 0), 0) for each in found]
        for row, found in frames.items()
    }
    lines |= {row: [(function(NOT_GO, b"", 0), 0, 0)] for row in others}
    counts = np.diff(columns.line_starts)
    kept = np.ones(len(counts), np.bool_)
    kept[list(lines)] = False
    new_counts = counts.copy()
    for row, found in lines.items():
        new_counts[row] = len(found)
    starts = starts_of(new_counts)
    table = np.empty((starts[-1], 3), np.int64)
    rows = np.flatnonzero(kept)
    table[ranges(starts[rows], counts[rows])] = columns.lines[ranges(columns.line_starts[rows], counts[rows])]
    for row, found in lines.items():
        table[starts[row] : starts[row + 1]] = np.array(found, np.int64).reshape(-1, 3)
    gone = np.zeros(len(counts), np.bool_)
    gone[[row for row, found in lines.items() if not found]] = True
    here = ~gone[columns.stacks]
    before = starts_of(here.astype(np.int64))
    ends = starts_of(columns.depths)
    new = np.array(list(functions), np.int64).reshape(-1, 4)
    return replace(
        columns,
        strings=Texts.of(strings),
        functions=np.concatenate((columns.functions, new)),
        function_starts=np.append(columns.function_starts[:-1], len(columns.functions) + len(new)),
        line_starts=starts,
        lines=table,
        stacks=columns.stacks[here],
        depths=np.diff(before[ends]),
    )


def mappings_of(columns: Columns, binary: Binary) -> Ints:
    """Return the rows of the mappings that have the binary's build id."""
    texts = columns.strings.cut(columns.mappings[:, 4])
    same = [row for row, text in enumerate(texts) if text.decode(errors="replace") in binary.build_ids]
    return np.array(same, np.int64)
