"""Shrink a profile to the smallest one that builds the same binary, and prove that it does.

The compiler reads only call edges (:mod:`fleetpgo.pprof.edges`). So the minimal profile has one sample per
edge, with two locations: the callee, and the call site in the caller. Every function starts at line 1; a call
site is at line 1 plus its offset. The profile holds nothing else: no paths, labels, code addresses or times.

Proof: ``go tool preprofile`` prints exactly what the compiler reads. If it prints the same for the full and
the minimal profile, both build the same binary. Without that proof the full profile is returned.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.errors import ToolchainError
from fleetpgo.pprof.codec.arrays import NONE
from fleetpgo.pprof.codec.columns import CPU_VALUE_TYPES, Columns, Header, ValueType
from fleetpgo.pprof.codec.leaves import COMPILER_DEPTH
from fleetpgo.pprof.codec.texts import Texts, go_bytes
from fleetpgo.pprof.codec.writing import write
from fleetpgo.pprof.edges import Edges, places_of_names
from fleetpgo.pprof.profile import call_edges

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.profile import Profile

    Read = Callable[[bytes], bytes]
    """What ``go tool preprofile`` prints for a profile: :func:`fleetpgo.golang.preprofile.preprofile`."""

SAMPLES = CPU_VALUE_TYPES[0]

START_LINE = 1
CALL_SITE_ADDRESS = 1
"""Any address but 0. It keeps a call site and the function it calls apart if both are on the same line."""

IDENTICAL = "identical"


@dataclass(frozen=True)
class Minimised:
    """The minimal profile, or the full profile if the minimal one was not proven equivalent.

    Args:
        data: the profile to commit, gzipped.
        proof: ``identical``, or the reason why the full profile was kept.
        edges: number of call edges in it.
        hot_edges: number of edges that are hot by Go's rule.
        size_before: size of the full profile as given, in bytes.
        size_after: size of ``data`` in bytes.
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
    """Return the smallest profile from which the compiler reads the same edges as from ``profile``.

    Args:
        profile: a CPU profile.
        prove: runs ``go tool preprofile`` on a profile, for the proof; None if there is no Go: then the full
            profile is returned.

    Raises:
        ProfileError: as :func:`fleetpgo.pprof.call_edges`.
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
    """Return a gzipped profile from which Go's compiler reads exactly ``edges``; deterministic."""
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
    """Return the smallest profile with these edges; for merges that keep no full profile.

    Proof: the output of ``go tool preprofile`` equals ``edges.preprofile()``.

    Args:
        edges: the merged edges.
        prove: runs ``go tool preprofile`` on a profile.
        size_before: total size of the profiles that the edges come from, in bytes.

    Raises:
        ToolchainError: ``go tool preprofile`` fails, or prints other edges. No unproven profile is returned.
    """
    small = from_edges(edges)
    if prove(small) != edges.preprofile():
        raise ToolchainError(
            "`go tool preprofile` reads other edges from the minimal profile than those that were merged.",
            hint="Merge without minimising, then minimise the result: that keeps the full profile.",
        )
    return Minimised(small, IDENTICAL, len(edges), len(edges.hot), size_before, len(small))


def _proof(full: bytes, small: bytes, prove: Read | None) -> str:
    if prove is None:
        return "not proven: no Go toolchain was given"
    try:
        return IDENTICAL if prove(full) == prove(small) else "not identical for the compiler"
    except ToolchainError as error:
        return f"not proven: {error.message}"
