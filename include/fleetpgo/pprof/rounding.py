"""Round the values of a weighted merge, in which many stacks have a weight of less than one sample.

If each value were rounded separately, all rare stacks would become one sample, or none. So the rounding error
is carried over to the next stack: for every n, the sum of the first n rounded values is the rounded sum of
the first n values. Then the sum of any consecutive stacks is exact within one sample, and so is the total.

The stacks are sorted by the compiler's edges: first by the call next to the leaf, then by the two leaf-most
locations. So the weight of each call from one location to another is exact within one sample, whatever the
deeper frames are. Calls that are inlined into several places are sums of such runs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.pprof.codec.arrays import NONE, starts_of
from fleetpgo.pprof.codec.writing import sort_samples, sort_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.columns import Columns, ValueType

FINE, COARSE = 1 << 24, 1 << 10
"""Parts of one sample, and of one nanosecond, that weighted values are summed in: whole numbers, so that the
sum does not depend on the order."""


def parts_of(types: Sequence[ValueType]) -> Ints:
    """Return (value types,) the number of parts that one unit of each is divided into."""
    return np.array([COARSE if kind.unit == "nanoseconds" else FINE for kind in types], np.int64)


def carried(profile: Columns) -> Columns:
    """Return a profile whose values are in parts, see :func:`parts_of`, with whole values."""
    order = _by_call(profile)
    parts = parts_of(profile.header.sample_types)
    sums = np.cumsum(profile.values[order], axis=0)
    values = np.empty_like(profile.values)
    values[order] = np.diff((sums + parts // 2) // parts, axis=0, prepend=0)
    return replace(profile, values=values)


def _by_call(profile: Columns) -> Ints:
    """How to sort the samples: by the call next to the leaf, then by the leaf-most two locations."""
    _, text_rows, _, _, location_ids = sort_tables(profile)
    depths, starts = profile.depths, starts_of(profile.depths)[:-1]
    # The last ones are those of NONE, for stacks that have no such location, and locations without a line.
    names = np.append(text_rows[profile.functions[:, 0]], NONE)
    start_lines = np.append(profile.functions[:, 3], 0)
    lines = np.vstack((profile.lines, [[NONE, 0, 0]]))
    unnamed = profile.line_starts[1:] == profile.line_starts[:-1]
    innermost = np.append(np.where(unnamed, NONE, profile.line_starts[:-1]), NONE)
    outermost = np.append(np.where(unnamed, NONE, profile.line_starts[1:] - 1), NONE)
    stacks = np.append(profile.stacks, [NONE, NONE])
    leaf = np.where(depths > 0, stacks[starts], NONE)
    caller = np.where(depths > 1, stacks[starts + 1], NONE)
    called_by, callee = lines[innermost[caller]], lines[outermost[leaf], 0]
    everything = np.empty(len(depths), np.int64)
    everything[sort_samples(profile, location_ids, text_rows, np.arange(len(depths)))] = np.arange(
        len(depths)
    )
    return np.lexsort(
        (
            everything,
            location_ids[leaf],
            location_ids[caller],
            names[callee],
            called_by[:, 1] - start_lines[called_by[:, 0]],
            names[called_by[:, 0]],
        )
    )
