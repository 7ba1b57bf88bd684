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
"""Author of the commits. The address can never exist, so no person is taken for the author."""

_TIMEOUT = 600.0
"""Seconds that one git command may take: a clone over a slow line, not one that hangs."""

_ALL_COMMITS = "--depth=2147483647"
"""Git's own "infinite" depth; --unshallow fails where the one commit of a clone is all there is."""

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
        directory: where it runs; the root of the repository, where the command is about one.
        arguments: the command's arguments; they are visible to everybody on the machine.
        config: git configuration for this command, through its environment; may hold credentials.

    Raises:
        RepositoryError: if it fails or takes longer than ten minutes, with git's own words.
    """
    entries = {**_ALWAYS, **(config or {})}
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | {
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
        content = content_of(path, seen) if seen else ""
        yield Checkout(
            path, url, base, git(path, "rev-parse", "HEAD"), branch, seen, foreign, config, content
        )


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


def changed_files(checkout: Checkout, before: str, after: str) -> set[str]:
    """Return the paths that differ between two commits."""
    names = git(checkout.path, "diff-tree", "-r", "-z", "--name-only", "--no-renames", before, after)
    return set(names.split("\0")) - {""}


def write(checkout: Checkout, name: str, content: bytes) -> None:
    """Write one file of the work tree, with the directories above it."""
    path = checkout.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def base_moved(checkout: Checkout) -> bool:
    """Whether the base has got commits, or is gone, since it was cloned."""
    reference = f"refs/heads/{checkout.base}"
    # By its address and in an empty directory: what the clone calls its origin, a build may have changed.
    with tempfile.TemporaryDirectory(prefix="fleetpgo-") as directory:
        now = git(Path(directory), "ls-remote", checkout.url, reference, config=checkout.config)
    return now.partition("\t")[0] != checkout.base_commit


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


def content_of(path: Path, sha: str) -> str:
    """Return a commit's tree and parents; commits with the same ones are the same proposal."""
    return git(path, "show", "--no-patch", "--format=%T %P", sha)
