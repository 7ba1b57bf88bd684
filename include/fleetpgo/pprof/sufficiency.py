"""Estimate whether the profiles of these instances are enough for the program.

Two random halves of the instances are two independent samples. If they agree, more instances would change
little. Three figures show it:

- the overlap of the halves;
- the share of one half's weight that the hot edges of the other half cover: what the compiler would optimise
  for, compared with what runs;
- the overlap of each single instance with all others, which finds instances that run something else.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.pprof.edges import HOT_PERCENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from numpy.typing import NDArray

    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.edgetable import EdgeTable

SPLITS = 8
"""Random halves that the figures are the mean of: one split alone depends on who is on which side."""

OUTLIER_DISTANCE = 0.2
"""An instance is an outlier if its leave-one-out overlap is this much below the median of all."""

FEWEST_FOR_OUTLIERS = 3
"""Of two instances that differ, nobody can say which one is the odd one."""


MOST_IN_INT64 = (1 << 63) - 1

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


def sufficiency(instances: Mapping[str, str], table: EdgeTable) -> Sufficiency:
    """Judge whether the profiles of a fleet hold enough samples to stand for it.

    The same profiles always get the same figures.

    Args:
        instances: instance → the key of its profile in the table.
        table: the call edges of the profiles.
    """
    fleet = _Fleet.of({name: instances[name] for name in sorted(instances)}, table)
    total = int(fleet.everything.sum())
    names = list(fleet.parts)
    if len(names) < 2:  # noqa: PLR2004 -- two halves need two instances
        return Sufficiency(len(names), total, None, None, {}, ())
    overlaps, coverages = [], []
    shuffle = random.Random(0)  # noqa: S311 -- a fixed seed: the same profiles get the same figures
    for _ in range(SPLITS):
        shuffle.shuffle(names)
        one = fleet.sum(names[: len(names) // 2])
        other = fleet.everything - one
        overlaps.append(_overlap(one, other))
        coverages += [fleet.coverage(one, other), fleet.coverage(other, one)]
    leave_one_out = {name: fleet.overlap_with_others(name) for name in fleet.parts}
    return Sufficiency(
        instances=len(names),
        weight=total,
        split_half_overlap=sum(overlaps) / len(overlaps),
        held_out_coverage=sum(coverages) / len(coverages),
        leave_one_out=leave_one_out,
        outliers=_outliers(leave_one_out),
        influence=_influence(fleet, leave_one_out),
    )


@dataclass(frozen=True)
class _Fleet:
    """The weights of all instances' edges.

    Args:
        everything: (edges,) the weight of each in all instances.
        in_order: (edges,) the edges, ordered by their names: so the heaviest are the same each time.
        parts: instance → (n,) its edges, and (n,) their weights.
    """

    everything: Ints
    in_order: Ints
    parts: Mapping[str, tuple[Ints, NDArray[Any]]]

    @classmethod
    def of(cls, instances: Mapping[str, str], table: EdgeTable) -> _Fleet:
        parts = {name: table.profile(key) for name, key in instances.items()}
        return cls(table.sum(instances.values()), table.in_order(), parts)

    def sum(self, names: Iterable[str]) -> Ints:
        """Return (edges,) the weight of each in some instances."""
        total = np.zeros_like(self.everything)
        for name in names:
            rows, weights = self.parts[name]
            total[rows] += weights
        return total

    def without(self, name: str) -> Ints:
        """Return the weight of each edge, summed over all instances but the one named; shape (edges,)."""
        return self.everything - self.sum([name])

    def coverage(self, chosen: Ints, held_out: Ints) -> float:
        """Return the share of the held-out weight that lies on edges which are hot in the chosen half."""
        total = int(held_out.sum())
        hot = _hot(chosen, _heaviest_first(chosen, self.in_order))
        return int(held_out[hot].sum()) / total if total else 0.0

    def overlap_with_others(self, name: str) -> float:
        """Return the overlap of an instance with all others together. Only its own edges are looked at."""
        rows, weights = self.parts[name]
        own = weights.astype(np.int64)
        others = self.everything[rows] - own
        total = int(own.sum())
        return _common(own, total, others, self.total - total)

    @cached_property
    def total(self) -> int:
        """Sum of all weights."""
        return int(self.everything.sum())


def _overlap(one: Ints, other: Ints) -> float:
    """What :func:`fleetpgo.pprof.comparing.overlap` says of two columns of weights."""
    rows = np.flatnonzero((one != 0) & (other != 0))
    return _common(one[rows], int(one.sum()), other[rows], int(other.sum()))


def _common(mine: Ints, total: int, theirs: Ints, total_of_other: int) -> float:
    """Return the overlap of two columns of weights, given those on the edges of both, and all together."""
    if not total or not total_of_other:
        return 0.0
    if total * total_of_other > MOST_IN_INT64:  # in Python's whole numbers then, which have no end
        mine, theirs = mine.astype(object), theirs.astype(object)
    # In whole numbers, so that equal profiles overlap by exactly 1.
    return int(np.minimum(mine * total_of_other, theirs * total).sum()) / (total * total_of_other)


def _heaviest_first(weights: Ints, edges: Ints) -> Ints:
    """Return edges by falling weight; of equal weights those come first that do so among them."""
    return edges[np.argsort(-weights[edges], kind="stable")]


def _hot(weights: Ints, heaviest_first: Ints) -> Ints:
    """Return the edges that :attr:`fleetpgo.pprof.edges.Edges.hot` gives, in that order."""
    heaviest_first = heaviest_first[: np.count_nonzero(weights)]
    running = np.cumsum(weights[heaviest_first])
    total = running[-1] if len(running) else 1
    return heaviest_first[: 1 + int(np.count_nonzero(running / total * 100 <= HOT_PERCENT))]


def _influence(fleet: _Fleet, leave_one_out: Mapping[str, float]) -> Influence | None:
    """Return the instance that changes the hot edges most.

    To order all edges anew without each instance would take longer than all else. An instance moves the hot
    edges by the weight that it has elsewhere than the others, so those with the most of that are looked at.
    Without it, of equal weights those come first that do so with all: no change where there is none.
    """
    if len(leave_one_out) < FEWEST_FOR_OUTLIERS:
        return None
    with_all = _heaviest_first(fleet.everything, fleet.in_order)
    hot = _hot(fleet.everything, with_all)

    def elsewhere(name: str) -> float:
        return int(fleet.parts[name][1].sum()) * (1 - leave_one_out[name])

    def hot_without(name: str) -> Ints:
        others = fleet.without(name)
        return _hot(others, _heaviest_first(others, with_all))

    likely = sorted(leave_one_out, key=lambda name: (-elsewhere(name), name))[:LIKELY]
    changed = {name: len(np.setxor1d(hot, hot_without(name))) for name in likely}
    most = max(changed, key=changed.__getitem__)
    return Influence(most, changed[most], len(hot)) if changed[most] else None


def _outliers(leave_one_out: Mapping[str, float]) -> tuple[str, ...]:
    if len(leave_one_out) < FEWEST_FOR_OUTLIERS:
        return ()
    values = sorted(leave_one_out.values())
    median = values[len(values) // 2]
    far = [name for name, value in leave_one_out.items() if value < median - OUTLIER_DISTANCE]
    return tuple(sorted(far, key=lambda name: (leave_one_out[name], name)))
