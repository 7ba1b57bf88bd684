"""The locations of profiles, read by numpy from their bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fleetpgo.pprof.codec.arrays import starts_of
from fleetpgo.pprof.codec.records import Cursor, UnusualError, offsets, require, tag
from fleetpgo.pprof.codec.wire import LENGTH_DELIMITED

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]  # it has no stubs

    from fleetpgo.pprof.codec.arrays import Ints

ID, MAPPING_ID, ADDRESS, LINE = 1, 2, 3, 4
"""Fields of Location; is_folded, which nobody writes, is not usual."""

FUNCTION_ID, LINE_NUMBER, COLUMN = 1, 2, 3
"""Fields of Line."""

MOST_LINES = 64
"""Lines of a location: one step for all locations each. Inlined calls lie some ten deep."""


class Locations(NamedTuple):
    """Locations of all profiles, one profile's behind the other's, with ids as each profile gives them.

    Args:
        starts: (profiles + 1,) where those of each profile start, and where the last ones end.
        ids: (locations,).
        mapping_ids: (locations,) 0: none.
        addresses: (locations,).
        folded: (locations,) 0 or 1.
        line_starts: (locations + 1,) where in ``lines`` each location's start, and where the last one's end.
        lines: (lines, 3): id of the function (0: none), line, column.
    """

    starts: Ints
    ids: Ints
    mapping_ids: Ints
    addresses: Ints
    folded: Ints
    line_starts: Ints
    lines: Ints


def usual_locations(column: pa.ListArray, rows: Ints | None = None) -> Locations:
    """Read locations: id, mapping, address and lines; Go's runtime writes the mapping last.

    Args:
        column: those of each profile, as bytes.
        rows: which of them, rising; default: all.

    Raises:
        UnusualError: one is written in another way.
    """
    of_profiles, cursor = offsets(column), Cursor.of(column.values)
    if rows is not None:
        cursor = cursor.take(rows)
        of_profiles = np.searchsorted(rows, of_profiles)
    ids, first, addresses = (cursor.optional(field) for field in (ID, MAPPING_ID, ADDRESS))
    line_starts, lines = _lines(cursor)
    require((first == 0) | ~cursor.left())
    last = cursor.optional(MAPPING_ID)
    cursor.require_end()
    return Locations(of_profiles, ids, first + last, addresses, np.zeros_like(ids), line_starts, lines)


def _lines(cursor: Cursor) -> tuple[Ints, Ints]:
    """Read the lines: return where the lines of each location start, and all lines."""
    counts = np.zeros(len(cursor), np.int64)
    steps: list[tuple[Ints, list[Ints]]] = []
    rows, after = np.arange(len(cursor)), cursor.at.copy()
    part = Cursor(cursor.octets, cursor.at, cursor.stop)
    while True:
        given = np.flatnonzero((part.tags() == tag(LINE, LENGTH_DELIMITED)) & part.left())
        if len(given) < len(part):
            rows, part = rows[given], part.take(given)
        if not len(rows):
            break
        if len(steps) == MOST_LINES:
            raise UnusualError
        line = part.enter()
        fields = [line.optional(field) for field in (FUNCTION_ID, LINE_NUMBER, COLUMN)]
        line.require_end()
        steps.append((rows, fields))
        counts[rows] += 1
        after[rows] = part.at
    cursor.at = after
    starts = starts_of(counts)
    lines = np.empty((starts[-1], 3), np.int64, order="F")
    for step, (rows, fields) in enumerate(steps):
        slots = starts[rows] + step
        for column, numbers in zip(lines.T, fields, strict=True):
            column[slots] = numbers
    return starts, lines
