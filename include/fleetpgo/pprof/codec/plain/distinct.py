"""Number equal records in Python, with a dict."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleetpgo.pprof.codec.kernel import Buffer


class Distinct:
    """Different strings of bytes, numbered in the order in which they first come."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def of(self, octets: Buffer, ends: Buffer, rows: Buffer | None = None) -> bytes:
        """Return the number of each item, or of those in some rows."""
        octets = bytes(octets)
        cuts = [0, *np.frombuffer(ends, np.int64).tolist()]
        known = self._numbers
        places: Iterable[tuple[int, int]] = pairwise(cuts)
        if rows is not None:
            chosen = list(places)
            places = map(chosen.__getitem__, np.frombuffer(rows, np.int64).tolist())
        numbers = (known.setdefault(octets[start:end], len(known)) for start, end in places)
        return np.fromiter(numbers, np.int64).tobytes()

    def octets(self) -> bytes:
        """Return all items one behind the other."""
        return b"".join(self._numbers)

    def ends(self) -> bytes:
        """Return the end of each item."""
        return np.cumsum(np.fromiter(map(len, self._numbers), np.int64), dtype=np.int64).tobytes()
