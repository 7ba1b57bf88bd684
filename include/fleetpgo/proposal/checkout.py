"""Clone a repository's base branch, read and write its files, and look at branches of the remote."""

from __future__ import annotations

import logging
import shutil
import tempfile
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from fleetpgo import foreign
from fleetpgo.errors import RepositoryError
from fleetpgo.golang import worktree
from fleetpgo.proposal.git import git
from fleetpgo.proposal.signing import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

_log = logging.getLogger(__name__)

_ALL_COMMITS = "--depth=2147483647"
"""Git's own "infinite" depth. --unshallow is not used: it fails if the repository has only one commit."""

_LONGEST_NAME = 200
"""Most characters of a person's name that are shown."""

_US = Identity()


@dataclass(frozen=True)
class Checkout:
    """A clone of one branch, with the work tree at its newest commit.

    Attributes:
        path: the work tree.
        url: URL of the origin, without credentials.
        base: the branch that was cloned.
        base_commit: full SHA of its newest commit.
        branch: the branch that commits are pushed to.
        seen: full SHA of the newest commit of `branch` at the time of the clone; None if it did not exist.
        foreign: name of the person who made the commit `seen`; "" if fleetpgo made it, or there is none.
        config: git configuration with the credentials; left out of the repr.
        content: tree and parents of `seen`; "" if there is none.
        identity: who makes our commits.
        own: of a group's branch, path of the service's profile in `seen`, and its SHA as git keeps it; None:
            the service has none there.
    """

    path: Path
    url: str
    base: str
    base_commit: str
    branch: str
    seen: str | None
    foreign: str
    config: Mapping[str, str] = field(repr=False)
    content: str = ""
    identity: Identity = _US
    own: tuple[str, str] | None = None


@contextmanager
def clone(
    url: str,
    base: str,
    branch: str,
    *,
    config: Mapping[str, str],
    submodules: Literal["public", "token"] | None = None,
    directory: Path | None = None,
    identity: Identity = _US,
) -> Iterator[Checkout]:
    """Clone the newest commit of a base branch into a temporary directory, removed when the block ends.

    The clone is shallow; :func:`fetch_history` fetches older commits.

    Args:
        url: URL of the origin, without credentials.
        base: the branch to clone.
        branch: the branch that commits will be pushed to; it need not exist.
        config: git configuration with the credentials; see Forge.git_config.
        submodules: clone submodules without the credentials (``public``) or with them (``token``), and fetch
            Git LFS files. None: neither; enough for everything but builds.
        directory: an empty directory to clone into, which the caller removes; None: a temporary one.
        identity: who makes our commits.

    Raises:
        RepositoryError: the clone fails (with git's own message), Git LFS is needed and not installed, or the
            name of another branch conflicts with `branch`.
    """
    with (
        nullcontext(directory)
        if directory
        else tempfile.TemporaryDirectory(prefix="fleetpgo-", ignore_cleanup_errors=True)
    ) as place:
        path = Path(place) / "checkout"
        _log.info("cloning %s of %s", base, foreign.blotted(url))
        try:
            git(
                Path(place),
                *("clone", "--quiet", "--depth=1", "--single-branch", "--branch", base, url, str(path)),
                config=config,
            )
        except RepositoryError as error:
            raise RepositoryError(
                f"{foreign.blotted(url)} cannot be cloned: {error.message}",
                hint="check project and base in the service file, and address and token of the connection",
            ) from error
        if submodules:
            fetch_files(path, url, config, submodules)
        seen, other = _seen(path, branch, config, identity.addresses)
        content = content_of(path, seen) if seen else ""
        head = git(path, "rev-parse", "HEAD")
        yield Checkout(path, url, base, head, branch, seen, other, config, content, identity)


def fetch_files(
    path: Path, url: str, config: Mapping[str, str], submodules: Literal["public", "token"]
) -> None:
    """Fetch the submodules and the Git LFS files of a work tree.

    Args:
        path: the work tree.
        url: URL of the origin.
        config: git configuration with the credentials.
        submodules: fetch submodules with the credentials (``token``) or without (``public``).

    Raises:
        RepositoryError: git fails, or Git LFS is needed and not installed.
    """
    _fetch_submodules(path, url, config if submodules == "token" else _public(config))
    _fetch_large_files(path, url, config)


def _public(config: Mapping[str, str]) -> dict[str, str]:
    """Return git configuration without credentials; only URL rewrites (``insteadOf``) remain."""
    return {name: value for name, value in config.items() if name.lower().endswith(".insteadof")}


def _fetch_submodules(path: Path, url: str, config: Mapping[str, str]) -> None:
    if not (path / ".gitmodules").is_file():
        return
    # Git follows a submodule to a directory of this machine only if told to; a repository that comes
    # from one is asked for just that, any other could read files that are none of its business.
    local = {"protocol.file.allow": "always"} if url.startswith("file:") else {}
    try:
        git(
            path,
            *("submodule", "update", "--quiet", "--init", "--recursive", "--depth=1"),
            config={**config, **local},
        )
    except RepositoryError as error:
        raise RepositoryError(
            f"a submodule of {foreign.blotted(url)} cannot be cloned: {error.message}",
            hint="it was cloned without the token; if it is private, and everyone who can push to this "
            "repository may read it, set repository.submodules: token in the service file",
        ) from error


def _fetch_large_files(path: Path, url: str, config: Mapping[str, str]) -> None:
    """Fetch the Git LFS files, if there are any."""
    if git(path, "ls-files", ":(attr:filter=lfs)"):
        if not shutil.which("git-lfs"):
            raise RepositoryError(
                f"{foreign.blotted(url)} keeps files in Git LFS, and there is no git-lfs on the PATH",
                hint="install git-lfs (https://git-lfs.com) where the task runs",
            )
        git(path, "lfs", "install", "--local", "--skip-repo")
        # With the token only from the repository itself: .lfsconfig can name another one of that server.
        own = {"lfs.url": f"{url}/info/lfs"} if config != _public(config) else {}
        git(path, "lfs", "pull", config={**config, **own})


def fetch_history(checkout: Checkout, *, without: str = "tree:0") -> None:
    """Fetch tags and older commits, for a build that runs ``git describe``.

    Their trees and files are not fetched if the server supports filters (``uploadpack.allowFilter``).

    Args:
        checkout: a clone of one branch.
        without: what stays out, as ``git fetch --filter`` takes it.

    Raises:
        RepositoryError: git fails.
    """
    _log.info("fetching tags and older commits")
    git(
        checkout.path,
        *("fetch", "--quiet", _ALL_COMMITS, "--tags", f"--filter={without}", "origin", checkout.base),
        config=checkout.config,
    )


def read(checkout: Checkout, name: str) -> bytes | None:
    """Return the content of a file in the work tree; None if it does not exist.

    Raises:
        RepositoryError: it is not a regular file, is larger than 64 MiB, or a link points outside the work
            tree.
    """
    return worktree.read(checkout.path, name)


def write(checkout: Checkout, name: str, content: bytes) -> None:
    """Write a file in the work tree, and create its parent directories.

    Raises:
        RepositoryError: the path exists and is not a file, or a link points outside the work tree.
    """
    worktree.write(checkout.path, name, content)


def base_moved(checkout: Checkout) -> bool:
    """Return whether the base branch got commits, or was deleted, since it was cloned."""
    reference = f"refs/heads/{checkout.base}"
    # By its address and in an empty directory: what the clone calls its origin, a build may have changed.
    with tempfile.TemporaryDirectory(prefix="fleetpgo-") as directory:
        now = _references(Path(directory), checkout.url, checkout.config, reference)
    return now.get(reference) != checkout.base_commit


def require_head(checkout: Checkout, head: str, config: Callable[[], Mapping[str, str]]) -> None:
    """Check that the branch still points to the commit that was pushed.

    Args:
        checkout: a repository whose origin has the branch.
        head: the commit.
        config: returns git configuration with valid credentials; the checkout's own may have expired.

    Raises:
        RepositoryError: it does not: another run or a person has moved or deleted the branch.
    """
    reference = f"refs/heads/{checkout.branch}"
    now = _references(checkout.path, "origin", config(), reference).get(reference)
    if now != head:
        raise RepositoryError(
            f"{checkout.branch} was moved from {head} to {now or 'nothing'} after this run had pushed it: "
            "the pull request is left to whoever moved it",
            hint="most likely another run of the service is under way: let it end, then look or run again",
        )


def branch_head(checkout: Checkout) -> str | None:
    """Return the full SHA of the branch's newest commit, as it is at the origin now; None: there is none."""
    reference = f"refs/heads/{checkout.branch}"
    return _references(checkout.path, "origin", checkout.config, reference).get(reference)


def branches(checkout: Checkout, beginning: str) -> list[str]:
    """Return the origin's branches whose names begin so. Nothing in the checkout's directory is read."""
    reference = f"refs/heads/{beginning}"
    with tempfile.TemporaryDirectory(prefix="fleetpgo-") as directory:
        there = _references(Path(directory), checkout.url, checkout.config, f"{reference}*")
    return sorted(name.removeprefix("refs/heads/") for name in there if name.startswith(reference))


def look_at(checkout: Checkout, branch: str) -> Checkout:
    """Return the checkout with another branch to push to, as that is now.

    Args:
        checkout: the repository of :func:`fleetpgo.proposal.commits.start_anew`.
        branch: the branch; it need not exist.
    """
    seen, other = _seen(checkout.path, branch, checkout.config, checkout.identity.addresses)
    content = content_of(checkout.path, seen) if seen else ""
    return replace(checkout, branch=branch, seen=seen, foreign=other, content=content, own=None)


def _references(
    directory: Path, repository: str, config: Mapping[str, str], *patterns: str
) -> dict[str, str]:
    """Return the references of a remote repository: full name → full SHA.

    The result may hold more than was asked for: git matches a pattern with the end of a name, too, and a
    branch may be called ``refs/heads/main``.
    """
    lines = git(directory, "ls-remote", repository, *patterns, config=config).splitlines()
    return {name: sha for sha, _, name in (line.partition("\t") for line in lines)}


def _seen(
    path: Path, branch: str, config: Mapping[str, str], ours: Collection[str]
) -> tuple[str | None, str]:
    """Fetch a branch's newest commit and its parent. Return its SHA, and who made it if not fleetpgo."""
    reference = f"refs/heads/{branch}"
    above = {str(each) for each in PurePosixPath(reference).parents} - {"refs/heads", "refs", "."}
    there = _references(path, "origin", config, reference, f"{reference}/*", *above)
    for name in sorted(there.keys() - {reference}):
        if name in above or name.startswith(f"{reference}/"):
            other = name.removeprefix("refs/heads/")
            raise RepositoryError(
                f"the branch {other} is in the way of {branch}: a repository cannot have both "
                "a branch `a` and a branch `a/b`",
                hint=f"delete or rename the branch {other}",
            )
    if reference not in there:
        return None, ""
    git(path, "fetch", "--quiet", "--depth=2", "origin", reference, config=config)
    # The committer too: an amended commit keeps its author.
    people = git(path, "show", "--no-patch", "--format=%ae%x09%an%n%ce%x09%cn", "FETCH_HEAD").splitlines()
    others = [name for email, _, name in (line.partition("\t") for line in people) if email not in ours]
    who = foreign.line(others[0], _LONGEST_NAME) if others else ""
    return git(path, "rev-parse", "FETCH_HEAD"), who


def delete_branch(url: str, branch: str, head: str, config: Mapping[str, str]) -> None:
    """Delete a branch of the origin, if it still points to a commit; else leave it to whoever moved it.

    Args:
        url: URL of the origin.
        branch: the branch.
        head: full SHA of the commit.
        config: git configuration with the credentials.

    Raises:
        RepositoryError: git fails, or the forge refuses.
    """
    reference = f"refs/heads/{branch}"
    with tempfile.TemporaryDirectory(prefix="fleetpgo-") as directory:
        place = Path(directory)
        if _references(place, url, config, reference).get(reference) != head:
            return
        git(place, "init", "--quiet", "--template=")
        lease = f"--force-with-lease={reference}:{head}"
        git(place, "push", "--quiet", lease, url, f":{reference}", config=config)
    _log.info("deleted the branch %s", branch)


def content_of(path: Path, sha: str) -> str:
    """Return a commit's tree and parents. If two commits agree in these, they propose the same change."""
    return git(path, "show", "--no-patch", "--format=%T %P", sha)
