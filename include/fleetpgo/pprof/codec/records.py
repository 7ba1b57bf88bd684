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
    """Return the tag that precedes a field of a record."""
    return field << TYPE_BITS | wire_type


def offsets(lists: pa.ListArray) -> Ints:
    """Return (lists + 1,) where each list of a column starts in its values, and where the last one ends."""
    if not len(lists):
        return np.zeros(1, np.int64)
    return np.frombuffer(lists.buffers()[1], np.int32, len(lists) + 1).astype(np.int64)


def octets_of(records: pa.Array) -> tuple[Octets, Ints]:
    """The octets of all records, at least one; and where each record starts, and the last one ends."""
    data = records.buffers()[2] if len(records) else None
    return np.frombuffer(data or bytes(1), np.uint8), offsets(records)


def require(usual: NDArray[np.bool_]) -> None:
    """Raise UnusualError unless all are as usual.

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
    first, after = at_places(octets, at), at + 1
    if first.max(initial=0) <= SEVEN_BITS:
        return first.astype(np.int64), after
    second = at_places(octets, after)
    more = first >> SEVEN
    second *= more
    first &= SEVEN_BITS
    numbers = first.astype(np.int64)
    numbers |= (second & SEVEN_BITS).astype(np.int64) << SEVEN
    after += more
    longer = np.flatnonzero(second > SEVEN_BITS)
    if len(longer):
        if most <= PAIR:
            raise UnusualError
        rows = slice(None) if len(longer) == len(at) else longer
        higher, after[rows] = varints(octets, after[rows], most=most - PAIR)
        numbers[rows] |= higher << PAIR * SEVEN
    return numbers, after


class Cursor:
    """A place in each record of a table, which moves behind what is read.

    Args:
        octets: of all records.
        at: (records,) where each is read next.
        stop: (records,) where each ends.
    """

    def __init__(self, octets: Octets, at: Ints, stop: Ints) -> None:
        self.octets, self.at, self.stop = octets, at, stop

    @classmethod
    def of(cls, records: pa.Array) -> Cursor:
        """Create a cursor at the beginning of each record."""
        octets, starts = octets_of(records)
        return cls(octets, starts[:-1], starts[1:])

    def __len__(self) -> int:
        return len(self.at)

    def take(self, rows: Ints) -> Cursor:
        """A cursor of some of the records, at the same places."""
        return Cursor(self.octets, self.at.take(rows), self.stop.take(rows))

    def tags(self) -> Octets:
        """(records,) the octet at each place; see :func:`at_places` for records that are at their end."""
        return at_places(self.octets, self.at)

    def left(self) -> NDArray[np.bool_]:
        """Return (records,) whether bytes are left in each record."""
        return self.at < self.stop

    def pass_tag(self) -> None:
        """Move behind the tag, which has one octet."""
        self.at = self.at + 1

    def varints(self) -> Ints:
        """Read a varint of each record: (records,) numbers. Raises what :func:`varints` raises."""
        numbers, self.at = varints(self.octets, self.at)
        return numbers

    def optional(self, field: int) -> Ints:
        """Read an optional field of each record: (records,) numbers, 0 where it is missing."""
        given = self.tags() == tag(field, VARINT)
        given &= self.left()
        if given.all():
            self.pass_tag()
            return self.varints()
        numbers, self.at = np.zeros(len(self), np.int64), self.at.copy()
        rows = np.flatnonzero(given)
        if len(rows):
            numbers[rows], self.at[rows] = varints(self.octets, self.at[rows] + 1)
        return numbers

    def enter(self) -> Cursor:
        """Return a cursor into the length-delimited field that is next, and move this one behind it.

        Raises:
            UnusualError: a field is longer than its record.
        """
        self.pass_tag()
        size = self.varints()
        inside = Cursor(self.octets, self.at, self.at + size)
        require(inside.stop <= self.stop)
        self.at = inside.stop
        return inside

    def require_end(self) -> None:
        """Check that nothing is left.

        Raises:
            UnusualError: something is.
        """
        require(self.at == self.stop)
