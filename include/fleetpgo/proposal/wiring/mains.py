"""Guess, before any build, where the profile of a binary will belong.

A right guess spares a build: the first one has the empty file in place already. A wrong one costs nothing but
that; the build says what is right.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from fleetpgo.errors import RepositoryError
from fleetpgo.golang import worktree
from fleetpgo.proposal.git import git

if TYPE_CHECKING:
    from pathlib import Path

    from fleetpgo.proposal.git import Checkout

_IGNORED = re.compile(rb"^//go:build ignore\b", re.MULTILINE)


def main_packages(directory: Path) -> set[str]:
    """Return the directories of a clone that hold a package main; none if one of its files is no plain file.

    Args:
        directory: the root of the clone.
    """
    try:
        found = git(
            directory,
            *("grep", "-lzE", r"^package main\b", "--", "*.go"),
            *(":!*_test.go", ":!**/testdata/**", ":!vendor/**", ":!**/vendor/**"),
        )
        return {
            posixpath.dirname(name)
            for name in found.split("\0")
            if name and not _IGNORED.search(worktree.read(directory, name) or b"")
        }
    except RepositoryError:  # none is found, or one is no plain file
        return set()


def likely_profile(checkout: Checkout, binary: str) -> str | None:
    """Return the path of ``default.pgo`` beside the main package that a binary is likely made from.

    That is the one that is named as the binary, or the only one; None if there is none or are several.

    Args:
        checkout: the clone, which no build has touched.
        binary: path of the binary.
    """
    directories = main_packages(checkout.path)
    named = [each for each in directories if posixpath.basename(each) == posixpath.basename(binary)]
    likely = named or list(directories)
    return posixpath.join(likely[0], "default.pgo") if len(likely) == 1 else None
