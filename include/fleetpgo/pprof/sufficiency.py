"""Do these instances together say enough about the program?

Two halves of the fleet, each drawn by instance, are two independent answers to the same question. Where they
agree, more instances would change little. Three figures tell it: the overlap of the halves; the share of one
half's weight that the other half's hot edges cover (what the compiler would have optimised for, against what
it met); and the overlap of each single instance with all others, which names the ones that run something
else.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

from fleetpgo.pprof.callgraph import call_edges
from fleetpgo.pprof.codec.reading import Limits
from fleetpgo.pprof.comparing import overlap
from fleetpgo.pprof.edges import Edge, Edges
from fleetpgo.pprof.profile import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SPLITS = 8
"""Random halves that the figures are the mean of: one split alone depends on who is on which side."""

OUTLIER_DISTANCE = 0.2
"""An instance is an outlier if its leave-one-out overlap is this much below the median of all."""

FEWEST_FOR_OUTLIERS = 3
"""Of two instances that differ, nobody can say which one is the odd one."""


LIKELY = 3
"""Instances of which it is looked up what they change; those with the most weight where others have none."""


@dataclass(frozen=True)
class Influence:
    """The instance without which the most hot edges would be others.

    Args:
        instance: which one.
        changed: hot edges that would come or go.
        hot: hot edges of all instances together.
    """

    instance: str
    changed: int
    hot: int


@dataclass(frozen=True)
class Sufficiency:
    """Figures of how far the instances agree.

    Args:
        instances: how many profiles there are.
        weight: Σ of all edge weights.
        split_half_overlap: mean overlap of two random halves, 0 … 1; None with fewer than two instances.
        held_out_coverage: mean share of one half's weight on edges that are hot in the other half, 0 … 1;
            None as above.
        leave_one_out: instance → overlap of its profile with all others together; empty with fewer than two.
        outliers: the instances far below the median of ``leave_one_out``, the worst first.
        influence: who changes the hot edges most; None with fewer than three instances, or if nobody does.
    """

    instances: int
    weight: int
    split_half_overlap: float | None
    held_out_coverage: float | None
    leave_one_out: Mapping[str, float]
    outliers: tuple[str, ...]
    influence: Influence | None = None


def sufficiency(
    profiles: Mapping[str, bytes],
    *,
    limits: Limits = Limits(),  # noqa: B008 -- frozen
) -> Sufficiency:
    """Judge the profiles of a fleet, given by instance. The same profiles always get the same figures.

    Args:
        profiles: instance → its profile, gzipped or not.
        limits: what each may be.

    Raises:
        ProfileError: one of the profiles cannot be read.
    """
    edges = {name: call_edges(decode(profiles[name], limits=limits)) for name in sorted(profiles)}
    everything = _sum(edges.values())
    if len(edges) < 2:  # noqa: PLR2004 -- two halves need two instances
        return Sufficiency(len(edges), everything.total, None, None, {}, ())
    overlaps, coverages = [], []
    names = sorted(edges)
    shuffle = random.Random(0)  # noqa: S311 -- a fixed seed: the same profiles get the same figures
    for _ in range(SPLITS):
        shuffle.shuffle(names)
        half = len(names) // 2
        one, other = (_sum(edges[name] for name in part) for part in (names[:half], names[half:]))
        overlaps.append(overlap(one, other))
        coverages += [_coverage(one, other), _coverage(other, one)]
    leave_one_out = {name: overlap(own, _without(everything, own)) for name, own in edges.items()}
    return Sufficiency(
        instances=len(edges),
        weight=everything.total,
        split_half_overlap=sum(overlaps) / len(overlaps),
        held_out_coverage=sum(coverages) / len(coverages),
        leave_one_out=leave_one_out,
        outliers=_outliers(leave_one_out),
        influence=_influence(edges, everything, leave_one_out),
    )


def _sum(parts: Iterable[Edges]) -> Edges:
    weights: dict[Edge, int] = {}
    for part in parts:
        for edge, weight in part.weights.items():
            weights[edge] = weights.get(edge, 0) + weight
    return Edges.of(weights)


def _without(everything: Edges, own: Edges) -> Edges:
    return Edges({edge: weight - own.weights.get(edge, 0) for edge, weight in everything.weights.items()})


def _coverage(chosen: Edges, held_out: Edges) -> float:
    """Share of the held-out weight that lies on edges which are hot in the chosen half."""
    if not held_out.total:
        return 0.0
    return sum(held_out.weights.get(edge, 0) for edge in chosen.hot) / held_out.total


def _influence(
    edges: Mapping[str, Edges], everything: Edges, leave_one_out: Mapping[str, float]
) -> Influence | None:
    """Return the instance that changes the hot edges most.

    To order all edges anew without each instance would take longer than all else. An instance moves the hot
    edges by the weight that it has elsewhere than the others, so those with the most of that are looked at.
    """
    if len(edges) < FEWEST_FOR_OUTLIERS:
        return None
    likely = sorted(edges, key=lambda name: (-edges[name].total * (1 - leave_one_out[name]), name))[:LIKELY]
    hot = set(everything.hot)
    changed = {name: len(hot ^ _hot_without(everything, edges[name])) for name in likely}
    most = max(changed, key=changed.__getitem__)
    return Influence(most, changed[most], len(hot)) if changed[most] else None


def _hot_without(everything: Edges, own: Edges) -> set[Edge]:
    """Return the hot edges of the others. Of equal weights those come first that do so with all instances."""
    rest = [item for item in _without(everything, own).weights.items() if item[1]]
    rest.sort(key=itemgetter(1), reverse=True)
    return set(Edges(dict(rest)).hot)


def _outliers(leave_one_out: Mapping[str, float]) -> tuple[str, ...]:
    if len(leave_one_out) < FEWEST_FOR_OUTLIERS:
        return ()
    values = sorted(leave_one_out.values())
    median = values[len(values) // 2]
    far = [name for name, value in leave_one_out.items() if value < median - OUTLIER_DISTANCE]
    return tuple(sorted(far, key=lambda name: (leave_one_out[name], name)))
