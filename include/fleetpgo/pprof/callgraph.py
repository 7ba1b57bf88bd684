"""Derive call edges from the samples of profiles, exactly as Go's compiler does.

:mod:`fleetpgo.pprof.edges` explains the rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fleetpgo.pprof.codec.arrays import NONE, ranges, used_rows
from fleetpgo.pprof.codec.numbering import Rows, Sums, encoded, require_64_bits
from fleetpgo.pprof.codec.texts import TextNumbers, go_name
from fleetpgo.pprof.edges import Edge, Edges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.columns import Columns


class CallGraph:
    """Sums the call edges of any number of profiles."""

    def __init__(self) -> None:
        self._names = TextNumbers()
        self._edges = Rows()
        self._sums = Sums()

    def add(self, profiles: Columns) -> None:
        """Add profiles whose stacks are cut to their two innermost locations.

        Raises:
            ProfileError: ``no-cpu-samples`` or ``overflow``.
        """
        calls = calls_in(profiles, self._names.some(profiles.strings, profiles.functions[:, 0]))
        rows = self._edges.of_table(np.column_stack((calls.callers, calls.callees, calls.offsets)))
        self._sums.add(rows, calls.weights[:, None], len(self._edges))

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


class Calls(NamedTuple):
    """Calls in some profiles, as columns. An edge is in there as often as calls of it were found.

    Args:
        callers: (calls,) number of the function's name.
        callees: (calls,) likewise.
        offsets: (calls,) line of the call, from the caller's ``func`` line.
        weights: (calls,) sum of the samples that have it.
        profiles: (calls,) number of the profile.
    """

    callers: Ints
    callees: Ints
    offsets: Ints
    weights: Ints
    profiles: Ints


def calls_in(profiles: Columns, names: Ints) -> Calls:
    """Return the calls in profiles whose stacks are cut to their two innermost locations.

    Args:
        profiles: one profile, or several.
        names: (functions,) number of each function's name; 0 is the empty name.

    Raises:
        ProfileError: ``no-cpu-samples`` or ``overflow``.
    """
    lines = _Lines(profiles, names)
    weights = profiles.values[:, profiles.value_index]
    # A location is in a sample twice at the most.
    require_64_bits(2 * float(np.abs(weights.astype(np.float64)).sum()))
    steps = _steps(profiles, lines, weights)
    callers = lines.nodes(steps.callers)
    return Calls(
        callers.names,
        lines.names(steps.callees),
        callers.lines - callers.start_lines,
        steps.weights,
        steps.profiles,
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
        table, self.counts = profiles.lines, np.diff(profiles.line_starts)
        self.starts, self.ends = profiles.line_starts[:-1], profiles.line_starts[1:]
        if not self.counts.all():
            # A location without lines is a node all the same, of a function without name: the last line.
            self.starts = np.where(self.counts, self.starts, len(table))
            self.counts = np.maximum(self.counts, 1)
            self.ends = self.starts + self.counts
            table = np.vstack((table, [[NONE, 0, 0]]))
        self._functions, self._lines = table[:, 0], table[:, 1]
        # The last ones are those of NONE.
        self._names = np.append(names, 0)
        self._start_lines = np.append(profiles.functions[:, 3], 0)

    def first(self, locations: Ints) -> Ints:
        """Return the innermost line of some locations."""
        return self.starts.take(locations)

    def last(self, locations: Ints) -> Ints:
        """Return the outermost line of some locations: the one that the next location called."""
        return self.ends.take(locations) - 1

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
        weights: (steps,) sum of the samples that have it.
        profiles: (steps,) number of the profile.
    """

    callees: Ints
    callers: Ints
    weights: Ints
    profiles: Ints

    def of(self, rows: Ints) -> Steps:
        """Return some of the steps."""
        return Steps(*(column.take(rows) for column in self))


def _steps(profiles: Columns, lines: _Lines, weights: Ints) -> Steps:
    """Return the steps in the samples that count: only between different nodes, and each once per sample."""
    stacks, depths, addresses = profiles.stacks, profiles.depths, profiles.locations[:, 1]
    of_samples = np.repeat(np.arange(len(profiles.headers)), np.diff(profiles.sample_starts))
    starts = np.cumsum(depths) - depths
    counted = weights != 0
    deep = np.flatnonzero(counted & (depths > 1))
    places = starts.take(deep)
    inner, outer = stacks.take(places), stacks.take(places + 1)
    apart = addresses.take(inner) != addresses.take(outer)
    near: Ints = deep[:0]
    if not apart.all():
        near, far = deep[~apart], np.flatnonzero(apart)
        deep, inner, outer = deep.take(far), inner.take(far), outer.take(far)

    # From location to location. Nodes of two addresses are two.
    of_deep, profiles_of_deep = weights.take(deep), of_samples.take(deep)
    across = Steps(lines.last(inner), lines.first(outer), of_deep, profiles_of_deep)

    # From line to line of a location, where calls are inlined.
    alone = np.flatnonzero(counted & (depths == 1))
    found = [(inner, of_deep, profiles_of_deep), (outer, of_deep, profiles_of_deep)]
    if len(alone):
        found.append((stacks.take(starts.take(alone)), weights.take(alone), of_samples.take(alone)))
    parts = [across, _within(found, lines, addresses)]
    if len(near):
        parts.append(_near(profiles, lines, weights, near, of_samples))
    return Steps(*map(np.concatenate, zip(*parts, strict=True)))


def _within(found: Sequence[tuple[Ints, Ints, Ints]], lines: _Lines, addresses: Ints) -> Steps:
    """Return the steps from line to line of a location.

    They are the same in each sample that has the location, so they are derived once for all of these.

    Args:
        found: locations in samples, with the samples' weights and profiles.
        lines: the locations' lines.
        addresses: (locations,)
    """
    inlined = lines.counts > 1
    chosen = [np.flatnonzero(inlined.take(locations)) for locations, _, _ in found]
    parts = [[column.take(rows) for column in part] for part, rows in zip(found, chosen, strict=True)]
    locations, weights, profiles = map(np.concatenate, zip(*parts, strict=True))
    totals, owners = np.zeros(len(addresses), np.int64), np.empty(len(addresses), np.int64)
    np.add.at(totals, locations, weights)
    owners[locations] = profiles
    used = used_rows(locations, len(addresses))
    counts = lines.counts.take(used) - 1
    rows = ranges(lines.first(used), counts)
    groups = np.repeat(used, counts)
    steps = Steps(rows, rows + 1, totals.take(groups), owners.take(groups))
    return _once(steps, groups, addresses.take(groups), lines)


def _near(profiles: Columns, lines: _Lines, weights: Ints, samples: Ints, of_samples: Ints) -> Steps:
    """Return the steps in samples whose two locations have one address: there a step may repeat."""
    stacks, addresses = profiles.stacks, profiles.locations[:, 1]
    places = (np.cumsum(profiles.depths) - profiles.depths).take(samples)
    inner, outer = stacks.take(places), stacks.take(places + 1)
    locations = np.concatenate((inner, outer))
    counts = lines.counts.take(locations) - 1
    rows = ranges(lines.first(locations), counts)
    groups = np.concatenate((samples, np.repeat(np.tile(samples, 2), counts)))
    steps = Steps(
        np.concatenate((lines.last(inner), rows)),
        np.concatenate((lines.first(outer), rows + 1)),
        weights.take(groups),
        of_samples.take(groups),
    )
    at = np.concatenate((addresses.take(inner), np.repeat(addresses.take(locations), counts)))
    return _once(steps, groups, at, lines)


FEWEST_TO_REPEAT = 3
"""A step within one address can only repeat if a sample has at least so many: a to b, b to a, a to b."""


def _once(steps: Steps, groups: Ints, addresses: Ints, lines: _Lines) -> Steps:
    """Keep the steps between different nodes, once per group.

    Args:
        steps: all nodes of a step have one address.
        groups: (steps,) the sample, or the location that stands for all of its samples.
        addresses: (steps,) address of its nodes.
        lines: those that the steps lead from and to.
    """
    callees, callers = lines.nodes(steps.callees), lines.nodes(steps.callers)
    differ = np.logical_or.reduce([one != other for one, other in zip(callees, callers, strict=True)])
    doubted = np.flatnonzero(differ & (np.bincount(groups).take(groups) >= FEWEST_TO_REPEAT))
    pairs = [column.take(doubted) for column in (groups, addresses, *callees, *callers)]
    if _all_differ(pairs):
        return steps.of(np.flatnonzero(differ))
    _, first = np.unique(np.stack(pairs, axis=1), axis=0, return_index=True)
    differ[doubted] = False
    return steps.of(np.append(np.flatnonzero(differ), doubted[first]))


_MIXING = 0x9E3779B97F4A7C15 - (1 << 64)
"""2⁶⁴ ÷ φ: multiplied by it, numbers that lie close together lie far apart (Knuth, TAOCP 3, section 6.4)."""


def _all_differ(columns: Sequence[Ints]) -> bool:
    """Return whether all rows differ for sure: one number is made of each. If two are equal, nobody knows."""
    mixed = columns[0]
    for column in columns[1:]:
        mixed = (mixed * _MIXING) ^ column
    different, _ = encoded(mixed)
    return len(different) == len(mixed)
