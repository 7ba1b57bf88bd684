"""Whether a person's newest commit is only the forge's "Update branch": our commit, merged with the base.

Such a merge has the person's name and none of their work; somebody may ask for several. It is looked at in a
repository of its own, with all commits of both branches, but no files that are not needed where the server
can leave them out. An update by rebase is a commit of that person's.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fleetpgo.errors import RepositoryError
from fleetpgo.proposal.git import git

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleetpgo.proposal.checkout import Checkout

_MOST = 50
"""Such merges of one branch, one after the other, that are looked through."""


def only_updated(checkout: Checkout) -> bool:
    """Return whether the branch's newest commit holds nothing but our commit and commits of the base.

    Args:
        checkout: the clone, which has seen the branch.

    Raises:
        RepositoryError: git fails.
    """
    merge, config, ours = checkout.seen, checkout.config, checkout.identity.addresses
    if merge is None or len(checkout.content.split()) != 1 + 2:  # its tree, and two parents
        return False
    with tempfile.TemporaryDirectory(prefix="fleetpgo-", ignore_cleanup_errors=True) as directory:
        place = Path(directory)

        def run(*arguments: str) -> str:
            return git(place, *arguments, config=config)

        run("init", "--quiet", "--template=")
        run("remote", "add", "origin", checkout.url)
        reference = f"refs/heads/{checkout.base}"
        run("fetch", "--quiet", "--no-tags", "--filter=blob:none", "origin", reference, merge)
        tip = run("rev-parse", "FETCH_HEAD")
        for _ in range(_MOST):
            tree, *parents = run("show", "--no-patch", "--format=%T %P", merge).split()
            people = set(run("show", "--no-patch", "--format=%ae%n%ce", merge).split("\n"))
            if people <= ours:
                return True
            of_base = [each for each in parents if _is_ancestor(place, each, tip, config)]
            if len(parents) != 1 + 1 or len(of_base) != 1 or _merged(place, parents, config) != tree:
                return False
            (merge,) = set(parents) - set(of_base)
    return False


def _is_ancestor(place: Path, commit: str, tip: str, config: Mapping[str, str]) -> bool:
    try:
        git(place, "merge-base", "--is-ancestor", commit, tip, config=config)
    except RepositoryError:
        return False
    return True


def _merged(place: Path, parents: list[str], config: Mapping[str, str]) -> str:
    """Return the tree of two commits' merge without a person's hand; "" if they conflict."""
    try:
        return git(place, "merge-tree", "--write-tree", *parents, config=config)
    except RepositoryError:
        return ""
