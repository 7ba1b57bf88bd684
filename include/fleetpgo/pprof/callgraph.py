"""From a profile's samples to the call edges that Go's compiler derives from them.

The rules are in :mod:`fleetpgo.pprof.edges`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fleetpgo.pprof.columns import NONE
from fleetpgo.pprof.decoding import read
from fleetpgo.pprof.edges import Edge, Edges, go_name
from fleetpgo.pprof.leaves import shortened
from fleetpgo.pprof.numbering import Rows, Sums, ranges
from fleetpgo.pprof.reading import Limits
from fleetpgo.pprof.texts import TextNumbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fleetpgo.pprof.columns import Columns, Ints


def call_edges(data: bytes, *, limits: Limits = Limits()) -> Edges:  # noqa: B008 -- frozen
    """The call edges of a profile, gzipped or not, as Go's compiler derives them.

    Raises:
        ProfileError: the profile cannot be read, or counts no CPU samples.
    """
    graph = CallGraph(weighted=False)
    graph.add(shortened(read(data, limits)), [1.0])
    return graph.edges()


class CallGraph:
    """The sum of the call edges of some profiles.

    Args:
        weighted: profiles are multiplied by something other than 1.
    """

    def __init__(self, *, weighted: bool) -> None:
        self._names = TextNumbers()
        self._edges = Rows()  # caller, callee, offset
        self._sums = Sums(weighted=weighted)

    def add(self, profiles: Columns, factors: Sequence[float]) -> None:
        """Add some profiles whose stacks have two locations at the most, each multiplied by its factor.

        Raises:
            ProfileError: ``no-cpu-samples`` or ``overflow``.
        """
        nodes = _nodes(profiles, self._names.of(profiles.strings)[profiles.functions[:, 0]])
        weights = profiles.values[:, profiles.value_index]
        steps = _steps(nodes, weights != 0)
        names, start_lines, lines, _ = nodes.table
        callers = steps + 1
        edges = np.column_stack((names[callers], names[steps], lines[callers] - start_lines[callers]))
        rows = self._edges.of(edges.ravel(), np.full(len(edges), edges.shape[1]))
        samples = nodes.samples[steps]
        factor = np.repeat(factors, np.diff(profiles.sample_starts))
        self._sums.add(rows, weights[samples, None], factor[samples], len(self._edges))

    def edges(self) -> Edges:
        """The edges with their weights."""
        names = list(map(go_name, self._names.all()))
        edges, weights = self._edges.all()[0].reshape(-1, 3).tolist(), self._sums.of(len(self._edges))
        return Edges.of(
            {
                Edge(names[caller], names[callee], offset): weight
                for (caller, callee, offset), weight in zip(edges, weights[:, 0].tolist(), strict=True)
            }
        )


class Nodes(NamedTuple):
    """The lines of all stacks, innermost call first.

    Args:
        table: (4, nodes): number of the function's name, its start line, line, address. To the compiler, two
            lines are one node if they agree in all four.
        samples: (nodes,) whose stack each is in.
        repeats: (samples,) a step between two nodes may occur in this stack twice.
    """

    table: Ints
    samples: Ints
    repeats: NDArray[np.bool_]


FEWEST_TO_REPEAT = 4
"""Nodes of one address without which no step can occur twice: a, b, a, b."""


def _nodes(profiles: Columns, names: Ints) -> Nodes:
    """All nodes; ``names`` are the numbers of the functions' names, 0 that of the empty one."""
    lines, counts, starts = profiles.lines, np.diff(profiles.line_starts), profiles.line_starts[:-1]
    if not counts.all():
        # A location without lines is a node all the same, of a function without name: the last line.
        starts = np.where(counts, starts, len(lines))
        lines = np.vstack((lines, [[NONE, 0, 0]]))
    stacks = profiles.stacks
    sizes, addresses = np.maximum(counts, 1).take(stacks), profiles.locations[:, 1].take(stacks)
    samples = np.repeat(np.arange(len(profiles.depths)), profiles.depths)

    repeats = np.zeros(len(profiles.depths), np.bool_)
    repeats[samples[np.flatnonzero(sizes >= FEWEST_TO_REPEAT)]] = True
    same = np.flatnonzero((samples[1:] == samples[:-1]) & (addresses[1:] == addresses[:-1]))
    repeats[samples[same[sizes[same] + sizes[same + 1] >= FEWEST_TO_REPEAT]]] = True

    rows = ranges(starts.take(stacks), sizes)
    functions = lines[:, 0].take(rows)
    table = np.empty((4, len(rows)), np.int64)
    # The last ones are those of NONE.
    table[0] = np.append(names, 0)[functions]
    table[1] = np.append(profiles.functions[:, 3], 0)[functions]
    table[2] = lines[:, 1].take(rows)
    table[2, np.flatnonzero(functions == NONE)] = 0
    table[3] = np.repeat(addresses, sizes)
    return Nodes(table, np.repeat(samples, sizes), repeats)


def _steps(nodes: Nodes, counted: NDArray[np.bool_]) -> Ints:
    """The nodes that were called by the next one, in the ``counted`` samples; each pair once a sample."""
    table, samples = nodes.table, nodes.samples
    differ = np.logical_or.reduce(table[:, 1:] != table[:, :-1])
    called = (samples[1:] == samples[:-1]) & counted[samples[1:]] & differ
    steps = np.flatnonzero(called)
    in_doubt = nodes.repeats[samples[steps]]
    if not in_doubt.any():
        return steps
    doubted = steps[in_doubt]
    pairs = np.column_stack((samples[doubted], table[:, doubted].T, table[:, doubted + 1].T))
    _, first = np.unique(pairs, axis=0, return_index=True)
    return np.concatenate((steps[~in_doubt], doubted[first]))
