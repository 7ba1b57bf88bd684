"""Numbers for records: equal records get equal numbers, in the order in which they arrive.

Records are looked up by a 64-bit hash, which numpy computes for all records of a table at once; what a hash
says is then compared with the records themselves, again all at once. So numbers are exact, and no input can
make them wrong: should two different records ever have one hash, all are hashed anew with another salt.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from fleetpgo.errors import ProfileError
from fleetpgo.pprof.columns import NONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from fleetpgo.pprof.columns import Ints

Key = TypeVar("Key")

FIRST_SIZE = 1 << 12
"""Items that an array starts with; slots are found by a mask, so it is a power of two."""

FEWEST_SLOTS = 4
"""Slots for each row, at the least: so next to nobody has to look into a second one."""

FRACTION = 1 << 10
"""Weighted values are summed in 1024ths: whole numbers, so that their sum does not depend on the order."""

MOST = float(1 << 62)

GOLDEN = 0x9E3779B97F4A7C15
"""2⁶⁴ ÷ the golden ratio: Weyl's sequence, by which SplitMix64 spreads its states."""


class Numbering(dict[Key, int]):
    """Keys and their numbers; an unknown key gets the next number when it is looked up."""

    def __missing__(self, key: Key) -> int:
        number = self[key] = len(self)
        return number

    def of(self, keys: Iterable[Key], count: int) -> Ints:
        """(count,) the number of each key."""
        return np.fromiter(map(self.__getitem__, keys), np.int64, count)


class Rows:
    """Different rows of whole numbers, of any length each, and their numbers.

    They are found as in a hash table with open addressing, all rows of a question in step: a slot holds the
    number of a row, and whoever finds another row's there looks into the next slot.
    """

    def __init__(self) -> None:
        self._count = 0
        self._salt = _new_salt()
        # These grow by doubling. ``_starts`` says where in ``_data`` each row starts, and the last one ends.
        self._data = np.zeros(FIRST_SIZE, np.int64)
        self._starts = np.zeros(FIRST_SIZE, np.int64)
        self._hashes = np.zeros(FIRST_SIZE, np.int64)
        self._slots = np.full(FIRST_SIZE, NONE, np.int64)

    def __len__(self) -> int:
        return self._count

    def all(self) -> tuple[Ints, Ints]:
        """All rows by number, one behind the other, and (rows,) how long each is."""
        starts = self._starts[: self._count + 1]
        return self._data[: starts[-1]], np.diff(starts)

    def of(self, data: Ints, counts: Ints) -> Ints:
        """The number of each row.

        Args:
            data: all rows, one behind the other.
            counts: (rows,) how long each is.
        """
        places = ranges(np.zeros_like(counts), counts)
        hashes = _hashes(data, counts, places, self._salt)
        numbers = self._find(hashes)
        unknown = np.flatnonzero(numbers == NONE)
        if len(unknown):
            _, first, which = np.unique(hashes[unknown], return_index=True, return_inverse=True)
            numbers[unknown] = self._count + which
            self._append(data, counts, hashes, unknown[first])
        starts = self._starts[numbers]
        same_length = np.array_equal(self._starts[numbers + 1] - starts, counts)
        if same_length and np.array_equal(self._data[places + np.repeat(starts, counts)], data):
            return numbers
        self._hash_anew()
        return self.of(data, counts)

    def _find(self, hashes: Ints) -> Ints:
        """The number of the row with each hash, or NONE."""
        last = len(self._slots) - 1
        places = hashes & last
        numbers: Ints = self._slots[places]
        others = np.flatnonzero((numbers != NONE) & (self._hashes[numbers] != hashes))
        while len(others):
            places[others] = (places[others] + 1) & last
            found = self._slots[places[others]]
            numbers[others] = found
            others = others[(found != NONE) & (self._hashes[found] != hashes[others])]
        return numbers

    def _append(self, data: Ints, counts: Ints, hashes: Ints, rows: Ints) -> None:
        first, last = self._count, self._count + len(rows)
        new = data[ranges((np.cumsum(counts) - counts)[rows], counts[rows])]
        start = int(self._starts[first])
        self._data = _grown(self._data, start + len(new))
        self._data[start : start + len(new)] = new
        self._starts = _grown(self._starts, last + 1)
        self._starts[first + 1 : last + 1] = start + np.cumsum(counts[rows])
        self._hashes = _grown(self._hashes, last)
        self._hashes[first:last] = hashes[rows]
        self._count = last
        if FEWEST_SLOTS * last > len(self._slots):
            self._slots = np.full_like(_grown(self._slots, FEWEST_SLOTS * last), NONE)
            first = 0
        self._place(np.arange(first, last))

    def _place(self, numbers: Ints) -> None:
        """Put numbers into slots."""
        last = len(self._slots) - 1
        places = self._hashes[numbers] & last
        while len(numbers):
            free = self._slots[places] == NONE
            self._slots[places[free]] = numbers[free]
            # Of several for one slot the last one has got it.
            without = self._slots[places] != numbers
            numbers, places = numbers[without], (places[without] + 1) & last

    def _hash_anew(self) -> None:
        data, counts = self.all()
        places, hashes = ranges(np.zeros_like(counts), counts), np.zeros(0, np.int64)
        while len(np.unique(hashes)) < len(counts):
            self._salt = _new_salt()
            hashes = _hashes(data, counts, places, self._salt)
        self._hashes[: len(hashes)] = hashes
        self._slots.fill(NONE)
        self._place(np.arange(len(hashes)))


class Sums:
    """Sums of values by row number. They do not depend on the order in which values came.

    Args:
        weighted: values are multiplied by something other than 1.
    """

    def __init__(self, *, weighted: bool) -> None:
        self._weighted = weighted
        self._sums = np.zeros((0, FIRST_SIZE), np.int64)  # (value types, rows), with room for more rows
        self._magnitude = 0.0

    def add(self, rows: Ints, values: Ints, factors: NDArray[np.float64], count: int) -> None:
        """Add values.

        Args:
            rows: (n,) the row that each is added to.
            values: (n, value types).
            factors: (n,) what they are multiplied by.
            count: of rows, so far.

        Raises:
            ProfileError: ``overflow``.
        """
        if self._weighted:
            values = np.rint(values * (factors * FRACTION)[:, None]).astype(np.int64)
        self._magnitude += float(np.abs(values.astype(np.float64)).sum())
        if self._magnitude > MOST:
            raise ProfileError(
                "The profile's values are so large that their sum does not fit into 64 bits.",
                reason="overflow",
                hint="No CPU profile counts that far: leave it out.",
            )
        if not len(self._sums):
            self._sums = np.zeros((values.shape[1], FIRST_SIZE), np.int64)
        while count > self._sums.shape[1]:
            self._sums = np.concatenate((self._sums, np.zeros_like(self._sums)), axis=1)
        for sums, of_type in zip(self._sums, values.T, strict=True):
            np.add.at(sums, rows, of_type)

    def of(self, count: int) -> Ints:
        """(count, value types) the sums of the first rows."""
        sums = self._sums[:, :count].T
        if self._weighted:
            # What was seen stays seen, however small its factor.
            rounded = np.rint(sums / FRACTION).astype(np.int64)
            sums = np.where(rounded == 0, np.sign(sums), rounded)
        return sums


def renumbered(rows: Ints, count: int, number: Callable[[Ints], Ints]) -> Ints:
    """``rows`` of a table of ``count`` rows, with each used row as ``number`` has it; NONE stays."""
    used = used_rows(rows[rows != NONE], count)
    numbers = np.full(count + 1, NONE, np.int64)  # the last one is that of NONE
    numbers[used] = number(used)
    found: Ints = numbers[rows]
    return found


def used_rows(rows: Ints, count: int) -> Ints:
    """The rows of a table of ``count`` rows that occur in ``rows``, rising."""
    marks = np.zeros(count, np.bool_)
    marks[rows] = True
    return np.flatnonzero(marks)


def starts_of(counts: Ints) -> Ints:
    """Where in a list of lists each list of these sizes starts, and where the last one ends."""
    starts: Ints = np.concatenate(([0], np.cumsum(counts)))
    return starts


def ranges(starts: Ints, counts: Ints) -> Ints:
    """``starts[0] … + counts[0]``, then ``starts[1] …``, one behind the other."""
    stops = np.cumsum(counts)
    rows: Ints = np.arange(stops[-1] if len(stops) else 0) + np.repeat(starts - (stops - counts), counts)
    return rows


def _grown(array: Ints, size: int) -> Ints:
    """``array``, or a copy that was doubled in size until it holds ``size`` items."""
    capacity = len(array)
    while capacity < size:
        capacity *= 2
    if capacity == len(array):
        return array
    grown = np.zeros(capacity, np.int64)
    grown[: len(array)] = array
    return grown


def _hashes(data: Ints, counts: Ints, places: Ints, salt: int) -> Ints:
    """A hash of each row: the sum of its numbers, each scrambled with a secret key for its place in the row.

    Args:
        data: all rows, one behind the other.
        counts: (rows,) how long each is.
        places: (data,) the place of each number in its row, from 0.
        salt: 64 secret bits.
    """
    longest = int(counts.max(initial=0))
    keys = _scrambled(np.arange(longest, dtype=np.uint64) * np.uint64(GOLDEN) + np.uint64(salt))
    scrambled = _scrambled(data.view(np.uint64) ^ keys[places])
    sums = np.concatenate((np.zeros(1, np.uint64), np.cumsum(scrambled)))
    stops = np.cumsum(counts)
    hashes: NDArray[np.uint64] = sums[stops] - sums[stops - counts]
    return hashes.view(np.int64)


def _new_salt() -> int:
    """64 random bits."""
    # Not from ``secrets``: its import takes longer than a profile's merge.
    return int.from_bytes(os.urandom(8), "little")


def _scrambled(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finalizer: Steele, Lea, Flood, Fast Splittable Pseudorandom Number Generators, 2014."""
    mixed = numbers ^ (numbers >> np.uint64(30))
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
