"""Go benchmarks of several builds, timed in turn until their difference is certain.

The benchmarks of each build are compiled once (``go test -c``). Then the binaries run one after the other,
round by round, in an order that turns about from round to round: a machine that gets busier or hotter slows
all of them. One round gives one time of each, and each round one ratio of two of them.

The interval of a ratio is that of the median of the rounds' ratios, by order statistics. It holds whatever
the times are distributed like, and a few disturbed rounds do not move it. Looking several times and stopping
at the first certain answer finds differences by chance; so the 5 % are shared among the looks (Bonferroni).

Sources: scipy.stats.quantile_test (Conover, Practical Nonparametric Statistics, 3.2); golang.org/x/perf's
benchmath, AssumeNothing, does the same for a median.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections import defaultdict, deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from fleetpgo.errors import BuildError
from fleetpgo.golang.benchmarks import read_results
from fleetpgo.golang.toolchain import run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta

_log = logging.getLogger(__name__)

LOOKS = (8, 12, 18, 27, 40)
"""After how many rounds it is looked whether the answer is certain; the last is the limit."""

CONFIDENCE = 1 - 0.05 / len(LOOKS)
"""Of each interval, so that all looks together have 95 %. Eight rounds are the fewest that can give it."""

_BENCHTIME = "300ms"
"""Many short runs: a disturbance spoils few of them."""

_ALL_LINES = 1 << 40
"""Bytes of lines, for output that is read and not shown."""

_MOST_RESULTS = 20_000
"""Lines with results that are kept of one run."""

Name = tuple[str, str]
"""A benchmark: import path of its package, and its name."""


@dataclass(frozen=True)
class Interval:
    """A median with its interval."""

    low: float
    estimate: float
    high: float


def median(values: Sequence[float]) -> Interval:
    """Return the median of at least eight values, with its interval at :data:`CONFIDENCE`."""
    # scipy's stubs call the pair a number.
    low, high = map(float, np.asarray(stats.quantile_test(values, p=0.5).confidence_interval(CONFIDENCE)))
    return Interval(low, float(np.median(values)), high)


@dataclass(frozen=True)
class Times:
    """Times per operation, in nanoseconds: of each side one for each round.

    Attributes:
        of: side → times, in the order of the rounds.
    """

    of: Mapping[str, Sequence[float]]

    @property
    def rounds(self) -> int:
        """How many rounds."""
        return min(map(len, self.of.values()))

    def median(self, side: str) -> Interval:
        """Return the median time of a side."""
        return median(self.of[side])

    def ratio(self, side: str, other: str) -> Interval:
        """Return how many times as long as another a side takes; below 1: it is faster."""
        return median([one / two for one, two in zip(self.of[side], self.of[other], strict=True)])

    def faster(self, side: str, other: str) -> bool:
        """Return whether a side is certainly faster than another."""
        return self.ratio(side, other).high < 1


@dataclass(frozen=True)
class Bench:
    """Compiles and runs the benchmarks of a module.

    Attributes:
        module: directory of the module.
        place: directory for the binaries, outside of the module.
        environment: all that Go and the benchmarks see.
        timeout: limit of one compilation, and of one run.
        memory: bytes of data that each process may have.
    """

    module: Path
    place: Path
    environment: Mapping[str, str]
    timeout: timedelta
    memory: int

    def go(self, *arguments: str, seen: Callable[[str], None]) -> None:
        """Run the go command in the module; see :func:`fleetpgo.golang.toolchain.run`."""
        self._run(("go", *arguments), self.module, seen)

    def directory(self, package: str) -> Path:
        """Return the directory of a package, in which `go test` runs its benchmarks."""
        lines: deque[str] = deque(maxlen=1)
        self.go("list", "-f={{.Dir}}", package, seen=lines.append)
        return Path(lines[-1]) if lines else self.module

    def find(self, pattern: str) -> list[Name]:
        """Return the benchmarks of the module that a pattern names, by running each once.

        Raises:
            BuildError: one of them fails, or there is none.
        """
        results = _Results()
        command = ("test", "-run=^$", f"-bench={pattern}", "-benchtime=1x", "-pgo=off", "./...")
        self.go(*command, seen=results.take)
        found = list(read_results(results.lines))
        if not found:
            raise BuildError(
                f"`go test -bench={pattern} ./...` ran no benchmark",
                hint="build.benchmark in the service file is a regular expression; it matches no name",
            )
        return found

    def compile(
        self, side: str, package: str, pgo: str, flags: Sequence[str] = (), *, seen: Callable[[str], None]
    ) -> Path:
        """Compile the benchmarks of a package.

        Args:
            side: names the binary.
            package: import path.
            pgo: path of a profile, or "off".
            flags: more flags of ``go test``.
            seen: takes each line that the compiler prints.

        Raises:
            BuildError: it does not compile.
        """
        of = hashlib.sha256(package.encode()).hexdigest()[:12]
        binary = self.place / re.sub(r"[^\w.-]+", "_", f"{side}-{of}.test", flags=re.ASCII)
        _log.info("compiling the benchmarks of %s: %s", package, side)
        self.go("test", "-c", f"-o={binary}", f"-pgo={pgo}", *flags, package, seen=seen)
        return binary

    def time(self, binary: Path, directory: Path, pattern: str) -> dict[Name, float]:
        """Run benchmarks of a binary once and return their times, in nanoseconds per operation.

        Raises:
            BuildError: one fails.
        """
        results = _Results()
        command = (str(binary), "-test.run=^$", f"-test.bench={pattern}", f"-test.benchtime={_BENCHTIME}")
        self._run(command, directory, results.take)
        # A time of 0 is one that the clock was too coarse for.
        return {name: times[0] for name, times in read_results(results.lines).items() if times[0]}

    def _run(self, command: Sequence[str], directory: Path, seen: Callable[[str], None]) -> None:
        run(
            directory,
            command,
            timeout=self.timeout,
            memory=self.memory,
            environment=self.environment,
            seen=seen,
            most=_ALL_LINES,
        )


class _Results:
    """Keeps the lines that have results: a benchmark may print for as long as it runs."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def take(self, line: str) -> None:
        if line.startswith(("pkg: ", "Benchmark")) and len(self.lines) < _MOST_RESULTS:
            self.lines.append(line)


def exactly(benchmark: str) -> str:
    """Return the pattern that names one benchmark, with its sub-benchmark."""
    return "/".join(f"^{re.escape(part)}$" for part in benchmark.split("/"))


def in_turn(
    sides: Mapping[str, Callable[[], Mapping[Name, float]]],
    decided: Callable[[Mapping[Name, Times]], bool],
) -> dict[Name, Times]:
    """Run all sides round by round until a question is decided, or :data:`LOOKS` are over.

    Args:
        sides: side → runs it once and returns its benchmarks' times.
        decided: says at each look whether the times so far are enough.

    Returns:
        The times of each benchmark that every side has run in every round; none if the first look finds none.
    """
    times: dict[Name, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    order = list(sides)
    found: dict[Name, Times] = {}
    for number in range(1, LOOKS[-1] + 1):
        for side in order:
            for name, time in sides[side]().items():
                times[name][side].append(time)
        order.reverse()
        if number in LOOKS:
            found = {
                name: Times(of)
                for name, of in times.items()
                if len(of) == len(sides) and all(len(each) == number for each in of.values())
            }
            _log.info("round %d of at most %d: %s", number, LOOKS[-1], _shown(found))
            if not found or decided(found):
                break
    return found


def _shown(found: Mapping[Name, Times]) -> str:
    """Return the medians of the first benchmark: that of a search is the only one."""
    for (_, name), times in found.items():
        medians = ", ".join(f"{side} {duration(times.median(side).estimate)}" for side in times.of)
        return f"{name}: {medians}"
    return "no times"


def duration(nanoseconds: float) -> str:
    """Return a time as Go writes durations, with three digits: ``3.94 ms``."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.3g} ns"
