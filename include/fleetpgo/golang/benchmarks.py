"""Go benchmarks without and with a profile, run alternately and compared as benchstat does.

The benchmarks are the repository's own (``go test -bench``) and run on the machine of the task. They show
whether the profile makes the code that they cover slower. They do not show what the fleet will save
(:mod:`fleetpgo.measurement` measures that).
"""

from __future__ import annotations

import logging
import math
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
"""Runs of each benchmark with and without the profile. Fewer than four can never differ significantly."""

ALPHA = 0.05
"""Significance level, the same as benchstat's."""

_PACKAGE = re.compile(r"pkg: (\S+)")
_RESULT = re.compile(r"(Benchmark\S*)\s+\d+\s+(\d+(?:\.\d+)?) ns/op")
_PROCESSORS = re.compile(r"-\d+$")


@dataclass(frozen=True)
class Benchmark:
    """Result of one benchmark without and with the profile.

    Attributes:
        package: import path.
        name: name of the benchmark, including the sub-benchmark.
        without: median time per operation without the profile, in nanoseconds.
        with_profile: the same with the profile.
        p: p-value of the two-sided Mann-Whitney U test that both have the same distribution; exact if no
            times are equal.
    """

    package: str
    name: str
    without: float
    with_profile: float
    p: float

    @property
    def change(self) -> float | None:
        """Relative change of the median (0.1: 10 % slower); None if it is not significant."""
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
    """Run the benchmarks of a module alternately without and with a profile, and compare them.

    They alternate because a machine that gets busier or hotter would otherwise slow down one side only.

    Args:
        module: directory of the module.
        pattern: regular expression for ``go test -bench``.
        profile: file of the profile.
        timeout: limit of one run of all benchmarks.
        memory: limit of each process's data segment, in bytes.
        environment: usually from :func:`fleetpgo.golang.environment.build_environment`.

    Raises:
        BuildError: a benchmark fails, or the pattern matches none.
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
            hint="build.benchmark in the service file is a regular expression; no benchmark's name matches",
        )
    return compare(without, with_profile)


def read_results(lines: Iterable[str]) -> dict[tuple[str, str], list[float]]:
    """Return the times per operation in nanoseconds, by (package, benchmark); only times that are finite.

    Go ends each name with the number of processors, but not if that is one: a name's own end is then no such
    number. So an end is left out only if all names have it.

    Source of the format: https://go.dev/design/14313-benchmark-format.
    """
    read: list[tuple[str, str, float]] = []
    package = ""
    for line in lines:
        if match := _PACKAGE.fullmatch(line):
            package = match[1]
        elif (match := _RESULT.match(line)) and math.isfinite(time := float(match[2])):
            read.append((package, match[1], time))
    ends = {match[0] if (match := _PROCESSORS.search(name)) else "" for _, name, _ in read}
    end = ends.pop() if len(ends) == 1 else ""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for package, name, time in read:
        found[package, name.removesuffix(end)].append(time)
    return dict(found)


def compare(
    without: Mapping[tuple[str, str], Sequence[float]],
    with_profile: Mapping[tuple[str, str], Sequence[float]],
) -> list[Benchmark]:
    """Compare the benchmarks that ran both without and with the profile, in the order in which they ran."""
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
