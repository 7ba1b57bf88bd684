from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpgo.pprof.codec.numbering import Rows

pytestmark = pytest.mark.usefixtures("kernel")

numbers = st.one_of(st.integers(0, 3), st.integers(-(1 << 63), (1 << 63) - 1))
tables = st.lists(st.lists(st.lists(numbers, max_size=4).map(tuple), max_size=12), max_size=5)


def ask(rows: Rows, table: list[tuple[int, ...]]) -> list[int]:
    data = np.array([number for row in table for number in row], np.int64)
    return rows.of(data, np.array([len(row) for row in table], np.int64)).tolist()


def stored(rows: Rows) -> list[tuple[int, ...]]:
    data, counts = rows.all()
    stops = np.cumsum(counts)
    return [tuple(data[stop - count : stop].tolist()) for stop, count in zip(stops, counts, strict=True)]


@given(tables)
def test_rows_are_one_number_if_and_only_if_they_are_equal(given_tables):
    rows = Rows()
    for table in given_tables:
        found = ask(rows, table)
        assert [stored(rows)[number] for number in found] == table
    assert len(rows) == len({row for table in given_tables for row in table})


def test_many_rows_keep_their_numbers():
    rows, table = Rows(), [(number, number % 7) for number in range(20_000)]
    first = [ask(rows, [row])[0] for row in table[:100]]
    whole = ask(rows, table)
    assert whole[:100] == first
    assert ask(rows, table[::-1]) == whole[::-1]
