"""Factors of the profiles in the merge, so that the sum represents the fleet.

An instance that was drawn from a stratum stands for a part of its CPU. Instances are drawn with chances in
proportion to their cores c_i, so n of them stand for equal parts of the stratum's C cores, C ÷ n; only one
that is larger than that stands for itself alone, and the others share the rest. This is the estimator of
Horvitz and Thompson (Journal of the American Statistical Association 47, 1952) with the inclusion
probability min(1, n · c_i ÷ C), over the instances that did give a profile.

A profile's own size depends on how busy the instance was in that half minute. So what an instance stands for
is divided by the samples that it gave.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleetpgo.run.selected import Selection, Target


def merge_weights(selection: Selection, samples: Mapping[str, int]) -> dict[str, float]:
    """Instance → the factor of its profile; together they leave as many samples as the sum is worth.

    A sum of samples of different weight w is as sure as (Σw)² ÷ Σw² equal ones (Kish, "Survey Sampling",
    1965, section 11.7). So whoever compares merged profiles may take their weights for numbers of samples.

    Args:
        selection: what was chosen; without strata every factor is 1.
        samples: instance → the CPU samples of its profile, at least 1, for those that gave one.
    """
    strata: defaultdict[str, list[Target]] = defaultdict(list)
    for target in selection.targets:
        if target.instance in samples:
            strata[target.stratum].append(target)
    if not selection.strata:
        return dict.fromkeys(samples, 1.0)
    factors = {
        instance: cores / samples[instance]
        for name, used in strata.items()
        for instance, cores in _stands_for(used, selection.strata[name]).items()
    }
    total = sum(factor * samples[instance] for instance, factor in factors.items())
    squares = sum(factor**2 * samples[instance] for instance, factor in factors.items())
    return {instance: factor * total / squares for instance, factor in factors.items()}


def unrepresented(selection: Selection, samples: Mapping[str, int]) -> dict[str, float]:
    """Stratum → its share of the fleet's CPU, for those of which no instance gave a profile."""
    used = {target.stratum for target in selection.targets if target.instance in samples}
    cores = sum(selection.strata.values())
    return {name: own / cores for name, own in selection.strata.items() if name not in used}


def _stands_for(used: list[Target], cores: float) -> dict[str, float]:
    """Instance → the cores of its stratum that it stands for; together they are the stratum's."""
    parts: dict[str, float] = {}
    for place, target in enumerate(sorted(used, key=lambda target: -target.cores)):
        share = cores / (len(used) - place)
        parts[target.instance] = min(cores, max(share, target.cores))
        cores -= parts[target.instance]
    return parts
