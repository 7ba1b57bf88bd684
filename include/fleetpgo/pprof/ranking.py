"""The functions that a profile spends its weight in, as ``go tool pprof -top`` ranks them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from fleetpgo.pprof.columns import NONE, Columns
from fleetpgo.pprof.decoding import read
from fleetpgo.pprof.edges import go_name
from fleetpgo.pprof.reading import Limits


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


def top(data: bytes, n: int = 20, *, limits: Limits = Limits()) -> tuple[Rank, ...]:  # noqa: B008 -- frozen
    """The ``n`` functions with the most flat weight; of equals, those with more cumulative weight.

    Raises:
        ProfileError: ``data`` cannot be read.
    """
    profile = read(data, limits)
    weights = profile.values[:, profile.value_index].tolist()
    frames = _frames(profile)
    flat: dict[str, int] = {}
    cum: dict[str, int] = {}
    stacks, stop = profile.stacks.tolist(), 0
    for weight, depth in zip(weights, profile.depths.tolist(), strict=True):
        start, stop = stop, stop + depth
        stack = [name for location in stacks[start:stop] for name in frames[location]]
        if stack:
            flat[stack[0]] = flat.get(stack[0], 0) + weight
        for name in set(stack):
            cum[name] = cum.get(name, 0) + weight
    total = sum(weights) or 1
    order = sorted(cum, key=lambda name: (-flat.get(name, 0), -cum[name], name))
    return tuple(
        Rank(name, flat.get(name, 0), cum[name], flat.get(name, 0) / total, cum[name] / total)
        for name in order[:n]
    )


def _frames(profile: Columns) -> list[list[str]]:
    """The function names of each location, innermost call first."""
    names = [go_name(profile.strings[row]) for row in profile.functions[:, 0].tolist()]
    names.append("")  # the last one is that of NONE
    of_line = [names[function] for function in profile.lines[:, 0].tolist()]
    starts = profile.line_starts.tolist()
    return [of_line[start:stop] or [names[NONE]] for start, stop in pairwise(starts)]
