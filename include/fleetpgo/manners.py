"""When a branch of ours and its pull request must be left alone: its reviewers' word goes before the bot's.

The manners are those of Renovate and Dependabot: a commit of somebody else on the branch stops the updates,
and a label does. What people want is read from the forge at each run and remembered nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetpgo.errors import RepositoryError

if TYPE_CHECKING:
    from fleetpgo.forges import Forge, PullRequest
    from fleetpgo.repository import Checkout

TAKE_OVER = "fleetpgo/take-over"
"""The label by which a person has the bot go on: over their own commit, or after a rejection."""

DO_NOT_UPDATE = "fleetpgo/do-not-update"
"""The label by which a person stops all updates."""


def hands_off(forge: Forge, checkout: Checkout, found: PullRequest | None) -> str:
    """Why the branch and its pull request must be left alone; "" if they need not be.

    Args:
        forge: takes the one comment that says how to resume, if a foreign commit is in the way.
        checkout: the clone, which has seen the branch.
        found: the branch's pull request, open or the newest; None without one, or if that is not to be asked.

    Raises:
        RepositoryError: if a foreign commit is in the way and there is no pull request to say so on.
        ForgeError: if the comment cannot be made.
    """
    if found and found.state != "merged" and DO_NOT_UPDATE in found.labels:
        return f"pull request {found.number} has the label {DO_NOT_UPDATE}"
    if not checkout.foreign or (found and TAKE_OVER in found.labels):
        return ""
    stopped = f"the newest commit of {checkout.branch} is by {checkout.foreign}"
    if found is None:
        raise RepositoryError(
            f"{stopped}, and the branch has no pull request",
            hint=f"delete or rename the branch {checkout.branch} if it is not needed, then run again",
        )
    if found.state == "merged" and found.head == checkout.seen:
        return ""  # all of it is in the base: nothing of theirs is lost
    forge.comment(found.number, _stopped(checkout), "foreign-commit")
    return f"{stopped}; pull request {found.number} says how to resume"


def _stopped(checkout: Checkout) -> str:
    """The comment about a foreign commit; it names no run, so that it stays the same from week to week."""
    return (
        f"The newest commit of this branch, {checkout.seen}, is not by fleetpgo, so fleetpgo no longer "
        "updates the branch or this pull request.\n\n"
        f"To have it go on, add the label `{TAKE_OVER}`: the next run **discards every commit of others on "
        "this branch** and makes it anew from its base. While it is open, this pull request can be merged as "
        "it is, or closed."
    )
