"""Find the samples whose call sites the compiler can locate: all Go callers have a ``start_line``.

An edge's offset is the line of the call less the ``start_line`` of the function that it is in. So the callee
needs none, and a caller in C or in the kernel needs none either: no function of a Go build has its name.
Source: ``createNamedEdgeMap`` in cmd/internal/pgo/pprof.go, which refuses a profile only if no function next
to the leaves has one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.pprof.codec.arrays import NONE, starts_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.columns import Columns

NOT_OF_GO = re.compile(
    rb"[^.]*\Z"  # C: Go's symbols have a package and a point in front
    rb"|[^\[]*(?:::|@)"  # C++, Rust; versioned symbols of a C library
    rb"|[\[\d]|_Z|_R"  # [unknown], [libc.so.6], an address; mangled names of C++ and Rust
    rb"|\w+\.(?:isra|part|constprop|cold|llvm|lto_priv)\b",  # copies that a C compiler makes of a function
    re.DOTALL,
)
"""The beginning of names that no function of Go has."""

LONGEST = 512
"""Bytes of a name that are looked at."""


def have_start_lines(profiles: Columns) -> NDArray[np.bool_]:
    """Return (samples,) whether every Go caller next to the leaf has a ``start_line``.

    A profile in which no function next to a leaf has one counts as having none at all.

    Args:
        profiles: with the leaf-most two locations of each stack at the most.
    """
    lacking = profiles.functions[:, 3] == 0
    without_lines = profiles.line_starts[1:] == profiles.line_starts[:-1]
    if not lacking.any() and not without_lines.any() and NONE not in profiles.lines[:, 0]:
        return np.ones(len(profiles.depths), np.bool_)
    # Of these the last one is that of NONE: a caller without a name might be Go's.
    wrong = np.append(lacking, [True])
    rows = np.flatnonzero(lacking)
    wrong[rows] = ~are_foreign(profiles, rows)
    of_lines, ends = wrong[profiles.lines[:, 0]], profiles.line_starts[1:]
    # A location that nobody could name is a Go function's only in the program's own file.
    unnamed = without_lines & np.isin(profiles.locations[:, 0], [NONE, *profiles.mapping_starts[:-1]])
    callers = any_between(of_lines, profiles.line_starts[:-1], ends) | unnamed
    # In the leaf's location, the innermost line calls nothing.
    of_leaf = any_between(of_lines, np.minimum(profiles.line_starts[:-1] + 1, ends), ends)
    starts = starts_of(profiles.depths)[:-1]
    right = np.ones(len(starts), np.bool_)
    given, deep = np.flatnonzero(profiles.depths), np.flatnonzero(profiles.depths > 1)
    right[given] &= ~of_leaf[profiles.stacks[starts[given]]]
    right[deep] &= ~callers[profiles.stacks[starts[deep] + 1]]
    return right & _any_at_all(profiles, lacking)


def are_foreign(profiles: Columns, rows: Ints) -> NDArray[np.bool_]:
    """Return (rows,) whether the functions of some rows are not Go functions, by their names."""
    names, of_rows = profiles.strings.distinct(profiles.functions[rows, 0])
    foreign = np.array([bool(NOT_OF_GO.match(name[:LONGEST])) for name in names], np.bool_)
    return foreign[of_rows]


def _any_at_all(profiles: Columns, lacking: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (samples,) whether any function next to a leaf of the same profile has a ``start_line``."""
    given = np.append(~lacking, [False])[profiles.lines[:, 0]]
    of_locations = any_between(given, profiles.line_starts[:-1], profiles.line_starts[1:])
    ends = np.cumsum(profiles.depths)
    of_samples = any_between(of_locations.take(profiles.stacks), ends - profiles.depths, ends)
    of_samples &= profiles.values[:, profiles.value_index] != 0
    found = any_between(of_samples, profiles.sample_starts[:-1], profiles.sample_starts[1:])
    return np.repeat(found, np.diff(profiles.sample_starts))


def any_between(marked: NDArray[np.bool_], starts: Ints, ends: Ints) -> NDArray[np.bool_]:
    """Return (starts,) whether any flag from each start up to its end is true."""
    before = np.zeros(len(marked) + 1, np.int64)
    np.cumsum(marked, out=before[1:])
    found: NDArray[np.bool_] = before[ends] > before[starts]
    return found
