"""How far the profile in a repository still fits a revision: is a refresh worth it?

Builds nothing: it clones, and lists packages. So tags that only the build's command names are not seen, and
code behind them counts as lost.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.errors import ProfileError
from fleetpgo.golang.environment import download_modules
from fleetpgo.proposal.binaries import switch
from fleetpgo.proposal.builds import clone_to_build, runner_of
from fleetpgo.proposal.checkout import read
from fleetpgo.proposal.verify import sources_of
from fleetpgo.proposal.wiring.mains import likely_profile, main_directories
from fleetpgo.proposal.wiring.texts import read_build_texts
from fleetpgo.run.digest import digest
from fleetpgo.run.released import Fit

if TYPE_CHECKING:
    from pathlib import Path

    from fleetpgo.proposal.checkout import Checkout
    from fleetpgo.proposal.forges import Forge
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)

_LEAST_COMPARED = 0.5
"""Share of a profile's weight below which the match of what can be compared says little of the whole."""

_NAMED = 3
"""Lost calls that are named."""


def fit_at(service: ServiceRules, forge: Forge, revision: str, cache: Path, *, path: str = "") -> Fit:
    """Return how far the profile that a revision holds fits that revision's source.

    Args:
        service: rules of the service.
        forge: forge that hosts the repository.
        revision: full or short SHA of a commit of the base, or a tag; it comes from a metric's label.
        cache: directory for Go's caches, kept between runs.
        path: where the profile was put last, if ``repository.profile`` does not say where it is; "": beside
            the main package.

    Raises:
        RepositoryError: the repository cannot be cloned, or has no such revision.
        ForgeError: the forge cannot be reached, or refuses.
    """
    with clone_to_build(service, forge, cache) as checkout:
        return _fit(service, switch(checkout, revision, service), revision, cache, path)


def _fit(service: ServiceRules, at: Checkout, revision: str, cache: Path, path: str) -> Fit:
    place = (
        service.repository.profile
        or path
        or likely_profile(main_directories(at.path), service.build.binary)
        or ""
    )
    profile = read(at, place) if place else None
    if not profile:
        where = f"at {place}" if place else "beside a main package that is known to be the service's"
        return Fit(revision, place, why=f"there is no profile {where}")
    known = Fit(revision, place, digest(profile))
    try:
        edges = pprof.call_edges(pprof.decode(profile))
    except ProfileError as error:
        return replace(known, why=f"the profile at {place} cannot be read: {error.message}")
    modules = list(read_build_texts(at).modules.values())
    download_modules(at.path, modules, os.environ, cache, memory=service.build.memory)
    sources = sources_of(
        at.path,
        _module_of(at.path / place, modules) or at.path,
        "./...",
        environment=runner_of(at, service, cache).environment,
    )
    if sources is None:
        return replace(known, why="the packages of the release cannot be listed; the log says why")
    match = sources.match(edges)
    if match.share is None or match.compared < _LEAST_COMPARED:
        part = f"{100 * match.compared:.0f} %"
        return replace(known, why=f"{part} of the profile at {place} can be compared with the source")
    _log.info("source match: %.2f, of %.0f %% that can be compared", match.share, 100 * match.compared)
    lost = tuple(
        f"{each.edge.caller} → {each.edge.callee} ({100 * each.share:.0f} %): {each.why}"
        for each in match.lost[:_NAMED]
    )
    return replace(known, share=match.share, compared=match.compared, lost=lost)


def _module_of(place: Path, modules: list[Path]) -> Path | None:
    """Return the innermost module around a file."""
    around = [each for each in modules if each in place.parents]
    return max(around, key=lambda each: len(each.parts), default=None)
