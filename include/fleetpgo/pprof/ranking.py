"""The functions that a profile spends its weight in, as ``go tool pprof -top`` ranks them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetpgo.pprof.stacks import stacks

if TYPE_CHECKING:
    from fleetpgo.pprof.profile import Profile


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
        ProfileError: the profile counts no CPU samples (``no-cpu-samples``).
    """
    total = 0
    flat: dict[str, int] = {}
    cum: dict[str, int] = {}
    for weight, stack in stacks(profile.columns):
        total += weight
        if stack:
            flat[stack[0]] = flat.get(stack[0], 0) + weight
        for name in set(stack):
            cum[name] = cum.get(name, 0) + weight
    total = total or 1
    order = sorted(cum, key=lambda name: (-flat.get(name, 0), -cum[name], name))
    return tuple(
        Rank(name, flat.get(name, 0), cum[name], flat.get(name, 0) / total, cum[name] / total)
        for name in order[:n]
    )
