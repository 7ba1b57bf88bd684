"""Kill a command together with all processes that it started, daemons included.

An orphaned process becomes a child of the nearest ancestor that is a *subreaper* (prctl(2)). While commands
run, this process is a subreaper, so no descendant can leave its process tree. The session tells which
processes in the tree belong to a command: a command starts in a new session (setsid(2)), and none of its
descendants can enter ours. So while a command runs, no other thread may start a process in a new session,
except through :mod:`fleetpgo.golang.processes`.

On systems other than Linux, only the command's process group is killed. On no system does this reach a
process that another program starts on request: ``at``, ``systemd-run``, a container engine.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDING_SECONDS = 10.0
"""How long the processes of a command may take to die once they are killed."""

_LINUX = sys.platform == "linux"
_PR_SET_CHILD_SUBREAPER = 36
_BETWEEN_KILLS = 0.01

_running: dict[int, int] = {}
"""The commands that run now: process id → when it was started, in clock ticks since the machine was."""

_changing = threading.Lock()


class _Process(NamedTuple):
    """A process as ``/proc/<pid>/stat`` shows it (proc(5))."""

    pid: int
    parent: int
    group: int
    session: int
    started: int


def start(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own; the arguments are those of ``subprocess.Popen``.

    Raises:
        OSError: if it cannot be started.
    """
    with _changing:
        _adopt_orphans(yes=True)
        try:
            process: subprocess.Popen[bytes] = subprocess.Popen(*arguments, start_new_session=True, **options)  # type: ignore[call-overload]
            there = _stat(process.pid)
            _running[process.pid] = there.started if there else 0
        finally:
            _adopt_orphans(yes=bool(_running))
    return process


def end(process: subprocess.Popen[bytes]) -> str:
    """End a command and all that it started. Return why that failed; "" if all have ended."""
    deadline = time.monotonic() + ENDING_SECONDS
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(ENDING_SECONDS)
    if process.returncode is None:
        return f"cannot be ended: process {process.pid} does not die"
    while True:
        alive, reaped = _left_behind(process)
        late = time.monotonic() > deadline
        if not alive and (late or not reaped):  # other commands' orphans may go on to be reaped
            return ""
        if late:
            return f"left processes that cannot be ended: {', '.join(str(each.pid) for each in alive)}"
        for each in alive:
            # By group first: what forks faster than it is found does not leave its group in between.
            with suppress(OSError):
                os.killpg(each.group, signal.SIGKILL)
            with suppress(OSError):
                os.kill(each.pid, signal.SIGKILL)
        time.sleep(_BETWEEN_KILLS)


def forget(process: subprocess.Popen[bytes]) -> None:
    """Remove a command from the running ones. After the last one, init adopts orphans again."""
    with _changing:
        _running.pop(process.pid, None)
        _adopt_orphans(yes=bool(_running))


def _adopt_orphans(*, yes: bool) -> None:
    """Make this process the parent of its descendants' orphans, or leave them to the system."""
    if _LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0)


def _left_behind(process: subprocess.Popen[bytes]) -> tuple[list[_Process], int]:
    """Find the live processes that a command has left below this one, and reap the dead ones.

    A process that dies while the others are looked at may leave a child that was looked at before, when it
    was not yet ours. So nothing is left only if nothing was reaped, either.

    Returns:
        those that live, and how many were reaped.
    """
    if not _LINUX or not _has_children():
        return [], 0
    me, session = os.getpid(), os.getsid(0)
    with _changing:
        there = {each.pid: each for each in _processes()}
        born = _running[process.pid]
        orphans = [
            each
            for each in there.values()
            if each.parent == me
            and each.session != session
            and each.started >= born
            and each.pid not in _running
        ]
        # Not by its state: a process whose first thread has ended is shown as dead.
        alive = {each.pid for each in orphans if not _reap(each.pid)}
    reaped = len(orphans) - len(alive)
    size = 0
    while len(alive) > size:
        size = len(alive)
        alive |= {each.pid for each in there.values() if each.parent in alive}
    return [there[pid] for pid in alive], reaped


def _reap(pid: int) -> bool:
    """Reap a child if it is dead; return whether it was."""
    try:
        return os.waitpid(pid, os.WNOHANG) != (0, 0)
    except ChildProcessError:
        return True


def _has_children() -> bool:
    """Return whether this process has a child, dead or alive. One that has none has no descendants either."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _processes() -> Iterator[_Process]:
    for name in os.listdir("/proc"):  # noqa: PTH208  # a path for each of thousands of processes takes longer
        if name.isdecimal() and (found := _stat(int(name))):
            yield found


def _stat(pid: int) -> _Process | None:
    """What the system tells about a process; None if there is none (any more)."""
    try:
        # A program's name may hold blanks and parentheses; the fields after it are numbers.
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123  # as above
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return _Process(pid, int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))
