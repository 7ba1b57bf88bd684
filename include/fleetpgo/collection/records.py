"""The record of each target in the store, beside the profiles.

A profile is stored under its own SHA-256, so what is there is whole, and a record that names it stays true.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetpgo.run.artifacts import key_of
from fleetpgo.run.profiled import Record, missing

if TYPE_CHECKING:
    from fleetpgo.run.selected import Target
    from fleetpgo.run.store import RunStore


def was_asked(store: RunStore, target: Target) -> bool:
    """Whether the target has a record."""
    return store.exists(Record, key_of(target.instance))


def read_record(store: RunStore, target: Target) -> Record:
    """Return the target's record; if its task died before it wrote one, a record that says so."""
    return store.find(Record, key_of(target.instance)) or missing(target)


def write_record(store: RunStore, record: Record) -> None:
    """Put an instance's record."""
    store.write(record, key_of(record.instance))
