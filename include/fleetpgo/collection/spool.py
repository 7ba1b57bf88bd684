"""Storage of a round's answers until they are checked: one unnamed file, a place for each answer.

A file for each would be one more open file for each instance under way; and a file system that has many
files deleted looks, for each new one, through what was deleted just before (ext4 does): a quarter of all
that fetching took.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from fleetpgo.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Body:
    """The bytes that an instance has sent so far.

    Args:
        file: the spool's.
        start: where in it the body begins.
    """

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file, self._start = file, start
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Append bytes.

        Raises:
            StoreError: there is no room for it, which is no fault of an instance.
        """
        rest = memoryview(chunk)
        while rest:
            try:
                written = os.pwrite(self._file.fileno(), rest, self._start + self.size)
            except OSError as error:
                raise StoreError(
                    f"profiles cannot be written to {tempfile.gettempdir()}: {error.strerror}",
                    hint="free space there, or set TMPDIR to another directory",
                ) from error
            self.size += written
            rest = rest[written:]

    def read(self) -> bytes:
        """Return the whole body."""
        return os.pread(self._file.fileno(), self.size, self._start)


class Spool:
    """Slots in one file. A slot is reused when its body is done, so there are as many as requests under way.

    What was written at a place stays on the disk until it is written over, or the file is closed.

    Args:
        file: unbuffered; somebody else closes it.
        most: bytes that a body may have: places lie so far apart, with nothing between them on the disk.
    """

    def __init__(self, file: BinaryIO, *, most: int) -> None:
        self._file, self._most = file, most
        self._places, self._free = 0, list[int]()

    @contextmanager
    def body(self) -> Iterator[Body]:
        """Give one body a slot until the block ends."""
        if self._free:
            place = self._free.pop()
        else:
            place, self._places = self._places, self._places + 1
        try:
            yield Body(self._file, place * self._most)
        finally:
            self._free.append(place)
