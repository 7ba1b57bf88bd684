"""Derive call edges from the samples of profiles, exactly as Go's compiler does.

:mod:`fleetpgo.pprof.edges` explains the rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fleetpgo.pprof.codec.arrays import NONE, ranges
from fleetpgo.pprof.codec.leaves import shortened
from fleetpgo.pprof.codec.numbering import Rows, Sums
from fleetpgo.pprof.codec.texts import TextNumbers, go_name
from fleetpgo.pprof.edges import Edge, Edges

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.columns import Columns
    from fleetpgo.pprof.profile import Profile


def call_edges(profile: Profile) -> Edges:
    """Return the call edges of a profile, as Go's compiler derives them.

    Raises:
        ProfileError: the profile has no CPU samples (``no-cpu-samples``), or more lines next to its leaves
            than its limits allow (``too-large``).
    """
    graph = CallGraph()
    graph.add(shortened(profile.columns, profile.limits))
    return graph.edges()


class CallGraph:
    """Sums the call edges of any number of profiles."""

    def __init__(self) -> None:
        self._names = TextNumbers()
        self._edges = Rows()  # caller, callee, offset
        self._sums = Sums()

    def add(self, profiles: Columns) -> None:
        """Add profiles whose stacks are cut to their two innermost locations.

        Raises:
            ProfileError: ``no-cpu-samples`` or ``overflow``.
        """
        names = self._names.some(profiles.strings, profiles.functions[:, 0])
        lines = _Lines(profiles, names)
        weights = profiles.values[:, profiles.value_index]
        steps = _steps(profiles, lines, weights != 0)
        callers, callees = lines.nodes(steps.callers), lines.names(steps.callees)
        edges = np.column_stack((callers.names, callees, callers.lines - callers.start_lines))
        rows = self._edges.of(edges.ravel(), np.full(len(edges), edges.shape[1]))
        self._sums.add(rows, weights.take(steps.samples)[:, None], len(self._edges))

    def edges(self) -> Edges:
        """Return the edges with their weights so far."""
        names = list(map(go_name, self._names.all()))
        edges, weights = self._edges.all()[0].reshape(-1, 3).tolist(), self._sums.of(len(self._edges))
        return Edges.of(
            {
                Edge(names[caller], names[callee], offset): weight
                for (caller, callee, offset), weight in zip(edges, weights[:, 0].tolist(), strict=True)
            }
        )


class Nodes(NamedTuple):
    """Nodes of the call graph, as columns; each is one line of a location.

    The compiler takes two lines for the same node if all three values are equal, and the addresses of their
    locations, too.

    Args:
        names: (nodes,) number of the function's name.
        start_lines: (nodes,) start line of the function.
        lines: (nodes,) line number.
    """

    names: Ints
    start_lines: Ints
    lines: Ints


class _Lines:
    """The lines of all locations; within a location the innermost inlined call comes first.

    Args:
        profiles: the profiles that hold the locations.
        names: (functions,) number of each function's name; 0 is the empty name.
    """

    def __init__(self, profiles: Columns, names: Ints) -> None:
        table, self.counts, self.starts = (
            profiles.lines,
            np.diff(profiles.line_starts),
            profiles.line_starts[:-1],
        )
        if not self.counts.all():
            # A location without lines is a node all the same, of a function without name: the last line.
            self.starts = np.where(self.counts, self.starts, len(table))
            self.counts = np.maximum(self.counts, 1)
            table = np.vstack((table, [[NONE, 0, 0]]))
        self._functions, self._lines = table[:, 0], table[:, 1]
        # The last ones are those of NONE.
        self._names = np.append(names, 0)
        self._start_lines = np.append(profiles.functions[:, 3], 0)

    def names(self, rows: Ints) -> Ints:
        """Return the numbers of the function names of some lines."""
        return self._names[self._functions.take(rows)]

    def nodes(self, rows: Ints) -> Nodes:
        """Return the nodes of some lines."""
        functions = self._functions.take(rows)
        lines = self._lines.take(rows)
        lines[np.flatnonzero(functions == NONE)] = 0
        return Nodes(self._names[functions], self._start_lines[functions], lines)


class Steps(NamedTuple):
    """Steps in stacks, as columns: from a line to the line that called it.

    Args:
        callees: (steps,) row of the called line.
        callers: (steps,) row of the calling line.
        samples: (steps,) row of the sample.
    """

    callees: Ints
    callers: Ints
    samples: Ints

    def of(self, rows: Ints) -> Steps:
        """Return some of the steps."""
        return Steps(*(column.take(rows) for column in self))

    def and_(self, others: Steps) -> Steps:
        """Return these steps followed by others."""
        return Steps(*map(np.concatenate, zip(self, others, strict=True)))


def _steps(profiles: Columns, lines: _Lines, counted: NDArray[np.bool_]) -> Steps:
    """Return the steps in the ``counted`` samples: only between different nodes, and each once per sample."""
    stacks, depths, addresses = profiles.stacks, profiles.depths, profiles.locations[:, 1]

    # From location to location.
    samples = np.flatnonzero(counted & (depths > 1))
    places = (np.cumsum(depths) - depths).take(samples)
    inner, outer = stacks.take(places), stacks.take(places + 1)
    across = Steps(lines.starts.take(inner) + lines.counts.take(inner) - 1, lines.starts.take(outer), samples)

    # From line to line of a location, where calls are inlined.
    counts = lines.counts.take(stacks)
    inlined = np.flatnonzero(counts > 1)
    samples = np.repeat(np.arange(len(depths)), depths).take(inlined)
    locations, counts = stacks.take(inlined), (counts.take(inlined) - 1) * counted.take(samples)
    rows = ranges(lines.starts.take(locations), counts)
    within = Steps(rows, rows + 1, np.repeat(samples, counts))

    # Nodes of two addresses are two, and there is one step between addresses in a sample.
    apart = addresses.take(inner) != addresses.take(outer)
    near = np.flatnonzero(~apart)
    of_near = np.append(addresses.take(inner.take(near)), np.repeat(addresses.take(locations), counts))
    return across.of(np.flatnonzero(apart)).and_(_once(across.of(near).and_(within), of_near, lines))


FEWEST_TO_REPEAT = 3
"""A step within one address can only repeat if a sample has at least so many: a to b, b to a, a to b."""


def _once(steps: Steps, addresses: Ints, lines: _Lines) -> Steps:
    """Keep the steps between different nodes, once per sample. All nodes of a step have one address."""
    callees, callers = lines.nodes(steps.callees), lines.nodes(steps.callers)
    pairs = np.stack((steps.samples, addresses, *callees, *callers))
    differ = np.logical_or.reduce(pairs[2:5] != pairs[5:])
    often = np.bincount(steps.samples).take(steps.samples) >= FEWEST_TO_REPEAT
    doubted = np.flatnonzero(differ & often)
    if not len(doubted):
        return steps.of(np.flatnonzero(differ))
    _, first = np.unique(pairs[:, doubted].T, axis=0, return_index=True)
    return steps.of(np.append(np.flatnonzero(differ & ~often), doubted[first]))
