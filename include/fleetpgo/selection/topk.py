"""The busiest instances: they are where the CPU goes, and an idle process shows the compiler nothing.

Use it when the fleet is of one kind, or when the matchers of ``selection.cpu`` (tier, environment) already
narrow it down to one. Where datacenters or hardware differ, the busiest all tend to be of the same sort, and
the profile stands for that sort: see :mod:`.stratified`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fleetpgo.selection.targets import Selection, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleetpgo.config import Selection as Rules


def choose(fleet: Sequence[Target], rules: Rules) -> Selection:
    """The busiest ``rules.instances`` for each round, from a fleet with the busiest first."""
    most = rules.instances * rules.max_rounds
    return Selection(
        tuple(
            replace(target, round=1 + rank // rules.instances, why=f"rank {rank + 1} of {len(fleet)}")
            for rank, target in enumerate(fleet[:most])
        )
    )
