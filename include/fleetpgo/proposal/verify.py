"""Verify a profile before it is proposed: that the service builds with it, and what it changes.

Everything here runs in a clone only for builds, with the files of the pull request in place. After a build,
fleetpgo runs no git in that clone: git might run a program that the build left there.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shlex
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.errors import BuildError, ToolchainError
from fleetpgo.golang.benchmarks import run_benchmarks
from fleetpgo.golang.decisions import Decisions, asked, asking
from fleetpgo.golang.environment import build_environment, download_modules
from fleetpgo.golang.processes import MOST_LINES
from fleetpgo.golang.source import packages
from fleetpgo.golang.sourcematch import Sources
from fleetpgo.golang.toolchain import Built, build, build_settings, log_line, run
from fleetpgo.proposal.git import write
from fleetpgo.proposal.wiring.edits import BaseBuild
from fleetpgo.proposal.wiring.recording import recording
from fleetpgo.proposal.wiring.texts import innermost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from fleetpgo.golang.benchmarks import Benchmark
    from fleetpgo.golang.decisions import Optimised
    from fleetpgo.golang.sourcematch import SourceMatch
    from fleetpgo.proposal.git import Checkout
    from fleetpgo.proposal.wiring.edits import Wiring
    from fleetpgo.proposal.wiring.texts import BuildTexts
    from fleetpgo.service.rules import BuildRules, ServiceRules

_log = logging.getLogger(__name__)

_ALL_LINES = 1 << 40
"""Bytes of lines, for output that is read and not shown: the build's own time ends it."""


_SHOWN = (
    *("-tags", "-trimpath", "-race", "-msan", "-asan", "-cover", "-buildmode", "-gcflags"),
    *("CGO_ENABLED", "GOEXPERIMENT", "GOOS", "GOARCH", "GOAMD64", "GOARM64"),
)
"""Settings of a build that change what is compiled. Not the linker's flags: they may say too much."""

_TAGS = {"-race": "race", "-msan": "msan", "-asan": "asan"}
"""Flags that select files as a tag does."""


@dataclass(frozen=True)
class Verified:
    """The findings about a profile.

    Attributes:
        toolchain: version of Go that built the service.
        without: the build without a profile.
        with_profile: the build with it, by the same command and flags.
        tested: the test command that passed with the profile in place; "" if the service file names none.
        benchmarks: what the benchmarks say; empty if the service file names none.
        optimised: what the profile made the compiler do; None if that was not asked, or not told.
        match: how far the profile speaks of the source; None if its packages cannot be listed.
        current_match: the same of the profile on the base branch; None without one.
        flags: the build's tags and flags, as ``go version -m`` has them in the binary.
    """

    toolchain: str
    without: Built
    with_profile: Built
    tested: str = ""
    benchmarks: Sequence[Benchmark] = ()
    optimised: Optimised | None = None
    match: SourceMatch | None = None
    current_match: SourceMatch | None = None
    flags: Sequence[str] = ()


@dataclass(frozen=True)
class Recorded:
    """The build of the base branch, unchanged except for an empty file at the profile's path.

    Attributes:
        base: what it called, and what its binary says.
        built: the build.
        digest: SHA-256 of the binary.
    """

    base: BaseBuild
    built: Built
    digest: str


def record_build(
    checkout: Checkout, service: ServiceRules, cache: Path, *, modules: Iterable[Path]
) -> Recorded:
    """Build the base branch as it is, and record its ``go build`` calls.

    Args:
        checkout: the clone; git must not run in it any more.
        service: whose build it is.
        cache: directory for Go's caches, kept between runs.
        modules: directories of the repository's Go modules.

    Raises:
        ToolchainError: if Go is missing, or is not the one that the repository asks for.
        BuildError: if the service does not build.
    """
    if service.repository.profile:
        # To Go an empty file is no profile.
        write(checkout, service.repository.profile, b"")
    runner = _runner(checkout, service, cache)
    download_modules(checkout.path, modules, os.environ, cache, memory=service.build.memory)
    _log.info("building %s as it is", checkout.base)
    with recording(runner.environment) as (environment, calls):
        built = replace(runner, environment=environment).build()
    settings = build_settings(built.path, environment=runner.environment)
    return Recorded(BaseBuild(tuple(calls), settings), built, _digest(built.path))


def verify(
    checkout: Checkout,
    service: ServiceRules,
    wiring: Wiring,
    profile: bytes,
    cache: Path,
    *,
    repository: BuildTexts,
    recorded: Recorded,
    current: pprof.Edges | None,
) -> Verified:
    """Build without and with the profile, run the service's own tests and benchmarks, look at the result.

    Args:
        checkout: the clone; its work tree is left with the files of the pull request in it.
        service: whose build it is.
        wiring: where the profile belongs, and what is edited for it.
        profile: its bytes.
        cache: directory for Go's caches, kept between runs.
        repository: its build files, read before any build.
        recorded: the build of the base as it is.
        current: the edges of the profile on the base branch.

    Raises:
        ToolchainError: if Go is missing, or is not the one that the repository asks for.
        BuildError: if the service does not build or its tests fail, with the last words of what failed; or
            the profile changes nothing in its binary.
    """
    rules, path = service.build, wiring.path
    runner = _runner(checkout, service, cache)
    files = {**wiring.files, path: profile}
    without, plain = recorded.built, recorded.digest
    if wiring.files or recorded.base.settings.get("-pgo") is None or service.repository.profile is None:
        # Both builds pass -pgo, and only what the file holds differs.
        _put(checkout, {**files, path: b""})
        _log.info("building with no profile")
        without = runner.build()
        plain = _digest(without.path)
    _put(checkout, files)
    _log.info("building with the profile")
    try:
        with recording(runner.environment) as (environment, calls):
            with_profile = replace(runner, environment=environment).build()
    except BuildError as error:
        raise BuildError(
            f"{service.name} builds without the profile, but not with it: {error.message}",
            hint=f"{error.hint}. If the compiler itself failed, report it at https://go.dev/issue, and name "
            "the function in profile.guards of the service file",
        ) from error
    settings = build_settings(with_profile.path, environment=runner.environment)
    _require_named(service, wiring, repository, BaseBuild(tuple(calls), settings))
    if plain == _digest(with_profile.path):
        raise _without_effect(service, path)
    if rules.test:
        _log.info("testing with the profile in place")
        runner.run(rules.test)
    module = innermost(repository.modules, settings.get("path", "")) or checkout.path
    edges = pprof.call_edges(pprof.decode(profile))
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
        flags=[f"{name}={settings[name]}" for name in _SHOWN if name in settings],
    )


@dataclass(frozen=True)
class _Runner:
    """Runs the repository's own commands within the limits of the service file."""

    directory: Path
    rules: BuildRules
    environment: Mapping[str, str]

    def build(self, seen: Callable[[str], None] = log_line, most: int = MOST_LINES) -> Built:
        return build(
            self.directory,
            self.rules.command,
            self.rules.binary,
            timeout=self.rules.timeout,
            memory=self.rules.memory,
            environment=self.environment,
            seen=seen,
            most=most,
        )

    def run(self, command: Sequence[str]) -> None:
        run(
            self.directory,
            command,
            timeout=self.rules.timeout,
            memory=self.rules.memory,
            environment=self.environment,
        )


def _runner(checkout: Checkout, service: ServiceRules, cache: Path) -> _Runner:
    environment = build_environment(os.environ, cache, service.repository.identity)
    return _Runner(checkout.path, service.build, {**environment, **service.build.environment})


def _put(checkout: Checkout, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        write(checkout, name, content)


def _require_named(service: ServiceRules, wiring: Wiring, repository: BuildTexts, built: BaseBuild) -> None:
    """Refuse a binary built without this profile, and an edit that affects other programs."""
    binary = (repository.root / service.build.binary).parent.resolve() / PurePosixPath(
        service.build.binary
    ).name
    path = repository.root / wiring.path
    passed = built.settings.get("-pgo", "")
    maker = built.maker(binary)
    # With -trimpath Go keeps the name alone; Bazel's rules keep none at all.
    named = passed == str(path) or (passed == path.name and not PurePosixPath(passed).is_absolute())
    if not named and (passed or maker is not None):
        command = shlex.join(service.build.command)
        raise BuildError(
            f"{service.build.binary} was built {f'with -pgo={passed}' if passed else 'without -pgo'}, "
            f"not with {wiring.path}",
            hint=f"see that the `go build` which makes {service.build.binary} in `{command}` passes "
            f"-pgo={wiring.path}",
        )
    if wiring.files:
        for call in built.calls:
            if call != maker and not call.makes(binary) and (call.directory / call.pgo).resolve() == path:
                raise BuildError(
                    f"the edit would also give {wiring.path} to `{call}`, which makes another program",
                    hint="leave repository.profile out of the service file, so that nothing is edited",
                )


def _without_effect(service: ServiceRules, path: str) -> BuildError:
    return BuildError(
        f"the profile changes nothing: {service.build.binary} has the same bytes without and with {path}",
        hint=f"see that `{shlex.join(service.build.command)}` compiles the program anew and passes {path} to "
        "its main package, and that build.binary is what it makes",
    )


def _digest(binary: Path) -> str:
    with binary.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _match(
    checkout: Path,
    module: Path,
    settings: Mapping[str, str],
    environment: Mapping[str, str],
    edges: pprof.Edges,
    current: pprof.Edges | None,
) -> tuple[SourceMatch | None, SourceMatch | None]:
    """Return the source match of the new profile and of the current one."""
    built_for = {name: settings[name] for name in ("GOOS", "GOARCH", "CGO_ENABLED") if name in settings}
    tags = [settings.get("-tags", ""), *(tag for flag, tag in _TAGS.items() if settings.get(flag) == "true")]
    package = settings.get("path", "")
    # `go build main.go` makes a package without a path.
    pattern = "./..." if package in ("", "command-line-arguments") else package
    try:
        sources = Sources(
            packages(
                module,
                pattern,
                environment={**environment, **built_for},
                tags=",".join(filter(None, tags)),
                checkout=checkout,
            )
        )
    except ToolchainError as error:
        _log.warning("the profile is not compared with the source: %s", error.message)
        return None, None
    return sources.match(edges), sources.match(current) if current else None


def _optimised(runner: _Runner, edges: pprof.Edges) -> Optimised | None:
    """Build once more, only for the output: return the compiler's decisions because of the profile."""
    _log.info("building once more, to learn what the profile made the compiler do")
    decisions = Decisions()
    asked_environment = asking(runner.environment)
    try:
        built = replace(runner, environment=asked_environment).build(decisions.read, _ALL_LINES)
    except BuildError as error:
        _log.warning("what the profile made the compiler do is not known: %s", error.message)
        return None
    if decisions.too_many:
        _log.warning("what the profile made the compiler do is not known: the build told too much")
        return None
    if not asked(build_settings(built.path, environment=runner.environment)):
        _log.warning("what the profile made the compiler do is not known: the build passes its own -gcflags")
        return None
    _log.info("it took %.0f s", built.seconds)
    return decisions.optimised(edges)
