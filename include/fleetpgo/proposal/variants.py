"""Build variants beside the profile: built, and benchmarked in turn with the build that is proposed.

A variant that cannot be built, or whose benchmarks do not run here, is a sentence in the pull request. The
run goes on, as nothing of a variant is proposed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fleetpgo.errors import BuildError, ToolchainError
from fleetpgo.golang.timing import Bench, in_turn
from fleetpgo.golang.toolchain import build_settings, log_line
from fleetpgo.proposal.builds import digest
from fleetpgo.run.proposed import Variant, VariantTime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from fleetpgo.golang.timing import Name
    from fleetpgo.proposal.builds import Runner
    from fleetpgo.service.rules import BuildRules

_log = logging.getLogger(__name__)

_WITH = "with the profile"
"""A side of the benchmarks that no variant's name can be: it has blanks."""

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
    built = {name: _build(name, runner, begin, digest_with) for name in dict.fromkeys(names)}
    if runner.rules.benchmark and any(not each.failed for each in built.values()):
        # A build may generate code that the benchmarks need.
        begin()
        runner.build()
        built = _benchmark(built, runner, module, profile)
    return tuple(built.values())


def _environment(name: str, runner: Runner) -> dict[str, str]:
    return runner.rules.variants[name].over(runner.environment)


def _build(name: str, runner: Runner, begin: Callable[[], None], digest_with: str) -> Variant:
    sets = runner.rules.variants[name].sets
    environment = _environment(name, runner)
    begin()
    _log.info("building the variant %s: %s", name, sets)
    try:
        made = replace(runner, environment=environment).build()
        settings = build_settings(made.path, environment=environment)
        same = digest(made.path) == digest_with
    except (BuildError, ToolchainError) as error:
        _log.warning("the variant %s does not build: %s", name, error.message)
        return Variant(name, sets, failed=f"it does not build: {_ends_of(error.message)}")
    return Variant(name, sets, toolchain=settings["go"], size=made.size, seconds=made.seconds, same=same)


@dataclass(frozen=True)
class _Side:
    """The compiled benchmarks of one build: each binary with the directory it runs in."""

    bench: Bench
    binaries: Sequence[tuple[Path, Path]]
    pattern: str

    def run(self) -> dict[Name, float]:
        """Run all benchmarks once."""
        return {
            name: time
            for binary, directory in self.binaries
            for name, time in self.bench.time(binary, directory, self.pattern).items()
        }


def _benchmark(
    built: Mapping[str, Variant], runner: Runner, module: Path, profile: Path
) -> dict[str, Variant]:
    rules = runner.rules
    place = runner.directory.parent / "variants"
    place.mkdir(exist_ok=True)
    own = Bench(module, place, runner.environment, rules.timeout, rules.memory)
    packages = list(dict.fromkeys(package for package, _ in own.find(rules.benchmark)))

    def side(name: str, bench: Bench) -> _Side:
        binaries = [
            (bench.compile(name, package, str(profile), seen=log_line), bench.directory(package))
            for package in packages
        ]
        found = _Side(bench, binaries, rules.benchmark)
        found.run()  # a processor that lacks the variant's instructions says so here
        return found

    sides, found = {_WITH: side("profile", own)}, dict(built)
    for name, variant in built.items():
        if not variant.failed:
            try:
                sides[name] = side(f"variant-{name}", replace(own, environment=_environment(name, runner)))
            except (BuildError, ToolchainError) as error:
                found[name] = _not_run(variant, error)
    if len(sides) == 1:
        return found
    _log.info("benchmarks of %s, in turn", ", ".join(sides))
    try:
        times = in_turn({name: each.run for name, each in sides.items()}, lambda _: True)
    except BuildError as error:
        return {name: each if each.failed else _not_run(each, error) for name, each in found.items()}
    for name in sides.keys() - {_WITH}:
        ratios = [(of, each.ratio(name, _WITH)) for of, each in times.items()]
        compared = tuple(VariantTime(*of, ratio.estimate, ratio.low, ratio.high) for of, ratio in ratios)
        found[name] = replace(found[name], benchmarks=compared)
    return found


def _not_run(variant: Variant, error: BuildError | ToolchainError) -> Variant:
    _log.warning("the benchmarks of the variant %s do not run: %s", variant.name, error.message)
    return replace(variant, failed=f"its benchmarks do not run here: {_ends_of(error.message)}")


def _ends_of(message: str) -> str:
    """Return a failure on one line: what happened, and its last words; the log has all of them."""
    first, *output = message.splitlines()
    cut = ["…"] if len(output) > _LAST else []
    return " ".join([first, *cut, *map(str.strip, output[-_LAST:])])[:_LONGEST]
