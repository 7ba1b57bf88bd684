"""The binary that production runs, as ``go version -m`` has it: what a build is held against."""

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
"""Settings that change what is compiled. Not the linker's flags: they may say too much."""

_VERSION = re.compile(r"(?:.*: )?(go1\.\S+)")
_KEY = "build.reference in the service file"


def read_reference(reference: str, *, environment: Mapping[str, str]) -> dict[str, str]:
    """Return a reference's build settings, as :func:`~fleetpgo.golang.toolchain.build_settings` does.

    Args:
        reference: output of ``go version -m``, or the path of a file with it or of the binary.
        environment: where Go is.

    Raises:
        ToolchainError: if there is no Go on the environment's PATH.
        BuildError: if there is no such file, or it is neither.
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
            f"{_KEY}: {what} is not what `go version -m` prints: it names no package",
            hint="run `go version -m` on the binary that production runs, and take all that it prints",
        )
    return settings


def differences(built: Mapping[str, str], reference: Mapping[str, str]) -> list[str]:
    """Return a sentence for each setting in which a build differs from the reference.

    Raises:
        BuildError: if the reference is another program.
    """
    if built.get("path") != reference["path"]:
        raise BuildError(
            f"{_KEY} was built from {reference['path']}, "
            f"and build.binary from {built.get('path', 'no package')}",
            hint="name the binary of the service in build.binary, and in build.reference the same program",
        )
    return [
        f"{name} is {_shown(built, name)} in this build and {_shown(reference, name)} in the reference binary"
        for name in ("go", *COMPARED)
        if built.get(name) != reference.get(name) and (name != "go" or name in reference)
    ]


def _shown(settings: Mapping[str, str], name: str) -> str:
    return settings.get(name, "not set")
