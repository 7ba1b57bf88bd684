"""Have the rounds so far given enough? Counted in samples, not in instances.

First it is seen how many CPU samples there are; then, where profiles of two instances or more are there,
whether they agree (:func:`fleetpgo.pprof.sufficiency`), by the figures below which the pull request warns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.collection import read_record

if TYPE_CHECKING:
    from fleetpgo.config import Service
    from fleetpgo.config import Sufficiency as Least
    from fleetpgo.selection import Selection
    from fleetpgo.store import RunStore


@dataclass(frozen=True)
class Verdict:
    """Whether there is enough, and the sentence that says why."""

    enough: bool
    message: str


def judge(service: Service, store: RunStore, selection: Selection) -> Verdict:
    """Look at the profiles in a run's store; how far they agree is worked out only if they are enough."""
    records = [read_record(store, target) for target in selection.targets]
    fetched = [record for record in records if record.state == "fetched"]
    samples = sum(record.samples for record in fetched)
    have = f"{samples:,} samples from {len(fetched)} instances"
    if samples < service.selection.target_samples:
        return Verdict(enough=False, message=f"{have}; the target is {service.selection.target_samples:,}")
    agreement = pprof.sufficiency({record.instance: store.read(record.artifact) for record in fetched})
    short = disagreement(service.profile.warn_below, agreement)
    return Verdict(enough=not short, message="; ".join([f"{have}, as many as are wanted", *short]))


def disagreement(least: Least, found: pprof.Sufficiency) -> list[str]:
    """Which figures of the instances' agreement lie below the least ones, in sentences."""
    judged = [
        ("overlap of two halves of the instances", found.split_half_overlap, least.split_half_overlap),
        ("held-out weight covered by the hot edges", found.held_out_coverage, least.held_out_coverage),
    ]
    return [
        f"{name}: {value:.2f}, below {bound:.2f}"
        for name, value, bound in judged
        if value is not None and value < bound
    ]
