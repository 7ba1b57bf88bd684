"""Build the binary of a revision that production runs, to repair the profiles of its instances.

The build uses the same clone, environment, limits and caches as the builds of a pull request
(:mod:`fleetpgo.proposal.builds`). All files are those of the revision, including its committed profile.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from fleetpgo.errors import RepositoryError
from fleetpgo.golang.environment import download_modules
from fleetpgo.golang.pclntab import read_program
from fleetpgo.proposal.builds import clone_to_build, runner_of
from fleetpgo.proposal.checkout import fetch_files, fetch_history
from fleetpgo.proposal.git import git
from fleetpgo.proposal.merge_alone import resolve
from fleetpgo.proposal.wiring.texts import read_build_texts

if TYPE_CHECKING:
    from pathlib import Path

    from fleetpgo.golang.program import Program
    from fleetpgo.proposal.checkout import Checkout
    from fleetpgo.proposal.forges import Forge
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)


def build_revision(service: ServiceRules, forge: Forge, revision: str, cache: Path) -> Program:
    """Build a service at a revision, and read the function tables of its binary.

    Args:
        service: rules of the service.
        forge: forge that hosts the repository.
        revision: full or short SHA of a commit, or a tag; it comes from a metric's label.
        cache: directory for Go's caches, kept between runs.

    Raises:
        RepositoryError: git fails, or the repository does not have the revision.
        ToolchainError: Go is missing, or is not the version that the revision requires.
        BuildError: the revision does not build, or its binary cannot be read.
        ForgeError: the forge cannot be reached, or refuses.
    """
    with clone_to_build(service, forge, cache) as checkout:
        at = switch(checkout, revision, service)
        texts = read_build_texts(at)
        if texts.history:
            fetch_history(at)
        modules = texts.modules.values()
        download_modules(at.path, modules, os.environ, cache, memory=service.build.memory)
        _log.info("building revision %s, to repair the profiles of its instances", revision)
        return read_program(runner_of(at, service, cache).build().path)


def switch(checkout: Checkout, revision: str, service: ServiceRules) -> Checkout:
    """Bring the work tree to a revision of the base or a tag.

    No other commit will do: a label names it, and a forge also gives commits of forks.

    Args:
        checkout: a clone of the base.
        revision: full or short SHA of a commit, or a tag.
        service: whose repository it is.

    Raises:
        RepositoryError: git fails, or the repository does not have the revision.
    """
    commit = _find(checkout, revision)
    if commit is None:
        # With their trees: without, each folder of the revision would be one more request.
        fetch_history(checkout, without="blob:none")
        commit = _find(checkout, revision)
    if commit is None:
        raise RepositoryError(
            f"the repository has no revision {revision} in the history of {checkout.base} or in a tag",
            hint="the label `revision` of rollout.revision must name a commit or a tag of the repository",
        )
    if commit != checkout.base_commit:
        git(checkout.path, "checkout", "--quiet", "--detach", commit, config=checkout.config)
        fetch_files(checkout.path, checkout.url, checkout.config, service.repository.submodules)
    return replace(checkout, base_commit=commit)


def _find(checkout: Checkout, revision: str) -> str | None:
    """Return the full SHA of a revision in the history of the base, or in a tag, as far as it is here.

    A clone without files asks the forge for whatever it has not, also for a commit of another branch.
    """
    commit = resolve(checkout.path, revision)
    references = (f"refs/remotes/origin/{checkout.base}", "refs/tags")
    if commit and git(checkout.path, "for-each-ref", "--count=1", "--contains", commit, *references):
        return commit
    return None
