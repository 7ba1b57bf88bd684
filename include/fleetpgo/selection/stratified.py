"""Choose some instances of each stratum: each datacenter, hardware generation, role, or their combinations.

Use it if parts of the fleet do different work, such as datacenters with different customers and hardware. No
stratum is left out because its instances are less busy. In the merge each stratum has the weight of its share
of the fleet's CPU (:mod:`.weights`). Within a stratum, instances are drawn as in :mod:`.weighted`.

Start with the allocation ``proportional`` (to CPU). Use ``equal`` to compare strata, and your own numbers for
a stratum of special interest.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from fleetpgo.errors import SelectionError
from fleetpgo.run.selected import Selection, Target
from fleetpgo.selection.weighted import draw

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from fleetpgo.service.profiling import SelectionRules


MOST_STRATA = 10
"""Times ``instances``: more strata come from a label that tells instances apart rather than their kinds."""


_SHOWN = 500  # characters of the labels that there are


def choose(
    fleet: Sequence[Target], rules: SelectionRules, *, seed: str, taken: Collection[str] = ()
) -> Selection:
    """Choose ``rules.instances`` instances for each round, from all strata: at least one of each.

    Args:
        fleet: the candidates.
        rules: rules of the selection.
        seed: the same seed makes the same choice.
        taken: names of instances that must not be chosen.

    Raises:
        SelectionError: no instance has any of the labels, or there are so many strata that one of each
            would be more than ``rules.instances`` by far.
    """
    absent = [label for label in rules.strata if not any(target.labels.get(label) for target in fleet)]
    if len(absent) == len(rules.strata):
        known = ", ".join(sorted({name for target in fleet for name in target.labels}))
        raise SelectionError(
            f"selection.strata names {', '.join(absent)}, and no instance has such a label: all would be one "
            "stratum",
            hint="keep the labels in selection.cpu (sum by (instance, datacenter) …), or name others; the "
            f"series have {known[:_SHOWN]}",
        )
    strata: defaultdict[str, list[Target]] = defaultdict(list)
    cores: defaultdict[str, float] = defaultdict(float)
    for target in fleet:
        name = "/".join([target.labels.get(label) or f"no {label}" for label in rules.strata])
        cores[name] += target.cores
        if target.instance not in taken:
            strata[name].append(target)
    if len(strata) > MOST_STRATA * rules.instances:
        raise SelectionError(
            f"selection.strata makes {len(strata):,} strata of the labels {', '.join(rules.strata)}, and one "
            f"instance of each is far more than selection.instances, {rules.instances:,}",
            hint="name labels that many instances share: datacenter, hardware generation, role",
        )
    sizes = {name: len(members) for name, members in strata.items()}
    warnings = [f"selection.strata names {label}, and no instance has that label" for label in absent]
    match rules.allocation:
        case "proportional":
            counts = allocate(rules.instances, {name: cores[name] for name in strata}, sizes)
        case "equal":
            counts = allocate(rules.instances, dict.fromkeys(strata, 1.0), sizes)
        case quotas:
            counts = {name: min(quotas.get(name, 1), sizes[name]) for name in strata}
            warnings += [
                f"selection.allocation names {name}, of which there is no instance"
                for name in sorted(quotas.keys() - cores.keys())
            ]
    if isinstance(rules.allocation, str) and len(strata) > rules.instances:
        warnings.append(f"{len(strata)} instances instead of {rules.instances}: one of each stratum")
    targets = [
        replace(
            target,
            stratum=name,
            round=1 + place // counts[name],
            why=f"drawn from {name}, {100 * cores[name] / sum(cores.values()):.1f} % of the CPU",
        )
        for name, members in strata.items()
        for place, target in enumerate(draw(members, counts[name] * rules.max_rounds, seed=seed))
    ]
    targets.sort(key=lambda target: target.round)
    return Selection(tuple(targets), warnings=tuple(warnings), strata=dict(cores))


def allocate(total: int, shares: Mapping[str, float], sizes: Mapping[str, int]) -> dict[str, int]:
    """Divide `total` among strata in proportion to their shares: at least 1 each, at most their size.

    Seats are given out one at a time, each to the stratum with the largest s ÷ (2n + 1): its share s and the
    n seats it has. This is the method of Webster and Sainte-Laguë.

    Args:
        total: how many to divide; what exceeds the sum of all sizes is not given out.
        shares: stratum → how much is due to it, on any scale.
        sizes: stratum → how many it can take, at least 1.
    """
    counts = dict.fromkeys(shares, 1)
    for _ in range(min(total, sum(sizes.values())) - len(counts)):
        open_ = [name for name in counts if counts[name] < sizes[name]]
        counts[max(open_, key=lambda name: shares[name] / (2 * counts[name] + 1))] += 1
    return counts
