"""The Go toolchain: builds the service by its own command, and reads what a binary was built with.

What a build runs is the repository's own code. It therefore gets an environment of its own
(:mod:`fleetpgo.golang.environment`): nothing of the caller's but what Go needs, so no token and nothing of
Airflow.
"""

from __future__ import annotations

import ast
import logging
import re
import shlex
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fleetpgo import foreign
from fleetpgo.errors import BuildError, RepositoryError, ToolchainError
from fleetpgo.golang import processes, worktree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta

_log = logging.getLogger(__name__)

_NO_TOOLCHAIN = re.compile(
    r"requires go >= \S+ \(running go|\btoolchain not available|^go: download go1|"
    r"^go: invalid toolchain|^go: cannot find \"go1\S*\" in PATH"
)
"""What the go command says when it has not the toolchain that a ``go.mod`` asks for.

Source: cmd/go/internal/gover/toolchain.go (``TooNewError``), cmd/go/internal/toolchain/select.go and exec.go.
"""

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')

TOOL_SECONDS = 600.0
"""How long one of Go's own tools may take that builds nothing. `go list` may fetch modules."""

_LONGEST_VERSION = 100
"""Characters of a version of Go: the binary says it, and the build made that."""

MOST_SETTINGS = 16 << 20
"""Bytes of build settings; a binary with 10,000 modules has 1 MB of them."""

_RUN_AGAIN = "see what keeps the machine busy, then run the step again"


@dataclass(frozen=True)
class Built:
    """A binary that a build made.

    Attributes:
        path: where it is.
        size: bytes.
        seconds: how long the build took; less where Go's build cache held parts of it.
    """

    path: Path
    size: int
    seconds: float


def log_line(line: str) -> None:
    """Log one line of what a command prints."""
    _log.info("%s", line)


def build(
    checkout: Path,
    command: Sequence[str],
    binary: str,
    *,
    timeout: timedelta,
    memory: int,
    environment: Mapping[str, str],
    seen: Callable[[str], None] = log_line,
    most: int = processes.MOST_LINES,
) -> Built:
    """Build a service by its own command.

    Args:
        checkout: directory that the command runs in.
        command: program and arguments; no shell runs it.
        binary: path of the binary that it makes, relative to the checkout. Removed first: a build that
            finds it up to date would hand over the binary of another profile.
        timeout: after this the command and all it started are killed.
        memory: bytes of data that each of its processes may have.
        environment: all that the command sees, see :mod:`fleetpgo.golang.environment`.
        seen: takes each line that it prints, as it comes; logs it by default.
        most: bytes of lines that are handed to `seen`.

    Raises:
        ToolchainError: if there is no Go on the environment's PATH, or not the one that the source asks for.
        BuildError: if the command cannot be started, fails, takes too long, or makes no binary.
    """
    path = _binary(checkout, binary)
    path.unlink(missing_ok=True)
    _log.info("building: %s", shlex.join(command))
    started = time.monotonic()
    run(checkout, command, timeout=timeout, memory=memory, environment=environment, seen=seen, most=most)
    seconds = time.monotonic() - started
    # Again: the build may have put a link there.
    path = _binary(checkout, binary)
    if not path.is_file():
        raise BuildError(
            f"`{shlex.join(command)}` succeeded, but made no {binary}",
            hint="set build.binary in the service file to the path of the binary that the command makes",
        )
    return Built(path, path.stat().st_size, seconds)


def _binary(checkout: Path, name: str) -> Path:
    """Return where a build's binary is: never outside the checkout, where removing it would do harm."""
    try:
        path = worktree.resolve(checkout, name)
    except RepositoryError as error:
        raise BuildError(
            f"build.binary in the service file: {error.message}",
            hint="let the build copy the binary into the checkout, and name the copy",
        ) from error
    if path.is_dir():
        raise BuildError(
            f"build.binary in the service file: {name} is a directory",
            hint="name the binary in it that production runs",
        )
    return path


def run(
    checkout: Path,
    command: Sequence[str],
    *,
    timeout: timedelta,
    memory: int,
    environment: Mapping[str, str],
    seen: Callable[[str], None] = log_line,
    most: int = processes.MOST_LINES,
) -> None:
    """Run a command of the repository's to its end. Nothing that it started is alive after that.

    Args:
        checkout: directory that the command runs in.
        command: program and arguments; no shell splits or expands them.
        timeout: after this the command and all it started are killed.
        memory: bytes of data that each of its processes may have.
        environment: all that the command sees, see :mod:`fleetpgo.golang.environment`.
        seen: takes each line that it prints, as it comes; logs it by default.
        most: bytes of lines that are handed to `seen`.

    Raises:
        ToolchainError: if there is no Go on the environment's PATH, or not the one that the source asks for.
        BuildError: if the command cannot be started, fails, or takes too long; with its last lines.
    """
    require_go(environment)
    _require(command[0], checkout, environment)
    shown = shlex.join(command)
    ended = processes.follow(
        command,
        checkout,
        environment,
        seconds=timeout.total_seconds(),
        memory=memory,
        seen=seen,
        most=most,
    )
    if ended.stopped:
        raise BuildError(
            _with_output(f"`{shown}` {ended.stopped}, so it was stopped", ended.last),
            hint="if it does need longer, raise build.timeout in the service file",
        )
    if ended.status and any(_NO_TOOLCHAIN.search(line) for line in ended.last):
        raise ToolchainError(
            _with_output(f"`{shown}` needs a Go toolchain that cannot be downloaded", ended.last),
            hint="install that version where the task runs, or let Go fetch it: GOTOOLCHAIN=auto, and a "
            "GOPROXY that can be reached",
        )
    if ended.status:
        raise BuildError(
            _with_output(f"`{shown}` failed with exit status {ended.status}", ended.last),
            hint="run the command in a fresh clone; the whole output is in the log. Where it ran out of "
            "memory, raise build.memory in the service file",
        )


def build_settings(binary: Path, *, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the build settings of a binary, from ``go version -m``.

    Returns:
        ``go`` (the version of Go), ``path`` (of the main package) and each build setting, such as
        ``-pgo`` (the absolute path of the profile; its name alone under ``-trimpath``).

    Raises:
        ToolchainError: if there is no Go on the environment's PATH.
        BuildError: the file is not a Go binary.
    """
    require_go(environment)
    # GOTOOLCHAIN=local: any Go can read this, so none needs to be fetched for it.
    told = processes.capture(
        ("go", "version", "-m", str(binary)),
        binary.parent,
        {**environment, "GOTOOLCHAIN": "local"},
        seconds=TOOL_SECONDS,
        most=MOST_SETTINGS,
    )
    output = told.output.decode(errors="replace")
    if told.stopped:
        raise BuildError(f"`go version -m {binary.name}` {told.stopped}", hint=_RUN_AGAIN)
    if told.status or ": " not in output:
        raise BuildError(
            f"{binary.name} is not a Go binary: {told.errors.strip() or 'it holds no build information'}",
            hint="build.binary in the service file must be what `go build` writes, not a packed form of it",
        )
    first, *rest = output.splitlines()
    settings = {"go": foreign.line(first.rpartition(": ")[2], _LONGEST_VERSION)}
    for line in rest:
        match line.strip("\t").split("\t"):
            case ["path", path]:
                settings["path"] = path
            case ["build", setting]:
                name, value = build_setting(setting)
                settings[name] = value
    return settings


def build_setting(text: str) -> tuple[str, str]:
    """Read one setting as ``go version -m`` prints it: a value with white space or quotes is quoted.

    Source: ``BuildInfo.String`` in runtime/debug/mod.go, and ``strconv.Quote``.
    """
    name, _, value = text.partition("=")
    if _QUOTED.fullmatch(value):
        with suppress(ValueError, SyntaxError):
            value = str(ast.literal_eval(value))
    return name, value


def version(*, environment: Mapping[str, str]) -> str:
    """Return what ``go version`` says of the Go on the environment's PATH.

    Raises:
        ToolchainError: if there is none, or it does not answer.
    """
    require_go(environment)
    told = processes.capture(
        ("go", "version"),
        Path(environment["HOME"]),
        {**environment, "GOTOOLCHAIN": "local"},
        seconds=TOOL_SECONDS,
    )
    if told.failed:
        raise ToolchainError(
            f"`go version` {told.stopped or f'failed: {told.errors.strip()}'}", hint=_RUN_AGAIN
        )
    return told.output.decode(errors="replace").strip()


def require_go(environment: Mapping[str, str]) -> None:
    """Raise ToolchainError if there is no Go on the environment's PATH."""
    if not shutil.which("go", path=environment.get("PATH")):
        raise ToolchainError(
            "there is no `go` on the PATH",
            hint="install Go (https://go.dev/dl) where the task runs, or put it on the PATH",
        )


def _require(program: str, checkout: Path, environment: Mapping[str, str]) -> None:
    place = str(checkout / program) if "/" in program else program
    if not shutil.which(place, path=environment.get("PATH")):
        raise BuildError(
            f"the command {program!r} cannot be started: the program was not found",
            hint="install it where the task runs, or correct build.command in the service file",
        )


def _with_output(message: str, last: Sequence[str]) -> str:
    return "\n".join([f"{message}; its last output:", *last]) if last else f"{message}, without a word"
