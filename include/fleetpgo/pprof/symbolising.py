"""Symbolise a profile: find the functions of its addresses in the binary with the same build id.

External profilers (perf, eBPF) may record addresses only, or functions without lines. Wrappers, which the
compiler generates, are left out, as Go's own profiler does. Code in the binary that is not Go (C, through
cgo) gets the name NOT_GO, which no Go function has.

The address of a caller is the return address, or an address inside the call instruction. So the byte before
it always belongs to the call. The address of a leaf is the address of its instruction. The same holds for a
function that was interrupted by a signal and made to call another one (TRAPS). An address that occurs in both
ways becomes two locations.
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
"""Function name for code in the binary that is not Go; no Go symbol begins with a bracket."""

TRAPS = frozenset((b"runtime.asyncPreempt", b"runtime.sigpanic", b"runtime.debugCallV2"))
"""Functions that a signal makes the interrupted function call (``unwindTrap`` in runtime/traceback.go)."""

_FIRST_FLAG = 5
"""The column of a mapping from which on it says what is known: functions, files, lines, inlined calls."""

_EVERYWHERE = (0, -1)
"""Limits of a mapping that covers all addresses; its addresses are virtual addresses of the binary's file."""


@dataclass(frozen=True)
class Symbolised:
    """A symbolised profile.

    Attributes:
        columns: columns of the profile.
        named: number of locations that got functions.
        unnamed: number of locations without a function that are in no mapping of the binary.
    """

    columns: Columns
    named: int
    unnamed: int


def symbolise(columns: Columns, binary: Binary, mappings: Ints) -> Symbolised:
    """Add functions to the locations of a binary that have none, or whose Go functions have no line.

    Args:
        columns: columns of one profile.
        binary: the binary that was profiled.
        mappings: rows of the mappings of this binary; see :func:`mappings_of`.
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
    """Split each location whose address occurs both as a caller and as a leaf into two.

    Args:
        columns: columns of the profile.
        binary: the binary that was profiled.
        addresses: row of a location → its virtual address in the binary's file.

    Returns:
        The profile, the addresses including the new rows, and the rows whose address is that of the
        instruction itself (leaves and interrupted functions).
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
    """Return (locations,) whether a Go function in the location has no line."""
    foreign = np.append(are_foreign(columns, np.arange(len(columns.functions))), [True])
    lacking = (columns.lines[:, 1] <= 0) & ~foreign[columns.lines[:, 0]]
    return any_between(lacking, columns.line_starts[:-1], columns.line_starts[1:])


def frames_at(columns: Columns, binary: Binary, mappings: Ints) -> Callable[[int], list[Sequence[Frame]]]:
    """Return a function: row of a location → the possible frames there, read as a caller and as a leaf.

    For a location outside the binary it returns an empty list.

    Args:
        columns: columns of the profile.
        binary: the binary that was profiled.
        mappings: rows of the mappings of this binary; see :func:`mappings_of`.
    """
    own = set(mappings.tolist())

    def frames(row: int) -> list[Sequence[Frame]]:
        mapping, address, _ = columns.locations[row].tolist()
        there = _address(columns, binary, row) if mapping in own and address else None
        return [] if there is None else [binary.frames(each) or () for each in (there - 1, there)]

    return frames


def _address(columns: Columns, binary: Binary, row: int) -> int | None:
    """Return a location's virtual address in the binary's file; None if the file does not have it."""
    mapping, address, _ = columns.locations[row].tolist()
    start, limit, offset, *_ = columns.mappings[mapping].tolist()
    if start == 0 and limit in _EVERYWHERE:
        return int(address)
    return binary.address_of(address - start + offset)


def _with_frames(columns: Columns, frames: dict[int, Sequence[Frame]], others: Sequence[int]) -> Columns:
    """Return the profile with these frames at some locations. Locations with no frames leave the stacks.

    Args:
        columns: columns of the profile.
        frames: row of a location → its frames, the innermost first; empty: the location is left out.
        others: rows of locations that get the function NOT_GO.
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
