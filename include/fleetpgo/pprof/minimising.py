"""The smallest profile that builds the same bytes, and the proof of it.

The compiler reads call edges only (:mod:`fleetpgo.pprof.edges`). So the minimal profile holds one sample for
each edge, of two locations: the called function, and the line that called it. Every function starts at line
1; a call site stands at its offset below that. Nothing else is in it: no path, label, address of the build,
or time.

Proof: ``go tool preprofile`` prints exactly what the compiler will see; the caller runs it. Where it prints
the same for both profiles, both build the same binary. Without that proof the full profile is given back.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.errors import ToolchainError
from fleetpgo.pprof.callgraph import call_edges
from fleetpgo.pprof.codec.arrays import NONE
from fleetpgo.pprof.codec.columns import CPU_VALUE_TYPES, Columns, Header, ValueType
from fleetpgo.pprof.codec.leaves import COMPILER_DEPTH
from fleetpgo.pprof.codec.texts import Texts, go_bytes
from fleetpgo.pprof.codec.writing import write
from fleetpgo.pprof.edges import Edges, places_of_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.profile import Profile

    Read = Callable[[bytes], bytes]
    """What ``go tool preprofile`` prints for a profile: :func:`fleetpgo.golang.preprofile.preprofile`."""

SAMPLES = CPU_VALUE_TYPES[0]

START_LINE = 1
CALL_SITE_ADDRESS = 1
"""Any address but 0: it keeps a call site apart from the function it calls where both are on one line."""

IDENTICAL = "identical"


@dataclass(frozen=True)
class Minimised:
    """A profile made small, or the full one where that could not be proven harmless.

    Args:
        data: the profile to commit, gzipped.
        proof: ``identical``, or why the full profile was kept.
        edges: number of call edges in it.
        hot_edges: how many of them are hot by Go's rule.
        size_before: bytes of the full profile, as given.
        size_after: bytes of ``data``.
    """

    data: bytes
    proof: str
    edges: int
    hot_edges: int
    size_before: int
    size_after: int

    @property
    def proven(self) -> bool:
        """Whether ``data`` is the minimal profile."""
        return self.proof == IDENTICAL


def minimise(profile: Profile, *, prove: Read | None) -> Minimised:
    """Make the smallest profile that the compiler cannot tell from ``profile``.

    Args:
        profile: a CPU profile.
        prove: says what Go reads from a profile, for the proof; None: no Go is at hand, so nothing is proven.

    Raises:
        ProfileError: as of :func:`fleetpgo.pprof.call_edges`.
    """
    edges = call_edges(profile)
    small = from_edges(edges)
    proof = _proof(profile.data, small, prove)
    kept = small if proof == IDENTICAL else profile.data
    return Minimised(
        data=kept,
        proof=proof,
        edges=len(edges),
        hot_edges=len(edges.hot),
        size_before=len(profile.data),
        size_after=len(kept),
    )


def from_edges(edges: Edges) -> bytes:
    """A gzipped profile from which Go's compiler reads exactly ``edges``. Equal edges give equal bytes."""
    # Locations: first one for each function as a callee, in the order of their names, then the call sites.
    function_of = places_of_names(edges.weights)
    names = list(map(go_bytes, function_of))
    sites = sorted({(function_of[edge.caller], edge.offset) for edge in edges.weights})
    site_of = {site: row for row, site in enumerate(sites, start=len(names))}
    stacks = [
        (function_of[edge.callee], site_of[function_of[edge.caller], edge.offset]) for edge in edges.weights
    ]
    lines = [(row, 0, 0) for row in range(len(names))]
    lines += [(caller, START_LINE + offset, 0) for caller, offset in sites]
    addresses = [0] * len(names) + [CALL_SITE_ADDRESS] * len(sites)
    no_type = ValueType("", "")
    return write(
        Columns(
            headers=(Header((ValueType(*SAMPLES),), no_type, 0, 0, 0, (), "", "", "", ""),),
            message_bytes=(0,),
            strings=Texts.of([b"", *names]),
            functions=_table([(row, 0, 0, START_LINE) for row in range(1, len(names) + 1)], 4),
            mappings=_table([], 9),
            locations=_table([(NONE, address, 0) for address in addresses], 3),
            line_starts=np.arange(len(lines) + 1),
            lines=_table(lines, 3),
            values=_table([(weight,) for weight in edges.weights.values()], 1),
            depths=np.full(len(stacks), COMPILER_DEPTH),
            stacks=_table(stacks, COMPILER_DEPTH).ravel(),
            labels=_table([], 4),
            label_starts=np.zeros(len(stacks) + 1, np.int64),
            sample_starts=np.array([0, len(stacks)]),
            function_starts=np.array([0, len(names)]),
            mapping_starts=np.zeros(2, np.int64),
        )
    )


def _table(rows: Sequence[tuple[int, ...]], columns: int) -> Ints:
    numbers = chain.from_iterable(rows)
    return np.fromiter(numbers, np.int64, columns * len(rows)).reshape(-1, columns)


def minimise_edges(edges: Edges, *, prove: Read, size_before: int) -> Minimised:
    """The smallest profile for edges that were merged without making the full profile.

    Proof: ``go tool preprofile`` prints for it just what it would print for ``edges``.

    Args:
        edges: what the compiler shall read.
        prove: says what Go reads from a profile.
        size_before: bytes of what the edges come from.

    Raises:
        ToolchainError: ``prove`` cannot say it, or Go reads other edges: nothing is given back unproven.
    """
    small = from_edges(edges)
    if prove(small) != edges.preprofile():
        raise ToolchainError(
            "`go tool preprofile` reads other edges from the minimal profile than were merged.",
            hint="Merge without minimising, and minimise the result: that keeps the full profile.",
        )
    return Minimised(small, IDENTICAL, len(edges), len(edges.hot), size_before, len(small))


def _proof(full: bytes, small: bytes, prove: Read | None) -> str:
    if prove is None:
        return "not proven: no Go toolchain was given"
    try:
        return IDENTICAL if prove(full) == prove(small) else "not identical for the compiler"
    except ToolchainError as error:
        return f"not proven: {error.message}"
