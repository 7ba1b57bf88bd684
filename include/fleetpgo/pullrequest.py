"""That there is one pull request for a change, and what programs read in it.

What it says to people is :mod:`fleetpgo.description`'s part.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleetpgo.config import Review
    from fleetpgo.forges import Forge, PullRequest


HANDED_OVER = "fleetpgo"
"""The label that says: reviewers, assignees and all other labels are set."""


@dataclass(frozen=True)
class Marker:
    """What a program reads in the body of a pull request.

    Attributes:
        run: id of the run that wrote the body.
        profile: first 12 hex digits of the SHA-256 of the profile that it proposes.
    """

    run: str
    profile: str


def marker_line(about: Marker) -> str:
    """The line of a body that :func:`marker` reads back; no forge shows it."""
    # A ">" in the run's id could end the comment early.
    text = json.dumps(asdict(about)).replace(">", r"\u003e")
    return f"<!-- fleetpgo {text} -->"


def marker(text: str) -> Marker | None:
    """The marker in the body of a pull request; None where there is none that can be read."""
    # The last one: whatever a name or reason further up may look like, ours is at the end.
    lines = re.findall(r"^<!-- fleetpgo (\{.*\}) -->\s*$", text, re.MULTILINE)
    try:
        return Marker(**json.loads(lines[-1]))
    except (IndexError, TypeError, ValueError):
        return None


def ensure_pull_request(
    forge: Forge, branch: str, base: str, title: str, body: str, review: Review
) -> PullRequest:
    """The one open pull request from a branch, with this base, title and body: found, updated or opened.

    The label `fleetpgo` is put on it last. Where it is missing, handing the pull request over was cut off,
    and is done again; where it is there, people's changes to reviewers and labels are left as they are.

    Raises:
        ForgeError: if the forge cannot be reached, or refuses.
    """
    found = forge.find(branch)
    if found is None or found.state != "open":
        found = forge.create(branch, base, title, body, draft=review.draft)
    elif (found.title, found.body, found.base) != (title, body, base):
        found = forge.update(found.number, title, body, base if found.base != base else None)
    if HANDED_OVER not in found.labels:
        forge.hand_over(found.number, review)
        forge.label(found.number, add=(*review.labels, HANDED_OVER))
    return found
