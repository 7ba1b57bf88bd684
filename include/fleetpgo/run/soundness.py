"""Check of a store: what is damaged, what is missing, and what belongs to nothing.

Every file is read once. Damaged is an artifact that cannot be read, a profile whose digest is not its name,
or a committed profile that is not the manifest's. Missing is what another artifact of the run refers to.
What nothing refers to is an orphan: a file that fleetpgo does not write, or that a killed task left.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fleetpgo.errors import ArtifactError, StoreError
from fleetpgo.run import contents, storage
from fleetpgo.run.artifacts import FILES, EdgePack, FetchedProfile, MergedProfile, ProposedProfile, key_of
from fleetpgo.run.digest import digest
from fleetpgo.run.profiled import Manifest, Record
from fleetpgo.run.proposed import Merge, Proposed, Rollout
from fleetpgo.run.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from upath import UPath

    from fleetpgo.run.contents import Held

State = Literal["damaged", "missing", "orphan"]

_NEEDS: dict[type, type] = {Proposed: Manifest, Merge: Proposed, Rollout: Merge}
"""Artifact → the one that was written before it. Old profiles and selections may have been pruned."""


@dataclass(frozen=True)
class Finding:
    """Something wrong with the store: the file's path from the store's root, and a sentence."""

    path: str
    state: State
    why: str


def check(root: Path | UPath, service: str) -> Iterator[Finding]:
    """Yield what is wrong with a service's runs.

    Raises:
        StoreError: the store does not answer, or refuses.
    """
    for name, held in contents.files_of(root, service).items():
        run = RunStore(root, service, name)
        for path, state, why in _check_run(run, held):
            yield Finding(f"{service}/{name}/{path}", state, why)


def _check_run(run: RunStore, held: Sequence[Held]) -> Iterator[tuple[str, State, str]]:
    kinds = {each.kind for each in held}
    wanted: dict[str, str] = {}
    for each in held:
        if each.kind is None:
            left = each.name.endswith(".part")
            yield each.name, "orphan", "a write cut short" if left else "fleetpgo writes no such file"
            continue
        try:
            value: object = run.read(each.kind, each.key)
        except ArtifactError as error:
            yield each.name, "damaged", error.message
            continue
        except StoreError as error:
            storage.names(run.directory)  # raises if it is the store that is ill, and not this file
            yield each.name, "damaged", error.message
            continue
        if isinstance(value, Record) and value.state == "fetched":
            wanted[value.sha256] = each.name
        if fault := _fault(run, each, value):
            yield each.name, "damaged", fault
        if (needed := _NEEDS.get(each.kind)) and needed not in kinds:
            yield FILES[needed].path(), "missing", f"{each.name} was written after it"
    profiles = {each.key for each in held if each.kind is FetchedProfile}
    yield from _check_profiles(profiles, wanted)


def _check_profiles(
    profiles: AbstractSet[str], wanted: Mapping[str, str]
) -> Iterator[tuple[str, State, str]]:
    """Yield profiles without a record (digest → its file), and records without a profile."""
    if profiles:  # else they were pruned
        for sha256 in sorted(set(wanted) - profiles):
            yield FILES[FetchedProfile].path(sha256), "missing", f"{wanted[sha256]} refers to it"
    for sha256 in sorted(profiles - set(wanted)):
        yield FILES[FetchedProfile].path(sha256), "orphan", "no record refers to it"


def _fault(run: RunStore, held: Held, value: object) -> str:
    """Return what is wrong with an artifact that can be read; "": nothing that can be told."""
    if isinstance(value, Record) and held.key != key_of(value.instance):
        return f"it is the record of {value.instance}, by another name"
    if isinstance(value, (FetchedProfile, EdgePack)):
        found = hashlib.sha256(value).hexdigest()
        return "" if found == held.key else f"its SHA-256 is {found}, and not its name"
    if isinstance(value, MergedProfile):
        try:
            gzip.decompress(value)
        except (OSError, EOFError, zlib.error) as error:
            return f"it cannot be unzipped: {error}"
    if isinstance(value, ProposedProfile):
        try:
            made = run.read(Manifest).profile
        except (ArtifactError, StoreError):  # it is not there yet, or named itself
            return ""
        if made and digest(value) != made:
            return f"its digest is {digest(value)}, and the manifest's is {made}"
    return ""
