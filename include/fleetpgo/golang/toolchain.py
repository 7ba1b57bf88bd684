"""The Go toolchain: builds the service by its own command, and reads what a binary was built with.

What a build runs is the repository's own code. It therefore gets an environment of its own
(:func:`build_environment`): nothing of the caller's but what Go needs, so no token and nothing of Airflow.
"""

from __future__ import annotations

import logging
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetpgo.errors import BuildError, ToolchainError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta
    from pathlib import Path

_log = logging.getLogger(__name__)

PASSED_ON = (
    "PATH",
    "LANG",
    "TMPDIR",
    "GOFLAGS",
    "GONOPROXY",
    "GONOSUMDB",
    "GOPRIVATE",
    "GOPROXY",
    "GOSUMDB",
    "GOTOOLCHAIN",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
"""The variables of the caller that a build sees: how to find programs, modules and the network."""

_LAST_LINES = 20

_NO_TOOLCHAIN = re.compile(
    r"requires go >= \S+ \(running go|\btoolchain not available|^go: download go1|"
    r"^go: invalid toolchain|^go: cannot find \"go1\S*\" in PATH"
)
"""What the go command says when it has not the toolchain that a ``go.mod`` asks for.

Source: cmd/go/internal/gover/toolchain.go (``TooNewError``), cmd/go/internal/toolchain/select.go and exec.go.
"""

# Only the shell can set a limit that holds from the command's very start, for all that it starts.
_LIMITED = 'ulimit -d "$1" && shift && exec "$@"'


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


def build_environment(environment: Mapping[str, str], cache: Path) -> dict[str, str]:
    """The environment of a build: the few variables that Go needs, and a home and caches of its own.

    Args:
        environment: the caller's environment, of which :data:`PASSED_ON` is taken.
        cache: directory for home and caches, kept between runs; made if it is not there.
    """
    own = {
        "HOME": cache / "home",
        "GOCACHE": cache / "go-build",
        "GOPATH": cache / "gopath",
        "GOMODCACHE": cache / "gopath" / "pkg" / "mod",
    }
    for directory in own.values():
        directory.mkdir(parents=True, exist_ok=True)
    passed = {name: environment[name] for name in PASSED_ON if name in environment}
    for name in [name for name, value in passed.items() if name.lower().endswith("_proxy") and "@" in value]:
        _log.warning("%s holds a password, which a build must not see: it gets no such proxy", name)
        del passed[name]
    return passed | {name: str(directory.absolute()) for name, directory in own.items()}


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
) -> Built:
    """Build a service by its own command.

    Args:
        checkout: directory that the command runs in.
        command: program and arguments; no shell runs it.
        binary: path of the binary that it makes, relative to the checkout. Removed first: a build that
            finds it up to date would hand over the binary of another profile.
        timeout: after this the command and all it started are killed.
        memory: bytes of data that each of its processes may have.
        environment: all that the command sees, usually from :func:`build_environment`.
        seen: takes each line that it prints, as it comes; logs it by default.

    Raises:
        ToolchainError: if there is no Go on the environment's PATH, or not the one that the source asks for.
        BuildError: if the command cannot be started, fails, takes too long, or makes no binary.
    """
    path = checkout / binary
    if path.is_file():
        path.unlink()
    _log.info("building: %s", shlex.join(command))
    started = time.monotonic()
    run(checkout, command, timeout=timeout, memory=memory, environment=environment, seen=seen)
    seconds = time.monotonic() - started
    if not path.is_file():
        raise BuildError(
            f"`{shlex.join(command)}` succeeded, but made no {binary}",
            hint="set build.binary in the service file to the path of the binary that the command makes",
        )
    return Built(path, path.stat().st_size, seconds)


def run(
    checkout: Path,
    command: Sequence[str],
    *,
    timeout: timedelta,
    memory: int,
    environment: Mapping[str, str],
    seen: Callable[[str], None] = log_line,
) -> None:
    """Run a command of the repository's to its end.

    Args:
        checkout: directory that the command runs in.
        command: program and arguments; no shell splits or expands them.
        timeout: after this the command and all it started are killed.
        memory: bytes of data that each of its processes may have (``RLIMIT_DATA``: a limit of the address
            space would not do, of which Go reserves far more than it uses).
        environment: all that the command sees, usually from :func:`build_environment`.
        seen: takes each line that it prints, as it comes; logs it by default.

    Raises:
        ToolchainError: if there is no Go on the environment's PATH, or not the one that the source asks for.
        BuildError: if the command cannot be started, fails, or takes too long; with its last lines.
    """
    require_go(environment)
    _require(command[0], checkout, environment)
    shown = shlex.join(command)
    last: deque[str] = deque(maxlen=_LAST_LINES)

    def take(line: str) -> None:
        last.append(line)
        seen(line)

    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    kib = (memory if most == resource.RLIM_INFINITY else min(memory, most)) // 1024
    limited = ("sh", "-c", _LIMITED, "sh", str(kib), *command)
    timed_out, status = _run(limited, checkout, timeout, environment, take)
    if timed_out:
        raise BuildError(
            _with_output(f"`{shown}` was stopped after {timeout.total_seconds():g} s", last),
            hint="if it does need longer, raise build.timeout in the service file",
        )
    if status and any(_NO_TOOLCHAIN.search(line) for line in last):
        raise ToolchainError(
            _with_output(f"`{shown}` needs a Go toolchain that cannot be downloaded", last),
            hint="install that version where the task runs, or let Go fetch it: GOTOOLCHAIN=auto, and a "
            "GOPROXY that can be reached",
        )
    if status:
        raise BuildError(
            _with_output(f"`{shown}` failed with exit status {status}", last),
            hint="run the command in a fresh clone; the whole output is in the log. Where it ran out of "
            "memory, raise build.memory in the service file",
        )


def build_settings(binary: Path, *, environment: Mapping[str, str]) -> dict[str, str]:
    """What a binary was built with, as ``go version -m`` tells it.

    Returns:
        ``go`` (the version of Go), ``path`` (of the main package) and each build setting, such as
        ``-pgo`` (the absolute path of the profile; its name alone under ``-trimpath``).

    Raises:
        ToolchainError: if there is no Go on the environment's PATH.
        BuildError: if the file is no Go binary.
    """
    require_go(environment)
    # GOTOOLCHAIN=local: any Go can read this, so none needs to be fetched for it.
    told = subprocess.run(
        ["go", "version", "-m", str(binary)],
        env={**environment, "GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode or ": " not in told.stdout:
        raise BuildError(
            f"{binary.name} is not a Go binary: {told.stderr.strip() or 'it holds no build information'}",
            hint="build.binary in the service file must be what `go build` writes, not a packed form of it",
        )
    first, *rest = told.stdout.splitlines()
    settings = {"go": first.rpartition(": ")[2]}
    for line in rest:
        match line.strip("\t").split("\t"):
            case ["path", path]:
                settings["path"] = path
            case ["build", setting]:
                name, _, value = setting.partition("=")
                settings[name] = value
    return settings


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


def _run(
    command: Sequence[str],
    directory: Path,
    timeout: timedelta,
    environment: Mapping[str, str],
    take: Callable[[str], None],
) -> tuple[bool, int]:
    """Run a command to its end or its timeout: whether it timed out, and its exit status."""
    process = subprocess.Popen(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    timed_out = threading.Event()

    def stop() -> None:
        timed_out.set()
        _kill_group(process)

    timer = threading.Timer(timeout.total_seconds(), stop)
    timer.start()
    try:
        for line in process.stdout or ():
            take(line.rstrip())
        status = process.wait()
        return timed_out.is_set(), status
    finally:
        timer.cancel()
        # Still there only if the caller itself is being stopped.
        if process.poll() is None:
            _kill_group(process)
            process.wait()


def _kill_group(process: subprocess.Popen[str]) -> None:
    """Kill a command with everything that it started: a compiler left behind would go on for minutes."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _with_output(message: str, last: Sequence[str]) -> str:
    return "\n".join([f"{message}; its last output:", *last]) if last else f"{message}, without a word"
