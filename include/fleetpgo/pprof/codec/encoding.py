"""Encode the repeated messages of a profile: all records of a table at once, in numpy.

But for texts, all that a profile holds are varints: tags, sizes and numbers. So a record is a list of them,
and a table of records is one :class:`Varints`. Fields that are 0 are left out, as the protobuf runtime leaves
them out.
Source of the format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fleetpgo.pprof.codec.arrays import ranges, starts_of
from fleetpgo.pprof.codec.wire import LENGTH_DELIMITED, LONGER, VARINT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleetpgo.pprof.codec.arrays import Ints

BITS = 7
"""Of a number in each octet of a varint."""

LEAST = np.array([1 << BITS * octets for octets in range(1, 10)], np.uint64)
"""The least number that does not fit into 1, 2, 3 … octets."""


class Varints(NamedTuple):
    """Records, each of them a list of numbers.

    Args:
        numbers: those of all records, one behind the other.
        counts: (records,) how many of them each has.
    """

    numbers: Ints
    counts: Ints

    def sizes(self) -> Ints:
        """Return (records,) the bytes of each."""
        return np.diff(starts_of(_sizes(self.numbers))[starts_of(self.counts)])

    def grouped(self, starts: Ints) -> Varints:
        """Return longer records: each of all records from one of ``starts`` to the next."""
        return Varints(self.numbers, np.diff(starts_of(self.counts)[starts]))


def fields(table: Sequence[tuple[int, Ints]]) -> Varints:
    """Return records of single numbers.

    Args:
        table: the number of each field, and (records,) what it is.
    """
    columns = np.stack([numbers for _, numbers in table], axis=1)
    tags = np.array([_tag(field, VARINT) for field, _ in table], np.int64)
    pairs = np.stack((np.broadcast_to(tags, columns.shape), columns), axis=2)
    given = columns != 0
    return Varints(pairs[given].ravel(), 2 * given.sum(axis=1))


def framed(field: int, records: Varints, *, empty: bool = True) -> Varints:
    """Return the records as a field each: the tag, their size, and they themselves.

    Args:
        field: its number.
        records: what is in it.
        empty: whether the field is there if there is nothing in it.
    """
    count = len(records.counts)
    heads = np.column_stack((np.full(count, _tag(field, LENGTH_DELIMITED)), records.sizes()))
    given = np.logical_or(empty, records.counts > 0)
    return joined(Varints(heads[given].ravel(), 2 * given.astype(np.int64)), records)


def joined(*parts: Varints) -> Varints:
    """Return records that consist of one of each part, in that order."""
    counts: Ints = np.sum([part.counts for part in parts], axis=0)
    at = starts_of(counts)[:-1]
    numbers = np.empty(counts.sum(), np.int64)
    for part in parts:
        numbers[ranges(at, part.counts)] = part.numbers
        at = at + part.counts
    return Varints(numbers, counts)


def encoded(numbers: Ints) -> bytes:
    """Return numbers as varints."""
    left, sizes = numbers.view(np.uint64), _sizes(numbers)
    at = starts_of(sizes)
    octets = np.empty(at[-1], np.uint8)
    rows = np.arange(len(numbers))
    for place in range(int(sizes.max(initial=0))):
        rows = rows[sizes[rows] > place]
        more = sizes[rows] > place + 1
        octets[at[rows] + place] = left[rows] >> np.uint64(BITS * place) & np.uint64(LONGER - 1)
        octets[at[rows[more]] + place] |= LONGER
    return octets.tobytes()


def texts(field: int, values: Sequence[bytes]) -> bytes:
    """Return texts as a field each."""
    sizes = np.fromiter(map(len, values), np.int64, len(values))
    heads = framed(field, Varints(sizes[:0], np.zeros(len(sizes), np.int64)))
    heads.numbers[1::2] = sizes
    octets, starts = encoded(heads.numbers), starts_of(heads.sizes()).tolist()
    return b"".join(
        part
        for start, end, value in zip(starts, starts[1:], values, strict=False)
        for part in (octets[start:end], value)
    )


def _sizes(numbers: Ints) -> Ints:
    """Return (numbers,) the octets of each as a varint."""
    return np.searchsorted(LEAST, np.ascontiguousarray(numbers).view(np.uint64), side="right") + 1


def _tag(field: int, wire_type: int) -> int:
    return field << 3 | wire_type
