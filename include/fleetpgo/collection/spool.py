"""Storage of a round's answers until they are checked: one unnamed temporary file with a slot per answer.

One file per answer would need an open file for each request under way. It would also be slow: ext4 searches
the recently deleted inodes for each new file, which took a quarter of the time of a round.
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
    """The bytes of one answer so far.

    Args:
        file: the file of the spool.
        start: offset of the body in it, in bytes.
    """

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file, self._start = file, start
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Append bytes.

        Raises:
            StoreError: the disk is full or fails; no instance is to blame.
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
    """Slots in one sparse file. A finished slot is reused, so there are as many as requests under way.

    Written blocks keep their disk space until they are overwritten, or the file is closed.

    Args:
        file: unbuffered; the caller closes it.
        most: size of a slot: most bytes of a body.
    """

    def __init__(self, file: BinaryIO, *, most: int) -> None:
        self._file, self._most = file, most
        self._places, self._free = 0, list[int]()

    @contextmanager
    def body(self) -> Iterator[Body]:
        """Give an answer an empty body in a free slot. The slot is free again when the block ends."""
        if self._free:
            place = self._free.pop()
        else:
            place, self._places = self._places, self._places + 1
        try:
            yield Body(self._file, place * self._most)
        finally:
            self._free.append(place)
