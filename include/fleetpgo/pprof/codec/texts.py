"""String tables, as Arrow holds them: cut out text by text when somebody asks, and numbered all at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # it has no stubs

from fleetpgo.pprof.codec.arrays import renumbered, used_rows
from fleetpgo.pprof.codec.numbering import Distinct, computed

if TYPE_CHECKING:
    from fleetpgo.pprof.codec.arrays import Ints


def go_bytes(name: str) -> bytes:
    """Return the bytes of a name, by which Go orders names; the inverse of :func:`go_name`."""
    return name.encode("utf-8", "surrogateescape")


def go_name(name: bytes) -> str:
    """Return the name as text. Bytes that are not UTF-8 survive the round trip to :func:`go_bytes`."""
    return name.decode("utf-8", "surrogateescape")


class Texts(Sequence[bytes]):
    """An Arrow column of bytes without nulls, whose items are cut out when they are asked for: few are."""

    def __init__(self, column: pa.Array) -> None:
        self.column = column
        self._ends, self._octets = memoryview(bytes(4)).cast("i"), memoryview(b"")
        if len(column):
            _, offsets, octets = column.buffers()
            self._ends = memoryview(offsets).cast("B").cast("i")[: len(column) + 1]
            self._octets = memoryview(octets or b"").cast("B")

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> Texts:
        """Create from separate texts."""
        return cls.joined(b"".join(texts), np.cumsum([0, *map(len, texts)]))

    @classmethod
    def joined(cls, octets: bytes, ends: Ints) -> Texts:
        """Create from all texts in one, and (texts + 1,) where each starts and the last one ends."""
        buffers = [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(octets)]
        return cls(pa.Array.from_buffers(pa.binary(), len(ends) - 1, buffers))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, row: int) -> bytes:  # type: ignore[override]  # nobody asks for a slice
        return bytes(self._octets[self._ends[row] : self._ends[row + 1]])

    def __iter__(self) -> Iterator[bytes]:
        octets = bytes(self._octets)
        return (octets[start:end] for start, end in pairwise(self._ends.tolist()))

    def sizes(self) -> Ints:
        """Return (texts,) the size of each text in bytes."""
        return np.diff(np.asarray(self._ends)).astype(np.int64)

    def cut(self, rows: Ints) -> list[bytes]:
        """Return the text of each row. A text is cut out once, however many rows name it."""
        of_rows = rows.tolist()
        texts = {row: self[row] for row in set(of_rows)}
        return [texts[row] for row in of_rows]

    def taken(self, rows: Ints) -> Texts:
        """Return the texts of some rows."""
        return Texts(_taken(self.column, rows))

    def distinct(self, rows: Ints) -> tuple[list[bytes], Ints]:
        """Return the different texts, and the position of each row's text among them; shape (rows,)."""
        used = used_rows(rows, len(self))
        encoded = computed("dictionary_encode", [_taken(self.column, used)])
        numbers = np.zeros(len(self), np.int64)
        if len(used):
            numbers[used] = np.frombuffer(encoded.indices.buffers()[1], np.int32, len(used))
        return list(Texts(encoded.dictionary)), numbers.take(rows)

    def are_utf8(self) -> bool:
        """Return whether all texts are UTF-8: their concatenation is, and none starts inside a character."""
        octets = bytes(self._octets)
        if octets.isascii():
            return True
        try:
            octets.decode()
        except UnicodeDecodeError:
            return False
        ends = np.asarray(self._ends)
        firsts = np.frombuffer(octets + b"\0", np.uint8)[ends[:-1][np.diff(ends) > 0]]
        return not bool(np.any(firsts & 0xC0 == 0x80))  # noqa: PLR2004 -- what every octet but a letter's first is

    def may_hold(self, octet: bytes) -> bool:
        """Return whether any text may hold the octet. The octet may also be in a text outside these rows."""
        return octet in bytes(self._octets)


def _taken(column: pa.Array, rows: Ints) -> pa.Array:
    """Return some rows of a column.

    ``pa.array`` of a numpy array would import pandas, a second; ``column.take`` all of ``pyarrow.compute``.
    """
    numbers = pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(rows)])
    return computed("take", [column, numbers])


class TextNumbers:
    """Different texts and their numbers, in the order in which they arrive. The empty text has number 0."""

    def __init__(self) -> None:
        self._distinct = Distinct(Texts.of([b""]).column)

    def of(self, texts: Texts) -> Ints:
        """Return (texts,) the number of each."""
        return self._distinct.of(texts.column)

    def some(self, texts: Texts, rows: Ints) -> Ints:
        """Return the number of the text of each row; other texts get none, and are not kept."""
        return renumbered(rows, len(texts), lambda used: self._distinct.of(_taken(texts.column, used)))

    def size(self) -> int:
        """Return the size of all texts in bytes."""
        return int(self._distinct.values.nbytes)

    def all(self) -> Texts:
        """Return all texts by number."""
        return Texts(self._distinct.values)
