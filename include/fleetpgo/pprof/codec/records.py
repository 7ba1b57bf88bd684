"""Decode protobuf records that ptars returns as bytes: field by field, for all records of a table at once.

Only the encoding that Go's runtime, google/pprof and the protobuf runtime write is understood: fields in
order, short varints. Any other record, valid or not, raises :class:`UnusualError`; then the caller lets ptars
decode the whole profile.
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
"""Most octets of a varint, and how many of them are read at a time."""

SEVEN, SEVEN_BITS = 7, 0x7F
"""Payload bits of each octet of a varint, and their mask. The highest bit says that more octets follow."""


class UnusualError(Exception):
    """A record is not encoded as Go's runtime, google/pprof or the protobuf runtime do it."""


def tag(field: int, wire_type: int) -> int:
    """Return the protobuf tag of a field."""
    return field << TYPE_BITS | wire_type


def offsets(lists: pa.ListArray) -> Ints:
    """Return the offsets of an Arrow list column, (lists + 1,): start of each list, and end of the last."""
    if not len(lists):
        return np.zeros(1, np.int64)
    return np.frombuffer(lists.buffers()[1], np.int32, len(lists) + 1).astype(np.int64)


def octets_of(records: pa.Array) -> tuple[Octets, Ints]:
    """Return the concatenated octets of all records (at least one octet), and the records' offsets.

    The offsets are (records + 1,): the start of each record, and the end of the last.
    """
    data = records.buffers()[2] if len(records) else None
    return np.frombuffer(data or bytes(1), np.uint8), offsets(records)


def require(usual: NDArray[np.bool_]) -> None:
    """Check that all flags are true.

    Raises:
        UnusualError: a flag is false.
    """
    if not usual.all():
        raise UnusualError


def at_places(octets: Octets, at: Ints) -> Octets:
    """Return the octet at each position.

    In a truncated record a position can be past the last octet; it wraps around to the first. That is safe:
    the record then ends after its stated end, which is detected.
    """
    return octets.take(at, mode="wrap")


def varints(octets: Octets, at: Ints, *, most: int = LONGEST) -> tuple[Ints, Ints]:
    """Return the varints at positions ``at`` as signed 64-bit numbers, and the positions after them.

    Raises:
        UnusualError: a varint is longer than ``most`` octets.
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
    """One read position per record of a table. Reading a field moves all of them.

    Args:
        octets: the octets of all records.
        at: (records,) the position at which each record is read next.
        stop: (records,) the end of each record.
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
        """Return a cursor over some of the records, at the same positions."""
        return Cursor(self.octets, self.at.take(rows), self.stop.take(rows))

    def tags(self) -> Octets:
        """Return (records,) the octet at each position; meaningless at a record's end (:meth:`left`)."""
        return at_places(self.octets, self.at)

    def left(self) -> NDArray[np.bool_]:
        """Return (records,) whether bytes are left in each record."""
        return self.at < self.stop

    def pass_tag(self) -> None:
        """Skip the tag, which has one octet."""
        self.at = self.at + 1

    def varints(self) -> Ints:
        """Read a varint of each record. Return (records,) numbers; raise UnusualError as :func:`varints`."""
        numbers, self.at = varints(self.octets, self.at)
        return numbers

    def optional(self, field: int) -> Ints:
        """Read an optional varint field of each record. Return (records,) numbers, 0 if it is missing."""
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
        """Return a cursor over the content of a length-delimited field, and move this cursor after it.

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
        """Check that every record has been read to its end.

        Raises:
            UnusualError: a record has octets left, or was read past its end.
        """
        require(self.at == self.stop)
