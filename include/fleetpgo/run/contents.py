"""What a store holds: every file of every run, and the artifact that it is."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fleetpgo.errors import StoreError
from fleetpgo.run import storage
from fleetpgo.run.artifacts import FILES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from upath import UPath

    from fleetpgo.run.storage import Found


@dataclass(frozen=True)
class Held:
    """A file of a run.

    Attributes:
        name: its path from the run's directory.
        kind: the artifact's type; None: fleetpgo writes no such file.
        key: the artifact's key; "" if a run has only one of its type.
        found: size and last change.
    """

    name: str
    kind: type | None
    key: str
    found: Found


def services_of(root: Path | UPath, only: Sequence[str] = ()) -> list[str]:
    """Return the services that have a directory in the store, sorted; with `only`, these of them.

    Raises:
        StoreError: the store does not answer, or has none of `only`.
    """
    local = isinstance(root, Path)
    there = sorted(name for name in storage.names(root) if not local or (root / name).is_dir())
    if unknown := sorted(set(only) - set(there)):
        raise StoreError(
            f"the store {root} has no runs of {', '.join(unknown)}", hint="check the service's name"
        )
    return [name for name in there if not only or name in only]


def files_of(root: Path | UPath, service: str) -> Mapping[str, list[Held]]:
    """Return the files of each run of a service, by the run's directory; one listing asks for all."""
    runs: dict[str, list[Held]] = defaultdict(list)
    for found in storage.below(root, service):
        _, run, *rest = found.name.split("/")
        if rest:
            runs[run].append(identify("/".join(rest), found))
    return dict(sorted(runs.items()))


def identify(name: str, found: Found) -> Held:
    """Return which artifact a file is, by its name."""
    for kind, file in FILES.items():
        if name == file.name:
            return Held(name, kind, "", found)
        before, _, after = file.keyed.partition("{}")
        if not file.keyed or name.endswith(".part"):
            continue
        key = name.removeprefix(before).removesuffix(after)
        if name == f"{before}{key}{after}" and key and "/" not in key:
            return Held(name, kind, key, found)
    return Held(name, None, "", found)
