"""Cache the builds without a profile: one record per commit of a repository, build command and environment.

A record holds each binary that a service of the repository names, so that services share a build.

The records are beside the repository's build cache, and are trusted as much: a build can only write records
of its own repository. A record that cannot be read is ignored.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fleetpgo.errors import RepositoryError
from fleetpgo.golang import worktree
from fleetpgo.golang.toolchain import Built
from fleetpgo.proposal.wiring.edits import BaseBuild
from fleetpgo.proposal.wiring.recording import GoBuild

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_log = logging.getLogger(__name__)

_VERSION = "2"
_KEPT = 20
"""Records of one repository: a few commits of a few services."""


@dataclass(frozen=True)
class Plain:
    """A build without a profile.

    Attributes:
        base: what it called, and what the binary says.
        built: the build, and the binary.
        digest: SHA-256 of the binary.
    """

    base: BaseBuild
    built: Built
    digest: str


def recall(folder: Path, identity: Sequence[str], binary: str) -> Plain | None:
    """Return what is remembered of a build and one of its binaries; None if nothing is.

    Args:
        folder: where the repository's records are.
        identity: all that the build depends on.
        binary: path of the binary.
    """
    try:
        content = worktree.read(folder, _name(identity))
        if content is None:
            return None
        made = json.loads(content)
        if binary not in made:
            return None
        found = made[binary]
        calls = [
            GoBuild(
                directory=Path(call["directory"]),
                arguments=tuple(map(str, call["arguments"])),
                flags={str(name): str(value) for name, value in call["flags"].items()},
                packages=tuple(map(str, call["packages"])),
                installs=bool(call["installs"]),
                into=str(call["into"]),
            )
            for call in found["base"]["calls"]
        ]
        settings = {str(name): str(value) for name, value in found["base"]["settings"].items()}
        built = found["built"]
        return Plain(
            BaseBuild(tuple(calls), settings),
            Built(Path(built["path"]), int(built["size"]), float(built["seconds"])),
            str(found["digest"]),
        )
    except (OSError, RepositoryError, ValueError, KeyError, TypeError, AttributeError) as error:
        _log.warning("the record of an earlier build cannot be read, so it is built again: %s", error)
        return None


def remember(folder: Path, identity: Sequence[str], made: Mapping[str, Plain]) -> None:
    """Remember a build by the path of each of its binaries, and forget the oldest builds."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".new-", delete=False) as file:
        json.dump({binary: asdict(plain) for binary, plain in made.items()}, file, default=os.fspath)
    Path(file.name).replace(folder / _name(identity))
    records = sorted(folder.glob("*.json"), key=lambda each: each.lstat().st_mtime_ns, reverse=True)
    for record in records[_KEPT:]:
        record.unlink(missing_ok=True)


def _name(identity: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps([_VERSION, *identity]).encode()).hexdigest() + ".json"
