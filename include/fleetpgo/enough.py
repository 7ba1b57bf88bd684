"""Have the rounds so far given enough? Counted in samples, not in instances.

Two figures decide: how many CPU samples there are, and, where profiles of two instances or more are there,
whether they agree (:func:`fleetpgo.pprof.sufficiency`): what one half of them would have the compiler
optimise must cover what the other half spends its time on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.collection import read_record

if TYPE_CHECKING:
    from fleetpgo.config import Selection as Rules
    from fleetpgo.selection import Selection
    from fleetpgo.store import RunStore


@dataclass(frozen=True)
class Verdict:
    """Whether there is enough, and the sentence that says why."""

    enough: bool
    message: str


def judge(rules: Rules, store: RunStore, selection: Selection) -> Verdict:
    """Look at the profiles in a run's store; the second figure is worked out only if the first will do."""
    records = [read_record(store, target) for target in selection.targets]
    fetched = [record for record in records if record.state == "fetched"]
    samples = sum(record.samples for record in fetched)
    have = f"{samples:,} samples from {len(fetched)} instances"
    if samples < rules.target_samples:
        return Verdict(enough=False, message=f"{have}; the target is {rules.target_samples:,}")
    coverage = pprof.sufficiency(
        {record.instance: store.read(record.artifact) for record in fetched}
    ).held_out_coverage
    if coverage is None:
        return Verdict(enough=True, message=f"{have}, as many as are wanted")
    if coverage < rules.target_coverage:
        return Verdict(
            enough=False,
            message=f"{have}, but one half covers only {coverage:.0%} of the other half's CPU; "
            f"the target is {rules.target_coverage:.0%}",
        )
    return Verdict(enough=True, message=f"{have}; one half covers {coverage:.0%} of the other half's CPU")
