"""Start processes: builds, Go's tools, benchmarks and git. No other module of fleetpgo starts one.

Every command is run in the same way:

- It gets only the environment that it is given, and nothing of fleetpgo's own. Its standard input is empty.
- It has a time limit. When it ends, or its time is over, all processes that it started are killed, even those
  that left its session (:mod:`fleetpgo.golang.descendants`). Its pipes are not read after that.
- Its output is limited: each line, the total, and the part of standard error that is kept. Lines and errors
  contain neither control characters nor secrets (:mod:`fleetpgo.foreign`).
"""

from __future__ import annotations

import os
import resource
import selectors
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetpgo import foreign
from fleetpgo.golang import descendants
from fleetpgo.golang.output import Kept, Lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

PASSED_ON = (
    "PATH",
    "TMPDIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
"""The variables that every command may take from us: how to find programs and the network."""

MOST_LINES = 16 << 20
"""Bytes of lines that are shown of one command; the rest is read and dropped."""

MOST_OUTPUT = 64 << 20
"""Bytes of standard output that a command may print whose output is read as a whole."""

MOST_ERRORS = 64 << 10
"""Bytes of standard error that are kept: the last ones."""

_CHUNK = 1 << 16
_LEFT_IN_A_PIPE = 1 << 20
"""Bytes that a pipe can hold (``/proc/sys/fs/pipe-max-size``)."""

_TOO_LONG = "too long"

_GLANCE = 0.05
"""Seconds between two looks at whether a command has ended whose output somebody else holds open."""

# Only the shell can set a limit that holds from the command's very start, for all that it starts. Of data: a
# limit of the address space would not do, of which Go reserves far more than it uses.
_LIMITED = 'ulimit -d "$1" && shift && exec "$@"'


@dataclass(frozen=True)
class Ended:
    """How a command ended. Everything that it started has ended, too.

    Attributes:
        status: its exit status; negative: the signal that killed it.
        stopped: why it was stopped, to be read after its name ("did not end within 5 s"); "" if it ended by
            itself.
        output: standard output; empty where lines were shown as they came.
        errors: the end of standard error, cleaned and without secrets; empty where lines were shown as they
            came.
        last: the last lines that it printed, where lines were shown as they came.
    """

    status: int
    stopped: str = ""
    output: bytes = b""
    errors: str = ""
    last: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether it was stopped or ended with another status than 0."""
        return bool(self.stopped or self.status)


def passed_on(caller: Mapping[str, str], *more: str) -> dict[str, str]:
    """Return the caller's variables that a command may see: :data:`PASSED_ON` and the given names."""
    foreign.remember_proxies(caller)
    return {name: caller[name] for name in (*PASSED_ON, *more) if name in caller}


def capture(
    command: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    *,
    seconds: float,
    memory: int | None = None,
    most: int = MOST_OUTPUT,
) -> Ended:
    """Run a command to its end and return what it printed.

    Args:
        command: program and arguments; no shell splits or expands them.
        directory: where it runs.
        environment: all that it sees.
        seconds: after this it is stopped, with all that it started.
        memory: bytes of data that each of its processes may have; None: as many as this one.
        most: bytes of standard output after which it is stopped.

    Raises:
        OSError: if it cannot be started.
    """
    # A little more of the errors: what is cut off at their beginning may be the beginning of a secret.
    spare = foreign.longest_secret()
    output, errors = Kept(most, first=True), Kept(MOST_ERRORS + spare, first=False)
    status, stopped = _run(command, directory, environment, (seconds, memory), output, errors)
    said = bytes(errors.kept).decode(errors="replace")
    said = foreign.end_of(said, MOST_ERRORS, whole=len(errors.kept) < MOST_ERRORS + spare)
    return Ended(status, stopped, bytes(output.kept), said)


def follow(
    command: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    *,
    seconds: float,
    memory: int | None = None,
    seen: Callable[[str], None],
    most: int = MOST_LINES,
) -> Ended:
    """Run a command to its end and hand over each line that it prints, on either stream, as it comes.

    Args:
        command: program and arguments; no shell splits or expands them.
        directory: where it runs.
        environment: all that it sees.
        seconds: after this it is stopped, with all that it started.
        memory: bytes of data that each of its processes may have; None: as many as this one.
        seen: takes each line, cleaned, without secrets and without its end.
        most: bytes of lines that are handed over.

    Raises:
        OSError: if it cannot be started.
    """
    lines = Lines(seen, most)
    status, stopped = _run(command, directory, environment, (seconds, memory), lines, None)
    lines.finish()
    return Ended(status, stopped, last=tuple(lines.last))


def _run(
    command: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    limits: tuple[float, int | None],
    output: Kept | Lines,
    errors: Kept | None,
) -> tuple[int, str]:
    """Run a command, end all that it started, and return its exit status and why it was stopped."""
    seconds, memory = limits
    deadline = time.monotonic() + seconds
    with _started(_limited(command, memory), directory, environment, apart=errors is not None) as process:
        streams = {}
        for pipe, stream in ((process.stdout, output), (process.stderr, errors)):
            if pipe and stream:
                os.set_blocking(pipe.fileno(), False)
                streams[pipe.fileno()] = stream
        why = _attend(process, streams, deadline)
        if why == _TOO_LONG:
            why = f"did not end within {seconds:g} s"
        stopped = descendants.end(process) or why
        # What is in the pipes belongs to the command; whoever else holds them open is not waited for.
        for descriptor, stream in streams.items():
            for _ in range(_LEFT_IN_A_PIPE // _CHUNK):
                chunk = _read(descriptor)
                if not chunk:
                    break
                stopped = stopped or stream.take(chunk)
    return process.returncode, stopped


def _attend(process: subprocess.Popen[bytes], streams: Mapping[int, Kept | Lines], deadline: float) -> str:
    """Read a command's output until it ends. Return why it must be stopped; "" if it ended by itself."""
    with selectors.DefaultSelector() as selector:
        for pipe in streams:
            selector.register(pipe, selectors.EVENT_READ)
        while process.poll() is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return _TOO_LONG
            if not selector.get_map():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(left)
                continue
            for key, _ in selector.select(min(left, _GLANCE)):
                chunk = _read(key.fd)
                if chunk == b"":
                    selector.unregister(key.fd)
                elif chunk and (why := streams[key.fd].take(chunk)):
                    return why
    return ""


def _read(pipe: int) -> bytes | None:
    """Read what a pipe holds: b"" at its end, None if there is nothing yet."""
    try:
        return os.read(pipe, _CHUNK)
    except BlockingIOError:
        return None


def _limited(command: Sequence[str], memory: int | None) -> Sequence[str]:
    """Return a command whose processes may each have so many bytes of data."""
    if memory is None:
        return command
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    kib = (memory if most == resource.RLIM_INFINITY else min(memory, most)) // 1024
    return ("sh", "-c", _LIMITED, "sh", str(kib), *command)


@contextmanager
def _started(
    command: Sequence[str], directory: Path, environment: Mapping[str, str], *, apart: bool
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command; if the block fails, all that it started is ended."""
    process = descendants.start(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if apart else subprocess.STDOUT,
    )
    try:
        yield process
    except BaseException:
        # The caller itself is being stopped.
        descendants.end(process)
        raise
    finally:
        descendants.forget(process)
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()
