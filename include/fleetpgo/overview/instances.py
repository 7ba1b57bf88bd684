"""Results of a run by instance and by datacenter."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetpgo.errors import NotThereError
from fleetpgo.run.artifacts import key_of
from fleetpgo.run.profiled import Record, missing
from fleetpgo.selection import read_selection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleetpgo.run.profiled import Contribution, Manifest
    from fleetpgo.run.store import RunStore

GIVEN = ("fetched", "used")
"""States of an instance that gave a profile."""


@dataclass(frozen=True)
class Instance:
    """Result of one selected instance.

    ``state`` is ``waiting`` until its request has ended; then ``fetched``, ``refused`` or ``missing``; after
    the merge ``used``, ``refused`` or ``missing``. ``size`` is in bytes.
    """

    instance: str
    datacenter: str
    round: int
    cores: float
    state: str
    reason: str
    samples: int
    size: int


@dataclass(frozen=True)
class DatacenterCount:
    """Number of instances of a datacenter that were asked, and that gave a profile; reason → failures."""

    name: str
    asked: int
    fetched: int
    reasons: Mapping[str, int]


def look_at_instances(store: RunStore, manifest: Manifest | None) -> tuple[Instance, ...]:
    """Return the instances of the first round, and of later rounds those that were asked."""
    try:
        chosen = read_selection(store)
    except NotThereError:  # nothing was chosen yet, or the selection was pruned
        return tuple(map(_remembered, manifest.instances)) if manifest else ()
    final = {each.instance: each for each in manifest.instances} if manifest else {}
    instances = []
    for target in chosen.targets:
        record = store.find(Record, key_of(target.instance))
        if record is None and target.round > 1:
            continue  # kept in reserve
        known: Record | Contribution | None = final.get(target.instance, record)
        if known is None and manifest:
            known = missing(target)
        instances.append(
            Instance(
                target.instance,
                target.datacenter,
                target.round,
                target.cores,
                known.state if known else "waiting",
                known.reason if known else "",
                known.samples if known else 0,
                known.size if known else 0,
            )
        )
    return tuple(instances)


def _remembered(each: Contribution) -> Instance:
    """Return the result of an instance whose selection was pruned; its round is not known."""
    return Instance(
        each.instance, each.datacenter, 1, each.cores, each.state, each.reason, each.samples, each.size
    )


def selection_warnings(store: RunStore) -> tuple[str, ...]:
    """Return what the selection warns of; () if nothing was chosen yet."""
    try:
        return read_selection(store).warnings
    except NotThereError:
        return ()


def count_by_datacenter(instances: Sequence[Instance]) -> tuple[DatacenterCount, ...]:
    """Count the instances by datacenter, sorted by name."""
    rows = []
    for name in sorted({each.datacenter for each in instances}):
        there = [each for each in instances if each.datacenter == name]
        reasons = Counter(each.reason for each in there if each.state in ("refused", "missing"))
        rows.append(
            DatacenterCount(
                name, len(there), sum(each.state in GIVEN for each in there), dict(reasons.most_common())
            )
        )
    return tuple(rows)
