"""What became of each instance of a run, and of each datacenter."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fleetpgo.collection import read_record, record_name
from fleetpgo.errors import ArtifactError
from fleetpgo.selection import read_selection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleetpgo.run.store import RunStore

GIVEN = ("fetched", "used")
"""States of an instance that gave a profile."""


@dataclass(frozen=True)
class Instance:
    """What became of one selected instance.

    ``state``: ``waiting`` until there is a record; then the record's (``fetched``, ``refused``, ``missing``);
    after the merge its own (``used``). ``size`` is in bytes.
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
    """How many instances of a datacenter were asked and gave a profile; reason → how many did not."""

    name: str
    asked: int
    fetched: int
    reasons: Mapping[str, int]


def look_at_instances(store: RunStore, manifest: Mapping[str, Any] | None) -> list[Instance]:
    """Return those selected for the first round, and of later rounds those that were asked."""
    try:
        chosen, _ = read_selection(store)
    except ArtifactError:  # nothing was chosen yet
        return []
    final = {each["instance"]: each for each in manifest["instances"]} if manifest else {}
    instances = []
    for target in chosen.targets:
        asked = store.exists(record_name(target.instance))
        if target.round > 1 and not asked:
            continue  # kept in reserve
        record = asdict(read_record(store, target)) | final.get(target.instance, {})
        state, reason = (record["state"], record["reason"]) if asked or manifest else ("waiting", "")
        instances.append(
            Instance(
                target.instance,
                target.datacenter,
                target.round,
                target.cores,
                state,
                reason,
                record["samples"],
                record["size"],
            )
        )
    return instances


def count_by_datacenter(instances: Sequence[Instance]) -> list[DatacenterCount]:
    """Sum the instances up by datacenter, by name."""
    rows = []
    for name in sorted({each.datacenter for each in instances}):
        there = [each for each in instances if each.datacenter == name]
        reasons = Counter(each.reason for each in there if each.state in ("refused", "missing"))
        rows.append(
            DatacenterCount(
                name, len(there), sum(each.state in GIVEN for each in there), dict(reasons.most_common())
            )
        )
    return rows
