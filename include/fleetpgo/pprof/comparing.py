"""Comparison of two profiles as the compiler sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetpgo.pprof.chance import least_by_chance
from fleetpgo.pprof.profile import call_edges

if TYPE_CHECKING:
    from fleetpgo.pprof.edges import Edge, Edges
    from fleetpgo.pprof.profile import Profile


@dataclass(frozen=True)
class Comparison:
    """The change for the compiler from an old to a new profile.

    Args:
        overlap: Σ min(pᵢ, qᵢ) over all edges, p and q being each profile's weights as shares; 0 … 1.
        by_chance: the least overlap of two profiles of one program with so few samples
            (:mod:`fleetpgo.pprof.chance`); 0 … 1.
        unchanged: the compiler reads the same edges with the same weights: the build is the same, byte for
            byte.
        hot_gained: edges that are hot in the new profile only, heaviest first.
        hot_lost: edges that are hot in the old profile only, heaviest first.
    """

    overlap: float
    by_chance: float
    unchanged: bool
    hot_gained: tuple[Edge, ...]
    hot_lost: tuple[Edge, ...]

    def alike(self, least: float) -> bool:
        """Return whether the overlap is at least ``least`` times the overlap expected by chance alone."""
        return self.overlap >= least * self.by_chance


def compare(old: Profile, new: Profile) -> Comparison:
    """Compare two profiles by their call edges.

    Raises:
        ProfileError: as of :func:`fleetpgo.pprof.call_edges`.
    """
    return compare_edges(call_edges(old), call_edges(new))


def compare_edges(before: Edges, after: Edges) -> Comparison:
    """Compare the call edges of two profiles."""
    was_hot, is_hot = set(before.hot), set(after.hot)
    return Comparison(
        overlap=overlap(before, after),
        by_chance=least_by_chance(before, after),
        unchanged=before.weights == after.weights,
        hot_gained=tuple(edge for edge in after.hot if edge not in was_hot),
        hot_lost=tuple(edge for edge in before.hot if edge not in is_hot),
    )


def overlap(one: Edges, other: Edges) -> float:
    """Σ min(pᵢ, qᵢ) over edges: 1 for equal shares, 0 where no edge is common or one side has none."""
    if not one.total or not other.total:
        return 0.0
    # In whole numbers, so that equal profiles overlap by exactly 1.
    common = sum(
        min(weight * other.total, other.weights.get(edge, 0) * one.total)
        for edge, weight in one.weights.items()
    )
    return common / (one.total * other.total)
