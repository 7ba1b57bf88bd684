"""The weighted call edges that Go's compiler reads from a profile.

The rules are those of Go 1.27's ``cmd/internal/pgo/pprof.go`` and ``internal/profile/graph.go``: of each
sample the two leaf-most locations count, with every inlined line in them; each step from a line to the one it
called is an edge ``(caller, callee, line − start_line of the caller)``, counted once a sample. Files,
mappings, labels, columns, times and all deeper frames are not read. An address only tells two lines apart
that are otherwise equal (a function that calls itself on one line).

This module knows edges as values: their order, the hot ones, and the text of ``go tool preprofile``. How they
are found in a profile's bytes is :mod:`fleetpgo.pprof.callgraph`'s part.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from fleetpgo.pprof.codec.texts import go_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HOT_PERCENT = 99.0
"""Go's ``inlineCDFHotCallSiteThresholdPercent`` (cmd/compile/internal/inline)."""


class Edge(NamedTuple):
    """One call site and what it called: two linker symbols, and lines from the caller's ``func`` line."""

    caller: str
    callee: str
    offset: int


def places_of_names(edges: Iterable[Edge]) -> dict[str, int]:
    """Return each caller's and callee's place among all of them, by which edges are ordered.

    Names that begin alike take long to compare: so they are compared once, and not once for each edge.
    """
    names = sorted({name for edge in edges for name in edge[:2]}, key=go_bytes)
    return {name: place for place, name in enumerate(names)}


@dataclass(frozen=True)
class Edges:
    """Call edges with their weights, heaviest first, as the compiler orders them.

    Args:
        weights: edge → weight, in the unit of the sample type that the compiler reads (samples, or
            nanoseconds). Build it with :meth:`of`, which brings it in order.
    """

    weights: Mapping[Edge, int]

    @classmethod
    def of(cls, weights: Mapping[Edge, int]) -> Edges:
        """Edges in the compiler's order: by falling weight, then caller, callee and offset."""
        places = places_of_names(weights)

        def order(item: tuple[Edge, int]) -> tuple[int, int, int, int]:
            (caller, callee, offset), weight = item
            return -weight, places[caller], places[callee], offset

        return cls(dict(sorted(weights.items(), key=order)))

    def __len__(self) -> int:
        return len(self.weights)

    @cached_property
    def total(self) -> int:
        """Sum of all weights."""
        return sum(self.weights.values())

    @cached_property
    def hot(self) -> tuple[Edge, ...]:
        """The heaviest edges, up to and including the one that takes their sum over 99 % of the total.

        Source: ``hotNodesFromCDF`` in cmd/compile/internal/inline/inl.go.
        """
        running = 0
        for count, weight in enumerate(self.weights.values(), start=1):
            running += weight
            if running / self.total * 100 > HOT_PERCENT:
                return tuple(self.weights)[:count]
        return tuple(self.weights)

    def preprofile(self) -> bytes:
        """Return the output of ``go tool preprofile`` for these edges (cmd/internal/pgo/serialize.go)."""
        lines = [b"GO PREPROFILE V1\n"]
        lines += [
            b"%b\n%b\n%d %d\n" % (go_bytes(edge.caller), go_bytes(edge.callee), edge.offset, weight)
            for edge, weight in self.weights.items()
        ]
        return b"".join(lines)
