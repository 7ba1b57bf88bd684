"""Records that ptars hands over as bytes, read field by field: one step of numpy for all records of a table.

A record is read as Go's runtime, google/pprof and the protobuf runtime write it; any other one, well-formed
or not, is :class:`UnusualError`, and the profile is to be read by ptars alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.pprof.codec.wire import VARINT

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]  # it has no stubs
    from numpy.typing import NDArray

    from fleetpgo.pprof.codec.arrays import Ints

    Octets = NDArray[np.uint8]

TYPE_BITS = 3

LONGEST, PAIR = 8, 2
"""Octets of a varint that is usual, and how many of them are read at a time."""

SEVEN, SEVEN_BITS = 7, 0x7F
"""What each octet of a varint holds of its number; its highest bit says that more follow."""


class UnusualError(Exception):
    """A record is not written as usual."""


def tag(field: int, wire_type: int) -> int:
    """What stands before a field of a record."""
    return field << TYPE_BITS | wire_type


def offsets(lists: pa.ListArray) -> Ints:
    """(lists + 1,) where in its values each list of a column starts, and where the last one ends."""
    if not len(lists):
        return np.zeros(1, np.int64)
    return np.frombuffer(lists.buffers()[1], np.int32, len(lists) + 1).astype(np.int64)


def octets_of(records: pa.Array) -> tuple[Octets, Ints]:
    """The octets of all records, at least one; and where each record starts, and the last one ends."""
    data = records.buffers()[2] if len(records) else None
    return np.frombuffer(data or bytes(1), np.uint8), offsets(records)


def require(usual: NDArray[np.bool_]) -> None:
    """See that all is as usual.

    Raises:
        UnusualError: it is not.
    """
    if not usual.all():
        raise UnusualError


def at_places(octets: Octets, at: Ints) -> Octets:
    """The octet at each place.

    A record that is cut off leads past the last octet, and from there to the first. Whatever is read there,
    the record is then found to be longer than it says.
    """
    return octets.take(at, mode="wrap")


def varints(octets: Octets, at: Ints, *, most: int = LONGEST) -> tuple[Ints, Ints]:
    """The varints that begin at ``at``, as 64 bits with sign, and the places behind them.

    Raises:
        UnusualError: one is longer than ``most`` octets.
    """
    first, second = at_places(octets, at), at_places(octets, at + 1)
    more = first >> SEVEN
    second *= more
    first &= SEVEN_BITS
    numbers = first.astype(np.int64)
    numbers |= (second & SEVEN_BITS).astype(np.int64) << SEVEN
    after = at + 1
    after += more
    longer = np.flatnonzero(second > SEVEN_BITS)
    if len(longer):
        if most <= PAIR:
            raise UnusualError
        rows = slice(None) if len(longer) == len(at) else longer
        higher, after[rows] = varints(octets, after[rows], most=most - PAIR)
        numbers[rows] |= higher << PAIR * SEVEN
    return numbers, after


def optional(octets: Octets, at: Ints, stop: Ints, field: int) -> tuple[Ints, Ints]:
    """A number that may stand at ``at``, before ``stop``.

    Returns:
        The numbers, 0 where there is none, and the places behind them.
    """
    given = at_places(octets, at) == tag(field, VARINT)
    given &= at < stop
    if given.all():
        return varints(octets, at + 1)
    numbers, after = np.zeros(len(at), np.int64), at.copy()
    rows = np.flatnonzero(given)
    if len(rows):
        numbers[rows], after[rows] = varints(octets, at[rows] + 1)
    return numbers, after


def list_ends(octets: Octets, at: Ints, stop: Ints) -> tuple[Ints, Ints]:
    """Where that starts whose length stands at ``at``, and where it ends, which must be before ``stop``."""
    size, start = varints(octets, at)
    end = start + size
    require(end <= stop)
    return start, end
