"""What is found out about a profile before it is proposed: that the service builds with it, and what it does.

Everything here runs in a clone that is for the builds alone, with the files of the pull request in place. Git
is not run in it once a build has been there: it might run what the build left.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.errors import BuildError, ToolchainError
from fleetpgo.golang.benchmarks import run_benchmarks
from fleetpgo.golang.decisions import Decisions, asked, asking
from fleetpgo.golang.environment import build_environment, download_modules
from fleetpgo.golang.source import packages
from fleetpgo.golang.sourcematch import Sources
from fleetpgo.golang.toolchain import Built, build, build_settings, log_line, run
from fleetpgo.proposal.git import git, write

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from fleetpgo.golang.benchmarks import Benchmark
    from fleetpgo.golang.decisions import Optimised
    from fleetpgo.golang.sourcematch import SourceMatch
    from fleetpgo.proposal.git import Checkout
    from fleetpgo.service.rules import BuildRules, ServiceRules

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verified:
    """What was found out.

    Attributes:
        toolchain: version of Go that built the service.
        without: the build without a profile.
        with_profile: the build with it, by the same command and flags.
        tested: the test command that passed with the profile in place; "" if the service file names none.
        benchmarks: what the benchmarks say; empty if the service file names none.
        optimised: what the profile made the compiler do; None if that was not asked, or not told.
        match: how far the profile speaks of the source; None if its packages cannot be listed.
        current_match: the same of the profile on the base branch; None without one.
    """

    toolchain: str
    without: Built
    with_profile: Built
    tested: str = ""
    benchmarks: Sequence[Benchmark] = ()
    optimised: Optimised | None = None
    match: SourceMatch | None = None
    current_match: SourceMatch | None = None


def verify(
    checkout: Checkout,
    service: ServiceRules,
    files: Mapping[str, bytes],
    cache: Path,
    *,
    current: pprof.Edges | None,
) -> Verified:
    """Build without and with the profile, run the service's own tests and benchmarks, look at the result.

    Args:
        checkout: the clone; its work tree is left with `files` in it.
        service: whose build it is.
        files: path and content of all that the pull request changes.
        cache: directory for Go's caches, kept between runs.
        current: the edges of the profile on the base branch.

    Raises:
        ToolchainError: if Go is missing, or is not the one that the repository asks for.
        BuildError: if the service does not build or its tests fail, with the last words of what failed; or it
            builds without the profile.
    """
    rules, path = service.build, service.repository.profile
    environment = build_environment(os.environ, cache, service.repository.identity)
    runner = _Runner(checkout.path, service.build, environment)
    modules = _modules(checkout.path)
    download_modules(checkout.path, modules.values(), os.environ, cache, memory=rules.memory)
    # To Go an empty file is no profile: so -pgo is passed both times, and only what it names differs.
    _put(checkout, {**files, path: b""})
    _log.info("building with no profile")
    without = runner.build()
    _put(checkout, files)
    _log.info("building with the profile")
    try:
        with_profile = runner.build()
    except BuildError as error:
        raise BuildError(
            f"{service.name} builds without the profile, but not with it: {error.message}",
            hint=f"{error.hint}. If the compiler itself failed, report it at https://go.dev/issue, and name "
            "the function in profile.guards of the service file",
        ) from error
    settings = build_settings(with_profile.path, environment=runner.environment)
    _require_profile(checkout, service, settings)
    if rules.test:
        _log.info("testing with the profile in place")
        runner.run(rules.test)
    module = _module(modules, settings.get("path", "")) or checkout.path
    edges = pprof.call_edges(pprof.decode(files[path]))
    match, current_match = _match(checkout.path, module, settings, runner.environment, edges, current)
    for whose, found in (("this profile", match), ("the current profile", current_match)):
        if found and found.share is not None:
            _log.info(
                "source match of %s: %.2f, of %.0f %% that can be compared",
                whose,
                found.share,
                100 * found.compared,
            )
    benchmarks: Sequence[Benchmark] = ()
    if rules.benchmark:
        benchmarks = run_benchmarks(
            module,
            rules.benchmark,
            checkout.path / path,
            timeout=rules.timeout,
            memory=rules.memory,
            environment=runner.environment,
        )
    return Verified(
        toolchain=settings["go"],
        without=without,
        with_profile=with_profile,
        tested=shlex.join(rules.test),
        benchmarks=benchmarks,
        optimised=_optimised(runner, edges) if rules.explain else None,
        match=match,
        current_match=current_match,
    )


@dataclass(frozen=True)
class _Runner:
    """Runs the repository's own commands within the limits of the service file."""

    directory: Path
    rules: BuildRules
    environment: Mapping[str, str]

    def build(self, seen: Callable[[str], None] = log_line) -> Built:
        return build(
            self.directory,
            self.rules.command,
            self.rules.binary,
            timeout=self.rules.timeout,
            memory=self.rules.memory,
            environment=self.environment,
            seen=seen,
        )

    def run(self, command: Sequence[str]) -> None:
        run(
            self.directory,
            command,
            timeout=self.rules.timeout,
            memory=self.rules.memory,
            environment=self.environment,
        )


def _put(checkout: Checkout, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        write(checkout, name, content)


def _require_profile(checkout: Checkout, service: ServiceRules, settings: Mapping[str, str]) -> None:
    """Refuse a binary that was not built with the profile."""
    path, passed = service.repository.profile, settings.get("-pgo", "")
    # With -trimpath Go keeps the name alone, without it the absolute path.
    if passed not in (PurePosixPath(path).name, str((checkout.path / path).resolve())):
        binary, command = service.build.binary, shlex.join(service.build.command)
        raise BuildError(
            f"{binary} was built {f'with -pgo={passed}' if passed else 'without -pgo'}, not with {path}",
            hint=f"see that the `go build` which makes {binary} in `{command}` passes -pgo={path}",
        )


def _modules(checkout: Path) -> dict[str, Path]:
    """Path → directory of each module of the repository."""
    modules = {}
    for name in git(checkout, "ls-files", "-z", "--", "go.mod", "*/go.mod").split("\0"):
        declared = (
            re.search(r'^module\s+"?([^\s"]+)', (checkout / name).read_text(), re.MULTILINE) if name else None
        )
        if declared:
            modules[declared[1]] = (checkout / name).parent
    return modules


def _module(modules: Mapping[str, Path], package: str) -> Path | None:
    """Directory of the innermost module that a package is in; None if none is."""
    around = [path for path in modules if f"{package}/".startswith(f"{path}/")]
    return modules[max(around, key=len)] if around else None


def _match(
    checkout: Path,
    module: Path,
    settings: Mapping[str, str],
    environment: Mapping[str, str],
    edges: pprof.Edges,
    current: pprof.Edges | None,
) -> tuple[SourceMatch | None, SourceMatch | None]:
    """How far the profile and the current one speak of the source that was built."""
    built_for = {name: settings[name] for name in ("GOOS", "GOARCH", "CGO_ENABLED") if name in settings}
    package = settings.get("path", "")
    # `go build main.go` makes a package without a path.
    pattern = "./..." if package in ("", "command-line-arguments") else package
    try:
        sources = Sources(
            packages(
                module,
                pattern,
                environment={**environment, **built_for},
                tags=settings.get("-tags", ""),
                checkout=checkout,
            )
        )
    except ToolchainError as error:
        _log.warning("the profile is not compared with the source: %s", error.message)
        return None, None
    return sources.match(edges), sources.match(current) if current else None


def _optimised(runner: _Runner, edges: pprof.Edges) -> Optimised | None:
    """What the profile made the compiler do: one more build, of every package, whose output is only read."""
    _log.info("building once more, to learn what the profile made the compiler do")
    decisions = Decisions()
    asked_environment = asking(runner.environment)
    try:
        built = replace(runner, environment=asked_environment).build(decisions.read)
    except BuildError as error:
        _log.warning("what the profile made the compiler do is not known: %s", error.message)
        return None
    if not asked(build_settings(built.path, environment=runner.environment)):
        _log.warning("what the profile made the compiler do is not known: the build passes its own -gcflags")
        return None
    _log.info("it took %.0f s", built.seconds)
    return decisions.optimised(edges)
