"""Merging a pull request into its base in every way that a forge has, by real git in a bare repository.

As a real Forgejo was seen to do it: what it then calls ``merge_commit_sha`` is the newest commit of the base,
whoever made it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fleetpgo.proposal.git import git

if TYPE_CHECKING:
    from collections.abc import Mapping

MERGES = ("merge", "squash", "rebase", "rebase-merge", "fast-forward-only", "manually-merged")
ADA = {"user.name": "Ada", "user.email": "ada@example.com"}
"""A person, as git's configuration."""


def push_files(bare: Path, branch: str, files: Mapping[str, str | None]) -> str:
    """Commit files to a branch as a person does; None removes one. Return the full SHA."""
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory) / "work"
        git(Path(directory), "clone", "--quiet", "--branch", branch, bare.as_uri(), str(work))
        for name, text in files.items():
            file = work / name
            if text is None:
                file.unlink()
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
        git(work, "add", "--all", "--force")
        git(work, "commit", "--quiet", "--message", f"Edit {', '.join(files)}", config=ADA)
        git(work, "push", "--quiet", "origin", f"HEAD:{branch}")
        return git(work, "rev-parse", "HEAD")


def merge(bare: Path, base: str, head: str, how: str) -> str:
    """Merge a branch or commit into a base, and return what the forge calls the merge commit.

    Args:
        bare: the repository.
        base: the branch that is merged into.
        head: the branch or the full SHA of the newest commit of the pull request.
        how: one of :data:`MERGES`. ``manually-merged``: a person merges in a clone of their own, and pushes
            that together with one more commit of theirs, in the file NEWS.
    """
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory) / "work"

        def run(*arguments: str) -> str:
            return git(work, *arguments, config=ADA)

        git(Path(directory), "clone", "--quiet", "--branch", base, bare.as_uri(), str(work))
        run("fetch", "--quiet", "origin", head)
        tip = run("rev-parse", "FETCH_HEAD")
        match how:
            case "merge":
                run("merge", "--quiet", "--no-ff", "--message", "Merge the pull request", tip)
            case "squash":
                run("merge", "--quiet", "--squash", tip)
                run("commit", "--quiet", "--message", "Squash the pull request")
            case "rebase":
                run("rebase", "--quiet", "HEAD", tip)
            case "rebase-merge":
                run("checkout", "--quiet", "-b", "rebased", tip)
                run("rebase", "--quiet", f"origin/{base}")
                run("checkout", "--quiet", base)
                run("merge", "--quiet", "--no-ff", "--message", "Merge the pull request", "rebased")
            case "fast-forward-only":
                run("merge", "--quiet", "--ff-only", tip)
            case "manually-merged":
                run("merge", "--quiet", "--no-ff", "--message", "Merge by hand", tip)
                (work / "NEWS").write_text("merged\n")
                run("add", "--force", "NEWS")
                run("commit", "--quiet", "--message", "Tell the news")
            case _:
                raise ValueError(how)
        run("push", "--quiet", "origin", f"HEAD:refs/heads/{base}")
        return run("rev-parse", "HEAD")
