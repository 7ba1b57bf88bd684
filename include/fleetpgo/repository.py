"""Git: clone a repository's base branch, commit a few files on top of it, push them to one branch.

Git itself is run, with its own words in the errors. Credentials reach it only through its environment
(``GIT_CONFIG_COUNT`` …): never by URL, argument or file, so they cannot stay behind in ``.git/config``. No
configuration of the user or the system has a say, only ``gitconfig`` beside this module.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fleetpgo.errors import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_log = logging.getLogger(__name__)

BOT_NAME = "fleetpgo"
BOT_EMAIL = "fleetpgo@localhost.invalid"
"""Who the commits are by. The address can never exist, so no person is ever taken for the author."""

_TIMEOUT = 600.0
"""Seconds that one git command may take: a clone over a slow line, not one that hangs."""

_ALL_COMMITS = "--depth=2147483647"
"""Git's own "infinite" depth; --unshallow fails where the one commit of a clone is all there is."""

_CONFIGURATION = Path(__file__).with_name("gitconfig")

_PASSED_ON = (
    "PATH",
    "TMPDIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTPS_PROXY",
    "NO_PROXY",
    "GIT_SSL_CAINFO",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
"""The variables of the caller that git sees: how to find programs and the network."""


def git(directory: Path, *arguments: str, config: Mapping[str, str] | None = None) -> str:
    """Run one git command and return what it prints, stripped.

    Args:
        directory: where it runs.
        arguments: the command's arguments; they are visible to everybody on the machine.
        config: git configuration for this command, through its environment; may hold credentials.

    Raises:
        RepositoryError: if it fails or takes longer than ten minutes, with git's own words.
    """
    entries = {"user.name": BOT_NAME, "user.email": BOT_EMAIL, **(config or {})}
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | {
        "LC_ALL": "C.UTF-8",
        "HOME": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(_CONFIGURATION),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_COUNT": str(len(entries)),
    }
    for index, (key, value) in enumerate(entries.items()):
        environment |= {f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value}
    shown = f"git {arguments[0]}"
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        # Without its cause: that would carry whatever the command printed.
        raise RepositoryError(
            f"`{shown}` did not end within {_TIMEOUT:g} s",
            hint="see whether the forge answers, then run again",
        ) from None
    except FileNotFoundError as error:
        raise RepositoryError(
            "there is no `git` on the PATH", hint="install git where the task runs"
        ) from error
    if done.returncode:
        raise RepositoryError(f"`{shown}` failed: {redact(done.stderr.strip() or done.stdout.strip())}")
    return done.stdout.strip()


def redact(text: str) -> str:
    """Text without the user names and passwords of the URLs in it."""
    return re.sub(r"(?<=://)[^/\s@]+@", "", text)


@dataclass(frozen=True)
class Checkout:
    """A clone of one branch, with the work tree at its newest commit.

    Attributes:
        path: the work tree.
        base: the branch that was cloned.
        base_commit: full SHA of its newest commit.
        branch: the branch that commits are pushed to.
        seen: full SHA of that branch's newest commit when it was cloned; None where there was no such branch.
        foreign: who made that commit, if not we; "" if we did, or there is none.
        config: git configuration with the credentials; not shown.
    """

    path: Path
    base: str
    base_commit: str
    branch: str
    seen: str | None
    foreign: str
    config: Mapping[str, str] = field(repr=False)


@contextmanager
def clone(url: str, base: str, branch: str, *, config: Mapping[str, str]) -> Iterator[Checkout]:
    """Clone the newest commit of a base branch into a temporary directory, which goes when the block ends.

    Submodules and the files that Git LFS keeps come with it; older commits do not, see :func:`fetch_history`.

    Args:
        url: where from; holds no credentials.
        base: the branch to clone.
        branch: the branch that commits will be pushed to; need not be there.
        config: git configuration with the credentials, see Forge.git_config.

    Raises:
        RepositoryError: if it cannot be cloned, with git's own words; or if it needs Git LFS and there is
            none.
    """
    with tempfile.TemporaryDirectory(prefix="fleetpgo-", ignore_cleanup_errors=True) as directory:
        path = Path(directory) / "checkout"
        _log.info("cloning %s of %s", base, redact(url))
        try:
            git(
                Path(directory),
                *("clone", "--quiet", "--depth=1", "--single-branch", "--branch", base, url, str(path)),
                config=config,
            )
        except RepositoryError as error:
            raise RepositoryError(
                f"{redact(url)} cannot be cloned: {error.message}",
                hint="check project and base in the service file, and address and token of the connection",
            ) from error
        _fetch_parts(path, url, config)
        seen, foreign = _seen(path, branch, config)
        yield Checkout(path, base, git(path, "rev-parse", "HEAD"), branch, seen, foreign, config)


def _fetch_parts(path: Path, url: str, config: Mapping[str, str]) -> None:
    """Fetch what git's clone leaves out of the work tree: submodules, and the files that Git LFS keeps."""
    if (path / ".gitmodules").is_file():
        # Git follows a submodule to a directory of this machine only if told to; a repository that comes
        # from one is asked for just that, any other could read files that are none of its business.
        local = {"protocol.file.allow": "always"} if url.startswith("file:") else {}
        git(
            path,
            *("submodule", "update", "--quiet", "--init", "--recursive", "--depth=1"),
            config={**config, **local},
        )
    if git(path, "ls-files", ":(attr:filter=lfs)"):
        if not shutil.which("git-lfs"):
            raise RepositoryError(
                f"{redact(url)} keeps files in Git LFS, and there is no git-lfs on the PATH",
                hint="install git-lfs (https://git-lfs.com) where the task runs",
            )
        git(path, "lfs", "install", "--local", "--skip-repo")
        git(path, "lfs", "pull", config=config)


def fetch_history(checkout: Checkout) -> None:
    """Fetch the tags and the commits before the newest one, for a build that runs ``git describe``.

    Their files stay out, where the server can leave them out (``uploadpack.allowFilter``).

    Raises:
        RepositoryError: if git fails.
    """
    _log.info("the build asks git for its history: fetching tags and older commits")
    git(
        checkout.path,
        *("fetch", "--quiet", _ALL_COMMITS, "--tags", "--filter=tree:0", "origin", checkout.base),
        config=checkout.config,
    )


def commit(checkout: Checkout, files: Mapping[str, bytes], message: str, *, exact: str) -> str:
    """Commit files on top of the base, signed off, and nothing else that lies in the work tree.

    Where the branch's newest commit has the same parent and the same tree already, that commit is returned
    instead: to make it anew would only change its date, and start every check on the forge again.

    Args:
        checkout: the clone.
        files: path and content of each file, written here.
        message: the commit message.
        exact: the one of the files whose very bytes must be committed; the others are text, whose line ends
            are the repository's business.

    Returns:
        Full SHA of the commit.

    Raises:
        RepositoryError: if nothing differs from the base, or git would not commit the very bytes.
    """
    for name, content in files.items():
        write(checkout, name, content)
    # --force: the service file names these files, so a .gitignore has no say.
    git(checkout.path, "add", "--force", "--", *files)
    git(checkout.path, "commit", "--quiet", "--no-verify", "--signoff", "--message", message)
    committed = git(checkout.path, "rev-parse", f"HEAD:{exact}")
    if committed != git(checkout.path, "hash-object", "--no-filters", "--", exact):
        raise RepositoryError(
            f"git would commit {exact} with other bytes than it has",
            hint=f"a .gitattributes of the repository converts it; add the line `{exact} -text -filter`",
        )
    return _made(checkout)


def revert(checkout: Checkout, sha: str, message: str) -> str:
    """Commit the opposite of a commit of the base, signed off; of a merge, the opposite of what it brought.

    Returns:
        Full SHA of the commit; as of :func:`commit`, that of the branch's newest if it is the same.

    Raises:
        RepositoryError: if the base has changed since in the same places.
    """
    git(checkout.path, "fetch", "--quiet", "--depth=2", "origin", sha, config=checkout.config)
    parents = git(checkout.path, "show", "--no-patch", "--format=%P", sha).split()
    try:
        git(checkout.path, "revert", "--no-commit", *(("--mainline", "1") if parents[1:] else ()), sha)
    except RepositoryError as error:
        raise RepositoryError(
            f"{sha} cannot be reverted on {checkout.base}: {error.message}",
            hint="the same lines were changed since: revert it by hand",
        ) from error
    git(checkout.path, "commit", "--quiet", "--no-verify", "--signoff", "--message", message)
    return _made(checkout)


def write(checkout: Checkout, name: str, content: bytes) -> None:
    """Write one file of the work tree, with the directories above it."""
    path = checkout.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def base_moved(checkout: Checkout) -> bool:
    """Whether the base has got commits, or is gone, since it was cloned."""
    now = git(checkout.path, "ls-remote", "origin", f"refs/heads/{checkout.base}", config=checkout.config)
    return now.partition("\t")[0] != checkout.base_commit


def read_at(checkout: Checkout, sha: str, name: str) -> bytes | None:
    """A file as a commit of the origin has it, on a branch or not; None where that commit has none.

    Raises:
        RepositoryError: if the origin does not hold that commit (any more).
    """
    git(checkout.path, "fetch", "--quiet", "--depth=1", "origin", sha, config=checkout.config)
    if not git(checkout.path, "ls-tree", sha, "--", name):
        return None
    # Writes the very bytes to a file; what other commands print is text to us.
    path = checkout.path / git(checkout.path, "unpack-file", f"{sha}:{name}")
    content = path.read_bytes()
    path.unlink()
    return content


def push(checkout: Checkout, head: str) -> None:
    """Make the branch point to a commit, unless somebody else moved the branch since it was cloned.

    Raises:
        RepositoryError: if the branch was moved meanwhile, or the push is refused.
    """
    if head == checkout.seen:
        _log.info("%s holds this commit already: %s", checkout.branch, head)
        return
    reference = f"refs/heads/{checkout.branch}"
    try:
        git(
            checkout.path,
            *("push", "--quiet", f"--force-with-lease={reference}:{checkout.seen or ''}"),
            *("origin", f"{head}:{reference}"),
            config=checkout.config,
        )
    except RepositoryError as error:
        stale = "stale info" in error.message
        raise RepositoryError(
            f"the push to {checkout.branch} was refused: {error.message}",
            hint="somebody else, most likely another run, moved the branch since it was cloned, and nothing "
            "of theirs was overwritten: run again"
            if stale
            else "let the token write to this branch, and let no branch protection or ruleset cover "
            f"{checkout.branch.partition('/')[0]}/*: the branch is made anew from its base at each run",
        ) from error
    _log.info("pushed %s to %s", head, checkout.branch)


def _seen(path: Path, branch: str, config: Mapping[str, str]) -> tuple[str | None, str]:
    """The newest commit of a branch of the origin, fetched with its parent, and who else made it."""
    reference = f"refs/heads/{branch}"
    if not git(path, "ls-remote", "origin", reference, config=config):
        return None, ""
    git(path, "fetch", "--quiet", "--depth=2", "origin", reference, config=config)
    # The committer too: an amended commit keeps its author.
    people = git(path, "show", "--no-patch", "--format=%ae%x09%an%n%ce%x09%cn", "FETCH_HEAD").splitlines()
    foreign = [name for email, _, name in (line.partition("\t") for line in people) if email != BOT_EMAIL]
    return git(path, "rev-parse", "FETCH_HEAD"), foreign[0] if foreign else ""


def _made(checkout: Checkout) -> str:
    """The commit just made; or the one on the branch already, if it is the same proposal."""
    made = git(checkout.path, "rev-parse", "HEAD")
    if checkout.seen and _content(checkout.path, checkout.seen) == _content(checkout.path, made):
        return checkout.seen
    return made


def _content(path: Path, sha: str) -> str:
    """What makes a commit the same proposal: its tree and its parents."""
    return git(path, "show", "--no-patch", "--format=%T %P", sha)
