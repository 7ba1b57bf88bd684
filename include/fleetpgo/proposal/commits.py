"""Git: commit a few files on top of a base, and push them to one branch; never where a build has been.

A build may write anything into the clone that it runs in: a hook, a remote that is a program, files in the
index. So the commit is made and pushed in a repository of its own, which is made after the build.
"""

from __future__ import annotations

import logging
import re
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fleetpgo import foreign
from fleetpgo.errors import RepositoryError
from fleetpgo.proposal.blobs import changed_files, unpacked
from fleetpgo.proposal.checkout import content_of, write
from fleetpgo.proposal.git import git
from fleetpgo.proposal.signing import Entry, signing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fleetpgo.proposal.checkout import Checkout
    from fleetpgo.proposal.signing import MakeCommit

_LONGEST_NAME = 200

_log = logging.getLogger(__name__)

_NO_FILTER = ("unspecified", "unset", "")
"""Values of git's attribute ``filter`` for a file without a filter."""


@contextmanager
def start_anew(checkout: Checkout) -> Iterator[Checkout]:
    """Make a new repository for the commit and the push, which no build has touched.

    It has the base's commit, no file in its work tree, and goes when the block ends. It is made after the
    build, because file modes hide nothing from a build: it runs as the same user.

    Args:
        checkout: the clone that a build has run in, with credentials that still hold; nothing in its
            directory is read.

    Raises:
        RepositoryError: if git fails.
    """
    with tempfile.TemporaryDirectory(prefix="fleetpgo-", ignore_cleanup_errors=True) as directory:
        path = Path(directory)
        git(path, "init", "--quiet", "--template=")
        git(path, "remote", "add", "origin", checkout.url)
        # Where the server can leave the files out, git fetches the few .gitattributes that it needs later.
        git(
            path,
            *("fetch", "--quiet", "--depth=1", "--no-tags", "--filter=blob:none"),
            *("origin", checkout.base_commit),
            config=checkout.config,
        )
        yield replace(checkout, path=path)


def commit(
    checkout: Checkout,
    files: Mapping[str, bytes | None],
    message: str,
    *,
    exact: str | None = None,
    trailers: str = "",
) -> str:
    """Commit files on top of the base, signed off, and nothing else that lies in the work tree or the index.

    If the branch's newest commit already has the same parent and the same tree, that commit is returned: a
    new one would only have another date, and restart every check on the forge. A signed commit is made anew:
    the one that is there may not be signed.

    Args:
        checkout: the clone; after a build, the repository of :func:`start_anew`.
        files: path and content of each file, written here; None removes it.
        message: the commit message.
        exact: the file whose bytes must be committed unchanged. The others are text; git may convert their
        line endings.
        trailers: lines before the one that signs it off.

    Returns:
        Full SHA of the commit.

    Raises:
        RepositoryError: if nothing differs from the base, git would not commit the very bytes, or one of the
            files is a link or a submodule on the base.
    """
    path, base = checkout.path, checkout.base_commit
    git(path, "read-tree", base, config=checkout.config)
    for name, content in files.items():
        _require_file(checkout, name)
        if content is None:
            git(path, "update-index", "--force-remove", "--", name)
            continue
        write(checkout, name, content)
        # The mode of the base stays: here the file is new, and no program.
        modes = {**checkout.config, "core.fileMode": "false"}
        git(path, "update-index", "--add", "--", name, config=modes)
    _require_bytes(checkout, [name for name, content in files.items() if content is not None], exact)
    # --missing-ok: the files that the fetch left out are the origin's own.
    tree = git(path, "write-tree", "--missing-ok")
    if tree == git(path, "rev-parse", f"{base}^{{tree}}"):
        raise RepositoryError(
            f"{', '.join(files)} would be the same as on {checkout.base}: there is nothing to commit",
            hint="nothing needs to be done",
        )
    identity = checkout.identity
    made = commit_tree(checkout, tree, base, f"{message.rstrip()}\n\n{trailers}{identity.signature}")
    if others := changed_files(checkout, base, made) - files.keys():
        raise RepositoryError(
            f"the commit would change {', '.join(sorted(others))}, too, so it is not pushed",
            hint="report this as a bug of fleetpgo",
        )
    if checkout.seen and not identity.signs and checkout.content == content_of(path, made):
        return checkout.seen
    return made


def commit_tree(
    checkout: Checkout, tree: str, parent: str, message: str, author: tuple[str, str] | None = None
) -> str:
    """Make a commit of a tree, in the checkout's identity and signed as that says. Returns its full SHA.

    Args:
        checkout: the repository of :func:`start_anew`, which holds the tree.
        tree: full SHA of the tree.
        parent: full SHA of the commit before it; if the forge makes the commit, it has to be there.
        message: of the commit.
        author: name and address of another author; a forge makes commits in the name of its app alone.

    Raises:
        RepositoryError: git fails, or the forge has made another commit.
        ForgeError: the forge makes none, or does not sign it.
    """
    identity = checkout.identity
    if identity.make is not None:
        return _made_by_forge(checkout, identity.make, tree, parent, message)
    with signing(identity) as config, tempfile.NamedTemporaryFile(prefix="fleetpgo-") as file:
        # A file: what stands on the command line may have 128 KiB.
        file.write(f"{message.rstrip()}\n".encode())
        file.flush()
        other = {"author.name": author[0], "author.email": author[1]} if author else {}
        return git(
            checkout.path,
            *("commit-tree", *(["-S"] if identity.sign else []), "-p", parent, "-F", file.name, tree),
            config={**config, **other},
        )


def _made_by_forge(checkout: Checkout, make: MakeCommit, tree: str, parent: str, message: str) -> str:
    """Have the forge make the commit of a tree, and fetch it. Returns its full SHA."""
    path = checkout.path
    entries: list[Entry] = []
    for name in sorted(changed_files(checkout, parent, tree)):
        found = git(path, "ls-tree", tree, "--", name)
        if not found:
            entries.append(Entry(name, "100644", None))
            continue
        mode, _, blob = found.partition("\t")[0].split()
        entries.append(Entry(name, mode, unpacked(checkout, blob, name)))
    made = make(entries, parent, git(path, "rev-parse", f"{parent}^{{tree}}"), message)
    # As deep as what is here: to cut it off at a commit that is on no branch yet would have the push refused.
    fetched = ("fetch", "--quiet", "--no-tags", "--filter=blob:none", "origin", made)
    git(path, *fetched, config=checkout.config)
    if git(path, "show", "--no-patch", "--format=%T %P", made) != f"{tree} {parent}":
        raise RepositoryError(
            f"the forge made another commit than it was asked for, {made}, so it is not pushed",
            hint="report this as a bug of fleetpgo",
        )
    who = git(path, "show", "--no-patch", "--format=%an <%ae>", made)
    if who.rpartition("<")[2].rstrip(">") != checkout.identity.email:
        raise RepositoryError(
            f"the forge made the commit in the name of {foreign.line(who, _LONGEST_NAME)}",
            hint="set commit.author to that: it tells fleetpgo's commits from people's",
        )
    return made


def difference(checkout: Checkout, head: str) -> str:
    """Return a commit against the base, as ``git diff`` shows it; of bytes only that they differ.

    Args:
        checkout: the repository of :func:`start_anew`.
        head: full SHA of the commit.
    """
    plain = ("--no-color", "--no-ext-diff", "--no-textconv")
    return git(checkout.path, "diff", *plain, checkout.base_commit, head, config=checkout.config)


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
        raise RepositoryError(
            f"the push to {checkout.branch} was refused: {error.message}",
            hint=_mended_by(error.message, checkout.branch),
        ) from error
    _log.info("pushed %s to %s", head, checkout.branch)


_CAUSES = (
    (
        "stale info|fetch first|non-fast-forward",
        "somebody else, most likely another run, moved the branch meanwhile; nothing is lost: run again",
    ),
    (
        r"returned error: 5\d\d|HTTP 5\d\d",
        "the forge, or a proxy before it, stumbled: see whether it is well, then run again",
    ),
    (
        r"returned error: 401|HTTP 401|Authentication failed|could not read Username",
        "the connection's token is wrong or has expired: make a new one",
    ),
    (
        r"unverified commit|must have (?:verified|valid) signatures|not signed|unsigned",
        "sign commits (commit.sign), or let no rule that requires signatures cover {branch}",
    ),
    (
        r"protected|GH006|GH013|rule violations|force.push",
        "let no branch protection or ruleset cover {all}/*: each run makes the branch anew from its base",
    ),
    (
        r"returned error: 403|HTTP 403|[Pp]ermission .*denied|not allowed to push",
        "let the token write to the contents of this repository",
    ),
    (
        r"No space left|no space left|quota",
        "the forge has no room: free some, then run again",
    ),
)
"""What git or the forge says of a push that is refused, and what to do. The first that fits counts."""


def _mended_by(words: str, branch: str) -> str:
    """Return what to do about a push that was refused."""
    for pattern, hint in _CAUSES:
        if re.search(pattern, words):
            return hint.format(branch=branch, all=branch.partition("/")[0])
    return f"the words above are the forge's own: let it take pushes to {branch}, then run again"


def _require_file(checkout: Checkout, name: str) -> None:
    """Refuse a path that is a link or a submodule on the base: a build sees what that leads to."""
    mode = git(checkout.path, "ls-tree", checkout.base_commit, "--", name).partition(" ")[0]
    if mode not in ("", "100644", "100755"):
        raise RepositoryError(
            f"{name} is not a file on {checkout.base}, but {'a link' if mode == '120000' else 'a directory'}",
            hint="put a file of its own there, or name another path in the service file (repository.profile, "
            "repository.makefile)",
        )


def require_committable(checkout: Checkout, name: str) -> None:
    """Refuse a link, and a path that a filter of the repository's .gitattributes converts, as Git LFS does.

    It takes no time, so it comes before the builds.

    Args:
        checkout: the clone, which no build has touched.
        name: path of the file, which need not exist.

    Raises:
        RepositoryError: if so.
    """
    _require_file(checkout, name)
    if _filtered(checkout, [name]):
        raise _converted(name)


def _filtered(checkout: Checkout, names: Sequence[str], *options: str) -> set[str]:
    """Return the paths for which .gitattributes names a filter."""
    told = git(checkout.path, "check-attr", *options, "-z", "filter", "--", *names, config=checkout.config)
    values = told.split("\0")[2::3]
    return {name for name, value in zip(names, values, strict=False) if value not in _NO_FILTER}


def _require_bytes(checkout: Checkout, names: Sequence[str], exact: str | None) -> None:
    """Refuse a file whose bytes the repository's .gitattributes would change, for example by a filter."""
    if not names:
        return
    path = checkout.path
    # No filter is set up here, so git would commit the bytes and every clone would show the file as edited.
    converted = _filtered(checkout, names, "--cached")
    if exact in names and git(path, "rev-parse", f":{exact}") != git(
        path, "hash-object", "--no-filters", "--", str(exact)
    ):
        converted.add(str(exact))
    if converted:
        raise _converted(min(converted))


def _converted(name: str) -> RepositoryError:
    return RepositoryError(
        f"git would commit {name} with other bytes than it has",
        hint=f"a .gitattributes of the repository converts it; add the line `{name} -text -filter`",
    )
