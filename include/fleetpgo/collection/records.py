"""The record of each target in the store, beside the profiles.

A profile is stored under its own SHA-256, so it is complete, and a record that names it stays correct.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fleetpgo.run.artifacts import key_of
from fleetpgo.run.profiled import Record, missing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleetpgo.run.selected import Target
    from fleetpgo.run.store import RunStore


def was_asked(store: RunStore, target: Target) -> bool:
    """Return whether the target has a record."""
    return store.exists(Record, key_of(target.instance))


def read_record(store: RunStore, target: Target) -> Record:
    """Return the target's record; if its task died before it wrote one, a record that says so."""
    return store.find(Record, key_of(target.instance)) or missing(target)


def write_record(store: RunStore, record: Record) -> None:
    """Write an instance's record to the store."""
    store.write(record, key_of(record.instance))


def read_records(store: RunStore, targets: Iterable[Target]) -> list[Record]:
    """Return the targets' records, and count identical profiles once.

    Two real profiles differ, if only in their time. If several instances sent the same bytes, the first one
    keeps the profile; the records of the others say that it is a duplicate of the first.
    """
    records = [read_record(store, target) for target in targets]
    first: dict[str, str] = {}
    for place, record in enumerate(records):
        if record.state != "fetched":
            continue
        other = first.setdefault(record.sha256, record.instance)
        if other != record.instance:
            reason = (
                f"duplicate: it and {other} sent the same bytes, so they count once: does a proxy answer "
                "from a cache, or one process for both?"
            )
            records[place] = replace(record, reason=reason, same_as=other)
    return records
