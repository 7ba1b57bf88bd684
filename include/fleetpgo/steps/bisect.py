"""From a regression to its culprit: the clone, the build and the profile of a search.

The step clones the base, builds the service once (a build may generate code that benchmarks need), and
searches with `build.benchmark` (:mod:`fleetpgo.golang.bisection`). Nothing is pushed and nothing is kept.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.errors import BuildError, RepositoryError
from fleetpgo.golang.bisection import Bisected, Search
from fleetpgo.golang.environment import download_modules
from fleetpgo.golang.timing import Bench
from fleetpgo.golang.toolchain import build_settings
from fleetpgo.proposal.builds import clone_to_build, runner_of
from fleetpgo.proposal.checkout import fetch_history, read
from fleetpgo.proposal.wiring.mains import likely_profile, main_directories
from fleetpgo.proposal.wiring.texts import innermost, read_build_texts

if TYPE_CHECKING:
    from pathlib import Path

    from fleetpgo.proposal.checkout import Checkout
    from fleetpgo.proposal.forges import Forge
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)


def bisect(
    service: ServiceRules,
    forge: Forge,
    *,
    cache: Path,
    profile: bytes | None = None,
    benchmark: str = "",
) -> Bisected:
    """Find the call whose inlining because of the profile makes a benchmark slower.

    Args:
        service: rules of the service.
        forge: forge that hosts the repository.
        cache: directory for Go's caches, kept between runs.
        profile: its bytes; None: the profile that the base holds.
        benchmark: pattern for ``go test -bench``; "": the service file's.

    Raises:
        BuildError: there is no benchmark, or it or the service does not build.
        ProfileError: the profile cannot be read.
        ToolchainError: Go is missing or too old.
        RepositoryError: git fails, or the base holds no profile.
    """
    pattern = benchmark or service.build.benchmark
    if not pattern:
        raise BuildError(
            f"build.benchmark of {service.name} is empty: without a benchmark nothing tells a good build "
            "from a bad one",
            hint="name benchmarks that run the code which got slower, or give --benchmark",
        )
    with clone_to_build(service, forge, cache) as checkout:
        content = _committed(checkout, service) if profile is None else profile
        bench = _prepare(checkout, service, cache)
        # What the service file guards by now is no suspect any more.
        guards = [
            pprof.Guard(function=each.function, since="", until="", issue=each.issue, why="")
            for each in service.profile.guards
        ]
        guarded, _ = pprof.guard(pprof.decode(content, limits=pprof.MERGED_LIMITS), extra=guards)
        return Search(bench, guarded).run(pattern)


def _committed(checkout: Checkout, service: ServiceRules) -> bytes:
    """Return the profile that the base holds; before any build."""
    path = service.repository.profile or likely_profile(main_directories(checkout.path), service.build.binary)
    content = read(checkout, path) if path else None
    if not content:
        raise RepositoryError(
            f"{checkout.base} of {service.repository.project} holds no profile"
            + (f" at {path}" if path else ": several main packages may have one"),
            hint="give --store and --run, to take the profile of a run; or set repository.profile",
        )
    return content


def _prepare(checkout: Checkout, service: ServiceRules, cache: Path) -> Bench:
    """Build the service once, and return what runs the benchmarks of its module."""
    texts = read_build_texts(checkout)
    if texts.history:
        fetch_history(checkout)
    modules = texts.modules
    download_modules(checkout.path, modules.values(), os.environ, cache, memory=service.build.memory)
    runner = runner_of(checkout, service, cache)
    _log.info("building %s: a build may generate code that the benchmarks need", checkout.base)
    built = runner.build()
    settings = build_settings(built.path, environment=runner.environment)
    place = checkout.path.parent / "bisect"
    place.mkdir()
    return Bench(
        innermost(modules, settings.get("path", "")) or checkout.path,
        place,
        runner.environment,
        service.build.timeout,
        service.build.memory,
    )
