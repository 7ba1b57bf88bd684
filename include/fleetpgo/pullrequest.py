"""That there is one pull request for a change, and what programs read in it.

What it says to people is :mod:`fleetpgo.description`'s part.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleetpgo.forges import Forge, PullRequest


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


def ensure_pull_request(forge: Forge, branch: str, base: str, title: str, body: str) -> PullRequest:
    """The one open pull request from a branch to a base, with this title and body: found, updated or opened.

    Raises:
        ForgeError: if the forge cannot be reached, or refuses.
    """
    found = forge.find(branch, base)
    if found is None:
        return forge.create(branch, base, title, body)
    if (found.title, found.body) == (title, body):
        return found
    return forge.update(found.number, title, body)
