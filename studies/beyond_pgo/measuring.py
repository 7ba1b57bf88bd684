"""One round of one server: a process of each variant, and all of them answer in turn.

A shared machine's speed swings by a third within seconds. So all variants of a server run at the same time,
and a tenth of a second of requests goes to one after the other, over and over: what slows one slows all.
Who is not asked sleeps.

CPU is read from the process's own clock (clock_getcpuclockid(3)): user and system time of all its threads,
those that have ended included, to the nanosecond. /proc/PID/stat counts in ticks of 10 ms.
"""

from __future__ import annotations

import random
import re
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studies.beyond_pgo.serving import LoadError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from studies.beyond_pgo.serving import Running, Server

FIRST = 20
"""Requests with which calibration begins."""

SLICE_S = 0.1
"""Seconds of requests that a process gets at a time."""

WARM = 4
"""Slices before the measured ones."""

PANIC = re.compile(r"^(?:fatal error|panic|runtime:|unexpected fault|SIG\w+:|fatal: )")
DUMP = re.compile(r"^[0-9a-f]{16}: |^ +7 6 5 4 |^ +\^ ")
"""A line of words of a stack, the line above them, and what points at one (runtime/hexdump.go)."""

_SHOWN, _LONGEST = 8, 150
"""Lines and characters of what a server says when it gives up."""

LACKS = re.compile(r".*(?:no space left on device|disk quota exceeded|signal: killed).*", re.IGNORECASE)
"""A line that speaks of the machine, whoever says it."""


class MachineError(Exception):
    """The machine lacks room or memory, which says nothing about a binary; the message is what told."""


class DiedError(Exception):
    """A server did not answer as it must, or ended; the message is what it said, or what came."""


@dataclass(frozen=True)
class Measured:
    """CPU of a server's process, and time on the clock, for so many requests.

    Attributes:
        requests: how many it was to answer.
        cpu_ns: its CPU for them.
        wall_s: and its time.
        said: what it said when it died; "" if it lived.
    """

    requests: int
    cpu_ns: int
    wall_s: float
    said: str = ""


def cpu_ns(pid: int) -> int:
    """Return the CPU time that a process has taken so far, in nanoseconds."""
    # As MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) in glibc and in include/linux/posix-timers.h.
    return time.clock_gettime_ns((~pid << 3) | 2)


@dataclass(frozen=True)
class Started:
    """A process that serves, and the directory with its logs."""

    server: Server
    running: Running
    directory: Path

    def drive(self, requests: int, seed: int) -> float:
        """Send requests; return how many seconds that took.

        Raises:
            DiedError: not all were answered as they must be.
            MachineError: nor could they be.
        """
        began = time.monotonic()
        try:
            self.server.drive(self.running, requests, seed)
        except LoadError as error:
            raise DiedError(_last_words(self.directory, error)) from error
        return time.monotonic() - began


@contextmanager
def started(server: Server, binary: Path) -> Iterator[Started]:
    """Start a server in a directory of its own.

    Raises:
        DiedError: it does not start.
        MachineError: nor could it.
    """
    with tempfile.TemporaryDirectory(prefix="beyond-pgo-") as name:
        directory = Path(name)
        try:
            running = server.start(binary, directory)
        except LoadError as error:
            raise DiedError(_last_words(directory, error)) from error
        with running:
            yield Started(server, running, directory)


def _last_words(directory: Path, error: LoadError) -> str:
    log = "\n".join(file.read_text(errors="replace") for file in sorted(directory.glob("*.log")))
    not_the_machine(f"{log}\n{error}")
    return panic(log) or str(error)


def not_the_machine(output: str) -> None:
    """Raise MachineError if a failed program's output has a line about a full disk or about being killed."""
    if line := LACKS.search(output):
        raise MachineError(line[0].strip())


def panic(log: str) -> str:
    """Return the first lines of what Go's runtime says when it gives up, without the words of a stack."""
    lines = [line for line in log.splitlines() if line.strip() and not DUMP.match(line)]
    first = next((number for number, line in enumerate(lines) if PANIC.match(line)), 0)
    shown = lines[first : first + _SHOWN]
    return "\n".join(line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…" for line in shown)


def measure(
    server: Server, binaries: Mapping[str, Path], requests: int, slices: int, seed: int
) -> dict[str, Measured]:
    """Measure the variants of a server, a slice of requests at a time, each slice in another order.

    Args:
        server: the server.
        binaries: variant → its binary.
        requests: of a slice; the same ones for all variants.
        slices: that each variant gets.
        seed: of the orders and of the requests.
    """
    draw = random.Random(seed)  # noqa: S311  an order, no secret
    names, died = list(binaries), dict[str, str]()
    sides, walls, before = dict[str, Started](), dict.fromkeys(binaries, 0.0), dict[str, int]()
    with ExitStack() as stack:

        def turn(number: int) -> None:
            draw.shuffle(names)
            for name in [each for each in names if each not in died]:
                try:
                    walls[name] += sides[name].drive(requests, seed * 1_000 + number)
                except DiedError as error:
                    died[name] = str(error)

        for name in names:
            try:
                sides[name] = stack.enter_context(started(server, binaries[name]))
            except DiedError as error:
                died[name] = str(error)
        for number in range(WARM):
            turn(number)
        for name in sides:
            walls[name] = 0.0
            if name not in died:
                before[name] = cpu_ns(sides[name].running.process.pid)
        for number in range(slices):
            turn(WARM + number)
        took = {
            name: cpu_ns(sides[name].running.process.pid) - before[name] for name in names if name not in died
        }
    return {
        name: Measured(requests * slices, took.get(name, 0), walls[name], died.get(name, ""))
        for name in binaries
    }


def calibrate(server: Server, binary: Path, seconds: float, seed: int) -> int:
    """Return how many requests take about so many seconds."""
    with started(server, binary) as side:
        requests = FIRST
        while (took := side.drive(requests, seed)) < 1:
            requests *= 2
        return max(1, round(requests * seconds / took))
