"""Decide whether the rounds so far gave enough samples, or another round is needed.

Only profiles that the merge would use are counted (:mod:`fleetpgo.steps.contributions`). The CPU samples must
reach ``selection.target_samples``. If two or more instances gave a profile, these must also agree
(:func:`fleetpgo.pprof.sufficiency`), to the bounds of ``profile.warn_below``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.collection import Limits, read_edges, read_records
from fleetpgo.steps.contributions import contributions, in_merge

if TYPE_CHECKING:
    from fleetpgo.run.store import RunStore
    from fleetpgo.selection import Selection
    from fleetpgo.service.rules import ServiceRules, SufficiencyRules


@dataclass(frozen=True)
class Verdict:
    """Whether there is enough, and the sentence that says why."""

    enough: bool
    message: str


def judge(service: ServiceRules, store: RunStore, selection: Selection) -> Verdict:
    """Judge the profiles in a run's store. Their agreement is computed only if there are enough samples."""
    given = contributions(read_records(store, selection.targets))
    used = in_merge(given)
    samples = sum(each.samples for each in used)
    have = f"{samples:,} samples from {len(used)} instances"
    if samples < service.selection.target_samples:
        return Verdict(enough=False, message=f"{have}; the target is {service.selection.target_samples:,}")
    limits = Limits.of(service.collection, seconds=0).of_profiles
    instances = {each.instance: each.sha256 for each in used}
    agreement = pprof.sufficiency(instances, read_edges(store, list(instances.values()), limits=limits))
    short = disagreement(service.profile.warn_below, agreement)
    return Verdict(enough=not short, message="; ".join([f"{have}, as many as are wanted", *short]))


def disagreement(least: SufficiencyRules, found: pprof.Sufficiency) -> list[str]:
    """Return a sentence for each figure of the instances' agreement that is below its bound."""
    judged = [
        ("overlap of two halves of the instances", found.split_half_overlap, least.split_half_overlap),
        ("held-out weight covered by the hot edges", found.held_out_coverage, least.held_out_coverage),
    ]
    return [
        f"{name}: {value:.2f}, below {bound:.2f}"
        for name, value, bound in judged
        if value is not None and value < bound
    ]
