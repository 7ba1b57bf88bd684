"""Number records in the order in which they first occur; equal records get equal numbers.

Arrow looks up many records at once in a hash table of the known ones. For the strings of a merge, a dict
takes six times as long; for its rows of numbers, a hash table in numpy takes twice as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # it has no stubs

# Not from `pyarrow.compute`, which has the same two: its import makes a Python function of each of Arrow's
# some three hundred, and takes a sixth of the time of all imports.
from pyarrow._compute import SetLookupOptions, call_function  # type: ignore[import-untyped]

from fleetpgo.errors import ProfileError
from fleetpgo.pprof.codec.arrays import starts_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleetpgo.pprof.codec.arrays import Ints

Key = TypeVar("Key")

NUMBER_BYTES = 8

FIRST_SIZE = 1 << 12
"""Sums that there is room for at first."""

MOST = float(1 << 62)


def computed(function: str, arguments: list[Any], options: SetLookupOptions | None = None) -> Any:  # noqa: ANN401  # an array, of whichever type
    """Return what a function of Arrow's makes of some arrays.

    In the C library's memory, where all else of a profile lies: Arrow's own pool takes 15 MB beside it.
    """
    return call_function(function, arguments, options, memory_pool=pa.system_memory_pool())


class Numbering(dict[Key, int]):
    """Keys and their numbers; an unknown key gets the next number when it is looked up."""

    def __missing__(self, key: Key) -> int:
        number = self[key] = len(self)
        return number

    def of(self, keys: Iterable[Key], count: int) -> Ints:
        """Return (count,) the number of each key."""
        return np.fromiter(map(self.__getitem__, keys), np.int64, count)


class Distinct:
    """Different values, all of one Arrow type, and their numbers.

    Args:
        values: those that are known from the start, without repetition.
    """

    def __init__(self, values: pa.Array) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def of(self, column: pa.Array) -> Ints:
        """Return (column,) the number of each value of a column without nulls."""
        if not len(column):
            return np.zeros(0, np.int64)
        known = SetLookupOptions(value_set=self.values, skip_nulls=False)
        found = computed("index_in", [column], known)  # null for what is not known
        validity, numbers = found.buffers()
        of_values = np.frombuffer(numbers, np.int32, len(column)).astype(np.int64)
        if found.null_count:
            new = np.unpackbits(np.frombuffer(validity, np.uint8), count=len(column), bitorder="little") == 0
            unknown = computed("array_filter", [column, computed("is_null", [found])])
            encoded = computed("dictionary_encode", [unknown])
            indices = np.frombuffer(encoded.indices.buffers()[1], np.int32, len(unknown))
            of_values[new] = len(self.values) + indices
            self.values = pa.concat_arrays([self.values, encoded.dictionary], pa.system_memory_pool())
        return of_values


class Rows:
    """Different rows of whole numbers, of any length each, and their numbers.

    To Arrow a row is a string of bytes, eight for each number.
    """

    def __init__(self) -> None:
        self._distinct = Distinct(_bytes(np.zeros(0, np.int64), np.zeros(0, np.int64)))

    def __len__(self) -> int:
        return len(self._distinct)

    def all(self) -> tuple[Ints, Ints]:
        """Return all rows in the order of their numbers, concatenated, and (rows,) the length of each."""
        _, buffer, data = self._distinct.values.buffers()
        starts = np.frombuffer(buffer, np.int64, len(self) + 1) // NUMBER_BYTES
        return np.frombuffer(data, np.int64, starts[-1]), starts[1:] - starts[:-1]

    def of(self, data: Ints, counts: Ints) -> Ints:
        """Return a number for each row, the same for rows that are equal; shape (rows,).

        Args:
            data: all rows, one behind the other.
            counts: length of each row; shape (rows,).
        """
        return self._distinct.of(_bytes(data, counts))


def _bytes(data: Ints, counts: Ints) -> pa.Array:
    """Rows of numbers as a column of bytes, without copying them."""
    starts = NUMBER_BYTES * starts_of(counts)
    buffers = [None, pa.py_buffer(starts), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(pa.large_binary(), len(counts), buffers)


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
