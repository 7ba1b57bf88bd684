"""From a profile's samples to the call edges that Go's compiler derives from them.

The rules are in :mod:`fleetpgo.pprof.edges`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fleetpgo.pprof.columns import NONE
from fleetpgo.pprof.decoding import read
from fleetpgo.pprof.edges import Edge, Edges, go_name
from fleetpgo.pprof.reading import Limits

if TYPE_CHECKING:
    from fleetpgo.pprof.columns import Columns

COMPILER_DEPTH = 2
"""Locations of a stack that the compiler reads, from the leaf."""


class Node(NamedTuple):
    """One line of one location. Two lines are one node to the compiler if they agree in all four."""

    function: str
    address: int
    start_line: int
    line: int


def call_edges(data: bytes, *, limits: Limits = Limits()) -> Edges:  # noqa: B008 -- frozen
    """The call edges of a profile, gzipped or not, as Go's compiler derives them.

    Raises:
        ProfileError: the profile cannot be read, or counts no CPU samples.
    """
    return edges_of(read(data, limits, depth=COMPILER_DEPTH))


def edges_of(profile: Columns) -> Edges:
    """The call edges of a profile whose stacks have two locations at the most."""
    calls = np.full((len(profile.depths), COMPILER_DEPTH), NONE, np.int64)
    calls[np.arange(COMPILER_DEPTH) < profile.depths[:, None]] = profile.stacks
    different, which = np.unique(calls, axis=0, return_inverse=True)
    sums = np.zeros(len(different), np.int64)
    np.add.at(sums, which, profile.values[:, profile.value_index])
    nodes = _nodes(profile)
    nodes.append([])  # the last one is that of NONE
    weights: dict[Edge, int] = {}
    for (leaf, caller), weight in zip(different.tolist(), sums.tolist(), strict=True):
        if weight:
            for edge in _edges(nodes[caller] + nodes[leaf]):
                weights[edge] = weights.get(edge, 0) + weight
    return Edges.of(weights)


def _nodes(profile: Columns) -> list[list[Node]]:
    """The nodes of each location, outermost call first."""
    names = [go_name(profile.strings[row]) for row in profile.functions[:, 0].tolist()]
    start_lines = profile.functions[:, 3].tolist()
    addresses, starts = profile.locations[:, 1].tolist(), profile.line_starts.tolist()
    lines = profile.lines.tolist()
    nodes = []
    for address, start, stop in zip(addresses, starts, starts[1:], strict=False):
        of_location = [
            Node("", address, 0, 0)
            if function == NONE
            else Node(names[function], address, start_lines[function], line)
            for function, line, _ in reversed(lines[start:stop])
        ]
        # A location without lines is a node all the same, of a function without name.
        nodes.append(of_location or [Node("", address, 0, 0)])
    return nodes


def _edges(stack: list[Node]) -> list[Edge]:
    """The edges along some nodes, outermost first; each pair of nodes once."""
    calls = dict.fromkeys(pairwise(stack))
    return [
        Edge(caller.function, callee.function, caller.line - caller.start_line)
        for caller, callee in calls
        if caller != callee
    ]
