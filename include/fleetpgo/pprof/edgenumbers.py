"""Number call edges by the numbers of their names: equal edges get equal numbers.

An edge is three numbers. Arrow's hash table takes a fourth of the time for one number of 64 bits than for the
24 bytes of three, so an edge is numbered in two steps: the call site (caller and offset), then the site and
what it calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # it has no stubs

from fleetpgo.pprof.codec.numbering import Distinct, computed

if TYPE_CHECKING:
    from fleetpgo.pprof.codec.arrays import Ints

OFFSET_BITS = 33
"""Of the difference of two lines, which are 32 bits with sign."""

NO_OFFSET = 1 << (OFFSET_BITS - 1)
"""Added to an offset, so that it has no sign."""

CALLEE_BITS = 32


class EdgeNumbers:
    """Different call edges and their numbers, in the order in which they come."""

    def __init__(self) -> None:
        self._sites, self._edges = Distinct(_column(_NONE)), Distinct(_column(_NONE))

    def __len__(self) -> int:
        return len(self._edges)

    def of(self, callers: Ints, callees: Ints, offsets: Ints) -> Ints:
        """Return (edges,) the number of each edge; names are below 2³⁰."""
        sites = self._sites.of(_column(callers << OFFSET_BITS | (offsets + NO_OFFSET)))
        return self._edges.of(_column(sites << CALLEE_BITS | callees))

    def all(self) -> Ints:
        """Return (edges, 3): caller, callee and offset of each."""
        keys = _numbers(self._edges.values)
        sites = _numbers(self._sites.values)[keys >> CALLEE_BITS]
        offsets = (sites & ((1 << OFFSET_BITS) - 1)) - NO_OFFSET
        return np.column_stack((sites >> OFFSET_BITS, keys & ((1 << CALLEE_BITS) - 1), offsets))


def encoded(keys: Ints) -> tuple[Ints, Ints]:
    """Return the different numbers in the order in which they come, and (keys,) the place of each in them."""
    if not len(keys):
        return keys, keys
    found = computed("dictionary_encode", [_column(keys)])
    places = np.frombuffer(found.indices.buffers()[1], np.int32, len(keys))
    return _numbers(found.dictionary), places.astype(np.int64)


_NONE = np.zeros(0, np.int64)


def _column(numbers: Ints) -> pa.Array:
    buffer = pa.py_buffer(np.ascontiguousarray(numbers))
    return pa.Array.from_buffers(pa.int64(), len(numbers), [None, buffer])


def _numbers(column: pa.Array) -> Ints:
    if not len(column):
        return _NONE
    return np.frombuffer(column.buffers()[1], np.int64, len(column))
