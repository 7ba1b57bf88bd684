"""The functions that a profile spends its weight in, as ``go tool pprof -top`` ranks them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.pprof.codec.arrays import ranges, starts_of
from fleetpgo.pprof.codec.numbering import require_64_bits
from fleetpgo.pprof.codec.texts import go_name

if TYPE_CHECKING:
    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.columns import Columns
    from fleetpgo.pprof.profile import Profile

_TOGETHER = 1 << 15
"""Samples whose frames are in memory at once."""


@dataclass(frozen=True)
class Rank:
    """One function's part of a profile.

    Args:
        function: linker symbol.
        flat: weight of the samples that it is the leaf of.
        cum: weight of the samples that it is anywhere in.
        flat_share: ``flat`` as a share of the whole profile's weight.
        cum_share: ``cum`` likewise.
    """

    function: str
    flat: int
    cum: int
    flat_share: float
    cum_share: float


def top(profile: Profile, n: int = 20) -> tuple[Rank, ...]:
    """Return the ``n`` functions with the most flat weight; of equals, those with more cumulative weight.

    Raises:
        ProfileError: the profile counts no CPU samples (``no-cpu-samples``), or too many (``overflow``).
    """
    columns = profile.columns
    weights = columns.values[:, columns.value_index]
    require_64_bits(float(np.abs(weights.astype(np.float64)).sum()))
    names, frames, counts = _frames(columns)
    flat, cum = np.zeros((2, len(names)), np.int64)
    seen = np.zeros(len(names), np.bool_)
    starts, frame_starts = starts_of(columns.depths), starts_of(counts)
    for first in range(0, len(weights), _TOGETHER):
        samples = np.arange(first, min(first + _TOGETHER, len(weights)))
        stacks = columns.stacks[starts[first] : starts[samples[-1] + 1]]
        of_stacks = np.repeat(samples, columns.depths[samples])
        functions = frames[ranges(frame_starts[stacks], counts[stacks])]
        # A function counts once in a stack, however often it is in it.
        pairs = np.unique(np.repeat(of_stacks, counts[stacks]) * len(names) + functions)
        seen[functions] = True
        np.add.at(cum, pairs % len(names), weights[pairs // len(names)])
    given = np.flatnonzero(columns.depths)
    leaves = columns.stacks[starts[given]]
    np.add.at(flat, frames[frame_starts[leaves]], weights[given])
    total = int(weights.sum()) or 1
    ranks = (
        Rank(name, own, all_, own / total, all_ / total)
        for name, own, all_, is_seen in zip(
            map(go_name, names), flat.tolist(), cum.tolist(), seen.tolist(), strict=True
        )
        if is_seen
    )
    return tuple(sorted(ranks, key=lambda rank: (-rank.flat, -rank.cum, rank.function))[:n])


def _frames(columns: Columns) -> tuple[list[bytes], Ints, Ints]:
    """Return the frames of each location: a call of a function that nobody could name is one, too.

    Returns:
        Function names without repetition; (frames,) the number of each frame's name, a location's innermost
        call first; (locations,) how many frames each has.
    """
    names, of_functions = columns.strings.distinct(columns.functions[:, 0])
    unnamed = names.index(b"") if b"" in names else len(names)
    frames = np.append(of_functions, unnamed)[columns.lines[:, 0]]  # the last one is that of NONE
    counts = np.diff(columns.line_starts)
    frames = np.insert(frames, columns.line_starts[:-1][counts == 0], unnamed)
    return [*names, b""][: max(len(names), unnamed + 1)], frames, np.maximum(counts, 1)
