"""Git: run its commands, clone a repository's base branch, read in the clone.

:mod:`fleetpgo.proposal.commits` writes.

Git itself is run, with its own words in the errors. Credentials reach it only through its environment
(``GIT_CONFIG_COUNT`` …): never by URL, argument or file, so they cannot stay behind in ``.git/config``. No
configuration of the user or the system has a say, only ``gitconfig`` beside this module.

A build may write anything into the clone that it runs in, so that git would run a program of its choice
there. After a build, git gets credentials only in a repository that is made then
(:mod:`fleetpgo.proposal.commits`).
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from fleetpgo import foreign
from fleetpgo.errors import RepositoryError
from fleetpgo.golang import processes, worktree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_log = logging.getLogger(__name__)

BOT_NAME = "fleetpgo"
BOT_EMAIL = "fleetpgo@localhost.invalid"
"""Author of the commits. The address can never exist, so no person is taken for the author."""

_TIMEOUT = 600.0
"""Seconds that one git command may take: a clone over a slow line, not one that hangs."""

_ALL_COMMITS = "--depth=2147483647"
"""Git's own "infinite" depth; --unshallow fails where the one commit of a clone is all there is."""

_LONGEST_NAME = 200
"""Characters of a person's name that are shown."""

_CONFIGURATION = Path(__file__).with_name("gitconfig")

_ALWAYS = {
    "user.name": BOT_NAME,
    "user.email": BOT_EMAIL,
    # Ahead of what a repository's own configuration says. ext:: would run a program.
    "core.hooksPath": os.devnull,
    "protocol.allow": "never",
    "protocol.http.allow": "always",
    "protocol.https.allow": "always",
    "protocol.ssh.allow": "always",
    "protocol.file.allow": "user",
}
"""Configuration of every command. ``user`` is git's own default for files: not for submodules."""


def git(directory: Path, *arguments: str, config: Mapping[str, str] | None = None) -> str:
    """Run one git command and return what it prints, stripped.

    Args:
        directory: where it runs; the root of the repository, where the command is about one.
        arguments: the command's arguments; they are visible to everybody on the machine.
        config: git configuration for this command, through its environment; may hold credentials.

    Raises:
        RepositoryError: if it fails or takes longer than ten minutes, with git's own words.
    """
    entries = {**_ALWAYS, **(config or {})}
    environment = processes.passed_on(os.environ, "GIT_SSL_CAINFO") | {
        "LC_ALL": "C.UTF-8",
        "HOME": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(_CONFIGURATION),
        "GIT_TERMINAL_PROMPT": "0",
        # The repository is `directory` or none: a build can put another into a directory above it.
        "GIT_CEILING_DIRECTORIES": str(directory.resolve().parent),
        "GIT_CONFIG_COUNT": str(len(entries)),
    }
    for index, (key, value) in enumerate(entries.items()):
        environment |= {f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value}
    shown = f"git {arguments[0]}"
    try:
        ended = processes.capture(("git", *arguments), directory, environment, seconds=_TIMEOUT)
    except FileNotFoundError as error:
        raise RepositoryError(
            "there is no `git` on the PATH", hint="install git where the task runs"
        ) from error
    if ended.stopped:
        raise RepositoryError(
            f"`{shown}` {ended.stopped}, so it was stopped",
            hint="see whether the forge answers, then run again",
        )
    output = ended.output.decode(errors="replace").strip()
    if ended.status:
        words = ended.errors.strip() or foreign.end_of(output, processes.MOST_ERRORS)
        raise RepositoryError(f"`{shown}` failed: {words}")
    return output


@dataclass(frozen=True)
class Checkout:
    """A clone of one branch, with the work tree at its newest commit.

    Attributes:
        path: the work tree.
        url: where it was cloned from; holds no credentials.
        base: the branch that was cloned.
        base_commit: full SHA of its newest commit.
        branch: the branch that commits are pushed to.
        seen: full SHA of that branch's newest commit when it was cloned; None where there was no such branch.
        foreign: who made that commit, if not we; "" if we did, or there is none.
        config: git configuration with the credentials; not shown.
        content: tree and parents of `seen`; "" where there is none.
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


@contextmanager
def clone(
    url: str,
    base: str,
    branch: str,
    *,
    config: Mapping[str, str],
    submodules: Literal["public", "token"] | None = None,
    directory: Path | None = None,
) -> Iterator[Checkout]:
    """Clone the newest commit of a base branch into a temporary directory, which goes when the block ends.

    Older commits do not come with it, see :func:`fetch_history`.

    Args:
        url: where from; holds no credentials.
        base: the branch to clone.
        branch: the branch that commits will be pushed to; need not be there.
        config: git configuration with the credentials, see Forge.git_config.
        submodules: whether submodules are cloned without the credentials (``public``) or with them
            (``token``); the files that Git LFS keeps come, too. None: neither comes, for all but builds.
        directory: an empty directory to clone into, which the caller removes; None: a temporary one.

    Raises:
        RepositoryError: if it cannot be cloned, with git's own words; if it needs Git LFS and there is
            none; or if another branch is in the way of `branch`.
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
        seen, other = _seen(path, branch, config)
        content = content_of(path, seen) if seen else ""
        yield Checkout(path, url, base, git(path, "rev-parse", "HEAD"), branch, seen, other, config, content)


def fetch_files(
    path: Path, url: str, config: Mapping[str, str], submodules: Literal["public", "token"]
) -> None:
    """Fetch what a work tree's commit keeps elsewhere: its submodules, and the files that Git LFS keeps.

    Args:
        path: the work tree.
        url: where it was cloned from.
        config: git configuration with the credentials.
        submodules: whether submodules are fetched with them.

    Raises:
        RepositoryError: git fails, or Git LFS is needed and not there.
    """
    _fetch_submodules(path, url, config if submodules == "token" else _public(config))
    _fetch_large_files(path, url, config)


def _public(config: Mapping[str, str]) -> dict[str, str]:
    """Return git configuration without credentials; only rewrites of addresses remain."""
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
            hint="it is cloned without the token; if it is private, and whoever may change this repository "
            "may read it, set repository.submodules: token in the service file",
        ) from error


def _fetch_large_files(path: Path, url: str, config: Mapping[str, str]) -> None:
    """Fetch the files that Git LFS keeps."""
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
    """Fetch the tags and the commits before the newest one, for a build that runs ``git describe``.

    Their files stay out, where the server can leave them out (``uploadpack.allowFilter``).

    Args:
        checkout: a clone of one branch.
        without: what stays out, as ``git fetch --filter`` takes it.

    Raises:
        RepositoryError: if git fails.
    """
    _log.info("fetching tags and older commits")
    git(
        checkout.path,
        *("fetch", "--quiet", _ALL_COMMITS, "--tags", f"--filter={without}", "origin", checkout.base),
        config=checkout.config,
    )


def changed_files(checkout: Checkout, before: str, after: str) -> set[str]:
    """Return the paths that differ between two commits."""
    names = git(checkout.path, "diff-tree", "-r", "-z", "--name-only", "--no-renames", before, after)
    return set(names.split("\0")) - {""}


def read(checkout: Checkout, name: str) -> bytes | None:
    """Return a file of the work tree; None where there is none.

    Raises:
        RepositoryError: if it is no plain file, has more than 64 MiB, or a link leads out of the work tree.
    """
    return worktree.read(checkout.path, name)


def write(checkout: Checkout, name: str, content: bytes) -> None:
    """Write one file of the work tree, with the directories above it.

    Raises:
        RepositoryError: if something else than a file is there, or a link leads out of the work tree.
    """
    worktree.write(checkout.path, name, content)


def base_moved(checkout: Checkout) -> bool:
    """Whether the base has got commits, or is gone, since it was cloned."""
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
        config: returns git configuration with credentials that hold; the checkout's own may have run out.

    Raises:
        RepositoryError: if it does not: another run, or a person, has moved or deleted it.
    """
    reference = f"refs/heads/{checkout.branch}"
    now = _references(checkout.path, "origin", config(), reference).get(reference)
    if now != head:
        raise RepositoryError(
            f"{checkout.branch} was moved from {head} to {now or 'nothing'} after this run had pushed it: "
            "the pull request is left to whoever moved it",
            hint="most likely another run of the service is under way: let it end, then look or run again",
        )


def read_at(checkout: Checkout, sha: str, name: str) -> bytes | None:
    """A file as a commit of the origin has it, on a branch or not; None where that commit has none.

    Raises:
        RepositoryError: if the origin does not hold that commit (any more).
    """
    git(checkout.path, "fetch", "--quiet", "--depth=1", "origin", sha, config=checkout.config)
    return read_blob(checkout, sha, name)


def read_blob(checkout: Checkout, sha: str, name: str) -> bytes | None:
    """Return a file as a commit that is here already has it; None where that commit has none."""
    if not git(checkout.path, "ls-tree", sha, "--", name):
        return None
    # Writes the very bytes to a file; what other commands print is text to us.
    path = checkout.path / git(checkout.path, "unpack-file", f"{sha}:{name}")
    content = path.read_bytes()
    path.unlink()
    return content


def _references(
    directory: Path, repository: str, config: Mapping[str, str], *patterns: str
) -> dict[str, str]:
    """Return the references of a remote repository: full name → full SHA.

    Git takes a pattern for the end of a name, too: a branch may be called ``refs/heads/main``.
    """
    lines = git(directory, "ls-remote", repository, *patterns, config=config).splitlines()
    return {name: sha for sha, _, name in (line.partition("\t") for line in lines)}


def _seen(path: Path, branch: str, config: Mapping[str, str]) -> tuple[str | None, str]:
    """Fetch a branch's newest commit and its parent; return it, and who made it if not fleetpgo."""
    reference = f"refs/heads/{branch}"
    above = {str(each) for each in PurePosixPath(reference).parents} - {"refs/heads", "refs", "."}
    there = _references(path, "origin", config, reference, f"{reference}/*", *above)
    for name in sorted(there.keys() - {reference}):
        if name in above or name.startswith(f"{reference}/"):
            other = name.removeprefix("refs/heads/")
            raise RepositoryError(
                f"the branch {other} is in the way of {branch}: git cannot have both "
                "a branch `a` and a branch `a/b`",
                hint=f"delete or rename the branch {other}",
            )
    if reference not in there:
        return None, ""
    git(path, "fetch", "--quiet", "--depth=2", "origin", reference, config=config)
    # The committer too: an amended commit keeps its author.
    people = git(path, "show", "--no-patch", "--format=%ae%x09%an%n%ce%x09%cn", "FETCH_HEAD").splitlines()
    others = [name for email, _, name in (line.partition("\t") for line in people) if email != BOT_EMAIL]
    who = foreign.line(others[0], _LONGEST_NAME) if others else ""
    return git(path, "rev-parse", "FETCH_HEAD"), who


def content_of(path: Path, sha: str) -> str:
    """Return a commit's tree and parents. Commits with the same ones are the same proposal."""
    return git(path, "show", "--no-patch", "--format=%T %P", sha)
