"""Weights of the profiles in the merge, so that the merged profile represents the fleet.

Each instance represents a part of its stratum's CPU. Instances are drawn with probabilities proportional to
their cores c_i, so n instances represent equal parts of the stratum's C cores: C ÷ n each. An instance with
more cores than that represents only itself, and the others share the rest. This is the estimator of Horvitz
and Thompson (Journal of the American Statistical Association 47, 1952) with the inclusion probability
min(1, n · c_i ÷ C), over the instances that gave a profile.

A profile has more samples if the instance was busy in that half minute. So the cores that an instance
represents are divided by its number of samples.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleetpgo.run.selected import Selection, Target


def merge_weights(selection: Selection, samples: Mapping[str, int]) -> dict[str, float]:
    """Return the factor of each instance's profile; they scale the sum to its effective sample size.

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
    """Return the strata without any profile, each with its share of the fleet's CPU."""
    used = {target.stratum for target in selection.targets if target.instance in samples}
    cores = sum(selection.strata.values())
    return {name: own / cores for name, own in selection.strata.items() if name not in used}


def _stands_for(used: list[Target], cores: float) -> dict[str, float]:
    """Return the cores that each instance represents; they add up to the cores of its stratum."""
    parts: dict[str, float] = {}
    for place, target in enumerate(sorted(used, key=lambda target: -target.cores)):
        share = cores / (len(used) - place)
        parts[target.instance] = min(cores, max(share, target.cores))
        cores -= parts[target.instance]
    return parts
