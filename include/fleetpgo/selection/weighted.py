"""Choose at random without replacement, each instance with a probability proportional to its CPU.

Use it if you do not know which label distinguishes the parts of the fleet: each used core has the same
probability of being profiled, whatever kind of instance it belongs to.

The draw is sequential Poisson sampling (Ohlsson, "Sequential Poisson Sampling", Journal of Official
Statistics 14(2), 1998): instance i with c_i cores gets a number u_i, uniform in (0, 1], and those with the
smallest u_i ÷ c_i are taken. u_i is a hash of the run's id and the instance's name. So a retry draws alike
even if Prometheus has other CPU values by then, and further rounds only add to the earlier ones.
"""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import replace
from typing import TYPE_CHECKING

from fleetpgo.run.selected import Selection, Target

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from fleetpgo.service.profiling import SelectionRules

EVERYTHING = "the fleet"
"""The one stratum that there is when the whole fleet is drawn from."""


def choose(
    fleet: Sequence[Target], rules: SelectionRules, *, seed: str, taken: Collection[str] = ()
) -> Selection:
    """Draw ``rules.instances`` instances for each round from those not yet taken."""
    cores = sum(target.cores for target in fleet)
    free = [target for target in fleet if target.instance not in taken]
    drawn = draw(free, rules.instances * rules.max_rounds, seed=seed)
    return Selection(
        tuple(
            replace(
                target,
                stratum=EVERYTHING,
                round=1 + place // rules.instances,
                why=f"drawn; it has {100 * target.cores / cores:.2f} % of the CPU",
            )
            for place, target in enumerate(drawn)
        ),
        strata={EVERYTHING: cores},
    )


def draw(targets: Iterable[Target], count: int, *, seed: str) -> list[Target]:
    """Draw targets without replacement, in proportion to their CPU; all, if there are no more than `count`.

    They are returned in the order of the draw. The same seed makes the same draw.
    """
    return heapq.nsmallest(
        count, targets, key=lambda target: (_uniform(seed, target.instance) / target.cores, target.instance)
    )


def _uniform(seed: str, instance: str) -> float:
    """Return a pseudo-random number in (0, 1] that depends only on seed and instance."""
    digest = hashlib.blake2b(f"{seed}\0{instance}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest) + 1) / 2**64
