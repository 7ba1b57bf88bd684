"""Whether a repository's build passes the profile to ``go build``, and what must be edited so that it does.

It reads the files that builds are described in as text, line by line, and understands only Makefiles
(:mod:`fleetpgo.proposal.wiring.makefile`): whether the profile really arrives, the built binary tells
(:func:`fleetpgo.golang.toolchain.build_settings`). What it cannot edit safely it leaves to a person, and says
so.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fleetpgo.errors import RepositoryError
from fleetpgo.proposal.git import git
from fleetpgo.proposal.wiring.makefile import wire_makefile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fleetpgo.proposal.git import Checkout
    from fleetpgo.service.rules import ServiceRules

_BUILD_FILE = re.compile(
    r"""(?:.*/)?(?:
        (?:GNU)?[Mm]akefile[^/]* | [^/]*\.(?:mk|mak|sh|bash|bat|cmd|ps1|py|ya?ml|toml|bzl|bazel)
        | [^/]*(?:Docker|Container)file[^/]* | BUILD | WORKSPACE | \.bazelrc | [Jj]ustfile | Taskfile[^/]*
        | [Mm]agefile[^/]* | (?:[^/]*/)*magefiles/[^/]*\.go
        | (?:[^/]*/)*(?:bin|build|ci|hack|script|scripts|tools)/[^/.]*
    )""",
    re.VERBOSE,
)
_ELSEWHERE = re.compile(r"(?:.*/)?(?:vendor|testdata|node_modules|third_party)/")
_LARGEST = 1 << 20
"""Bytes of the largest file that is read: no person writes a longer build script."""

_COMMENT = re.compile(r"\s*(?:\#|//|REM\b)")
_OFF = re.compile(r"-pgo[=\s]\s*[\"']?off\b")
_PASSES = re.compile(r"-pgo[=\s\"']|\bpgoprofile\b")
_NO_BUILD = re.compile(r"\bgo\s+(?:test|vet|run|generate)\b")
_BUILDS = re.compile(r"\bgo\s+(?:build|install)\b|\bgo_binary\b")
_GORELEASER = re.compile(r"(?:.*/)?\.?goreleaser[^/]*\.ya?ml")
"""It runs ``go build`` by itself; which flags that gets, its file says."""

_DESCRIBES = re.compile(r"\bgit\b.*\b(?:describe|rev-list|shortlog)\b")


@dataclass(frozen=True)
class Wiring:
    """How the profile gets to ``go build``.

    Attributes:
        files: path and content of each file that is edited for it; empty where nothing needs to be.
        off: where the repository says that it wants no profile, as ``path: line``; "" if it does not.
        history: whether the build asks git for tags or older commits.
        unaware: files that build something and pass no profile on; what production runs may be built there.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    off: str = ""
    history: bool = False
    unaware: Sequence[str] = ()


def find_wiring(checkout: Checkout, service: ServiceRules) -> Wiring:
    """Find out how the profile gets to ``go build``, and edit the Makefile in memory if it does not yet.

    Where Go finds the profile by itself, or the service is built without make by something that passes
    ``-pgo``, there is nothing to edit.

    Raises:
        RepositoryError: if nothing passes the profile on and there is nothing that can safely be edited; or
            the Makefile passes another profile.
    """
    lines = list(_build_lines(checkout))
    history = any(_DESCRIBES.search(line) for _, line in lines)
    builds = [(name, line) for name, line in lines if not _NO_BUILD.search(line)]
    for name, line in builds:
        if _OFF.search(line):
            return Wiring(off=f"{name}: {line.strip()}", history=history)
    repository, makefile = service.repository, service.repository.makefile
    if _is_default(checkout, repository.profile):
        return Wiring(history=history)
    unaware = _unaware(lines, makefile)
    passed = any(_PASSES.search(line) for name, line in builds if name != makefile)
    if passed and service.build.command[0] != "make":
        return Wiring(history=history, unaware=unaware)
    text = _makefile(checkout, makefile)
    # Make runs recipes in the directory of the Makefile. Bytes that are no UTF-8 come out as they went in.
    profile = posixpath.relpath(repository.profile, posixpath.dirname(makefile or "") or ".")
    wired = wire_makefile(text, profile)
    if makefile and wired is not None:
        content = wired.encode(errors="surrogateescape")
        return Wiring({makefile: content}, history=history, unaware=unaware)
    if any(_PASSES.search(line) for _, line in builds):
        return Wiring(history=history, unaware=unaware)
    raise RepositoryError(
        f"nothing on {checkout.base} passes {repository.profile} to `go build`, and "
        + (f"no recipe of {makefile} has a `go build`" if text else f"there is no {makefile or 'Makefile'}")
        + " that could be made to",
        hint=f"by hand, either add `-pgo={repository.profile}` to the `go build` that makes the service, "
        "wherever that is; or set repository.profile in the service file to default.pgo in the directory of "
        "its main package, where Go looks by itself",
    )


def _unaware(lines: Iterable[tuple[str, str]], makefile: str | None) -> tuple[str, ...]:
    """The files, but the Makefile, that build something and pass no profile on."""
    building, passing = set(), {makefile}
    for name, line in lines:
        if _BUILDS.search(line) or _GORELEASER.fullmatch(name):
            building.add(name)
        if _PASSES.search(line) and (_BUILDS.search(line) or not _NO_BUILD.search(line)):
            passing.add(name)
    return tuple(sorted(building - passing))


def _build_lines(checkout: Checkout) -> Iterator[tuple[str, str]]:
    """The lines of the repository's build files, comments left out, each with the path of its file."""
    for name in git(checkout.path, "ls-files", "-z").split("\0"):
        path = checkout.path / name
        if not _BUILD_FILE.fullmatch(name) or _ELSEWHERE.match(name) or path.is_symlink():
            continue
        if path.is_file() and path.stat().st_size <= _LARGEST:
            for line in path.read_text(errors="replace").splitlines():
                if not _COMMENT.match(line):
                    yield name, line


def _makefile(checkout: Checkout, name: str | None) -> str:
    path = checkout.path / name if name else None
    return path.read_bytes().decode(errors="surrogateescape") if path and path.is_file() else ""


def _is_default(checkout: Checkout, profile: str) -> bool:
    """Whether Go takes the profile by itself: ``default.pgo`` in the directory of a main package."""
    path = checkout.path / profile
    return path.name == "default.pgo" and any(
        re.search(r"^package main\b", source.read_text(errors="replace"), re.MULTILINE)
        for source in path.parent.glob("*.go")
        if source.is_file()
    )
