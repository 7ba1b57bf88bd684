"""Reasons to leave a branch and its pull request alone: people's wishes come first.

As with Renovate and Dependabot, somebody else's commit on the branch stops the updates, and so does a label.
fleetpgo reads both from the forge at each run and stores them nowhere else.
"""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from fleetpgo.errors import FleetPGOError, ForgeError, RepositoryError
from fleetpgo.proposal.updating import only_updated
from fleetpgo.service.rules import GROUP_BRANCH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fleetpgo.proposal.checkout import Checkout
    from fleetpgo.proposal.forges import Forge, PullRequest

TAKE_OVER = "fleetpgo/take-over"
"""The label that makes the bot go on: over a person's commit, or after a rejection."""

DO_NOT_UPDATE = "fleetpgo/do-not-update"
"""The label that stops all updates."""

REBASE = "fleetpgo/rebase"
"""The label that has the branch made anew from its base now."""

REBASE_BOX = "<!-- fleetpgo:rebase -->"
"""Stands after the box in a pull request's text that does the same."""

POINTLESS = "pointless"
"""The comment with which fleetpgo closes a pull request."""

_TAKEN_BACK = "fleetpgo does not close this any more"

_FOREIGN_COMMIT = "foreign-commit"
"""The comment that says whose commit stops the updates, and how to resume."""


def hands_off(forge: Forge, checkout: Checkout, found: PullRequest | None) -> str:
    """Say why the branch and its pull request must be left alone; "" if they need not be.

    The label to take over counts for the one commit that our comment names, because the person who added it
    knew of no later one. If another commit is the newest, the label is removed and the comment names that
    commit.

    Args:
        forge: takes the one comment that says how to resume, if a foreign commit is in the way.
        checkout: the clone, which has seen the branch.
        found: the branch's pull request, open or the newest; None without one, or if that is not to be asked.

    Raises:
        RepositoryError: if a foreign commit is in the way and there is no pull request to say so on.
        ForgeError: if the comment cannot be made, or a label that does not count cannot be taken off.
    """
    if found and found.state != "merged" and DO_NOT_UPDATE in found.labels:
        return f"pull request {found.number} has the label {DO_NOT_UPDATE}"
    # The forge's "Update branch" merges the base in a person's name: nobody's work is lost with it.
    if not checkout.foreign or only_updated(checkout):
        return ""
    stopped = f"the newest commit of {checkout.branch} is by {checkout.foreign}"
    if found is None:
        raise RepositoryError(
            f"{stopped}, and the branch has no pull request",
            hint=f"delete or rename the branch {checkout.branch} if it is not needed, then run again",
        )
    if found.state == "merged" and found.head == checkout.seen:
        return ""  # all of it is in the base: nothing of theirs is lost
    if TAKE_OVER in found.labels:
        if str(checkout.seen) in forge.read_comment(found.number, _FOREIGN_COMMIT):
            return ""
        # Before the comment names the commit: until then the label counts for none.
        forge.label(found.number, remove=TAKE_OVER)
        stopped += f", and the label {TAKE_OVER} was not added for it"
    forge.comment(found.number, _stopped(checkout), _FOREIGN_COMMIT)
    return f"{stopped}; a comment on pull request {found.number} says how to resume"


def closed_as_pointless(forge: Forge, pull_request: PullRequest) -> bool:
    """Return whether fleetpgo closed it, as it is now: it may have been reopened, and closed by a person.

    Of a group's, such a comment tells until it is taken back: another service may have pushed just when the
    last one left, and then it is closed at another commit.
    """
    said = forge.read_comment(pull_request.number, POINTLESS)
    if said.startswith(_TAKEN_BACK):
        return False
    # Comments of before 0.2 do not name the commit.
    return bool(said) and (
        pull_request.branch.startswith(GROUP_BRANCH)
        or "closes this at" not in said
        or pull_request.head in said
    )


def take_back(forge: Forge, pull_request: PullRequest, who: str) -> None:
    """Have the comment that an open pull request is closed not count any more: a service has joined.

    Who closes it from now on is a person, who rejects what is in it.
    """
    said = forge.read_comment(pull_request.number, POINTLESS)
    if said and not said.startswith(_TAKEN_BACK) and forge.get(pull_request.number).state == "open":
        forge.comment(pull_request.number, f"{_TAKEN_BACK}: {who} has joined.", POINTLESS)


@contextmanager
def obeying_take_over(forge: Forge, found: PullRequest | None) -> Iterator[None]:
    """Remove the label to take over before the push in the body; add it again if the body fails.

    If the label stayed, the next run would discard what people commit after this one.

    Raises:
        ForgeError: if it cannot be taken off; then nothing is pushed.
    """
    if found is None or TAKE_OVER not in found.labels:
        yield
        return
    try:
        forge.label(found.number, remove=TAKE_OVER)
        yield
    except FleetPGOError:
        # The next run goes on from here. If the forge is down, the person has to ask once more.
        with suppress(ForgeError):
            forge.label(found.number, add=(TAKE_OVER,))
        raise


def wants_rebase(found: PullRequest) -> bool:
    """Return whether somebody asks, by the label or the box, to have the branch made anew now."""
    return (
        REBASE in found.labels
        or re.search(rf"^- \[[xX]\] {REBASE_BOX}", found.body, re.MULTILINE) is not None
    )


def without_rebase(forge: Forge, found: PullRequest) -> None:
    """Take the label off and untick the box: what was asked for is done, or cannot be."""
    if REBASE in found.labels:
        forge.label(found.number, remove=REBASE)
    body = re.sub(rf"^- \[[xX]\] {REBASE_BOX}", f"- [ ] {REBASE_BOX}", found.body, flags=re.MULTILINE)
    if body != found.body:
        forge.update(found.number, found.title, body)


def _stopped(checkout: Checkout) -> str:
    """Return the comment about somebody else's commit. It names no run, so it stays the same."""
    return (
        "fleetpgo no longer updates this branch and this pull request: somebody else wrote the newest "
        f"commit, {checkout.seen}.\n\n"
        f"To resume the updates, add the label `{TAKE_OVER}`. The next run then **discards every commit of "
        "others on this branch** and makes it anew from its base. The label counts only for this commit: if "
        "another commit is the newest by then, fleetpgo removes the label and discards nothing.\n\n"
        "You can also merge this pull request as it is, or close it."
    )
