"""What GitHub tells of rights, rules, and what a pull request waits for.

Rulesets are told to everybody who may read the repository, but not who may bypass them; of classic branch
protection, without administrator's rights, only that it is there and which checks it requires.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fleetpgo.proposal.forges import Obstacle, Standing
from fleetpgo.proposal.forges.patterns import covers_anything

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fleetpgo.proposal.forges import Intent

    Get = Callable[[str], Any]
    """Returns the JSON of a path below the repository; None where there is none."""

_FORBIDDEN = {
    "creation": "making it",
    "update": "pushing to it",
    "non_fast_forward": "force-push, and each refresh is one",
    "pull_request": "pushing to it other than by a pull request",
    "required_status_checks": "pushing a commit that no check has passed",
    "merge_queue": "pushing to it other than by the merge queue",
}
"""Types of rules that forbid what is done to our branch, in words."""

_BAD = {"FAILURE", "ERROR", "CANCELLED", "TIMED_OUT", "ACTION_REQUIRED", "STARTUP_FAILURE"}
_GOOD = {"SUCCESS", "NEUTRAL", "SKIPPED"}

QUERY = """query ($owner: String!, $name: String!, $number: Int!) {
  repository(owner: $owner, name: $name) { pullRequest(number: $number) {
    mergeStateStatus mergeable reviewDecision
    latestOpinionatedReviews(first: 100, writersOnly: true) { nodes { state } }
    statusCheckRollup { contexts(first: 100) { nodes { __typename
      ... on CheckRun { name conclusion status isRequired(pullRequestNumber: $number) }
      ... on StatusContext { context state isRequired(pullRequestNumber: $number) }
    } } }
  } }
}"""
"""What REST does not tell in one place: of each check whether it is required."""


def obstacles(
    get: Get,
    repository: Mapping[str, Any],
    scopes: Sequence[str] | None,
    intent: Intent,
) -> Iterator[Obstacle]:
    """Yield what will keep a branch from being proposed; see :meth:`Forge.obstacles`.

    Args:
        get: asks the forge.
        repository: the repository as the API describes it.
        scopes: of a classic token; None: a token of another kind, whose rights the forge does not tell.
        intent: what is going to be proposed.
    """
    branch, path = intent.branch, intent.path
    if not (repository.get("permissions") or {}).get("push", True):
        yield Obstacle(
            "the token may not push: the forge says permissions.push: false",
            "give the token, the app or the bot's account write access to Contents of this repository",
        )
    if repository.get("has_pull_requests") is False:
        yield Obstacle(
            "the repository takes no pull requests: the forge says has_pull_requests: false",
            "switch pull requests on in the repository's settings",
        )
    enough = {"repo"} if repository.get("private") else {"repo", "public_repo"}
    if scopes is not None and enough.isdisjoint(scopes):
        yield Obstacle(
            f"the token's scopes are {', '.join(scopes) or 'none'}: without repo it may not push, open pull "
            "requests or label them",
            "give the classic token the scope repo, or make a fine-grained one (docs/pullrequest.md)",
        )
    for rule in _rules(get, branch):
        kind = rule["type"]
        if kind in _FORBIDDEN or (kind == "required_signatures" and not intent.signed):
            what = _FORBIDDEN.get(kind, "pushing a commit that is not signed")
            yield Obstacle(
                f"the {_source(rule)} covers {branch} and forbids {what} ({kind})",
                f"leave {branch} out of the ruleset, or let the token's account bypass it"
                + ("" if kind != "required_signatures" else ", or sign commits (commit.sign)"),
                fatal=False,
            )
    there = get(f"/branches/{quote(branch, safe='')}")
    if there and there.get("protected") and not _rules(get, branch):
        yield Obstacle(
            f"the branch {branch} is protected: unless its protection allows force-push, the first push "
            "passes and no refresh",
            f"let no branch protection cover {branch}, or allow the token's account to force-push",
            fatal=False,
        )
    for rule in _rules(get, intent.base):
        paths = (rule.get("parameters") or {}).get("restricted_file_paths") or ()
        for pattern in paths if path and rule["type"] == "file_path_restriction" else ():
            if covers_anything(pattern, str(path)):
                yield Obstacle(
                    f"the {_source(rule)} forbids changes of {pattern} on {intent.base}, and so of {path}",
                    f"take {path} out of the ruleset, or set repository.profile",
                    fatal=False,
                )


def _rules(get: Get, branch: str) -> list[Any]:
    """Return the active rules of all rulesets that cover a branch, which need not exist."""
    return get(f"/rules/branches/{quote(branch, safe='')}?per_page=100") or []


def _source(rule: Mapping[str, Any]) -> str:
    of = rule.get("ruleset_source")
    return f"ruleset {rule.get('ruleset_id', '')}" + (f" of {of}" if of else "")


def standing(get: Get, pull: Mapping[str, Any], told: Mapping[str, Any]) -> Standing:
    """Return what an open pull request waits for.

    Args:
        get: asks the forge.
        pull: the pull request as the REST API describes it.
        told: the answer to :data:`QUERY`, from ``pullRequest`` on.
    """
    base = get(f"/branches/{quote(pull['base']['ref'], safe='')}") or {}
    rules = {each["type"]: each.get("parameters") or {} for each in _rules(get, pull["base"]["ref"])}
    asked = rules.get("required_status_checks", {}).get("required_status_checks") or []
    named = [each["context"] for each in asked]
    classic = (base.get("protection") or {}).get("required_status_checks") or {}
    if base.get("protected") and classic.get("enforcement_level", "off") != "off":
        named += classic.get("contexts") or []
    states = {}
    nodes = ((told.get("statusCheckRollup") or {}).get("contexts") or {}).get("nodes") or []
    for each in nodes:
        if each["isRequired"]:
            name = each.get("name") or each.get("context")
            states[name] = each.get("conclusion") or each.get("state") or "PENDING"
    checks = tuple(dict.fromkeys([*named, *states]))
    conflict, state = told["mergeable"] == "CONFLICTING", told["mergeStateStatus"]
    pending = [check for check in checks if states.get(check) not in _GOOD]
    # Where the base requires no review, reviewDecision is null whatever people have said.
    said = {each["state"] for each in (told.get("latestOpinionatedReviews") or {}).get("nodes") or []}
    changes = "CHANGES_REQUESTED" in (told.get("reviewDecision"), *said)
    waiting = [
        *(["it is a draft"] if pull.get("draft") else []),
        *(f"the check {check}" for check in pending),
        *(["an approval"] if told.get("reviewDecision") == "REVIEW_REQUIRED" else []),
        *(["changes that a reviewer asks for"] if changes else []),
        *(["a conflict with the base"] if conflict else []),
        *(["the newest commit of the base"] if state == "BEHIND" else []),
    ]
    if state == "BLOCKED" and not waiting:
        waiting.append("a rule of the base that GitHub does not name")
    return Standing(
        head=pull["head"]["sha"],
        base_head=(base.get("commit") or {}).get("sha") or "",
        checks=checks,
        waiting=tuple(waiting),
        failed=tuple(check for check in checks if states.get(check) in _BAD),
        conflict=conflict,
        behind=state == "BEHIND",
        approved="APPROVED" in (told.get("reviewDecision"), *said) and not changes,
        settled=state != "UNKNOWN" and told["mergeable"] != "UNKNOWN",
    )
