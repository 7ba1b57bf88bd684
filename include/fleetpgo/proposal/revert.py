"""Open the pull request that reverts a profile after a measured regression, with the evidence.

fleetpgo undoes its commit by content, file by file (:mod:`fleetpgo.proposal.restore`). So it does not matter
how the pull request was merged.

Each service has one branch for reverts. Each run creates it again from the base, unless people have committed
to it or labelled it (:mod:`fleetpgo.proposal.etiquette`).
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.errors import ProfileError, RepositoryError
from fleetpgo.markdown import code, prose
from fleetpgo.measurement.report import quoted_headline
from fleetpgo.proposal.checkout import clone, require_head
from fleetpgo.proposal.commits import commit as commit_files
from fleetpgo.proposal.commits import push
from fleetpgo.proposal.ensure import ensure_pull_request
from fleetpgo.proposal.etiquette import DO_NOT_UPDATE, TAKE_OVER, hands_off, obeying_take_over
from fleetpgo.proposal.members import own_commit
from fleetpgo.proposal.restore import ByHandError, require_gone, restore
from fleetpgo.proposal.signing import identity_of
from fleetpgo.run.proposed import Reverted
from fleetpgo.service.rules import GROUP_BRANCH

if TYPE_CHECKING:
    from fleetpgo.measurement.comparison import Comparison
    from fleetpgo.proposal.checkout import Checkout
    from fleetpgo.proposal.forges import Forge, PullRequest
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
    merged_branch: str,
    measured: Comparison,
    report: str,
    path: str | None = None,
    draft: bool = False,
) -> Reverted:
    """Propose to restore the files that a pull request of fleetpgo changed.

    If people have changed the same lines since, or moved the profile, nothing is proposed. A comment on the
    merged pull request then says why, and what to do by hand.

    Args:
        service: rules of the service; `review.revert` says whether and how to revert.
        forge: forge that hosts the repository.
        profile: first 12 hex digits of the SHA-256 of the profile.
        head: full SHA of the commit that fleetpgo pushed. It need not be in the base: people may have
            committed on top of it, and a squash or rebase makes another commit of it.
        commit: full SHA of the base right after the merge.
        brought_by: URL of the merged pull request. Not its number, because `#7` is an issue on GitLab.
        pull_request: number of the merged pull request.
        merged_branch: its branch.
        measured: the comparison with the regression.
        report: the whole comparison, in Markdown.
        path: path of the committed profile; None if the run did not record it.
        draft: whether to propose a draft, whatever `review.revert` says.

    Raises:
        RepositoryError: git fails, or another person's commit blocks the branch and there is no pull request
            to report that on.
        ForgeError: the forge cannot be reached, or refuses.
    """
    if service.review.revert == "off":
        return _none("review.revert is off")
    if measured.verdict.attribution == "release":
        return _none("the source changed together with the profile, so the profile may not be the cause")
    base, branch = service.repository.base, service.revert_branch
    forge.check(base)
    title = f"Revert the PGO profile of {service.name}"
    identity = identity_of(service.commit, forge.signing_key, forge.make_commit)
    config = forge.git_config()
    with clone(forge.clone_url, base, branch, config=config, identity=identity) as checkout:
        found = forge.find(branch)
        if why := _rejected(found, commit) or hands_off(forge, checkout, found):
            return _none(why)
        if merged_branch.startswith(GROUP_BRANCH):
            # Other services' runs may have put it on another base since.
            head = own_commit(checkout, service, forge.get(pull_request)) or head
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
                    update={"draft": draft or service.review.revert == "draft", "auto_merge": None}
                ),
                head=made_head,
                require_head=partial(require_head, checkout, made_head, forge.git_config),
            )
    _log.info("pull request %d reverts the profile: %s", made.number, made.url)
    return Reverted(made.number, made.url)


def withdraw_revert(forge: Forge, number: int, measured: Comparison) -> Reverted:
    """Close a revert that the week does not confirm, with a comment; people's own decision is left alone.

    Raises:
        ForgeError: the forge cannot be reached, or refuses.
    """
    if forge.get(number).state == "open":
        forge.comment(
            number,
            f"fleetpgo withdraws this: over the week it measured no regression that is certain enough. "
            f"{quoted_headline(measured)}",
            "withdrawn",
        )
        forge.close(number)
        _log.info("pull request %d is withdrawn: the week shows no certain regression", number)
    return Reverted(reason=f"pull request {number} was withdrawn: the week shows no certain regression")


def _commit(checkout: Checkout, restored: Restored, title: str, head: str) -> str:
    """Commit the restored files, check that the profile is gone, and return the commit's full SHA."""
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
    """Return the comment on the profile's pull request. It is the same at each attempt."""
    repository = service.repository
    path = path or repository.profile
    return (
        f"fleetpgo measured a regression after this was merged, and cannot revert the change: "
        f"{prose(error.message)}.\n\n"
        f"To revert it by hand, on a branch from {code(repository.base)}:\n\n"
        f"1. See what fleetpgo changed: `git fetch origin {head} && git show {head}`, or the first commit "
        f"above.\n2. Restore {code(path) if path else 'the profile'} to its state before that, or remove it; "
        f"{prose(error.hint)}.\n"
        "3. Remove the `-pgo` that the commit added to the build, if any, and open a pull request."
    )


def _rejected(found: PullRequest | None, commit: str) -> str:
    """Return why people rejected this revert; "" if they did not."""
    # The body names the commit that is reverted.
    if found and found.state == "closed" and commit in found.body and TAKE_OVER not in found.labels:
        return f"pull request {found.number}, which reverted the same commit, was closed unmerged"
    return ""


def _suspects(before: bytes | None, profile: bytes) -> list[str]:
    """Return the calls that are hot only in the reverted profile, as Markdown; the heaviest first."""
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
        f"Restores {files} to their state before {brought_by}, which brought the PGO profile of "
        f"`{service.name}` and was merged as {commit}. Everything else that came with it or since stays. "
        f"Measured after its rollout: {quoted_headline(measured)}"
    )
    where = (
        "The figure includes everything else that was deployed at that time. In the profile, suspect first "
        "the calls that it made hot, which the compiler then inlined or devirtualised:"
    )
    manners = (
        "---\n\nfleetpgo makes this branch anew from its base at each run. To stop that, commit to it, or "
        f"add the label `{DO_NOT_UPDATE}`. If you close it unmerged, fleetpgo opens no other for this commit."
    )
    calls = "\n".join(suspects) or "None: the profile made no call hot that was not hot before."
    instead = f"### Instead of the revert: guard the culprit\n\n{_alternative(service)}"
    return (
        f"{decision}\n\n### Suspects\n\n{where}\n\n{calls}\n\n{instead}\n\n"
        f"### Evidence\n\n{report}\n\n{manners}"
    )


def _alternative(service: ServiceRules) -> str:
    """Return how to find the one call that costs, and keep the rest of the profile."""
    own = service.build.benchmark
    benchmarks = (
        f"the benchmarks {code(own)}"
        if own
        else "benchmarks (give `--benchmark`: `build.benchmark` is empty)"
    )
    return (
        f"Often one call costs, and the others save. While {code(service.repository.base)} holds the "
        f"profile, this runs {benchmarks} without and with it, and searches for that call:\n\n"
        f"```sh\nfleetpgo bisect {service.name} --forge ADDRESS\n```\n\n"
        "It also measures a build in which the call is guarded, and prints the lines for `profile.guards` in "
        "the service file. With these the next run proposes a profile without that cost; then close this "
        "unmerged. If no benchmark is slower with the profile, the cause is elsewhere: merge this."
    )
