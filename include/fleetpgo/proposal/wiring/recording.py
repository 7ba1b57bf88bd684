"""Record the ``go build`` calls of a service's build: directory, arguments and GOBIN of each.

A program named ``go`` stands first on the build's PATH. It notes how it was called and becomes the real one.
Nothing is parsed, so directories, variables, pattern rules, conditions and scripts need not be understood. A
build that calls Go by its path, with a PATH of its own, or in a container, leaves no record.

The record is only a hint, because the build could write to it. Only the binary proves that a profile had an
effect (:mod:`fleetpgo.proposal.verify`).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_NOTE = """#!/bin/sh
printf '%s\\0' "$#" "$(pwd -P)" "${{GOFLAGS-}}" "${{GOBIN-}}" "$@" 2>/dev/null >>{notes}/$$
case "$1 ${{2-}}" in
  "run "*) export GOFLAGS="${{GOFLAGS-}} -exec={again}" ;;
  "tool "[!-]*)
    tool=$({go} tool -n "$2" 2>/dev/null) && [ -x "$tool" ] && shift 2 && exec "$tool" "$@" ;;
esac
exec {go} "$@"
"""
"""Each process writes to a file of its own, so that calls at the same time do not mix.

``go run`` and ``go tool`` put the real Go first on the PATH of what they run, such as mage (``AppendPATH``
in cmd/go/internal/base/env.go). So ``go tool -n`` builds a tool and says where it is, and it is run alone."""

_AGAIN = """#!/bin/sh
export GOFLAGS="${{GOFLAGS% -exec={again}}}" PATH={programs}:"$PATH"
exec "$@"
"""
"""``go run`` runs a program by this one, which puts ours first on the PATH again."""

_HEAD = 4
_MOST_NOTES = 10_000
_LONGEST_NOTE = 1 << 20

# cmd/go/internal/work/build.go: the flags of `go build` that take a value, which may be the next word.
_VALUED = {
    *("C", "o", "p", "asmflags", "buildmode", "compiler", "covermode", "coverpkg", "gccgoflags", "gcflags"),
    *("installsuffix", "ldflags", "mod", "modfile", "overlay", "pgo", "pkgdir", "tags", "toolexec"),
}


@dataclass(frozen=True)
class GoBuild:
    """One call of ``go build`` or ``go install``.

    Attributes:
        directory: absolute path of the directory that its paths start from, ``-C`` included.
        arguments: the words after ``go build``, as Go got them.
        flags: the value of each flag that takes one, the last if it is given twice.
        packages: packages or files to build; none is the package in `directory`.
        installs: whether it is ``go install``.
        into: value of ``GOBIN``, which ``go install`` writes to; "" if it is not set.
    """

    directory: Path
    arguments: tuple[str, ...]
    flags: Mapping[str, str]
    packages: tuple[str, ...]
    installs: bool = False
    into: str = ""

    @property
    def pgo(self) -> str:
        """The value of ``-pgo``; "" if it was not passed."""
        return self.flags.get("pgo", "")

    def makes(self, binary: Path) -> bool:
        """Return whether it writes a file, given by its absolute path; others may come out of it, too."""
        if self.installs:
            return bool(self.into) and Path(self.into) == binary.parent
        output = self.flags.get("o")
        if output is None:
            return binary.parent == self.directory and len(self.packages) <= 1
        place = Path(os.path.normpath(self.directory / output))
        return place == binary or (place == binary.parent and output.endswith("/"))

    def builds(self, directory: Path, package: str) -> bool:
        """Return whether it may build a main package.

        Args:
            directory: absolute path of the package's directory.
            package: its import path.
        """
        for named in self.packages or (".",):
            place = Path(os.path.normpath(self.directory / named.partition("...")[0]))
            if named.endswith(".go"):
                found = place.parent == directory
            elif not re.match(r"\.{0,2}(?:/|\Z)", named):
                found = named == package or "..." in named
            else:
                found = place == directory or ("..." in named and directory.is_relative_to(place))
            if found:
                return True
        return False

    def __str__(self) -> str:
        return shlex.join(["go", "install" if self.installs else "build", *self.arguments])


@contextmanager
def recording(environment: Mapping[str, str]) -> Iterator[tuple[dict[str, str], list[GoBuild]]]:
    """Record the Go builds that run inside the block.

    Args:
        environment: of the build.

    Yields:
        the environment to build in instead, and a list that holds the calls once the block has ended without
        an error. It stays empty where there is no ``go`` on the PATH.
    """
    calls: list[GoBuild] = []
    with tempfile.TemporaryDirectory(prefix="fleetpgo-", ignore_cleanup_errors=True) as directory:
        programs, notes = Path(directory) / "bin", Path(directory) / "notes"
        programs.mkdir()
        notes.mkdir()
        path = environment.get("PATH", "")
        go = shutil.which("go", path=path)
        if go:
            shim = programs / "go"
            # Both paths stand in the program itself: nothing of a build's environment can change them.
            again = programs / "fleetpgo-again"
            shim.write_text(
                _NOTE.format(
                    notes=shlex.quote(str(notes)), go=shlex.quote(str(Path(go).absolute())), again=again
                )
            )
            again.write_text(_AGAIN.format(again=again, programs=shlex.quote(str(programs))))
            for program in (shim, again):
                program.chmod(0o755)
        yield {**environment, "PATH": f"{programs}{os.pathsep}{path}"}, calls
        calls += _read(notes)


def parse_call(directory: Path, words: Sequence[str], goflags: str = "", gobin: str = "") -> GoBuild | None:
    """Read one call of the go command; None if it builds nothing.

    Args:
        directory: where it was called.
        words: what follows ``go``.
        goflags: value of ``GOFLAGS``.
        gobin: value of ``GOBIN``.
    """
    if not words or words[0] not in ("build", "install"):
        return None
    flags = {}
    for word in goflags.split():
        name, has_value, value = word.strip("'\"").lstrip("-").partition("=")
        if has_value:
            flags[name] = value
    rest = list(words[1:])
    while rest and rest[0].startswith("-") and rest[0] != "-":
        name, has_value, value = rest.pop(0).lstrip("-").partition("=")
        if not name:
            break
        if not has_value and name in _VALUED and rest:
            value = rest.pop(0)
        flags[name] = value
    if "C" in flags:
        directory = Path(os.path.normpath(directory / flags["C"]))
    return GoBuild(directory, tuple(words[1:]), flags, tuple(rest), words[0] == "install", gobin)


def _read(notes: Path) -> list[GoBuild]:
    """Return the recorded calls by time; skip what is not a record."""
    found: list[GoBuild] = []
    files = [each for each in notes.iterdir() if each.is_file() and not each.is_symlink()]
    for file in sorted(files, key=lambda each: each.stat().st_mtime_ns):
        with file.open("rb") as stream:
            fields = stream.read(_LONGEST_NOTE).decode(errors="surrogateescape").split("\0")
        at = 0
        while at + _HEAD < len(fields) and len(found) < _MOST_NOTES and fields[at].isdecimal():
            count = int(fields[at])
            _, directory, goflags, gobin = fields[at : at + _HEAD]
            words = fields[at + _HEAD : at + _HEAD + count]
            at += _HEAD + count
            if len(words) == count and (call := parse_call(Path(directory), words, goflags, gobin)):
                found.append(_into_directory(call))
    return found


def _into_directory(call: GoBuild) -> GoBuild:
    """End the value of ``-o`` in a slash where it is a directory: later it may not be there."""
    output = call.flags.get("o", "")
    if output and not output.endswith("/") and (call.directory / output).is_dir():
        return replace(call, flags={**call.flags, "o": f"{output}/"})
    return call
