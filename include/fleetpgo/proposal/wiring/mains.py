"""Guess, before any build, where the profile of a binary will belong.

A right guess saves a build, because the empty profile is in place for the first one. After a wrong guess the
build shows the right path, and is run once more.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from fleetpgo.errors import RepositoryError
from fleetpgo.golang import worktree
from fleetpgo.proposal.git import git

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_IGNORED = re.compile(rb"^//go:build ignore\b", re.MULTILINE)


def main_directories(clone: Path) -> list[str]:
    """Return the directories of a repository's main packages, relative to its root.

    Args:
        clone: its root; no build has touched it.
    """
    try:
        found = git(
            clone,
            *("grep", "-lzE", r"^package main\b", "--", "*.go"),
            *(":!*_test.go", ":!**/testdata/**", ":!vendor/**", ":!**/vendor/**"),
        )
        return sorted(
            {
                posixpath.dirname(name)
                for name in found.split("\0")
                if name and not _IGNORED.search(worktree.read(clone, name) or b"")
            }
        )
    except RepositoryError:  # none is found, or one is no plain file
        return []


def likely_profile(mains: Sequence[str], binary: str) -> str | None:
    """Return the path of ``default.pgo`` beside the main package that a binary is likely made from.

    That is the one that is named as the binary, or the only one; None if there is none or are several.

    Args:
        mains: directories of the main packages.
        binary: path of the binary.
    """
    named = [each for each in mains if posixpath.basename(each) == posixpath.basename(binary)]
    likely = named or mains
    return posixpath.join(likely[0], "default.pgo") if len(likely) == 1 else None
