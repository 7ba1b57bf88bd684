"""String tables: all texts in one, cut out text by text when somebody asks, and numbered all at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.pprof.codec import kernel
from fleetpgo.pprof.codec.arrays import ranges, renumbered, starts_of

if TYPE_CHECKING:
    from fleetpgo.pprof.codec.arrays import Ints


def go_bytes(name: str) -> bytes:
    """Return the bytes of a name, by which Go orders names; the inverse of :func:`go_name`."""
    return name.encode("utf-8", "surrogateescape")


def go_name(name: bytes) -> str:
    """Return the name as text. Bytes that are not UTF-8 survive the round trip to :func:`go_bytes`."""
    return name.decode("utf-8", "surrogateescape")


class Texts(Sequence[bytes]):
    """Texts whose items are cut out when they are asked for: few are.

    Args:
        octets: all of them, one behind the other.
        starts: (texts + 1,) where each starts, and where the last one ends.
    """

    def __init__(self, octets: bytes, starts: Ints) -> None:
        self.octets, self.starts = octets, starts

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> Texts:
        """Create from separate texts."""
        return cls(b"".join(texts), starts_of(np.fromiter(map(len, texts), np.int64, len(texts))))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: int) -> bytes:  # type: ignore[override]  # nobody asks for a slice
        return self.octets[self.starts[row] : self.starts[row + 1]]

    def __iter__(self) -> Iterator[bytes]:
        return (self.octets[start:end] for start, end in pairwise(self.starts.tolist()))

    def sizes(self) -> Ints:
        """Return (texts,) the size of each text in bytes."""
        return np.diff(self.starts)

    def cut(self, rows: Ints) -> list[bytes]:
        """Return the text of each row. A text is cut out once, however many rows name it."""
        of_rows = rows.tolist()
        texts = {row: self[row] for row in set(of_rows)}
        return [texts[row] for row in of_rows]

    def taken(self, rows: Ints) -> Texts:
        """Return the texts of some rows."""
        sizes = self.sizes().take(rows)
        octets = np.frombuffer(self.octets, np.uint8).take(ranges(self.starts.take(rows), sizes))
        return Texts(octets.tobytes(), starts_of(sizes))

    def distinct(self, rows: Ints) -> tuple[list[bytes], Ints]:
        """Return the different texts, and the position of each row's text among them; shape (rows,)."""
        different = _Numbers()
        numbers = different.some(self, rows)
        return list(different.all()), numbers

    def are_utf8(self) -> bool:
        """Return whether all texts are UTF-8: their concatenation is, and none starts inside a character."""
        if self.octets.isascii():
            return True
        try:
            self.octets.decode()
        except UnicodeDecodeError:
            return False
        firsts = np.frombuffer(self.octets, np.uint8)[self.starts[:-1][self.sizes() > 0]]
        return not bool(np.any(firsts & 0xC0 == 0x80))  # noqa: PLR2004 -- what every octet but a letter's first is

    def may_hold(self, octet: bytes) -> bool:
        """Return whether any text may hold the octet."""
        return octet in self.octets


class _Numbers:
    """Different texts and their numbers, in the order in which they arrive."""

    def __init__(self) -> None:
        self._distinct = kernel.KERNEL.Distinct()

    def of(self, texts: Texts) -> Ints:
        """Return (texts,) the number of each."""
        return kernel.numbers(self._distinct.of(texts.octets, texts.starts[1:].tobytes()))

    def some(self, texts: Texts, rows: Ints) -> Ints:
        """Return the number of the text of each row; other texts get none, and are not kept."""

        def number(used: Ints) -> Ints:
            ends = texts.starts[1:].tobytes()
            return kernel.numbers(self._distinct.of(texts.octets, ends, used.tobytes()))

        return renumbered(rows, len(texts), number)

    def all(self) -> Texts:
        """Return all texts by number."""
        ends = kernel.numbers(self._distinct.ends())
        return Texts(self._distinct.octets(), np.concatenate((np.zeros(1, np.int64), ends)))


class TextNumbers(_Numbers):
    """The same, where the empty text has number 0."""

    def __init__(self) -> None:
        super().__init__()
        self.of(Texts.of([b""]))

    def size(self) -> int:
        """Return the size of all texts in bytes."""
        return int(kernel.numbers(self._distinct.ends())[-1])
