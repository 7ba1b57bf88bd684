"""The locations of profiles, read by numpy from their bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fleetpgo.pprof.codec.arrays import starts_of
from fleetpgo.pprof.codec.records import (
    UnusualError,
    at_places,
    list_ends,
    octets_of,
    offsets,
    optional,
    require,
    tag,
)
from fleetpgo.pprof.codec.wire import LENGTH_DELIMITED

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]  # it has no stubs

    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.records import Octets

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
    of_profiles, (octets, starts) = offsets(column), octets_of(column.values)
    at, stop = starts[:-1], starts[1:]
    if rows is not None:
        at, stop = at.take(rows), stop.take(rows)
        of_profiles = np.searchsorted(rows, of_profiles)
    ids, at = optional(octets, at, stop, ID)
    first, at = optional(octets, at, stop, MAPPING_ID)
    addresses, at = optional(octets, at, stop, ADDRESS)
    line_starts, lines, at = _lines(octets, at, stop)
    before = at
    last, at = optional(octets, at, stop, MAPPING_ID)
    require((at == stop) & ((first == 0) | (before == stop)))
    return Locations(of_profiles, ids, first + last, addresses, np.zeros_like(ids), line_starts, lines)


def _lines(octets: Octets, at: Ints, stop: Ints) -> tuple[Ints, Ints, Ints]:
    """The lines that stand at ``at``: where each location's start, all of them, and the places behind."""
    counts = np.zeros(len(at), np.int64)
    steps: list[tuple[Ints, list[Ints]]] = []
    rows, after = np.arange(len(at)), at.copy()
    while True:
        given = np.flatnonzero((at_places(octets, at) == tag(LINE, LENGTH_DELIMITED)) & (at < stop))
        if len(given) < len(at):
            rows, at, stop = rows[given], at[given], stop[given]
        if not len(rows):
            break
        if len(steps) == MOST_LINES:
            raise UnusualError
        place, at = list_ends(octets, at + 1, stop)
        fields = []
        for field in (FUNCTION_ID, LINE_NUMBER, COLUMN):
            numbers, place = optional(octets, place, at, field)
            fields.append(numbers)
        require(place == at)
        steps.append((rows, fields))
        counts[rows] += 1
        after[rows] = at
    starts = starts_of(counts)
    lines = np.empty((starts[-1], 3), np.int64, order="F")
    for step, (rows, fields) in enumerate(steps):
        slots = starts[rows] + step
        for column, numbers in zip(lines.T, fields, strict=True):
            column[slots] = numbers
    return starts, lines, after
