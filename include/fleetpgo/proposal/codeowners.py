"""Who owns a file, by the CODEOWNERS that GitHub, GitLab and Gitea read.

The last line that matches counts; in Gitea, whose patterns are regular expressions, all that match do.
GitLab's sections are read as if they were one list.
"""

from __future__ import annotations

import json
import logging
import operator
import re
import sys
import tempfile
from fnmatch import fnmatchcase
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from fleetpgo.golang import processes
from fleetpgo.proposal.blobs import read_blob

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fleetpgo.proposal.checkout import Checkout
    from fleetpgo.proposal.forges import Kind
    from fleetpgo.service.review import ReviewRules
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)

WORD = "CODEOWNERS"
"""In `review.reviewers`: whom that file names."""

PLACES = {
    "github": (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"),
    "gitlab": ("CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS"),
    "gitea": ("CODEOWNERS", "docs/CODEOWNERS", ".gitea/CODEOWNERS"),
    "local": ("CODEOWNERS", "docs/CODEOWNERS", ".github/CODEOWNERS"),
}
"""Where each kind of forge looks; the first one that is there counts."""

_MOST = 1 << 15
"""Characters of expressions that are read: they must fit into one argument of a command."""

_SECONDS = 10.0

_MATCHES = """import json, re, sys
path, patterns = sys.argv[1], json.loads(sys.argv[2])
found = []
for number, pattern in enumerate(patterns):
    try:
        if (re.fullmatch(pattern.removeprefix("!"), path) is not None) != pattern.startswith("!"):
            found.append(number)
    except (re.error, OverflowError, RecursionError):
        pass
print(json.dumps(found))
"""
"""In a process of its own: an expression may take for ever."""


def owners(checkout: Checkout, path: str, kind: Kind) -> tuple[str, ...]:
    """Return the users and teams that own a file, without ``@``; addresses are left out.

    Args:
        checkout: a repository that has the base.
        path: of the file, which need not exist.
        kind: whose patterns they are.
    """
    lines = list(_lines(checkout, kind))
    if kind == "gitea":
        chosen = [lines[number][1] for number in _expressions_that_match([each for each, _ in lines], path)]
    else:
        chosen = [names for pattern, names in lines if _matches(pattern, path, kind)][-1:]
    found = tuple(dict.fromkeys(name for names in chosen for name in names))
    if not found:
        _log.warning("no CODEOWNERS of %s names an owner of %s", checkout.base, path)
    return found


def with_owners(service: ServiceRules, checkout: Checkout, path: str) -> ReviewRules:
    """Return a service's rules of review, with the owners of a file in the place of the word CODEOWNERS."""
    review = service.review
    if WORD not in review.reviewers:
        return review
    named = owners(checkout, path, service.repository.forge)
    people = [each for name in review.reviewers for each in (named if name == WORD else (name,))]
    return review.model_copy(update={"reviewers": tuple(dict.fromkeys(people))})


def _lines(checkout: Checkout, kind: Kind) -> Iterator[tuple[str, tuple[str, ...]]]:
    for place in PLACES[kind]:
        content = read_blob(checkout, checkout.base_commit, place)
        if content is None:
            continue
        for line in content.decode(errors="replace").splitlines():
            # A "#" in a pattern is written "\#".
            pattern, *names = re.sub(r"(?<!\\)#.*", "", line).split() or [""]
            if pattern and not (kind == "gitlab" and pattern.startswith(("[", "^["))):
                yield pattern, tuple(each[1:] for each in names if each.startswith("@"))
        return


def _expressions_that_match(patterns: list[str], path: str) -> list[int]:
    """Return the numbers of the regular expressions that match a path; none if that takes too long."""
    sizes = accumulate(len(each) for each in patterns)
    read = [
        each if each.isprintable() and size <= _MOST else "$^"
        for each, size in zip(patterns, sizes, strict=True)
    ]
    if left := sum(map(operator.ne, read, patterns)):
        _log.warning(
            "CODEOWNERS: %d expressions are left out: beyond %d characters, or unprintable", left, _MOST
        )
    command = (sys.executable, "-I", "-c", _MATCHES, path, json.dumps(read, ensure_ascii=False))
    ended = processes.capture(command, Path(tempfile.gettempdir()), {}, seconds=_SECONDS)
    if ended.failed:
        _log.warning("CODEOWNERS is left out: its expressions take too long to match, or cannot be read")
        return []
    found: list[int] = json.loads(ended.output)
    return found


def _matches(pattern: str, path: str, kind: Kind) -> bool:
    """Return whether a pattern as in .gitignore, without its classes of letters, is of a path.

    GitLab's differ: without a slash at its beginning, one is of any depth; without one at its end, of a file.
    https://docs.gitlab.com/user/project/codeowners/reference/
    """
    wanted = [_as_glob(part) for part in pattern.strip("/").split("/")]
    if not pattern.startswith("/") and (kind == "gitlab" or "/" not in pattern.rstrip("/")):
        wanted.insert(0, "**")
    # Elsewhere a name stands for all below it; `docs/*` for the files right in it alone.
    if pattern.endswith("/") or (kind != "gitlab" and not wanted[-1].endswith("*")):
        wanted.append("**")
    return _parts_match(wanted, path.split("/"))


def _as_glob(part: str) -> str:
    """Return a pattern's part as :mod:`fnmatch` reads it: a bracket and what is escaped mean themselves."""

    def literal(found: re.Match[str]) -> str:
        letter = found[1] or "["
        return f"[{letter}]" if letter in "*?[" else letter

    return re.sub(r"\\(.)|\[", literal, part)


def _parts_match(wanted: list[str], parts: list[str]) -> bool:
    """Return whether the parts of a pattern match those of a path; ``**`` is any number of parts."""
    reached = {0}  # how many parts of the path what was seen of the pattern may match
    for each in wanted:
        if each == "**":
            reached = set(range(min(reached), len(parts) + 1)) if reached else set()
        else:
            reached = {at + 1 for at in reached if at < len(parts) and fnmatchcase(parts[at], each)}
    return len(parts) in reached
