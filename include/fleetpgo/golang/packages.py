"""Packages that a build compiles, and where their source is: what ``go list`` answers."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fleetpgo.errors import RepositoryError, ToolchainError
from fleetpgo.golang import processes, worktree
from fleetpgo.golang.toolchain import TOOL_SECONDS, require_go

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Package:
    """A package of a build and where its source is.

    Attributes:
        path: import path.
        name: name in its ``package`` clause.
        directory: where its files are; "" where the source is not at hand.
        files: its Go files that the build compiles.
        assembly: its assembly files.
        root: the directory that no link of theirs may leave; "": their own.
    """

    path: str
    name: str
    directory: str
    files: tuple[str, ...]
    assembly: tuple[str, ...]
    root: str = ""

    def read(self, file: str) -> bytes | None:
        """Return one of its files; log a warning and return None if it may not be read."""
        there = Path(self.directory) / file
        root = Path(self.root or self.directory)
        try:
            return worktree.read(root, there.relative_to(root))
        except RepositoryError as error:
            _log.warning("a file of %s is not compared with the profile: %s", self.path, error.message)
            return None


def packages(
    directory: Path,
    pattern: str,
    *,
    environment: Mapping[str, str],
    checkout: Path | None = None,
    tags: str = "",
) -> list[Package]:
    """Return the packages that a build compiles: those that a pattern names, and all that they need.

    Args:
        directory: of the module, or of a part of it.
        pattern: import path or pattern, as ``go build`` takes it.
        environment: usually from :func:`~fleetpgo.golang.environment.build_environment`.
        checkout: the repository that the directory is in. Source elsewhere is read only in the module cache
            and in Go's own directory: a ``replace`` in ``go.mod`` may name any directory of the machine.
            None: the caller's own source, which may be anywhere.
        tags: build tags, comma-separated.

    Raises:
        ToolchainError: if there is no Go on the environment's PATH, or it cannot list them.
    """
    require_go(environment)
    fields = "ImportPath,Name,Dir,Standard,GoFiles,CgoFiles,SFiles"
    told = processes.capture(
        # -e: a package that cannot be found is listed without files.
        ("go", "list", "-e", "-deps", f"-json={fields}", f"-tags={tags}", pattern),
        directory,
        environment,
        seconds=TOOL_SECONDS,
    )
    if told.failed:
        raise ToolchainError(
            f"`go list {pattern}` {told.stopped or f'failed: {told.errors.strip()}'}",
            hint="run it in a fresh clone, in the directory of the module (go.mod) or of a part of it",
        )
    found, text = [], told.output.decode(errors="replace").strip()
    decoder = json.JSONDecoder()
    places = [str(checkout.resolve()), environment.get("GOMODCACHE", "")] if checkout else ["/"]
    while text:
        record, end = decoder.raw_decode(text)
        text = text[end:].lstrip()
        source = record.get("Dir", "")
        inside = [place for place in places if place and Path(source).is_relative_to(place)]
        there = bool(inside) or record.get("Standard", False)
        found.append(
            Package(
                record["ImportPath"],
                record.get("Name", ""),
                source if there else "",
                (*record.get("GoFiles", ()), *record.get("CgoFiles", ())) if there else (),
                tuple(record.get("SFiles", ())) if there else (),
                inside[0] if inside else "",
            )
        )
    return found


def go_version(runtime: Iterable[Package]) -> str:
    """Return the version of the toolchain that package runtime is part of; "" where it does not say.

    A toolchain says so in the file VERSION of its root. Source: ``FindGOROOT`` and ``version`` in cmd/dist.
    """
    for package in runtime:
        with suppress(OSError):
            said = (Path(package.directory) / "../../VERSION").read_text(errors="replace")
            return said.partition("\n")[0].strip()
    return ""
