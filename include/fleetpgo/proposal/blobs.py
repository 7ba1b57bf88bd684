"""Read files in commits, whatever lies in the work tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetpgo.errors import RepositoryError
from fleetpgo.golang import worktree
from fleetpgo.proposal.git import git

if TYPE_CHECKING:
    from fleetpgo.proposal.checkout import Checkout

_GONE = ("not our ref", "unadvertised object")
"""Git's error texts for a commit that the server lacks, or has on no branch. Other failures are temporary."""


def changed_files(checkout: Checkout, before: str, after: str) -> set[str]:
    """Return the paths that differ between two commits."""
    names = git(checkout.path, "diff-tree", "-r", "-z", "--name-only", "--no-renames", before, after)
    return set(names.split("\0")) - {""}


def read_at(checkout: Checkout, sha: str, name: str) -> bytes | None:
    """Fetch a commit from the origin, and return a file in it; None if the commit has no such file.

    Raises:
        RepositoryError: the origin does not have that commit.
    """
    git(checkout.path, "fetch", "--quiet", "--depth=1", "origin", sha, config=checkout.config)
    return read_blob(checkout, sha, name)


def read_blob(checkout: Checkout, sha: str, name: str) -> bytes | None:
    """Return a file in a commit that has been fetched before; None if the commit has no such file."""
    entry = git(checkout.path, "ls-tree", sha, "--", name, config=checkout.config)
    if entry.split()[1:2] != ["blob"]:
        return None
    return unpacked(checkout, f"{sha}:{name}", name)


def is_gone(error: RepositoryError) -> bool:
    """Return whether a fetch failed because the origin does not have the commit, or on no branch."""
    return any(words in error.message for words in _GONE)


class TooLargeError(RepositoryError):
    """A file is larger than any that fleetpgo reads."""


def unpacked(checkout: Checkout, blob: str, name: str) -> bytes:
    """Return the content of a file as git keeps it.

    Raises:
        TooLargeError: the file is larger than 64 MiB.
        RepositoryError: git fails.
    """
    # Writes the very bytes to a file; what other commands print is text to us.
    path = checkout.path / git(checkout.path, "unpack-file", blob, config=checkout.config)
    try:
        if path.stat().st_size > worktree.MOST:
            raise TooLargeError(
                f"{name} in {blob} is larger than {worktree.MOST >> 20} MiB",
                hint="keep it out of the repository, or name another path in the service file",
            )
        return path.read_bytes()
    finally:
        path.unlink()
