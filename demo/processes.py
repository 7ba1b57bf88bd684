"""Starting programs so that none outlives the demo, and ports of the loopback interface.

Each program gets a log file and a process group of its own: Ctrl-C in the terminal reaches the demo only,
which then stops the programs in order. Should the demo itself be killed, the kernel sends them SIGTERM.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

HOST = "127.0.0.1"
_PATIENCE_S = 15.0


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""


class Running(ABC):
    """What is started and stopped as a whole; a context manager that stops it in any case."""

    @abstractmethod
    def start(self) -> None:
        """Start all of it."""

    @abstractmethod
    def stop(self) -> None:
        """Stop what was started, all of it or a part."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@dataclass(frozen=True)
class Process:
    """A program that was started."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its group."""
        return self.popen.pid

    def check(self) -> None:
        """Raise DemoError with the end of the log if the program has ended."""
        if self.popen.poll() is not None:
            raise DemoError(
                f"{self.name} ended with status {self.popen.returncode}. "
                f"The end of {self.log}:\n{tail(self.log)}"
            )

    def stop(self) -> None:
        """End the program and all that it has started: SIGTERM, then SIGKILL to what is left."""
        stop_all([self])

    def kill(self) -> None:
        """SIGKILL to the program and to all that it has started, as when a machine is lost."""
        _kill(self.family())
        self.popen.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program and its children, those included that it left behind."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def family(self) -> list[psutil.Process]:
        """The program and all that it has started, also what is in a group of its own; [] if it has ended."""
        try:
            process = psutil.Process(self.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def start(
    name: str,
    argv: Sequence[str | Path],
    logs: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Process:
    """Start a program whose output is appended to ``<logs>/<name>.log``.

    The kernel ends it when the calling *thread* ends: call this from the main thread.

    Args:
        name: what the program is called in messages.
        argv: the program and its arguments.
        logs: a folder.
        env: all variables of the program; default: this process' own.
        cwd: where it runs; default: here.
    """
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{name}.log"
    with log.open("ab") as output:
        popen = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--", *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            # A group, not a session: those that a command of fleetpgo's leaves behind are told by theirs.
            process_group=0,
        )
    return Process(name, popen, log)


def stop_all(processes: Sequence[Process]) -> None:
    """End all of them, and all that they have started, at the same time."""
    families = [process.family() for process in processes]
    for process in processes:
        process.signal(signal.SIGTERM)
    for process, family in zip(processes, families, strict=True):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.popen.wait(_PATIENCE_S)
        _kill(family)
        process.signal(signal.SIGKILL)
        process.popen.wait()


def _kill(family: Sequence[psutil.Process]) -> None:
    """SIGKILL to these and to all below them; psutil takes care that none is another with the same id."""
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.suspend()  # so that it starts nothing between the listing and the end
            children = member.children()
            member.kill()
            _kill(children)


def run(argv: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Run a command to its end and return its standard output; raise DemoError if it fails.

    Args:
        argv: the program and its arguments.
        cwd: where it runs.
        env: all its variables; default: this process' own.
    """
    command = " ".join(map(str, argv))
    pipe = subprocess.PIPE
    try:
        popen = subprocess.Popen(argv, cwd=cwd, env=env, stdout=pipe, stderr=pipe, text=True, process_group=0)
    except FileNotFoundError as error:
        raise DemoError(
            f"`{command}` needs {argv[0]}, which is not on PATH. Start the demo by `make demo`."
        ) from error
    with popen:
        try:
            output, errors = popen.communicate()
        except BaseException:  # Ctrl-C: what the command has started must not go on
            os.killpg(popen.pid, signal.SIGKILL)
            raise
    if popen.returncode:
        raise DemoError(f"`{command}` failed in {cwd} with status {popen.returncode}:\n{output}{errors}")
    return output


def wait_until(
    condition: Callable[[], bool], what: str, processes: Sequence[Process], timeout_s: float
) -> None:
    """Wait until the condition holds; raise DemoError if it does not in time, or if a process has ended."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        for process in processes:
            process.check()
        if time.monotonic() > deadline:
            raise DemoError(f"{what}: not after {timeout_s:.0f} seconds. The logs may say why.")
        time.sleep(0.2)


def tail(log: Path, lines: int = 25) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def free_port() -> int:
    """A TCP port that nothing listens on.

    It lies below the kernel's range for outgoing connections: nothing takes it while its server restarts.
    """
    while True:
        port = random.randrange(20_000, 30_000)  # noqa: S311  not for secrets
        if not _is_taken(port):
            return port


def claim_port(port: int, purpose: str) -> int:
    """Return the port that was asked for; raise DemoError that names what takes it if it is not free."""
    if _is_taken(port):
        raise DemoError(
            f"Port {port}, wanted for {purpose}, is taken by {_owner(port)}. "
            "End that, or choose another port."
        )
    return port


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def _owner(port: int) -> str:
    for connection in psutil.net_connections("tcp"):
        if connection.laddr and connection.laddr.port == port and connection.pid:
            with contextlib.suppress(psutil.Error):
                return f"{' '.join(psutil.Process(connection.pid).cmdline())} (process {connection.pid})"
    return "a process of another user"


def exit_on_sigterm() -> None:
    """Let SIGTERM end this program like an exit: whatever is open is closed first."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
