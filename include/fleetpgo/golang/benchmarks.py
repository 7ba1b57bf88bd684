"""Go benchmarks without and with a profile, run in turn and compared as benchstat does.

They are the repository's own (``go test -bench``), on the machine of the task: they tell whether a profile
makes the code that they cover slower, not what the fleet will save (:mod:`fleetpgo.measurement` does).
"""

from __future__ import annotations

import logging
import re
import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy import stats

from fleetpgo.errors import BuildError
from fleetpgo.golang.toolchain import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import timedelta
    from pathlib import Path

_log = logging.getLogger(__name__)

ROUNDS = 6
"""Runs of each benchmark on each side; fewer than four could never differ significantly."""

ALPHA = 0.05
"""Level of the test, as benchstat's."""

_PACKAGE = re.compile(r"pkg: (\S+)")
_RESULT = re.compile(r"(Benchmark\S*?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op")


@dataclass(frozen=True)
class Benchmark:
    """One benchmark on both sides.

    Attributes:
        package: import path.
        name: of the benchmark, with its sub-benchmark.
        without: median time of an operation without the profile, in nanoseconds.
        with_profile: the same with the profile.
        p: two-sided Mann-Whitney U test of the two sides being alike; exact without ties.
    """

    package: str
    name: str
    without: float
    with_profile: float
    p: float

    @property
    def change(self) -> float | None:
        """Change of the median as a share; None where it is not significant."""
        return self.with_profile / self.without - 1 if self.p < ALPHA and self.without else None


def run_benchmarks(
    module: Path,
    pattern: str,
    profile: Path,
    *,
    timeout: timedelta,
    memory: int,
    environment: Mapping[str, str],
) -> list[Benchmark]:
    """Run the benchmarks of a module without and with a profile, in turn, and compare them.

    In turn, because a machine that gets busier or hotter would otherwise tell on one side alone.

    Args:
        module: directory of the module.
        pattern: which benchmarks, as ``go test -bench`` takes it.
        profile: file of the profile.
        timeout: of one run of all benchmarks on one side.
        memory: bytes of data that each process may have.
        environment: usually from :func:`fleetpgo.golang.environment.build_environment`.

    Raises:
        BuildError: if a benchmark fails, or the pattern names none.
    """
    sides: dict[str, list[str]] = {"off": [], str(profile.absolute()): []}

    for number in range(1, ROUNDS + 1):
        _log.info("benchmarks, round %d of %d", number, ROUNDS)
        for pgo, lines in sides.items():
            command = ("go", "test", "-run=^$", f"-bench={pattern}", f"-pgo={pgo}", "./...")

            def take(line: str, lines: list[str] = lines) -> None:
                lines.append(line)
                _log.info("%s", line)

            run(module, command, timeout=timeout, memory=memory, environment=environment, seen=take)
    without, with_profile = map(read_results, sides.values())
    if not with_profile:
        raise BuildError(
            f"`go test -bench={pattern} ./...` ran no benchmark",
            hint="build.benchmark in the service file is a regular expression of benchmarks' names",
        )
    return compare(without, with_profile)


def read_results(lines: Iterable[str]) -> dict[tuple[str, str], list[float]]:
    """Times of an operation in nanoseconds, by package and benchmark.

    Source of the format: https://go.dev/design/14313-benchmark-format.
    """
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    package = ""
    for line in lines:
        if match := _PACKAGE.fullmatch(line):
            package = match[1]
        elif match := _RESULT.match(line):
            found[package, match[1]].append(float(match[2]))
    return dict(found)


def compare(
    without: Mapping[tuple[str, str], Sequence[float]],
    with_profile: Mapping[tuple[str, str], Sequence[float]],
) -> list[Benchmark]:
    """Compare the benchmarks that both sides have, in the order in which they ran."""
    return [
        Benchmark(
            package,
            name,
            statistics.median(before),
            statistics.median(after),
            float(stats.mannwhitneyu(before, after, alternative="two-sided").pvalue),
        )
        for (package, name), before in without.items()
        if (after := with_profile.get((package, name)))
    ]
