"""Build variants beside the profile: built, and benchmarked in turn with the build that is proposed.

A variant that cannot be built, or whose benchmarks do not run here, is a sentence in the pull request. The
run goes on, as nothing of a variant is proposed, and so do the other variants: each has its own rounds.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fleetpgo.errors import BuildError, ToolchainError
from fleetpgo.golang.timing import Bench, in_turn
from fleetpgo.golang.toolchain import build_settings, log_line
from fleetpgo.proposal.builds import digest
from fleetpgo.run.proposed import Variant, VariantTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from fleetpgo.golang.timing import Name
    from fleetpgo.proposal.builds import Runner
    from fleetpgo.service.rules import BuildRules

_log = logging.getLogger(__name__)

_WITH, _VARIANT = "with the profile", "variant"
"""The sides of the benchmarks."""

_LAST = 3
"""Lines of output that a sentence keeps: the last ones."""

_LONGEST = 500
"""Characters of a sentence about a failure."""


def require_variants(rules: BuildRules, names: Sequence[str]) -> None:
    """Raise BuildError unless the service file has variants of these names."""
    if unknown := sorted(set(names) - set(rules.variants)):
        known = ", ".join(rules.variants) or "none"
        raise BuildError(
            f"build.variants has no {unknown[0]}; it has {known}", hint="name one of these, or add it there"
        )


def try_variants(
    names: Sequence[str],
    runner: Runner,
    begin: Callable[[], None],
    *,
    module: Path,
    profile: Path,
    digest_with: str,
) -> tuple[Variant, ...]:
    """Build variants of a service with the profile in place, and run its benchmarks in turn with it.

    Args:
        names: of the variants, as ``build.variants`` has them.
        runner: builds the service.
        begin: restores the clone to what the pull request makes of it.
        module: directory of the module whose benchmarks run.
        profile: file of the profile.
        digest_with: digest of the binary that was built with the profile.
    """
    tried = tuple(_build(name, runner, begin, digest_with) for name in dict.fromkeys(names))
    if not runner.rules.benchmark or all(each.failed for each in tried):
        return tried
    try:
        with _saying("it was not benchmarked, as the build with the profile fails when it is repeated"):
            # A build may generate code that the benchmarks need.
            begin()
            runner.build()
        own = _compile_own(runner, module, profile)
    except BuildError as error:
        return tuple(each if each.failed else _failed(each, error) for each in tried)
    return tuple(each if each.failed else _benchmark(each, own, runner, profile) for each in tried)


@contextmanager
def _saying(what: str) -> Iterator[None]:
    """Raise any failure of a build or of its benchmarks as a sentence that begins with what it means."""
    try:
        yield
    except (BuildError, ToolchainError) as error:
        raise BuildError(f"{what}: {_ends_of(error.message)}") from error


def _failed(variant: Variant, error: BuildError) -> Variant:
    _log.warning("the variant %s: %s", variant.name, error.message)
    return replace(variant, failed=error.message)


def _environment(name: str, runner: Runner) -> dict[str, str]:
    return runner.rules.variants[name].over(runner.environment)


def _build(name: str, runner: Runner, begin: Callable[[], None], digest_with: str) -> Variant:
    sets = runner.rules.variants[name].sets
    environment = _environment(name, runner)
    begin()
    _log.info("building the variant %s: %s", name, sets)
    try:
        with _saying("it does not build"):
            made = replace(runner, environment=environment).build()
            settings = build_settings(made.path, environment=environment)
            same = digest(made.path) == digest_with
    except BuildError as error:
        return _failed(Variant(name, sets), error)
    return Variant(name, sets, toolchain=settings["go"], size=made.size, seconds=made.seconds, same=same)


@dataclass(frozen=True)
class _Side:
    """The compiled benchmarks of one build.

    Attributes:
        bench: runs them.
        binaries: package → its binary, and the directory that it runs in.
        pattern: which of them run.
        failing: what it means to a variant that one of them fails, in words.
    """

    bench: Bench
    binaries: Mapping[str, tuple[Path, Path]]
    pattern: str
    failing: str

    def run(self) -> dict[Name, float]:
        """Run all benchmarks once."""
        with _saying(self.failing):
            return {
                name: time
                for binary, directory in self.binaries.values()
                for name, time in self.bench.time(binary, directory, self.pattern).items()
            }


def _compile(
    name: str, bench: Bench, packages: Iterable[str], profile: Path, pattern: str, failing: str
) -> _Side:
    binaries = {}
    with _saying(failing):
        for package in packages:
            binary = bench.compile(name, package, str(profile), seen=log_line)
            # Go makes none of a package that the build's tags leave without a test.
            if binary.is_file():
                binaries[package] = binary, bench.directory(package)
    return _Side(bench, binaries, pattern, failing)


def _compile_own(runner: Runner, module: Path, profile: Path) -> _Side:
    """Return the benchmarks of the build with the profile."""
    rules = runner.rules
    place = runner.directory.parent / "variants"
    place.mkdir(exist_ok=True)
    bench = Bench(module, place, runner.environment, rules.timeout, rules.memory)
    failing = "it was not benchmarked, as the benchmarks of the build with the profile do not run here"
    with _saying(failing):
        packages = dict.fromkeys(package for package, _ in bench.find(rules.benchmark))
    return _compile("profile", bench, packages, profile, rules.benchmark, failing)


def _benchmark(variant: Variant, own: _Side, runner: Runner, profile: Path) -> Variant:
    """Return a variant with its benchmarks' times, in turn with those of the build with the profile."""
    _log.info("benchmarks of the variant %s, in turn with the build with the profile", variant.name)
    bench = replace(own.bench, environment=_environment(variant.name, runner))
    failing = "its benchmarks do not run here"
    try:
        side = _compile(f"variant-{variant.name}", bench, own.binaries, profile, own.pattern, failing)
        times = in_turn({_WITH: own.run, _VARIANT: side.run}, lambda _: True)
    except BuildError as error:
        return _failed(variant, error)
    if not times:
        return _failed(
            variant, BuildError("it was not benchmarked: no benchmark ran in all rounds with both builds")
        )
    ratios = [(of, each.ratio(_VARIANT, _WITH)) for of, each in times.items()]
    compared = tuple(VariantTime(*of, ratio.estimate, ratio.low, ratio.high) for of, ratio in ratios)
    return replace(variant, benchmarks=compared)


def _ends_of(message: str) -> str:
    """Return a failure on one line: what happened, and its last words; the log has all of them."""
    first, *output = message.splitlines()
    cut = ["…"] if len(output) > _LAST else []
    return " ".join([first, *cut, *map(str.strip, output[-_LAST:])])[:_LONGEST]
