"""Number records in the order in which they first occur; equal records get equal numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from fleetpgo.errors import ProfileError
from fleetpgo.pprof.codec import kernel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleetpgo.pprof.codec.arrays import Ints

Key = TypeVar("Key")

FIRST_SIZE = 1 << 12
"""Sums that there is room for at first."""

MOST = float(1 << 62)

OCTETS = 8
"""Of each number in a row."""


class Numbering(dict[Key, int]):
    """Keys and their numbers; an unknown key gets the next number when it is looked up."""

    def __missing__(self, key: Key) -> int:
        number = self[key] = len(self)
        return number

    def of(self, keys: Iterable[Key], count: int) -> Ints:
        """Return (count,) the number of each key."""
        return np.fromiter(map(self.__getitem__, keys), np.int64, count)


class Rows:
    """Different rows of whole numbers, of any length each, and their numbers."""

    def __init__(self) -> None:
        self._distinct = kernel.KERNEL.Distinct()

    def __len__(self) -> int:
        return len(self._distinct)

    def all(self) -> tuple[Ints, Ints]:
        """Return all rows in the order of their numbers, concatenated, and (rows,) the length of each."""
        ends = kernel.numbers(self._distinct.ends()) // OCTETS
        return np.frombuffer(self._distinct.octets(), np.int64), np.diff(ends, prepend=0)

    def of(self, data: Ints, counts: Ints) -> Ints:
        """Return a number for each row, the same for rows that are equal; shape (rows,).

        Args:
            data: all rows, one behind the other.
            counts: length of each row; shape (rows,).
        """
        ends = np.cumsum(counts * OCTETS, dtype=np.int64)
        octets = data.astype(np.int64).tobytes()
        return kernel.numbers(self._distinct.of(octets, ends.tobytes()))

    def of_table(self, table: Ints) -> Ints:
        """Return a number for each row of a table, (rows, columns)."""
        return self.of(table.ravel(), np.full(len(table), table.shape[1]))


def encoded(keys: Ints) -> tuple[Ints, Ints]:
    """Return the different numbers in the order in which they come, and (keys,) the place of each in them."""
    rows = Rows()
    places = rows.of_table(keys[:, None])
    return rows.all()[0], places


class Sums:
    """Sums of values by row number. They do not depend on the order in which values came."""

    def __init__(self) -> None:
        self._sums = np.zeros((0, FIRST_SIZE), np.int64)  # (value types, rows), with room for more rows
        self._magnitude = 0.0

    def add(self, rows: Ints, values: Ints, count: int) -> None:
        """Add values.

        Args:
            rows: (n,) the row that each is added to.
            values: (n, value types).
            count: of rows, so far.

        Raises:
            ProfileError: ``overflow``.
        """
        self._magnitude += float(np.abs(values.astype(np.float64)).sum())
        require_64_bits(self._magnitude)
        if not len(self._sums):
            self._sums = np.zeros((values.shape[1], FIRST_SIZE), np.int64)
        while count > self._sums.shape[1]:
            self._sums = np.concatenate((self._sums, np.zeros_like(self._sums)), axis=1)
        for sums, of_type in zip(self._sums, values.T, strict=True):
            np.add.at(sums, rows, of_type)

    def of(self, count: int) -> Ints:
        """Return (count, value types) the sums of the first rows."""
        return self._sums[:, :count].T


def require_64_bits(total: float) -> None:
    """Check that a sum of what profiles count can be written, with room for the next one.

    Raises:
        ProfileError: ``overflow``.
    """
    if abs(total) > MOST:
        raise ProfileError(
            "The profile's numbers are so large that their sum does not fit into 64 bits.",
            reason="overflow",
            hint="No CPU profile counts that far: leave it out.",
        )
