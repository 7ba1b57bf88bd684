"""After a measured regression: a pull request that takes the profile out again, with the evidence.

The same manners as for a profile: a branch of its own per service, made anew from its base, found and brought
up to date, left alone where people want it so.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.errors import ProfileError, RepositoryError
from fleetpgo.manners import DO_NOT_UPDATE, TAKE_OVER, hands_off, obeying_take_over
from fleetpgo.markdown import code
from fleetpgo.measurement.report import quoted_headline
from fleetpgo.proposal import digest
from fleetpgo.pullrequest import ensure_pull_request
from fleetpgo.repository import clone, push, revert

if TYPE_CHECKING:
    from fleetpgo.config import Service
    from fleetpgo.forges import Forge, PullRequest
    from fleetpgo.measurement.comparison import Comparison

_log = logging.getLogger(__name__)

_MOST_SUSPECTS = 10


@dataclass(frozen=True)
class Reverted:
    """What came of it.

    Attributes:
        pull_request: number of the pull request that reverts the profile; None if there is none.
        url: where a person reads it; None likewise.
        reason: why there is none; "" if there is one.
    """

    pull_request: int | None = None
    url: str | None = None
    reason: str = ""


def propose_revert(
    service: Service,
    forge: Forge,
    *,
    profile: str,
    commit: str,
    brought_by: str,
    measured: Comparison,
    report: str,
) -> Reverted:
    """Propose to revert the commit that brought a profile into the base.

    Args:
        service: whose profile it is; `review.revert` says whether and how.
        forge: where the repository is.
        profile: first 12 hex digits of the SHA-256 of the profile.
        commit: full SHA of the commit that merged it.
        brought_by: address of the pull request that proposed it; a number means an issue to GitLab.
        measured: the regression.
        report: all that was measured, in Markdown.

    Raises:
        RepositoryError: if git fails, or a foreign commit is in the way that nobody can be told of.
        ForgeError: if the forge cannot be reached, or refuses.
    """
    if service.review.revert == "off":
        return _none("review.revert is off")
    if measured.verdict.attribution == "release":
        return _none("the source changed together with the profile, so the profile is not to blame")
    base, branch = service.repository.base, service.revert_branch
    forge.check(base)
    with clone(forge.clone_url, base, branch, config=forge.git_config()) as checkout:
        found = forge.find(branch)
        if why := _rejected(found, commit) or hands_off(forge, checkout, found):
            return _none(why)
        there = checkout.path / service.repository.profile
        content = there.read_bytes() if there.is_file() else b""
        if digest(content) != profile:
            return _none(f"{base} does not hold profile {profile} any more")
        title = f"Revert the PGO profile of {service.name}"
        try:
            head = revert(checkout, commit, f"{title}\n\nThis reverts commit {commit}.\n")
        except RepositoryError as error:
            # The measurement stands without it, and to try again would not help.
            return _none(f"{error.message}; {error.hint}")
        suspects = _suspects(there.read_bytes() if there.is_file() else None, content)
        with obeying_take_over(forge, found):
            push(checkout, head)
            made = ensure_pull_request(
                forge,
                branch,
                base,
                title,
                _body(service, commit, brought_by, measured, suspects, report),
                service.review.model_copy(
                    update={"draft": service.review.revert == "draft", "auto_merge": None}
                ),
            )
    _log.info("pull request %d reverts the profile: %s", made.number, made.url)
    return Reverted(made.number, made.url)


def _none(reason: str) -> Reverted:
    _log.info("no revert is proposed: %s", reason)
    return Reverted(reason=reason)


def _rejected(found: PullRequest | None, commit: str) -> str:
    """Why this very revert is not wanted; "" if it may be."""
    # The body names the commit that is reverted.
    if found and found.state == "closed" and commit in found.body and TAKE_OVER not in found.labels:
        return f"pull request {found.number}, which reverted the same commit, was closed unmerged"
    return ""


def _suspects(before: bytes | None, profile: bytes) -> list[str]:
    """The calls that are hot in the reverted profile only, as Markdown; the heaviest first."""
    try:
        gained = pprof.compare(before, profile).hot_gained if before else pprof.call_edges(profile).hot
    except ProfileError as error:
        return [f"- the profiles cannot be compared: {code(error.message)}"]
    shown = [
        f"- {code(edge.caller)} calls {code(edge.callee)}, {edge.offset} lines into it"
        for edge in gained[:_MOST_SUSPECTS]
    ]
    return shown + ([f"- and {len(gained) - _MOST_SUSPECTS:,} more"] if len(gained) > _MOST_SUSPECTS else [])


def _body(
    service: Service, commit: str, brought_by: str, measured: Comparison, suspects: list[str], report: str
) -> str:
    decision = (
        f"Reverts {commit}, by which {brought_by} brought the PGO profile of `{service.name}`. What was "
        f"measured after its rollout: {quoted_headline(measured)}"
    )
    where = (
        "Whatever else went out at that time is in the figure too. Of the profile itself, the calls that it "
        "made hot, and so inlined or devirtualised, come first:"
    )
    manners = (
        "---\n\nfleetpgo makes this branch anew from its base. A commit of yours on it, or the label "
        f"`{DO_NOT_UPDATE}`, stops that. Closed unmerged, it is not opened again for this commit."
    )
    calls = "\n".join(suspects) or "None: the profile made no call hot that was not hot before."
    return f"{decision}\n\n### Suspects\n\n{where}\n\n{calls}\n\n### Evidence\n\n{report}\n\n{manners}"
