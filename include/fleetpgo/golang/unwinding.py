"""Decode the tables of one Go function: address → line, file and inlined calls.

Source: ``step``, ``pcvalue`` and ``funcfile`` in src/runtime/symtab.go, ``inlineUnwinder`` in
src/runtime/symtabinl.go.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

MOST_INLINED = 1000
"""Calls that are inlined into each other at one place."""

MOST_STEPS = 1 << 20
"""Entries of one table. The largest functions that people generate have a tenth of it."""


class Frame(NamedTuple):
    """One function at an address.

    Args:
        name: its linker symbol.
        file: where it was compiled from.
        line: of the file, from 1.
        start_line: line of its ``func``.
    """

    name: bytes
    file: bytes
    line: int
    start_line: int


class Called(NamedTuple):
    """A function as its own record, or an inline tree, names it.

    Args:
        name: its linker symbol.
        place: of the call, from the start of the function's code; of no meaning for the function itself.
        start_line: line of its ``func``.
        wraps: whether the compiler made it to call a function otherwise; tracebacks leave it out.
    """

    name: bytes
    place: int
    start_line: int
    wraps: bool


class Steps(NamedTuple):
    """A table that gives a value for each range of a function's code, such as the size of its frame.

    Args:
        ends: end of each range, in bytes from the start of the code; ascending.
        values: value of each range; as many as `ends`.
    """

    ends: Sequence[int]
    values: Sequence[int]

    def at(self, place: int) -> int:
        """Return the value at a place; -1 where the table has none."""
        row = bisect_right(self.ends, place)
        return self.values[row] if row < len(self.values) else -1


def read_steps(tables: bytes, offset: int, size: int, quantum: int) -> Steps:
    """Read one table.

    Args:
        tables: the bytes of all tables.
        offset: start of this table in them; 0 if there is no table.
        size: size of the function's code in bytes; the table is read up to that PC.
        quantum: size of the smallest instruction in bytes.
    """
    ends: list[int] = []
    values: list[int] = []
    value, end, at = -1, 0, offset
    while offset and end < size and len(ends) < MOST_STEPS:
        delta, at = _varint(tables, at)
        if not delta and ends:
            break
        value += -(delta >> 1) - 1 if delta & 1 else delta >> 1
        length, at = _varint(tables, at)
        if not length:  # what goes nowhere would have no end; Go writes none
            break
        end += length * quantum
        ends.append(end)
        values.append(value)
    return Steps(ends, values)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that starts at a place, and where the next one does; 0 behind the end."""
    number = shift = 0
    while at < len(data) and shift < 35:  # noqa: PLR2004 -- 32 bits, seven at a time
        octet = data[at]
        at += 1
        number |= (octet & 0x7F) << shift
        if octet < 0x80:  # noqa: PLR2004 -- its highest bit says that more follow
            break
        shift += 7
    return number & 0xFFFFFFFF, at


def highest(tables: bytes, offsets: Ints) -> Ints:
    """Return the highest value of each table, -1 where the offset is 0; shape (offsets,)."""
    octets = np.frombuffer(tables + bytes(1), np.uint8)
    found = np.full(len(offsets), -1, np.int64)
    rows = np.flatnonzero(offsets)
    at, values = offsets[rows], found[rows]
    for step in range(MOST_STEPS):
        delta, at = _varints(octets, at)
        more = np.flatnonzero(delta) if step else np.arange(len(rows))
        if not len(more):
            break
        rows, at, delta = rows[more], at[more], delta[more]
        values = values[more] + np.where(delta & 1, -(delta >> 1) - 1, delta >> 1)
        found[rows] = np.maximum(found[rows], values)
        _, at = _varints(octets, at)
    return found


def _varints(octets: NDArray[np.uint8], at: Ints) -> tuple[Ints, Ints]:
    """Return the varint at each position, and the position after it; 0 past the end."""
    numbers, at, last = np.zeros(len(at), np.int64), at.copy(), len(octets) - 1
    rows = np.arange(len(at))
    for shift in range(0, 35, 7):  # 32 bits, seven at a time
        found = octets[np.minimum(at[rows], last)].astype(np.int64)
        numbers[rows] |= (found & 0x7F) << shift
        at[rows] += 1
        rows = rows[found > 0x7F]  # noqa: PLR2004 -- the highest bit says that more follow
        if not len(rows):
            break
    return numbers & 0xFFFFFFFF, at


class Code:
    """One function's code.

    Args:
        itself: the function.
        lines: PC → line.
        files: PC → number of the file.
        calls: PC → number of the innermost inlined call.
        called: returns the inlined call with a number; None if there is none.
        file: returns the file with a number.
    """

    def __init__(
        self,
        itself: Called,
        *,
        lines: Steps,
        files: Steps,
        calls: Steps,
        called: Callable[[int], Called | None],
        file: Callable[[int], bytes],
    ) -> None:
        self._itself = itself
        self._lines, self._files, self._calls = lines, files, calls
        self._called, self._file = called, file

    def frames(self, place: int) -> tuple[Frame, ...]:
        """Return the functions at a place, the innermost one first, without wrappers."""
        found = []
        for _ in range(MOST_INLINED):
            number = self._calls.at(place)
            call = self._called(number) if number >= 0 else None
            here = call or self._itself
            if not here.wraps:
                found.append(
                    Frame(
                        here.name, self._file(self._files.at(place)), self._lines.at(place), here.start_line
                    )
                )
            if call is None:
                break
            place = call.place
        return tuple(found)

    def stacks(self) -> frozenset[tuple[Frame, ...]]:
        """Return the frames of each place, the innermost first, of places whose every frame has a line."""
        places = {0, *self._lines.ends, *self._calls.ends}
        found = map(self.frames, places)
        return frozenset(stack for stack in found if stack and all(frame.line > 0 for frame in stack))
