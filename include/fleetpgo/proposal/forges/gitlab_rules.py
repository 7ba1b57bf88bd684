"""What GitLab tells of rights, protections, and what a merge request waits for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import gitlab

from fleetpgo.proposal.forges import Obstacle, Standing
from fleetpgo.proposal.forges.patterns import covers_anything

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fleetpgo.proposal.forges import Intent

_log = logging.getLogger(__name__)

_DEVELOPER = 30
"""GitLab's number of the role that may push and open merge requests."""

_NOT_TOLD = (401, 403, 404)
"""Statuses of what this token may not see, or this edition does not have."""

_WAITS = {
    "ci_must_pass": "the pipeline",
    "ci_still_running": "the pipeline",
    "not_approved": "an approval",
    "requested_changes": "changes that a reviewer asks for",
    "discussions_not_resolved": "open threads",
    "draft_status": "it is a draft",
    "conflict": "a conflict with the base",
    "need_rebase": "the newest commit of the base",
    "status_checks_must_pass": "an external status check",
    "security_policy_violations": "a security policy",
    "jira_association_missing": "a Jira issue",
    "locked_paths": "a locked path",
}
"""What ``detailed_merge_status`` waits for, in words."""

_UNSETTLED = {"checking", "unchecked", "preparing", "approvals_syncing"}
"""What it is while GitLab is still working that out."""


def obstacles(client: gitlab.Gitlab, lazy: Any, project: Any, intent: Intent) -> Iterator[Obstacle]:  # noqa: ANN401  # python-gitlab's
    """Yield what will keep a branch from being proposed; see :meth:`Forge.obstacles`.

    Args:
        client: asks the forge.
        lazy: the project by its path, for further questions.
        project: the project as the API describes it.
        intent: what is going to be proposed.
    """
    branch = intent.branch
    rights = getattr(project, "permissions", None) or {}
    levels = [role["access_level"] for role in rights.values() if role]
    if rights and max(levels, default=0) < _DEVELOPER:
        yield Obstacle(
            f"the token may not push: its role's access_level is {max(levels, default=0)}, and Developer is "
            f"{_DEVELOPER}",
            "give the connection's token the role Developer",
        )
    if getattr(project, "merge_requests_access_level", "enabled") == "disabled":
        yield Obstacle(
            "the project takes no merge requests: merge_requests_access_level is disabled",
            "switch merge requests on in the project's settings",
        )
    token = _told(lambda: client.personal_access_tokens.get("self"))
    if token is not None and "api" not in token.scopes:
        yield Obstacle(
            f"the token's scopes are {', '.join(token.scopes)}: without api it may not open merge requests",
            "give the connection's token the scope api",
        )
    for each in _told(lambda: lazy.protectedbranches.list(get_all=True)) or ():
        if covers_anything(each.name, branch) and not getattr(each, "allow_force_push", False):
            yield Obstacle(
                f"the branch {branch} is protected ({each.name}) without allow_force_push: the first push "
                "passes, and no refresh",
                f"let no protected branch cover {branch}, or allow force push there",
            )
    rule = _told(lazy.pushrules.get)
    if rule is not None and getattr(rule, "reject_unsigned_commits", False) and not intent.signed:
        yield Obstacle(
            "the project's push rules refuse unsigned commits (reject_unsigned_commits)",
            "sign commits (commit.sign)",
        )


def _told(ask: Callable[[], Any]) -> Any:  # noqa: ANN401  # python-gitlab's
    """Return an answer; None where the token may not have it, or the edition does not know the question."""
    try:
        return ask()
    except gitlab.GitlabError as error:
        if error.response_code not in _NOT_TOLD:
            raise
        _log.info("GitLab does not tell: %s", error)
        return None


def standing(lazy: Any, project: Any, there: Any) -> Standing:  # noqa: ANN401  # python-gitlab's
    """Return what an open merge request waits for.

    Args:
        lazy: the project by its path, for further questions.
        project: the project as the API describes it.
        there: the merge request as the API describes it alone, not in a list.
    """
    base = lazy.branches.get(there.target_branch)
    piped = bool(getattr(project, "only_allow_merge_if_pipeline_succeeds", False))
    pipeline = (getattr(there, "head_pipeline", None) or {}).get("status")
    status = getattr(there, "detailed_merge_status", "") or ""
    approvals = _told(there.approvals.get)
    needed = getattr(approvals, "approvals_left", 0) or 0
    settled = status not in _UNSETTLED
    waiting = []
    if settled and status not in ("", "mergeable"):  # GitLab adds to them with each release
        waiting.append(_WAITS.get(status, f"what GitLab calls {status}"))
    if piped and pipeline != "success" and "the pipeline" not in waiting:
        waiting.append("the pipeline")
    if needed and "an approval" not in waiting:
        waiting.append("an approval")
    return Standing(
        head=there.sha or "",
        base_head=base.commit["id"],
        checks=("pipeline",) if piped else (),
        waiting=tuple(waiting),
        failed=("pipeline",) if piped and pipeline in ("failed", "canceled") else (),
        conflict=bool(getattr(there, "has_conflicts", False)),
        behind=status == "need_rebase",
        approved=bool(getattr(approvals, "approved_by", None)) and status != "requested_changes",
        settled=settled,
    )
