"""What became of each target: a record in the store, beside the profiles.

A profile is stored under its own SHA-256, so what is there is whole, and a record that names it stays true.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fleetpgo.run.store import RunStore
    from fleetpgo.selection import Target

FOLDER = "profiles"
"""Folder of a run's store: each profile as ``<sha256>.pb.gz``, each instance's record as ``<name>.json``."""

_UNSAFE = re.compile(r"[^A-Za-z0-9.-]")


@dataclass(frozen=True)
class Record:
    """What became of one target: its profile's place and digest, or why there is none.

    ``refused``: something came, and it is no profile that can be used; it is not kept. ``size`` is in bytes,
    ``samples`` in CPU samples; what tells profiles apart is as in :class:`fleetpgo.pprof.Facts`, and empty in
    a record of an earlier version. ``same_as``: the instance that this one cannot be told apart from, whose
    answer stands for both.
    """

    instance: str
    datacenter: str
    cores: float
    state: Literal["fetched", "refused", "missing"]
    reason: str = ""
    artifact: str = ""
    size: int = 0
    sha256: str = ""
    samples: int = 0
    main_package: str = ""
    kind: str = ""
    modules: Mapping[str, int] = field(default_factory=dict)
    outside: int = 0
    same_as: str = ""


def name_of(instance: str) -> str:
    """An instance's name as a file name: readable, and never the same for two instances."""
    digest = hashlib.sha256(instance.encode()).hexdigest()[:8]
    return f"{_UNSAFE.sub('_', instance)}-{digest}"


def record_name(instance: str) -> str:
    """Name of the artifact that holds the instance's record."""
    return f"{FOLDER}/{name_of(instance)}.json"


def profile_name(sha256: str) -> str:
    """Name of the artifact that holds the profile with that digest."""
    return f"{FOLDER}/{sha256}.pb.gz"


def read_record(store: RunStore, target: Target) -> Record:
    """The target's record; if its task died before it wrote one, a record that says so."""
    if store.exists(record_name(target.instance)):
        return Record(**store.read_json(record_name(target.instance)))
    return Record(
        target.instance, target.datacenter, target.cores, "missing", "its task ended before it answered"
    )


def read_records(store: RunStore, targets: Iterable[Target]) -> list[Record]:
    """The targets' records, in which equal bytes count once: a profile holds the time at which it was taken.

    Of several instances that sent the same, the first keeps it, and the others are refused in its name.
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
            records[place] = replace(record, state="refused", reason=reason, same_as=other)
    return records
