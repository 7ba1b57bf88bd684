"""The busiest instances: they are where the CPU goes, and an idle process shows the compiler nothing.

Use it when the fleet is of one kind, or when the matchers of ``selection.cpu`` (tier, environment) already
narrow it down to one. Where datacenters or hardware differ, the busiest all tend to be of the same sort, and
the profile stands for that sort: see :mod:`.stratified`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fleetpgo.run.selected import Selection, Target

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from fleetpgo.service.rules import SelectionRules


def choose(fleet: Sequence[Target], rules: SelectionRules, *, taken: Collection[str] = ()) -> Selection:
    """Choose the busiest ``rules.instances`` instances not yet taken, for each round."""
    busiest = sorted(fleet, key=lambda target: (-target.cores, target.instance))
    free = [(rank, target) for rank, target in enumerate(busiest, start=1) if target.instance not in taken]
    most = rules.instances * rules.max_rounds
    return Selection(
        tuple(
            replace(target, round=1 + place // rules.instances, why=f"rank {rank} by CPU")
            for place, (rank, target) in enumerate(free[:most])
        )
    )
