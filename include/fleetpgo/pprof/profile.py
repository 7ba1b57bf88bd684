"""One profile as a value, handed from step to step without becoming bytes in between.

Bytes are at the edges only: :func:`decode` takes them, and :attr:`Profile.data` gives them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from fleetpgo.pprof.callgraph import CallGraph
from fleetpgo.pprof.codec.decoding import read
from fleetpgo.pprof.codec.leaves import shortened
from fleetpgo.pprof.codec.reading import Limits
from fleetpgo.pprof.codec.writing import write

if TYPE_CHECKING:
    from fleetpgo.pprof.codec.columns import Columns
    from fleetpgo.pprof.edges import Edges

MERGED_LIMITS = Limits(packed_bytes=256 << 20, message_bytes=1 << 30, records=50_000_000)
"""A merge of many profiles is larger than what one instance may send."""


@dataclass(frozen=True, eq=False)
class Profile:
    """One profile, whose every reference is checked.

    Args:
        columns: what is in it; for the modules of this package alone.
        limits: what it may be.
        given: the bytes that it was decoded from; None: it was made here.
    """

    columns: Columns
    limits: Limits
    given: bytes | None = None

    @cached_property
    def data(self) -> bytes:
        """Its bytes: as they were given, or else written and gzipped. Equal profiles give equal bytes."""
        return write(self.columns) if self.given is None else self.given

    @cached_property
    def edges(self) -> Edges:
        """Its call edges; see :func:`call_edges`."""
        graph = CallGraph()
        graph.add(shortened(self.columns, self.limits))
        return graph.edges()


def decode(data: bytes, *, limits: Limits = Limits()) -> Profile:  # noqa: B008 -- frozen
    """Decode a profile, gzipped or not.

    Raises:
        ProfileError: it is no well-formed pprof message within ``limits``.
    """
    return Profile(read(data, limits), limits, data)


def call_edges(profile: Profile) -> Edges:
    """Return the call edges of a profile, as Go's compiler derives them. They are derived once.

    Raises:
        ProfileError: the profile has no CPU samples (``no-cpu-samples``), or more lines next to its leaves
            than its limits allow (``too-large``).
    """
    return profile.edges
