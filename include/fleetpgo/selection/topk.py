"""Choose the busiest instances: they use the most CPU, and an idle process shows the compiler nothing.

Use it if all instances of the fleet are alike, or if the matchers of ``selection.cpu`` (tier, environment)
select such a part. If datacenters or hardware differ, the busiest instances tend to be of one kind, and the
profile represents only that kind: see :mod:`.stratified`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fleetpgo.run.selected import Selection, Target

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from fleetpgo.service.profiling import SelectionRules


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
