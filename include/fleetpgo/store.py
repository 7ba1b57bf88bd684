"""Where a run keeps what it makes: ``<store>/<service>/<run>/<name>``.

The store is the state that outlives tasks and workers; what travels between tasks only refers to it. Its
root is anything that behaves like :class:`pathlib.Path`: a local path, a ``UPath``, Airflow's
``ObjectStoragePath``. A name in it appears whole or not at all: local files are renamed into place, and
an object is put by one request.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetpgo.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    """

    root: Path | UPath
    service: str
    run: str

    @property
    def directory(self) -> Path | UPath:
        """Where this run's artifacts are."""
        return self.root / self.service / _UNSAFE.sub("_", self.run)

    def path(self, name: str) -> Path | UPath:
        """Where the artifact of that name is, or would be."""
        return self.directory.joinpath(*name.split("/"))

    def exists(self, name: str) -> bool:
        """Whether the artifact is there."""
        return self.path(name).exists()

    def read(self, name: str) -> bytes:
        """The artifact's bytes.

        Raises:
            ArtifactError: it is not there.
        """
        try:
            return self.path(name).read_bytes()
        except OSError as error:
            raise ArtifactError(
                f"artifact {self.path(name)} cannot be read: {error}",
                hint="clear the task that makes it, and its downstream tasks",
            ) from error

    def write(self, name: str, data: bytes) -> None:
        """Put an artifact, whole or not at all; an older one of that name is replaced."""
        path = self.path(name)
        if not isinstance(path, Path):
            # In one go: an opened file is uploaded as far as it got when its writer is interrupted.
            path.fs.pipe_file(path.path, data)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            part.write_bytes(data)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def remove(self, name: str) -> None:
        """Remove an artifact, if it is there."""
        self.path(name).unlink(missing_ok=True)

    def read_json(self, name: str) -> Any:  # noqa: ANN401  # JSON is whatever was written
        """The JSON artifact of that name.

        Raises:
            ArtifactError: it is not there, or it is no JSON.
        """
        try:
            return json.loads(self.read(name))
        except ValueError as error:
            raise ArtifactError(
                f"artifact {self.path(name)} is no JSON: {error}",
                hint="clear the task that makes it, and its downstream tasks",
            ) from error

    def write_json(self, name: str, value: object) -> None:
        """Put a JSON artifact, for people as well as for programs."""
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
        self.write(name, text.encode() + b"\n")

    def names(self, folder: str, suffix: str) -> Iterator[str]:
        """Names of the artifacts in a folder that end in a suffix, sorted; not of what is being written."""
        path = self.path(folder)
        if path.is_dir():
            found = [item.name for item in path.iterdir() if item.name.endswith(suffix)]
            yield from sorted(f"{folder}/{name}" for name in found if not name.endswith(".part"))
