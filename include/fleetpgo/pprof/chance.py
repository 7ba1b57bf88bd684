"""Compute how much two profiles of the same program overlap by chance.

Two profiles with few samples overlap little even if nothing has changed, because a rare edge is in only one
of them. So an overlap must be compared with the overlap expected by chance. If both profiles are from the
same program, it is chance which sample is in which profile, and every other division of the samples was
equally likely. The overlaps of many random divisions into the same two sizes give the distribution: a
permutation test (Fisher, "The Design of Experiments", 1935, section 21). It assumes nothing about the
program.

A sample may have several edges, one inlined into another. That does not change the probability of an edge,
and so not the mean of the overlap. It changes the deviation, for which DEVIATIONS leaves room.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fleetpgo.pprof.edges import Edge, Edges

DIVISIONS = 20
"""Random divisions: the mean of so many is known to a fourth of a deviation, which is small."""

DEVIATIONS = 3
"""Standard deviations below the mean that still are chance."""

_PERIOD = 10_000_000  # nanoseconds between two samples of Go's profiler
_MOST = 100_000_000  # samples, beyond which chance takes next to nothing; numpy draws from fewer than 10⁹


def least_by_chance(one: Edges, other: Edges) -> float:
    """Return the least overlap that two profiles of so many samples have if both are of one program.

    Weights are taken for numbers of samples, or of nanoseconds where all are multiples of Go's period. The
    same profiles always give the same figure.

    Args:
        one: edges of a profile.
        other: edges of another.

    Returns:
        0 … 1; 1 if one of them has no edges.
    """
    if not one.total or not other.total:
        return 1.0
    edges = list(one.weights.keys() | other.weights.keys())
    # Sets have no order, and the draws are to be the same each time.
    pooled = np.sort(_counts(one, edges) + _counts(other, edges))
    total = int(pooled.sum())
    size = round(total * _samples(one) / (_samples(one) + _samples(other)))
    size = min(max(size, 1), total - 1)
    random = np.random.default_rng(0)
    parts = random.multivariate_hypergeometric(pooled, size, size=DIVISIONS, method="marginals")
    overlaps = np.minimum(parts / size, (pooled - parts) / (total - size)).sum(axis=1)
    return float(np.clip(overlaps.mean() - DEVIATIONS * overlaps.std(ddof=1), 0.0, 1.0))


def _samples(edges: Edges) -> int:
    """Return the edge weights of a profile, counted in samples, together."""
    in_nanoseconds = math.gcd(*edges.weights.values()) % _PERIOD == 0
    return min(edges.total // (_PERIOD if in_nanoseconds else 1), _MOST)


def _counts(edges: Edges, names: Sequence[Edge]) -> NDArray[np.int64]:
    """Return the weight of each edge in samples; 0 where the profile lacks it."""
    counts = np.array([edges.weights.get(name, 0) for name in names], dtype=np.float64)
    return np.rint(counts * (_samples(edges) / edges.total)).astype(np.int64)
