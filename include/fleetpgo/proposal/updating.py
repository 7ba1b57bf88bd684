"""Whether a person's newest commit is only the forge's "Update branch": our commit, merged with the base.

Such a merge has the person's name and none of their work. It is looked at in a repository of its own, with
all commits of both branches, but no files that are not needed where the server can leave them out.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fleetpgo.errors import RepositoryError
from fleetpgo.proposal.git import git

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from fleetpgo.proposal.checkout import Checkout


def only_updated(checkout: Checkout) -> bool:
    """Return whether the branch's newest commit holds nothing but our commit and a commit of the base.

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
        parents = run("show", "--no-patch", "--format=%P", merge).split()
        mine = [
            each for each in parents if _made_by(run("show", "--no-patch", "--format=%ae%n%ce", each), ours)
        ]
        if len(mine) != 1:
            return False
        own = mine[0]
        other = next(each for each in parents if each != own)
        return _is_ancestor(place, other, tip, config) and _merged(place, own, other, merge, config)


def _made_by(told: str, ours: Collection[str]) -> bool:
    return set(told.split("\n")) <= set(ours)


def _is_ancestor(place: Path, commit: str, tip: str, config: Mapping[str, str]) -> bool:
    try:
        git(place, "merge-base", "--is-ancestor", commit, tip, config=config)
    except RepositoryError:
        return False
    return True


def _merged(place: Path, own: str, other: str, merge: str, config: Mapping[str, str]) -> bool:
    """Return whether a merge of two commits holds what git itself makes of them, without a person's hand."""

    def names(before: str, after: str) -> set[str]:
        told = git(
            place, "diff-tree", "-r", "-z", "--name-only", "--no-renames", before, after, config=config
        )
        return set(told.split("\0")) - {""}

    def blob(commit: str, name: str) -> str:
        return git(place, "ls-tree", commit, "--", name, config=config).partition("\t")[0]

    changed = names(f"{own}^", own)
    if names(other, merge) - changed:
        return False
    for name in changed:
        before, mine, theirs = blob(f"{own}^", name), blob(own, name), blob(other, name)
        expected = mine if theirs in (before, mine) else None
        if expected is None and mine and theirs and before:
            expected = _three_way(place, (mine, before, theirs), config)
        if expected is None or expected != blob(merge, name):
            return False
    return True


def _three_way(place: Path, entries: tuple[str, str, str], config: Mapping[str, str]) -> str | None:
    """Merge a file that both sides changed; return its tree entry, None for a conflict."""
    files = [str(place / git(place, "unpack-file", entry.split()[2], config=config)) for entry in entries]
    try:
        git(place, "merge-file", "--quiet", *files, config=config)
    except RepositoryError:
        return None
    made = git(place, "hash-object", "-w", "--no-filters", files[0], config=config)
    mode, kind, _ = entries[0].split()
    return f"{mode} {kind} {made}"
