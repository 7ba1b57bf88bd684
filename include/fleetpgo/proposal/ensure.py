"""Find, create or update the one pull request of a branch, and hand it to people.

:mod:`fleetpgo.proposal.body` writes its text.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from fleetpgo.errors import RefusedError
from fleetpgo.markdown import code, listed
from fleetpgo.proposal.automerge import Figures, merge_by_rule
from fleetpgo.service.rules import GROUP_BRANCH, NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleetpgo.proposal.forges import Forge, PullRequest
    from fleetpgo.service.review import ReviewRules


_log = logging.getLogger(__name__)

HANDED_OVER = "fleetpgo"
"""The label that says: reviewers, assignees and all other labels are set."""

_NOT_ASKED = "not-asked"
"""The comment on who could not be asked."""


ABSENT = ("withdrawn", "rejected", "conflict")
"""Why a service's commit is not on its group's branch: its own run or a person has taken it out, or it did
not apply to the base any more."""

_LONGEST_MARKER = 4096
"""Characters. A run's id has at most 250."""

_FIELDS: dict[str, re.Pattern[str]] = {
    "run": re.compile(r".{0,250}", re.DOTALL),
    "profile": re.compile(r"[0-9a-f]{12}"),
    "service": re.compile(f"(?:{NAME.pattern})?"),
    "head": re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})?"),
    "absent": re.compile(f"(?:{'|'.join(ABSENT)})?"),
}
"""What the fields of a marker may be: anybody who may edit a pull request can write one."""


@dataclass(frozen=True)
class Marker:
    """The data for programs in the body of a pull request.

    Attributes:
        run: id of the run that wrote the body.
        profile: first 12 hex digits of the SHA-256 of the profile that it proposes.
        service: in the section of a group's pull request, whose it is; else "".
        head: full SHA of a commit that was taken off the branch; "" if none was.
        absent: why its commit is not on the branch, one of :data:`ABSENT`; "" if it is.
    """

    run: str
    profile: str
    service: str = ""
    head: str = ""
    absent: str = ""


def marker_line(about: Marker) -> str:
    """Return the hidden line of a body that :func:`marker` reads back."""
    # A ">" in the run's id could end the comment early.
    told = {key: value for key, value in asdict(about).items() if value or key in ("run", "profile")}
    text = json.dumps(told).replace(">", r"\u003e")
    return f"<!-- fleetpgo {text} -->"


def marker(text: str) -> Marker | None:
    """Return the marker in the body of a pull request; None: none, or one that fleetpgo never writes."""
    # The last one: whatever a name or reason further up may look like, ours is at the end.
    lines = re.findall(r"^<!-- fleetpgo (\{.*\}) -->\s*$", text, re.MULTILINE)
    if not lines or len(lines[-1]) > _LONGEST_MARKER:
        return None
    try:
        told = json.loads(lines[-1])
    except (ValueError, RecursionError):
        return None
    if not told.keys() >= {"run", "profile"}:
        return None
    for key, value in told.items():
        if key not in _FIELDS or not isinstance(value, str) or not _FIELDS[key].fullmatch(value):
            return None
    return Marker(**told)


def ensure_pull_request(
    forge: Forge,
    branch: str,
    base: str,
    title: str,
    body: str,
    review: ReviewRules,
    *,
    head: str,
    require_head: Callable[[], None],
    figures: Figures = Figures(),  # noqa: B008 -- it is frozen
) -> PullRequest:
    """Find, update or open the one pull request of a branch, with this base, title and body.

    The label `fleetpgo` is added last. If it is missing, an earlier run was interrupted: labels and people
    are added again. If it is there, people's changes to reviewers and labels stay. A comment names the people
    whom the forge refuses; they hold up nothing.

    The body is about one commit. Another run may push while this one is held up, so the branch is looked at
    right before the body is written, and again after it: no forge writes a body for a given commit only.

    Args:
        forge: where the repository is.
        branch: the branch that was pushed.
        base: the branch that it is to be merged into.
        title: of the pull request.
        body: of the pull request, about the commit that was pushed.
        review: people and labels.
        head: full SHA of the commit that was pushed.
        figures: of the profile, for the rule by which it is merged without a person.
        require_head: raises RepositoryError if the branch does not point to `head` any more.

    Raises:
        ForgeError: if the forge cannot be reached, or refuses.
        RepositoryError: what `require_head` raises. If that is after the body was written, it may have taken
            another run's place; the step that is run again writes both anew.
    """
    found = forge.find(branch)
    if found is None or found.state != "open":
        require_head()
        found = forge.create(branch, base, title, body, draft=review.draft)
        require_head()
    elif (found.title, found.body, found.base) != (title, body, base):
        require_head()
        found = forge.update(found.number, title, body, base if found.base != base else None)
        require_head()
    rule = None if branch.startswith(GROUP_BRANCH) else review.merge_rule
    if HANDED_OVER not in found.labels:
        hand_over(forge, found, review, figures, head)
    elif rule is not None and not isinstance(review.auto_merge, str):
        merge_by_rule(forge, found, rule, figures, head=head)
    return found


def hand_over(
    forge: Forge,
    made: PullRequest,
    review: ReviewRules,
    figures: Figures = Figures(),  # noqa: B008 -- it is frozen
    head: str = "",
) -> None:
    """Label a pull request, ask each of its people, and have it merged by itself if the file says so.

    Each is asked alone: a forge refuses a whole request for one bad name in it.
    """
    number = made.number
    if review.labels:
        forge.label(number, add=review.labels)
    asked: list[tuple[str, Callable[[int, str], None], str]] = [
        *(("reviewers", forge.ask, name) for name in review.reviewers),
        *(("assignees", forge.assign, name) for name in review.assignees),
    ]
    refused = []
    for role, ask, name in asked:
        try:
            ask(number, name)
        except RefusedError as error:
            _log.warning("pull request %d goes on without %s of review.%s: %s", number, name, role, error)
            refused.append(f"- {code(name)} (`review.{role}`): {code(error.message)}")
    if review.milestone:
        try:
            forge.set_milestone(number, review.milestone)
        except RefusedError as error:
            _log.warning("pull request %d goes on without review.milestone: %s", number, error)
            refused.append(f"- {code(review.milestone)} (`review.milestone`): {code(error.message)}")
    # One from an earlier try may have to be taken back.
    if refused or forge.read_comment(number, _NOT_ASKED):
        forge.comment(number, _not_asked(refused), _NOT_ASKED)
    if review.merge_rule and not made.branch.startswith(GROUP_BRANCH):
        merge_by_rule(forge, made, review.merge_rule, figures, head=head)
    forge.label(number, add=(HANDED_OVER,))


def _not_asked(refused: list[str]) -> str:
    """Return the comment on people who could not be asked. It names no run, so it stays the same."""
    if not refused:
        return "fleetpgo has asked everybody whom the service file names."
    return (
        "fleetpgo could not ask these people of the service file, and goes on without them:\n\n"
        f"{listed(refused)}\n\n"
        "Give them access to this repository, or correct the names in the service file. Then remove the "
        f"label `{HANDED_OVER}`: the next run asks again. Or ask them yourself."
    )
