"""Verify a profile before it is proposed: that the service builds with it, and what it changes.

Everything here runs in a clone only for builds, with the files of the pull request in place. After a build,
fleetpgo runs no git in that clone: git might run a program that the build left there.
"""

from __future__ import annotations

import logging
import shlex
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.errors import BuildError, ToolchainError
from fleetpgo.golang import worktree
from fleetpgo.golang.asking import asked, asking, hot_packages
from fleetpgo.golang.benchmarks import run_benchmarks
from fleetpgo.golang.decisions import Decisions
from fleetpgo.golang.packages import packages
from fleetpgo.golang.reference import COMPARED
from fleetpgo.golang.sourcematch import Sources
from fleetpgo.golang.toolchain import build_settings
from fleetpgo.proposal.builds import build_plain, digest, runner_of
from fleetpgo.proposal.checkout import write
from fleetpgo.proposal.variants import try_variants
from fleetpgo.proposal.wiring.edits import BaseBuild, is_elsewhere
from fleetpgo.proposal.wiring.recording import recording
from fleetpgo.proposal.wiring.texts import innermost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleetpgo.golang.benchmarks import Benchmark
    from fleetpgo.golang.decisions import Optimised
    from fleetpgo.golang.sourcematch import SourceMatch
    from fleetpgo.golang.toolchain import Built
    from fleetpgo.proposal.builds import Recorded, Runner
    from fleetpgo.proposal.checkout import Checkout
    from fleetpgo.proposal.wiring.edits import Wiring
    from fleetpgo.proposal.wiring.texts import BuildTexts
    from fleetpgo.run.proposed import Variant
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)

_ALL_LINES = 1 << 40
"""Bytes of lines, for output that is read and not shown: the build's own time ends it."""


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
        differs: in what the build differs from the reference binary, in sentences; None without one.
        remembered: whether an earlier run made the build without a profile.
        variants: what the build variants give that the run was asked for.
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
    differs: Sequence[str] | None = None
    remembered: bool = False
    variants: tuple[Variant, ...] = ()


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
    differs: Sequence[str] | None = None,
    variants: Sequence[str] = (),
) -> Verified:
    """Build without and with the profile, run the service's own tests and benchmarks, look at the result.

    Args:
        checkout: the clone; its work tree is left with the files of the pull request in it.
        service: whose build it is.
        wiring: where the profile belongs, and what is edited for it.
        profile: its bytes.
        cache: directory for Go's caches, kept between runs.
        repository: its build files, read before any build.
        recorded: the build of the base with an empty profile where it was likely to belong.
        current: the edges of the profile on the base branch.
        differs: in what the build differs from the reference binary; None without one.
        variants: names of the build variants to build and benchmark as well.

    Raises:
        ToolchainError: if Go is missing, or is not the one that the repository asks for.
        BuildError: if the service does not build or its tests fail, with the last words of what failed; or
            the profile changes nothing in its binary.
    """
    rules, path = service.build, wiring.path
    runner = runner_of(checkout, service, cache)
    without = {**wiring.files, path: b""}
    if recorded.files != without:
        # Both builds pass -pgo, and only what the file holds differs.
        recorded = build_plain(checkout, service, cache, without, recorded.beside, recorded.kept)
    files = {**wiring.files, path: profile}
    _begin(checkout, recorded, files)
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
    binary = digest(with_profile.path)
    if recorded.plain.digest == binary:
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
    tried = try_variants(
        variants,
        runner,
        partial(_begin, checkout, recorded, files),
        module=module,
        profile=checkout.path / path,
        digest_with=binary,
    )
    optimised = None
    if rules.explain:
        _begin(checkout, recorded, files)
        optimised = _optimised(runner, edges)
    return Verified(
        toolchain=settings["go"],
        without=recorded.plain.built,
        differs=differs,
        remembered=recorded.remembered,
        with_profile=with_profile,
        tested=shlex.join(rules.test),
        benchmarks=benchmarks,
        optimised=optimised,
        match=match,
        current_match=current_match,
        flags=[f"{name}={settings[name]}" for name in COMPARED if name in settings],
        variants=tried,
    )


def _begin(checkout: Checkout, recorded: Recorded, files: Mapping[str, bytes]) -> None:
    """Remove what the builds so far have added, and put the files of the pull request in place."""
    worktree.remove_others(checkout.path, recorded.kept)
    for name, content in files.items():
        write(checkout, name, content)


def _require_named(service: ServiceRules, wiring: Wiring, repository: BuildTexts, built: BaseBuild) -> None:
    """Refuse a binary built without this profile, and an edit that affects other programs."""
    path = repository.root / wiring.path
    passed = built.settings.get("-pgo", "")
    maker = built.maker(repository, service.build.binary)
    # With -trimpath Go keeps the name alone; Bazel's rules keep none at all.
    there = Path(passed)
    named = there.parent.resolve() / there.name == path if there.is_absolute() else passed == path.name
    named = named or is_elsewhere(repository, passed, wiring.path, maker)
    # Of a program that Bazel links, Go knows no settings at all.
    if not named and (passed or maker is not None or "-compiler" in built.settings):
        command = shlex.join(service.build.command)
        raise BuildError(
            f"{service.build.binary} was built {f'with -pgo={passed}' if passed else 'without -pgo'}, "
            f"not with {wiring.path}",
            hint=f"see that the `go build` which makes {service.build.binary} in `{command}` passes "
            f"-pgo={wiring.path}",
        )
    if wiring.files:
        binary = (repository.root / service.build.binary).parent.resolve() / PurePosixPath(
            service.build.binary
        ).name
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
        "its main package, without `-pgo=off`, and that build.binary is what it makes",
    )


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
    sources = sources_of(
        checkout,
        module,
        pattern,
        environment={**environment, **built_for},
        tags=",".join(filter(None, tags)),
    )
    if sources is None:
        return None, None
    return sources.match(edges), sources.match(current) if current else None


def sources_of(
    checkout: Path, module: Path, pattern: str, *, environment: Mapping[str, str], tags: str = ""
) -> Sources | None:
    """Return the source of a build, to compare profiles with; None if its packages cannot be listed.

    Args:
        checkout: root of the clone.
        module: directory of the module.
        pattern: its packages, as ``go list`` takes them.
        environment: all that the go command sees.
        tags: the build's tags, with commas between.
    """
    try:
        listed = packages(module, pattern, environment=environment, tags=tags, checkout=checkout)
    except ToolchainError as error:
        _log.warning("the profile is not compared with the source: %s", error.message)
        return None
    return Sources(listed)


def _optimised(runner: Runner, edges: pprof.Edges) -> Optimised | None:
    """Build once more, only for the output: return the compiler's decisions because of the profile."""
    packages = hot_packages(edges)
    _log.info(
        "building the %d packages with hot calls once more, to learn what the profile made the compiler do",
        len(packages) + 1,
    )
    decisions = Decisions()
    asked_environment = asking(runner.environment, packages)
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
