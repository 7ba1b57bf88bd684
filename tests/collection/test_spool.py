"""Bodies that lie in one file do not get in each other's way."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpgo.collection.spool import Spool
from fleetpgo.errors import StoreError

BODIES, MOST = 4, 50


@given(st.lists(st.tuples(st.integers(0, BODIES - 1), st.binary(max_size=10)), max_size=20))
def test_bodies_that_come_at_the_same_time_are_kept_apart(chunks):
    expected = [b""] * BODIES
    with tempfile.TemporaryFile(buffering=0) as file, ExitStack() as stack:
        spool = Spool(file, most=10 * len(chunks) + 1)
        bodies = [stack.enter_context(spool.body()) for _ in range(BODIES)]
        for number, chunk in chunks:
            bodies[number].write(chunk)
            expected[number] += chunk
        assert [body.read() for body in bodies] == expected
        assert [body.size for body in bodies] == list(map(len, expected))


def test_nothing_is_left_of_a_body_that_lay_there_before():
    with tempfile.TemporaryFile(buffering=0) as file:
        spool = Spool(file, most=MOST)
        with spool.body() as long:
            long.write(b"x" * MOST)
        with spool.body() as short:
            short.write(b"new")
            assert short.read() == b"new"


def test_the_file_has_room_for_what_is_under_way_and_no_more():
    with tempfile.TemporaryFile(buffering=0) as file:
        spool = Spool(file, most=MOST)
        for _ in range(9):
            with spool.body() as one, spool.body() as other:
                one.write(b"x" * MOST)
                other.write(b"x" * MOST)
        assert file.seek(0, 2) == 2 * MOST


def test_a_full_disk_is_named_and_is_no_fault_of_an_instance():
    with (
        Path("/dev/full").open("r+b", buffering=0) as full,
        Spool(full, most=MOST).body() as body,
        pytest.raises(StoreError, match="No space") as raised,
    ):
        body.write(b"x")
    assert "TMPDIR" in raised.value.hint
