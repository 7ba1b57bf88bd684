"""The store of runs' artifacts: ``<store>/<service>/<run>/<name>``.

The store is the state that outlives tasks and workers; what travels between tasks only refers to it. Its
root is anything that behaves like :class:`pathlib.Path`: a local path, a ``UPath``, Airflow's
``ObjectStoragePath``. A name in it appears whole or not at all: local files are renamed into place, and
an object is put by one request.

Each method may raise :class:`fleetpgo.errors.StoreError`: the store does not answer, or refuses.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleetpgo.errors import ArtifactError
from fleetpgo.run import storage

if TYPE_CHECKING:
    from pathlib import Path

    from upath import UPath

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

    @property
    def directory(self) -> Path | UPath:
        """The directory of this run's artifacts."""
        return self.root / self.service / _UNSAFE.sub("_", self.run)

    def path(self, name: str) -> Path | UPath:
        """Return the path of an artifact, whether it exists or not."""
        return self.directory.joinpath(*name.split("/"))

    def size(self, name: str) -> int | None:
        """The artifact's size in bytes; None if it is not there."""
        try:
            return storage.size(self.path(name), limit=self.limit)
        except ArtifactError:
            return None

    def exists(self, name: str) -> bool:
        """Whether the artifact is there."""
        return self.size(name) is not None

    def read(self, name: str) -> bytes:
        """The artifact's bytes.

        Raises:
            ArtifactError: it is not there.
        """
        return storage.read(self.path(name), limit=self.limit)

    def write(self, name: str, data: bytes) -> None:
        """Put an artifact, whole or not at all; an older one of that name is replaced."""
        storage.write(self.path(name), data, limit=self.limit)

    def remove(self, name: str) -> None:
        """Remove an artifact, if it is there."""
        with suppress(ArtifactError):
            storage.remove(self.path(name), limit=self.limit)

    def read_json(self, name: str) -> Any:  # noqa: ANN401  # JSON is whatever was written
        """The JSON artifact of that name.

        Raises:
            ArtifactError: it is not there, or it is no JSON.
        """
        return self._parsed(name, self.read(name))

    def find_json(self, name: str) -> Any:  # noqa: ANN401  # JSON is whatever was written
        """The JSON artifact of that name; None if it is not there.

        Raises:
            ArtifactError: it is no JSON.
        """
        try:
            data = self.read(name)
        except ArtifactError:
            return None
        return self._parsed(name, data)

    def _parsed(self, name: str, data: bytes) -> Any:  # noqa: ANN401  # JSON is whatever was written
        try:
            return json.loads(data)
        except ValueError as error:
            raise ArtifactError(
                f"artifact {self.path(name)} is no JSON: {error}",
                hint="clear the task that makes it, and its downstream tasks",
            ) from error

    def write_json(self, name: str, value: object) -> None:
        """Put a JSON artifact, for people as well as for programs."""
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
        self.write(name, text.encode() + b"\n")

    def names(self, folder: str, suffix: str) -> list[str]:
        """Names of the artifacts in a folder that end in a suffix, sorted; not of what is being written.

        The folder "" is the run's own.
        """
        found = storage.names(self.path(folder) if folder else self.directory, limit=self.limit)
        ours = (name for name in found if name.endswith(suffix) and not name.endswith(".part"))
        return sorted(f"{folder}/{name}" if folder else name for name in ours)


def runs_of(root: Path | UPath, service: str) -> list[RunStore]:
    """All runs of a service that the store holds, in no order.

    Raises:
        StoreError: the store does not answer, or refuses.
    """
    return [RunStore(root, service, run) for run in storage.names(root / service)]
