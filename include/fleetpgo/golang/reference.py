"""Build settings of the production binary (``go version -m``), for comparison with fleetpgo's own build."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from fleetpgo.errors import BuildError
from fleetpgo.golang.toolchain import MOST_SETTINGS, build_setting, build_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

COMPARED = (
    *("-tags", "-trimpath", "-race", "-msan", "-asan", "-cover", "-buildmode", "-gcflags"),
    *("CGO_ENABLED", "GOEXPERIMENT", "GOOS", "GOARCH", "GOAMD64", "GOARM64"),
)
"""Settings that change the compiled code. Linker flags are left out: they may hold secrets."""

_VERSION = re.compile(r"(?:.*: )?(go1\.\S+)")
_KEY = "build.reference in the service file"


def read_reference(reference: str, *, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the build settings of a reference; see :func:`fleetpgo.golang.toolchain.build_settings`.

    Args:
        reference: the output of ``go version -m``, the path of a file with that output, or the path of a
            binary.
        environment: environment variables; ``go`` must be on its PATH to read a binary.

    Raises:
        ToolchainError: there is no Go on the PATH.
        BuildError: the file does not exist, or is neither that output nor a Go binary.
    """
    if "\n" in reference:
        return _parse(reference, "the text")
    path = Path(reference)
    try:
        with path.open("rb") as stream:
            begins = stream.read(MOST_SETTINGS)
    except OSError as error:
        raise BuildError(
            f"{_KEY}: {path} cannot be read: {error.strerror}",
            hint="name a file on the worker, or write the output of `go version -m` into the service file",
        ) from error
    if b"\0" in begins:
        return build_settings(path.absolute(), environment=environment)
    return _parse(begins.decode(errors="replace"), str(path))


def _parse(text: str, what: str) -> dict[str, str]:
    """Read the output of ``go version -m``; its tabs may have become spaces."""
    settings: dict[str, str] = {}
    for line in text.splitlines():
        match line.split(None, 1):
            case ["path", path]:
                settings["path"] = path.strip()
            case ["build", setting]:
                name, value = build_setting(setting.strip())
                settings[name] = value
            case _ if version := _VERSION.fullmatch(line.strip()):
                settings.setdefault("go", version[1])
    if "path" not in settings:
        raise BuildError(
            f"{_KEY}: {what} is not the output of `go version -m`: it has no line `path`",
            hint="run `go version -m` on the production binary, and copy its whole output",
        )
    return settings


def differences(built: Mapping[str, str], reference: Mapping[str, str]) -> list[str]:
    """Return a sentence for each setting that differs between a build and the reference.

    Raises:
        BuildError: the reference is another program: its main package has another import path.
    """
    if built.get("path") != reference["path"]:
        raise BuildError(
            f"{_KEY} was built from {reference['path']}, "
            f"and build.binary from {built.get('path', 'no package')}",
            hint="build.binary and build.reference must name the same program",
        )
    return [
        f"{name} is {_shown(built, name)} in this build and {_shown(reference, name)} in the reference binary"
        for name in ("go", *COMPARED)
        if built.get(name) != reference.get(name) and (name != "go" or name in reference)
    ]


def _shown(settings: Mapping[str, str], name: str) -> str:
    return settings.get(name, "not set")
