"""After a measured regression: a pull request that takes the profile out again, with the evidence.

What our commit changed is taken back by content, file by file (:mod:`fleetpgo.proposal.restore`), however the
pull request was merged.

The same manners as for a profile: a branch of its own per service, made anew from its base, found and brought
up to date, left alone where people want it so.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.errors import ProfileError, RepositoryError
from fleetpgo.markdown import code, prose
from fleetpgo.measurement.report import quoted_headline
from fleetpgo.proposal.commits import commit as commit_files
from fleetpgo.proposal.commits import push
from fleetpgo.proposal.ensure import ensure_pull_request
from fleetpgo.proposal.etiquette import DO_NOT_UPDATE, TAKE_OVER, hands_off, obeying_take_over
from fleetpgo.proposal.git import clone
from fleetpgo.proposal.restore import ByHandError, require_gone, restore
from fleetpgo.run.proposed import Reverted

if TYPE_CHECKING:
    from fleetpgo.measurement.comparison import Comparison
    from fleetpgo.proposal.forges import Forge, PullRequest
    from fleetpgo.proposal.git import Checkout
    from fleetpgo.proposal.restore import Restored
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)

_MOST_SUSPECTS = 10


def propose_revert(
    service: ServiceRules,
    forge: Forge,
    *,
    profile: str,
    head: str,
    commit: str,
    brought_by: str,
    pull_request: int,
    measured: Comparison,
    report: str,
    path: str | None = None,
) -> Reverted:
    """Propose to restore the files that a pull request of ours changed to what they were before it.

    Where people have changed the same lines since, or the profile lies at another path now, nothing is
    proposed; a comment on the pull request says so, and what to do by hand.

    Args:
        service: whose profile it is; `review.revert` says whether and how.
        forge: where the repository is.
        profile: first 12 hex digits of the SHA-256 of the profile.
        head: full SHA of our commit: the profile, and the wiring where it was needed. People may have
            committed on top of it before the merge, or the merge may have made another commit of it.
        commit: full SHA of the base right after the merge.
        brought_by: address of the pull request that proposed it; a number means an issue to GitLab.
        pull_request: its number.
        measured: the regression.
        report: all that was measured, in Markdown.
        path: where the profile was committed, as ``pull_request.json`` has it; None if it has not.

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
    title = f"Revert the PGO profile of {service.name}"
    with clone(forge.clone_url, base, branch, config=forge.git_config()) as checkout:
        found = forge.find(branch)
        if why := _rejected(found, commit) or hands_off(forge, checkout, found):
            return _none(why)
        try:
            restored = restore(checkout, head, profile)
            if restored is None:
                return _none(f"{base} does not hold profile {profile} any more")
            made_head = _commit(checkout, restored, title, head)
        except ByHandError as error:
            # The measurement stands without it, and to try again would not help.
            forge.comment(pull_request, _by_hand(service, path, head, error), "revert")
            return _none(f"{error.message}; {error.hint}")
        suspects = _suspects(restored.before, restored.measured)
        with obeying_take_over(forge, found):
            push(checkout, made_head)
            made = ensure_pull_request(
                forge,
                branch,
                base,
                title,
                _body(service, restored, commit, brought_by, measured, suspects, report),
                service.review.model_copy(
                    update={"draft": service.review.revert == "draft", "auto_merge": None}
                ),
            )
    _log.info("pull request %d reverts the profile: %s", made.number, made.url)
    return Reverted(made.number, made.url)


def _commit(checkout: Checkout, restored: Restored, title: str, head: str) -> str:
    """Commit the state before ours, and check that the profile is gone; the full SHA of the commit."""
    message = f"{title}\n\n{', '.join(restored.files)}: as before {head}.\n"
    try:
        made = commit_files(checkout, restored.files, message, exact=restored.path)
    except RepositoryError as error:
        raise ByHandError(error.message, hint=error.hint) from error
    require_gone(checkout, head, made, restored)
    return made


def _none(reason: str) -> Reverted:
    _log.info("no revert is proposed: %s", reason)
    return Reverted(reason=reason)


def _by_hand(service: ServiceRules, path: str | None, head: str, error: ByHandError) -> str:
    """The comment on the pull request that brought the profile; it stays the same from try to try."""
    repository = service.repository
    path = path or repository.profile
    return (
        f"A regression was measured after this was merged, and fleetpgo cannot take its change back: "
        f"{prose(error.message)}.\n\n"
        f"By hand, on a branch from {code(repository.base)}:\n\n"
        f"1. See what fleetpgo changed: `git fetch origin {head} && git show {head}`, or the first commit "
        f"above.\n2. Bring {code(path) if path else 'the profile'} back to what it was before, or remove it; "
        f"{prose(error.hint)}.\n"
        "3. Where the build got its `-pgo` by that commit, take it out again, and open a pull request."
    )


def _rejected(found: PullRequest | None, commit: str) -> str:
    """Why this very revert is not wanted; "" if it may be."""
    # The body names the commit that is reverted.
    if found and found.state == "closed" and commit in found.body and TAKE_OVER not in found.labels:
        return f"pull request {found.number}, which reverted the same commit, was closed unmerged"
    return ""


def _suspects(before: bytes | None, profile: bytes) -> list[str]:
    """The calls that are hot in the reverted profile only, as Markdown; the heaviest first."""
    try:
        reverted = pprof.decode(profile)
        if before:
            gained = pprof.compare(pprof.decode(before), reverted).hot_gained
        else:
            gained = pprof.call_edges(reverted).hot
    except ProfileError as error:
        return [f"- the profiles cannot be compared: {code(error.message)}"]
    shown = [
        f"- {code(edge.caller)} calls {code(edge.callee)}, {edge.offset} lines into it"
        for edge in gained[:_MOST_SUSPECTS]
    ]
    return shown + ([f"- and {len(gained) - _MOST_SUSPECTS:,} more"] if len(gained) > _MOST_SUSPECTS else [])


def _body(
    service: ServiceRules,
    restored: Restored,
    commit: str,
    brought_by: str,
    measured: Comparison,
    suspects: list[str],
    report: str,
) -> str:
    files = " and ".join(map(code, restored.files))
    decision = (
        f"Brings {files} back to what they were before {brought_by}, which brought the PGO profile of "
        f"`{service.name}` and was merged as {commit}. All else that came with it or since stays. What was "
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
