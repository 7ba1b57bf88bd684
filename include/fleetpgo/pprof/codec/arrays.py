"""Arrays of whole numbers that stand for the rows of tables, and for lists of lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

NONE = -1
"""In place of a row number: no mapping, no function."""


def renumbered(rows: Ints, count: int, number: Callable[[Ints], Ints]) -> Ints:
    """``rows`` of a table of ``count`` rows, with each used row as ``number`` has it; NONE stays."""
    used = used_rows(rows[rows != NONE], count)
    numbers = np.full(count + 1, NONE, np.int64)  # the last one is that of NONE
    numbers[used] = number(used)
    found: Ints = numbers[rows]
    return found


def used_rows(rows: Ints, count: int) -> Ints:
    """Return the rows of a table of ``count`` rows that occur in ``rows``, rising."""
    marks = np.zeros(count, np.bool_)
    marks[rows] = True
    return np.flatnonzero(marks)


def starts_of(counts: Ints) -> Ints:
    """Where in a list of lists each list of these sizes starts, and where the last one ends."""
    starts: Ints = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)))
    return starts


def ranges(starts: Ints, counts: Ints) -> Ints:
    """Return the ranges ``starts[i] … starts[i] + counts[i]``, concatenated."""
    stops = np.cumsum(counts)
    rows: Ints = np.arange(stops[-1] if len(stops) else 0) + np.repeat(starts - (stops - counts), counts)
    return rows
