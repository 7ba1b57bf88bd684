"""Undo a commit of fleetpgo on top of today's base.

Files are restored by content, one by one. The commit that merged the change into the base is not used: after
a squash it can hold a person's change, too; after a rebase or a fast-forward the newest commit is not ours.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fleetpgo.errors import RepositoryError
from fleetpgo.proposal.git import changed_files, git, read_blob
from fleetpgo.run.digest import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleetpgo.proposal.git import Checkout

_GONE = ("not our ref", "unadvertised object")
"""Answers of a server that lacks a commit, or has it on no branch; other failures may pass."""


class ByHandError(RepositoryError):
    """The same lines have changed since, so only a person can restore them."""


@dataclass(frozen=True)
class Restored:
    """The changes that restore the state before a commit of fleetpgo.

    Attributes:
        files: path and content of each file; None where there was none.
        path: the one of them that is the profile.
        measured: the profile that goes.
    """

    files: Mapping[str, bytes | None]
    path: str
    measured: bytes

    @property
    def before(self) -> bytes | None:
        """The profile that comes back; None if there was none."""
        return self.files[self.path]


def restore(checkout: Checkout, head: str, profile: str) -> Restored | None:
    """Reverse what a commit of ours changed, file by file, on the base.

    The profile is restored by its bytes, or removed. Each other file is merged three ways: ours as the common
    ancestor, the base of today, and the file before our commit.

    Args:
        checkout: a clone of the base that no build has touched.
        head: full SHA of our commit.
        profile: first 12 hex digits of the SHA-256 of the profile in it.

    Returns:
        what to change; None if the base holds that profile nowhere any more.

    Raises:
        ByHandError: if a file was changed since in the same lines, the profile lies elsewhere by now, or was
            there before our commit; or the origin does not have our commit any more.
        RepositoryError: if git fails.
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
            hint="the commit only made the build use it",
        )
    if read_blob(checkout, base, path) != measured:
        if elsewhere := _paths(checkout, base, measured_in=(head, path)):
            raise ByHandError(
                f"{checkout.base} holds the profile at {', '.join(elsewhere)} by now, not at {path}",
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
    """Check that the restoring commit does not hold the profile at any path.

    Args:
        checkout: the clone that it was made in.
        head: full SHA of our commit.
        made: full SHA of the commit to check.
        restored: what it restores.

    Raises:
        ByHandError: if it does: people have put a copy elsewhere.
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
        if not any(words in error.message for words in _GONE):
            raise
        raise ByHandError(
            f"the forge does not have fleetpgo's commit {head} any more",
            hint="what it changed is shown by the pull request alone",
        ) from error


def _reverse(
    checkout: Checkout, name: str, now: bytes | None, ours: bytes | None, before: bytes | None
) -> bytes:
    """Return today's file without our change; changes of others to other lines stay."""
    with tempfile.TemporaryDirectory(prefix="fleetpgo-") as directory:
        sides = [Path(directory) / side for side in ("now", "ours", "before")]
        for side, content in zip(sides, (now, ours, before), strict=True):
            side.write_bytes(content or b"")
        try:
            git(Path(directory), "merge-file", "--quiet", *map(str, sides))
        except RepositoryError as error:
            raise ByHandError(
                f"the lines of {name} that fleetpgo changed were changed again on {checkout.base}",
                hint=f"take -pgo out of {name}",
            ) from error
        return sides[0].read_bytes()


def _paths(checkout: Checkout, commit: str, *, measured_in: tuple[str, str]) -> list[str]:
    """Return the paths at which a commit holds the same bytes as a file of another one."""
    blob = git(checkout.path, "rev-parse", ":".join(measured_in))
    entries = (
        entry.partition("\t") for entry in git(checkout.path, "ls-tree", "-r", "-z", commit).split("\0")
    )
    return [name for about, _, name in entries if about.endswith(f" {blob}")]
