"""The functions that a profile spends its weight in, as ``go tool pprof -top`` ranks them."""

from __future__ import annotations

from dataclasses import dataclass

from fleetpgo.pprof import reference
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


def top(data: bytes, n: int = 20) -> tuple[Rank, ...]:
    """The ``n`` functions with the most flat weight; of equals those with more cumulative weight, then by name.

    Raises:
        ProfileError: ``data`` cannot be read.
    """
    p = reference.parse(data, Limits())
    index = reference.value_index(p)
    functions = {f.id: go_name(p.string_table[f.name]) for f in p.function}
    frames = {x.id: [functions.get(line.function_id, "") for line in x.line] or [""] for x in p.location}
    flat: dict[str, int] = {}
    cum: dict[str, int] = {}
    total = 0
    for sample in p.sample:
        weight = sample.value[index]
        total += weight
        stack = [name for location in sample.location_id for name in frames[location]]
        if stack:
            flat[stack[0]] = flat.get(stack[0], 0) + weight
        for name in set(stack):
            cum[name] = cum.get(name, 0) + weight
    order = sorted(cum, key=lambda name: (-flat.get(name, 0), -cum[name], name))
    return tuple(
        Rank(name, flat.get(name, 0), cum[name], flat.get(name, 0) / (total or 1), cum[name] / (total or 1))
        for name in order[:n]
    )
