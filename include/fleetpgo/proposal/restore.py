"""Undo a commit of fleetpgo on top of the current base.

Files are restored by content, one by one. `git revert` of the merge is not used: a squash commit can contain
people's changes, too, and after a rebase or a fast-forward the newest commit of the base may not be ours.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fleetpgo.errors import RepositoryError
from fleetpgo.proposal.blobs import changed_files, is_gone, read_blob
from fleetpgo.proposal.git import git
from fleetpgo.run.digest import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleetpgo.proposal.checkout import Checkout


class ByHandError(RepositoryError):
    """The state before cannot be restored automatically; a person has to do it."""


@dataclass(frozen=True)
class Restored:
    """The changes that restore the state before a commit of fleetpgo.

    Attributes:
        files: path → content to restore; None: the file is removed.
        path: path of the profile; a key of `files`.
        measured: bytes of the profile that is removed or replaced.
    """

    files: Mapping[str, bytes | None]
    path: str
    measured: bytes

    @property
    def before(self) -> bytes | None:
        """The earlier profile that is restored; None if there was none."""
        return self.files[self.path]


def restore(checkout: Checkout, head: str, profile: str) -> Restored | None:
    """Compute the changes that undo a commit of fleetpgo on the current base.

    The profile is replaced by its earlier bytes, or removed. Every other file is merged three-way: the common
    ancestor is the file in our commit; the two sides are the file in the base and the file before our commit.

    Args:
        checkout: a clone of the base in which no build has run.
        head: full SHA of our commit.
        profile: first 12 hex digits of the SHA-256 of the profile in it.

    Returns:
        The changes; None if the base no longer holds that profile.

    Raises:
        ByHandError: the same lines were changed since, the profile was moved, it existed before our commit,
            or the origin no longer has our commit.
        RepositoryError: git fails.
    """
    _fetch(checkout, head)
    before, base = f"{head}^", checkout.base_commit
    names = changed_files(checkout, before, head)
    ours = {name: read_blob(checkout, head, name) for name in names}
    path = next((name for name in sorted(names) if digest(ours[name] or b"") == profile), None)
    measured = ours[path] if path else None
    if path is None or measured is None:
        raise ByHandError(
            f"{head} did not add the profile {profile}: it was in the repository before",
            hint="that commit only made the build use the profile",
        )
    if read_blob(checkout, base, path) != measured:
        if elsewhere := _paths(checkout, base, measured_in=(head, path)):
            raise ByHandError(
                f"{checkout.base} now holds the profile at {', '.join(elsewhere)}, not at {path}",
                hint="remove it there",
            )
        return None
    files: dict[str, bytes | None] = {path: read_blob(checkout, before, path)}
    for name in sorted(names - {path}):
        now, old = read_blob(checkout, base, name), read_blob(checkout, before, name)
        if now not in (None, old):
            files[name] = old if now == ours[name] else _reverse(checkout, name, now, ours[name], old)
    return Restored(files, path, measured)


def require_gone(checkout: Checkout, head: str, made: str, restored: Restored) -> None:
    """Check that the commit which undoes ours does not hold the profile at any path.

    Args:
        checkout: the clone with that commit.
        head: full SHA of our commit.
        made: full SHA of the commit to check.
        restored: the changes in it.

    Raises:
        ByHandError: the commit still holds the profile: people have put a copy elsewhere.
    """
    if elsewhere := _paths(checkout, made, measured_in=(head, restored.path)):
        raise ByHandError(
            f"the profile would still be at {', '.join(elsewhere)}", hint="remove it there, too"
        )


def _fetch(checkout: Checkout, head: str) -> None:
    """Fetch our commit and its parent."""
    try:
        git(checkout.path, "fetch", "--quiet", "--depth=2", "origin", head, config=checkout.config)
    except RepositoryError as error:
        if not is_gone(error):
            raise
        raise ByHandError(
            f"the forge no longer has fleetpgo's commit {head}",
            hint="only the pull request still shows what it changed",
        ) from error


def _reverse(
    checkout: Checkout, name: str, now: bytes | None, ours: bytes | None, before: bytes | None
) -> bytes:
    """Return the base's file without our change; other people's changes to other lines stay."""
    with tempfile.TemporaryDirectory(prefix="fleetpgo-") as directory:
        sides = [Path(directory) / side for side in ("now", "ours", "before")]
        for side, content in zip(sides, (now, ours, before), strict=True):
            side.write_bytes(content or b"")
        try:
            git(Path(directory), "merge-file", "--quiet", *map(str, sides))
        except RepositoryError as error:
            raise ByHandError(
                f"the lines of {name} that fleetpgo changed were changed again on {checkout.base}",
                hint=f"remove -pgo from {name}",
            ) from error
        return sides[0].read_bytes()


def _paths(checkout: Checkout, commit: str, *, measured_in: tuple[str, str]) -> list[str]:
    """Return the paths in a commit whose bytes equal those of a file (commit, path) in another commit."""
    blob = git(checkout.path, "rev-parse", ":".join(measured_in))
    entries = (
        entry.partition("\t") for entry in git(checkout.path, "ls-tree", "-r", "-z", commit).split("\0")
    )
    return [name for about, _, name in entries if about.endswith(f" {blob}")]
