"""What Gitea and Forgejo tell of rights, protections, and what a pull request waits for.

Only an administrator of a repository may read its branch protections. Everybody else is told of a branch
whether it is protected, and of the base what it requires.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

from fleetpgo.errors import RefusedError
from fleetpgo.proposal.forges import Obstacle, Standing
from fleetpgo.proposal.forges.patterns import covers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fleetpgo.proposal.forges import Intent

_log = logging.getLogger(__name__)

_PAGE, _MOST_PAGES = 50, 20
"""Reviews that Gitea gives at once, as it is delivered, and pages of them that are read."""

_ANY_CHECK = "every check"
"""A base that requires checks and names none waits for all that are reported."""


Ask: TypeAlias = "Callable[..., Any]"
"""Sends one request below the repository, and returns the answer's JSON: ``_ask`` of the forge's adapter."""


def obstacles(ask: Ask, intent: Intent) -> Iterator[Obstacle]:
    """Yield what will keep a branch from being proposed; see :meth:`Forge.obstacles`."""
    there = ask("GET", "", "asking what the token may do")
    if not (there.get("permissions") or {}).get("push", True):
        yield Obstacle(
            "the token may not push: the forge says permissions.push: false",
            "give the connection's account write access to the repository",
        )
    if there.get("has_pull_requests") is False:
        yield Obstacle(
            "the repository takes no pull requests: the forge says has_pull_requests: false",
            "switch pull requests on in the repository's settings",
        )
    for what, scope, below, asked in (
        ("label pull requests and comment on them", "write:issue", None, "/labels"),
        ("tell its own comments from others", "read:user", "", "/user"),
    ):
        try:
            ask("GET", asked, "asking what the token may do", below=below)
        except RefusedError as error:
            yield Obstacle(
                f"the token may not {what}: {error.message}", f"give the connection's token the scope {scope}"
            )
    rules = _protections(ask)
    if rules is None:
        yield from _protected(ask, intent.branch)
        return
    for rule in rules:
        yield from _of_rule(rule, intent)


def _protections(ask: Ask) -> list[Any] | None:
    """Return the branch protections; None: the token may not see them."""
    try:
        return list(ask("GET", "/branch_protections", "asking for branch protections", absent=True) or [])
    except RefusedError:
        _log.info("the forge shows branch protections to administrators only, so none is looked at")
        return None


def _protected(ask: Ask, branch: str) -> Iterator[Obstacle]:
    there = ask("GET", f"/branches/{quote(branch, safe='')}", f"looking for {branch}", absent=True)
    if there and there["protected"]:
        yield _no_force(branch, there.get("effective_branch_protection_name") or "a rule")


def _no_force(branch: str, rule: str) -> Obstacle:
    return Obstacle(
        f"the branch {branch} is protected ({rule}), and the forge forbids force-push to any protected "
        "branch: the first push passes, and no refresh",
        f"let no branch protection cover {branch}: it is made anew from its base at each run",
    )


def _of_rule(rule: Mapping[str, Any], intent: Intent) -> Iterator[Obstacle]:
    branch, path = intent.branch, intent.path
    name = rule.get("rule_name") or rule.get("branch_name") or ""
    if covers(name, branch):
        if not rule.get("enable_force_push"):
            yield _no_force(branch, name)
        if rule.get("require_signed_commits") and not intent.signed:
            yield Obstacle(
                f"the branch protection {name} requires signed commits on {branch}, and commits are not "
                "signed: the forge will refuse the push as `protected from unverified commit`",
                "sign commits (commit.sign), or let no branch protection cover the branch",
            )
    for pattern in (rule.get("protected_file_patterns") or "").split(";"):
        protected = pattern.strip().lower()
        if covers(name, intent.base) and path and protected and covers(protected, path.lower()):
            yield Obstacle(
                f"the branch protection {name} protects files like {protected}, so that a pull request with "
                f"{path} opens and can never be merged",
                f"take {path} out of the protected file patterns of {name}, or set repository.profile",
            )


def standing(ask: Ask, number: int) -> Standing:
    """Return what an open pull request waits for."""
    doing = f"asking what pull request {number} waits for"
    pull = ask("GET", f"/pulls/{number}", doing)
    head, base = pull["head"]["sha"], ask("GET", f"/branches/{quote(pull['base']['ref'], safe='')}", doing)
    checks = (
        tuple(base.get("status_check_contexts") or [_ANY_CHECK]) if base.get("enable_status_check") else ()
    )
    needed = base.get("required_approvals") or 0
    reported = {}
    if checks:
        told = ask("GET", f"/commits/{head}/status", doing)
        reported = {each["context"]: each["status"] for each in told.get("statuses") or []}
    green = {check: _reported(check, reported) for check in checks}
    # The newest of each person counts; they come in the order in which they were made.
    newest = {
        each["user"]["login"]: each
        for each in _reviews(ask, number, doing)
        if each["state"] in ("APPROVED", "REQUEST_CHANGES") and each.get("user")
    }
    # A push makes approvals stale, and no objection.
    states = [
        each["state"]
        for each in newest.values()
        if not each.get("dismissed") and not (each.get("stale") and each["state"] == "APPROVED")
    ]
    approvals = states.count("APPROVED")
    conflict = not pull["mergeable"] and not pull["draft"]
    behind = _outdated(ask, base) and pull.get("merge_base") != base["commit"]["id"]
    return Standing(
        head=head,
        base_head=base["commit"]["id"],
        checks=checks,
        waiting=(
            *(["it is a draft"] if pull["draft"] else []),
            *(f"the check {check}" for check, said in green.items() if said != {"success"}),
            *([f"{needed - approvals} approval(s)"] if approvals < needed else []),
            *(["changes that a reviewer asks for"] if "REQUEST_CHANGES" in states else []),
            *(["a conflict with the base"] if conflict else []),
            *(["the newest commit of the base"] if behind else []),
        ),
        failed=tuple(check for check, said in green.items() if said & {"failure", "error"}),
        conflict=conflict,
        behind=behind,
        approved=approvals > 0 and "REQUEST_CHANGES" not in states,
        # While Gitea looks for conflicts it says the same as of one, and refuses to merge (405).
        settled=pull["mergeable"] or pull["draft"],
    )


def _reviews(ask: Ask, number: int, doing: str) -> list[Any]:
    """Return all reviews, the oldest first."""
    found: list[Any] = []
    for page in range(1, _MOST_PAGES + 1):
        part = ask("GET", f"/pulls/{number}/reviews?limit={_PAGE}&page={page}", doing) or []
        found += part
        if len(part) < _PAGE:
            break
    return found


def _reported(check: str, reported: Mapping[str, str]) -> set[str]:
    """Return the states of the checks that a required one names; it may be a pattern."""
    return {state for name, state in reported.items() if check == _ANY_CHECK or covers(check, name)}


def _outdated(ask: Ask, base: Mapping[str, Any]) -> bool:
    """Return whether the base refuses a branch without its newest commit, as far as the token may see it."""
    rule = base.get("effective_branch_protection_name")
    if not rule:
        return False
    try:
        told = ask(
            "GET",
            f"/branch_protections/{quote(rule, safe='')}",
            "asking for a branch protection",
            absent=True,
        )
    except RefusedError:
        return False
    return bool(told and told.get("block_on_outdated_branch"))
