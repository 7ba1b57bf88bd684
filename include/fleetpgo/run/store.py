"""Where a run keeps its artifacts: ``<store>/<service>/<run>/<name>``.

The store is the state that outlives tasks and workers; what travels between tasks only refers to it. Its
root is anything that behaves like :class:`pathlib.Path`: a local path, a ``UPath``, Airflow's
``ObjectStoragePath``. A name in it appears whole or not at all: local files are renamed into place, and
an object is put by one request.

Each method may raise :class:`fleetpgo.errors.StoreError`: the store does not answer, or refuses.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from fleetpgo.errors import NotThereError
from fleetpgo.run import storage
from fleetpgo.run.artifacts import FILES, decode, encode

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from upath import UPath

T = TypeVar("T")

# What paths do not like, and the two names that lead out of the service's directory.
_UNSAFE = re.compile(r"[^A-Za-z0-9_.+-]|^\.{1,2}$")


@dataclass(frozen=True)
class RunStore:
    """The artifacts of one run of one service.

    Args:
        root: the store.
        service: name of the service.
        run: id of the run; characters that paths do not like are replaced.
        limit: seconds that one operation on object storage may take.
    """

    root: Path | UPath
    service: str
    run: str
    limit: float = storage.LIMIT_S

    @cached_property
    def directory(self) -> Path | UPath:
        """The directory of this run's artifacts."""
        return self.root / self.service / _UNSAFE.sub("_", self.run)

    def path(self, kind: type, key: str = "") -> Path | UPath:
        """Return the path of an artifact, whether it exists or not."""
        return self.directory.joinpath(*FILES[kind].path(key).split("/"))

    def size(self, kind: type, key: str = "") -> int | None:
        """Return the artifact's size in bytes; None if it is not there."""
        try:
            return storage.size(self.path(kind, key), limit=self.limit)
        except NotThereError:
            return None

    def exists(self, kind: type, key: str = "") -> bool:
        """Return whether the artifact is there."""
        return self.size(kind, key) is not None

    def read(self, kind: type[T], key: str = "") -> T:
        """Return the artifact.

        Args:
            kind: its type.
            key: which of several it is; see :data:`fleetpgo.run.artifacts.FILES`.

        Raises:
            ArtifactError: it is not there, cannot be read, or is of a newer version.
        """
        return decode(kind, self.read_bytes(kind, key), self.path(kind, key))

    def find(self, kind: type[T], key: str = "") -> T | None:
        """Return the artifact; None if it is not there. Raises what :meth:`read` raises otherwise."""
        path = self.path(kind, key)
        try:
            data = storage.read(path, limit=self.limit)
        except NotThereError:
            return None
        return decode(kind, data, path)

    def read_bytes(self, kind: type, key: str = "") -> bytes:
        """Return the artifact's bytes as they are.

        Raises:
            NotThereError: it is not there.
        """
        return storage.read(self.path(kind, key), limit=self.limit)

    def write(self, value: object, key: str = "") -> None:
        """Put an artifact, whole or not at all; an older one of its type and key is replaced."""
        storage.write(self.path(type(value), key), encode(value), limit=self.limit)

    def remove(self, kind: type, key: str = "") -> None:
        """Remove the artifact, if it is there."""
        with suppress(NotThereError):
            storage.remove(self.path(kind, key), limit=self.limit)

    def keys(self, kind: type) -> list[str]:
        """Return the sorted keys of the artifacts of a type, without those still being written."""
        folder, _, name = FILES[kind].keyed.rpartition("/")
        prefix, suffix = name.split("{}")
        found = storage.names(self.directory / folder if folder else self.directory, limit=self.limit)
        return sorted(
            name[len(prefix) : len(name) - len(suffix)]
            for name in found
            if name.startswith(prefix) and name.endswith(suffix) and not name.endswith(".part")
        )


def runs_of(root: Path | UPath, service: str) -> list[RunStore]:
    """Return all runs of a service in the store, unsorted.

    Raises:
        StoreError: the store does not answer, or refuses.
    """
    return [RunStore(root, service, run) for run in storage.names(root / service)]


def runs_with(
    root: Path | UPath, service: str, kind: type, *, since: datetime, limit: float = storage.LIMIT_S
) -> list[RunStore]:
    """Return the runs of a service whose artifact of a type was changed since a time; one listing tells.

    Where the storage does not say when a file was changed, its run is among them.

    Raises:
        StoreError: the store does not answer, or refuses.
    """
    found = storage.matching(root, f"{service}/*/{FILES[kind].path()}", limit=limit)
    return [
        RunStore(root, service, each.name.split("/")[1])
        for each in sorted(found, key=lambda each: each.name)
        if not each.changed or each.changed >= since.timestamp()
    ]
