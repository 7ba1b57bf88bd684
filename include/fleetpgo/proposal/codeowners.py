"""Who owns a file, by the CODEOWNERS that GitHub, GitLab and Gitea read.

The last line that matches counts. GitLab's sections are read as if they were one list; Gitea's patterns are
regular expressions.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from fleetpgo.proposal.checkout import read_blob

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fleetpgo.proposal.checkout import Checkout
    from fleetpgo.proposal.forges import Kind
    from fleetpgo.service.review import ReviewRules
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)

WORD = "CODEOWNERS"
"""In `review.reviewers`: whom that file names."""

PLACES = ("CODEOWNERS", "docs/CODEOWNERS", ".github/CODEOWNERS", ".gitlab/CODEOWNERS", ".gitea/CODEOWNERS")


def owners(checkout: Checkout, path: str, kind: Kind) -> tuple[str, ...]:
    """Return the users and teams that own a file, without ``@``; addresses are left out.

    Args:
        checkout: a repository that has the base.
        path: of the file, which need not exist.
        kind: whose patterns they are.
    """
    found: tuple[str, ...] = ()
    for pattern, names in _lines(checkout):
        if _matches(pattern, path, kind):
            found = names
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


def _lines(checkout: Checkout) -> Iterator[tuple[str, tuple[str, ...]]]:
    for place in PLACES:
        content = read_blob(checkout, checkout.base_commit, place)
        if content is None:
            continue
        for line in content.decode(errors="replace").splitlines():
            # A "#" in a pattern is written "\#".
            pattern, *names = re.sub(r"(?<!\\)#.*", "", line).split() or [""]
            if pattern and not pattern.startswith(("[", "^[")):
                yield pattern, tuple(each[1:] for each in names if each.startswith("@"))
        return


def _matches(pattern: str, path: str, kind: Kind) -> bool:
    if kind == "gitea":
        try:
            negated = pattern.startswith("!")
            return (re.fullmatch(pattern.removeprefix("!"), path) is not None) != negated
        except re.error:
            return False
    anchored = "/" in pattern.rstrip("/")
    text = pattern.strip("/")
    expression = "".join(
        {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(token) or re.escape(token.lstrip("\\"))
        for token in re.findall(r"\*\*/|\*\*|\\.|.", text)
    )
    before = "" if anchored else "(?:.*/)?"
    # As in .gitignore, a name stands for all below it; `docs/*` for the files right in it alone.
    after = "" if text.endswith("*") and not pattern.endswith("/") else "(?:/.*)?"
    return re.fullmatch(f"{before}{expression}{after}", path) is not None
