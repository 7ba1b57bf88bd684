"""Stand-ins for GitHub, GitLab and Gitea: their documented semantics over HTTPS, with state.

Git itself is real, a bare repository behind ``git http-backend``. Each API request and its answer is held
against the forge's own published description (:mod:`.descriptions`).
"""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import threading
from base64 import b64decode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import graphql
import jwt
import requests

from fleetpgo.errors import RepositoryError
from fleetpgo.proposal.git import git
from tests.proposal.forges import descriptions

PROJECT = "acme/tiny"
TOKEN = "planted-t0ken"  # noqa: S105
CREATED = 201
APP, INSTALLATION = "1234", "56"


class RefusedError(Exception):
    """The answer is an error."""

    def __init__(self, status: int, message: Any) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass
class Pull:
    """A pull request, in the words of no forge."""

    number: int
    branch: str
    base: str
    title: str
    body: str
    draft: bool = False
    state: str = "open"
    head: str = ""
    labels: list[str] = field(default_factory=list)
    reviewers: list[str] = field(default_factory=list)
    assignees: list[str] = field(default_factory=list)
    comments: dict[int, str] = field(default_factory=dict)
    authors: dict[int, str] = field(default_factory=dict)
    """Whose comments are not the bot's."""
    merged_at: str | None = None
    merge_commit: str | None = None
    auto_merge: Any = None
    """How the forge is to merge it once its checks succeed; None: not at all."""
    approvals: list[str] = field(default_factory=list)
    stale: bool = False
    """Whether a push came after them, where a rule has approvals of before it count no more."""
    objections: list[str] = field(default_factory=list)
    """Who has asked for changes."""
    milestone: int | None = None
    events: list[str] = field(default_factory=list)
    """Of ``closed`` and ``head_ref_deleted``, in their order."""

    @property
    def approved(self) -> int:
        """How many approvals count."""
        return 0 if self.stale else len(self.approvals)


@dataclass(frozen=True)
class Rule:
    """A branch protection, in the words of no forge."""

    pattern: str
    checks: tuple[str, ...] = ()
    approvals: int = 0
    force_push: bool = False
    signed: bool = False
    files: str = ""
    outdated: bool = False

    def covers(self, branch: str) -> bool:
        """Whether it covers a branch."""
        return fnmatchcase(branch, self.pattern)


PROTECTED = """#!/bin/sh
# As Forgejo: a new branch may be pushed, a force-push to any protected branch may not.
case "$1" in {pattern}) ;; *) exit 0 ;; esac
{signed}
case "$2" in 000000*) exit 0 ;; esac
{force}git merge-base --is-ancestor "$2" "$3" && exit 0
echo "Forgejo: branch ${{1#refs/heads/}} is protected from force push" >&2
exit 1
"""
UNSIGNED = """git cat-file commit "$3" | grep -q ^gpgsig || {{
echo "Forgejo: branch ${{1#refs/heads/}} is protected from unverified commit $3" >&2; exit 1; }}"""


class Double:
    """What all three have in common."""

    prefix: str
    routes: tuple[tuple[str, str, str], ...]
    closes_with_branch = True
    limited = 429
    members = ("ada", "grace")
    """Who has access to the repository, besides the bot, which opens the pull requests."""
    strangers = ("mallory",)
    """Who has an account, and no access."""
    teams = ("perf",)

    def __init__(self, root: Path, description: Any) -> None:
        self.root = root
        self.description = description
        self.address = self.below = ""
        self.project = PROJECT
        self.archived = False
        self.tokens = [TOKEN]
        self.pulls: list[Pull] = []
        self.requests: list[tuple[str, str]] = []
        self.stumbles: list[tuple[str, int, dict[str, str]]] = []
        self.lost: list[str] = []
        self.forbidden: list[str] = []
        self.differences: list[str] = []
        self.may_push = True
        self.takes_pulls = True
        self.scopes: list[str] | None = None
        self.rules: list[Rule] = []
        self.git_status = 0
        """What git is answered to a push; 0: git's own answer."""
        self.statuses: dict[str, str] = {}
        """States of checks, on every commit: success, failure, pending."""
        self.milestones: dict[str, int] = {"2026": 7}
        self.unsettled = False
        """Whether the forge is still working out what can be merged, if it does so after it has answered."""

    def protect(self, rule: Rule) -> None:
        """Protect branches, for git, too."""
        self.rules.append(rule)
        hook = self.bare / "hooks" / "update"
        hook.parent.mkdir(exist_ok=True)
        signed = UNSIGNED.format() if rule.signed else ""
        force = "exit 0; " if rule.force_push else ""
        hook.write_text(PROTECTED.format(pattern=f"refs/heads/{rule.pattern}", signed=signed, force=force))
        hook.chmod(0o755)

    def move_below(self, path: str) -> None:
        """Serve all below a path of the host, and nothing else."""
        self.below = path
        self.address += path

    def rule(self, branch: str) -> Rule | None:
        """The protection of a branch."""
        return next((each for each in self.rules if each.covers(branch)), None)

    def hindered(self, pull: Pull) -> str:
        """Why a pull request cannot be merged now; "" if it can."""
        rule = self.rule(pull.base)
        if self.conflicts(pull):
            return "conflict"
        if rule is None:
            return ""
        if any(self.statuses.get(check) != "success" for check in rule.checks):
            return "checks"
        if pull.approved < rule.approvals:
            return "approvals"
        names = git(self.bare, "diff", "--name-only", f"{pull.base}...{pull.head}").split()
        if rule.files and any(fnmatchcase(name, rule.files) for name in names):
            return "files"
        return "outdated" if rule.outdated and self.behind(pull) else ""

    def behind(self, pull: Pull) -> bool:
        """Whether the base has moved."""
        return self.merge_base(pull) != self.tip(pull.base)

    def merge_base(self, pull: Pull) -> str:
        """The newest commit of the base that the branch has."""
        return git(self.bare, "merge-base", pull.base, pull.head)

    def conflicts(self, pull: Pull) -> bool:
        """Whether git cannot merge it."""
        try:
            git(self.bare, "merge-tree", "--write-tree", pull.base, pull.head)
        except RepositoryError:
            return True
        return False

    def react(self) -> None:
        """Merge what the forge was asked to, where the base requires something, and that is there now."""
        for pull in self.pulls:
            rule = self.rule(pull.base)
            if pull.state == "open" and pull.auto_merge and rule and not self.hindered(pull):
                self.merge(pull.number)

    def close(self, number: int) -> None:
        """Close without a merge, as a person does."""
        self.pull(number).state = "closed"
        self.pull(number).events.append("closed")

    def delete_branch(self, branch: str) -> None:
        """Delete a branch, as the button on a pull request does."""
        for each in self.pulls:
            if each.branch == branch:
                self.pull(each.number)
                each.events.append("head_ref_deleted")
        git(self.bare, "update-ref", "-d", f"refs/heads/{branch}")

    @property
    def bare(self) -> Path:
        """The repository."""
        return self.root / f"{PROJECT}.git"

    @property
    def kept(self) -> str:
        """All that git keeps of the repository: its configuration and every object."""
        objects = subprocess.run(
            ["git", "cat-file", "--batch", "--batch-all-objects"],
            cwd=self.bare,
            capture_output=True,
            check=True,
        ).stdout
        return objects.decode(errors="replace") + (self.bare / "config").read_text()

    def pull(self, number: int | str) -> Pull:
        """A pull request by its number, with its head where the branch is."""
        found = next((each for each in self.pulls if each.number == int(number)), None)
        if found is None:
            raise RefusedError(404, "404 Not found")
        if found.state == "open":
            head = self.tip(found.branch)
            if head:
                found.head = head
                # Heads are kept after their branch is gone, as real forges do.
                git(self.bare, "update-ref", f"refs/pull/{number}/head", head)
            elif self.closes_with_branch:
                found.state = "closed"
                found.events.append("closed")
        return found

    def tip(self, branch: str) -> str:
        """The newest commit of a branch; "" without one."""
        return git(self.bare, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")

    def open(self, branch: str, base: str, title: str, body: str, *, draft: bool) -> Pull:
        """Open a pull request."""
        if not self.tip(branch) or not self.tip(base):
            raise RefusedError(422, "invalid head or base")
        for each in self.pulls:
            if (each.branch, each.base, self.pull(each.number).state) == (branch, base, "open"):
                self.refuse_second(each)
        self.pulls.append(Pull(len(self.pulls) + 1, branch, base, title, body, draft=draft))
        return self.pull(len(self.pulls))

    def refuse_second(self, there: Pull) -> None:
        """Refuse a second one for the same branch and base, in the forge's way."""
        raise NotImplementedError

    def merge(self, number: int) -> None:
        """Merge, as a reviewer: the base goes to the head, without a merge commit."""
        pull = self.pull(number)
        if why := self.hindered(pull):
            raise RefusedError(409 if why == "outdated" else 405, f"pull request is not mergeable: {why}")
        git(self.bare, "update-ref", f"refs/heads/{pull.base}", pull.head)
        pull.state, pull.merged_at = (
            "merged",
            datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        )
        pull.merge_commit = pull.head

    def comment(self, number: str, body: str, author: str = "bot") -> int:
        """Make a comment and return its id."""
        key = 1 + sum(len(each.comments) for each in self.pulls)
        self.pull(number).comments[key] = body
        self.pull(number).authors[key] = author
        return key

    def account(self, name: str) -> int:
        """The id of an account."""
        return 100 + ("bot", *self.members, *self.strangers).index(name)

    def author(self, key: int) -> int:
        """The id of the account that made a comment."""
        return self.account(self.commented(str(key)).authors[int(key)])

    def commented(self, key: str) -> Pull:
        """The pull request that has a comment."""
        return next(each for each in self.pulls if int(key) in each.comments)

    def answer(self, method: str, target: str, sent: bytes) -> tuple[int, Any]:
        """Answer one API request: status, and what becomes JSON."""
        parts = urlsplit(target)
        path = parts.path.removeprefix(self.prefix)
        query = dict(parse_qsl(parts.query))
        self.requests.append((method, path))
        for place, (verb, status, headers) in enumerate(self.stumbles):
            if verb in (method, "*"):
                del self.stumbles[place]
                said = headers.get("x-words")
                return status, {"message": said} if said else Stumble(headers)
        try:
            status, content = self._routed(method, path, query, json.loads(sent) if sent else {})
        except Exception as error:  # noqa: BLE001  # a mistake of the double: at once, and not tried again
            self.differences.append(f"{method} {path}: {type(error).__name__} {error}")
            return 418, {"message": f"the double is mistaken: {error}"}
        if method in self.lost:
            # It is done, and the answer says otherwise.
            self.lost.remove(method)
            return 500, Stumble()
        if status in (requests.codes.forbidden, requests.codes.server_error):
            # What a token lacks, and where a server stumbles, no description says.
            return status, content
        try:
            self.description.hold(
                method, path, query, sent, status, b"" if content is None else json.dumps(content).encode()
            )
        except Exception as error:  # noqa: BLE001  # whatever a description finds is told by the fixture
            self.differences.append(
                f"{method} {path}: {type(error).__name__} {error} {error.__cause__ or ''}"
            )
        return status, content

    def _routed(self, method: str, path: str, query: dict[str, str], sent: Any) -> tuple[int, Any]:
        for verb, pattern, name in self.routes:
            if verb == method and (match := re.fullmatch(pattern, path)):
                if name in self.forbidden:
                    return 403, self.error("the token does not have the scope for this")
                arguments = [unquote(each) for each in match.groups()]
                try:
                    content = getattr(self, name)(
                        *arguments, **({"query": query} if verb == "GET" else {"sent": sent})
                    )
                except RefusedError as refused:
                    return refused.status, self.error(refused.message)
                return content if isinstance(content, tuple) else (200, content)
        raise AssertionError(f"{method} {path} is not a route of {type(self).__name__}")

    def error(self, message: Any) -> Any:
        """An error's JSON."""
        return {"message": message}


class Stumble(dict[str, str]):
    """An answer without content: its headers."""


REPOSITORY = r"/repos/acme/tiny"
GRAPHQL = "/api/graphql"
BOT_COMMITS = ("fleet[bot]", "41+fleet[bot]@users.noreply.github.com")
"""In whose name GitHub makes commits."""


class GitHubDouble(Double):
    """After https://docs.github.com/rest."""

    prefix = "/api/v3"
    limited = 403
    routes = (
        ("GET", REPOSITORY, "repository"),
        ("GET", rf"{REPOSITORY}/branches/([^/]+)", "branch"),
        ("GET", rf"{REPOSITORY}/pulls", "listed"),
        ("POST", rf"{REPOSITORY}/pulls", "create"),
        ("GET", rf"{REPOSITORY}/pulls/(\d+)", "shown"),
        ("PATCH", rf"{REPOSITORY}/pulls/(\d+)", "update"),
        ("POST", rf"{REPOSITORY}/pulls/(\d+)/requested_reviewers", "ask"),
        ("POST", rf"{REPOSITORY}/issues/(\d+)/assignees", "assign"),
        ("POST", rf"{REPOSITORY}/issues/(\d+)/labels", "add_labels"),
        ("DELETE", rf"{REPOSITORY}/issues/(\d+)/labels/([^/]+)", "remove_label"),
        ("GET", rf"{REPOSITORY}/issues/(\d+)/comments", "comments"),
        ("POST", rf"{REPOSITORY}/issues/(\d+)/comments", "make_comment"),
        ("PATCH", rf"{REPOSITORY}/issues/comments/(\d+)", "change_comment"),
        ("GET", rf"{REPOSITORY}/rules/branches/([^/]+)", "rules_of"),
        ("PUT", rf"{REPOSITORY}/pulls/(\d+)/merge", "merge_now"),
        ("GET", rf"{REPOSITORY}/issues/(\d+)/events", "events"),
        ("GET", rf"{REPOSITORY}/milestones", "list_milestones"),
        ("POST", rf"{REPOSITORY}/git/blobs", "make_blob"),
        ("POST", rf"{REPOSITORY}/git/trees", "make_tree"),
        ("POST", rf"{REPOSITORY}/git/commits", "make_commit"),
        ("PATCH", rf"{REPOSITORY}/issues/(\d+)", "change_issue"),
        ("POST", GRAPHQL, "graphql"),
        ("POST", r"/app/installations/(\d+)/access_tokens", "make_token"),
    )
    allows_auto_merge = True
    signs_commits = True
    """As for the token of an app."""
    app_key: Any = None

    def __init__(self, root: Path, description: Any) -> None:
        super().__init__(root, description)
        self.forks: dict[int, str] = {}
        """Which pull requests come from forks of the same owner, and from which."""

    def example(self, name: str) -> Any:
        """GitHub's own example of an answer."""
        return descriptions.GITHUB["components"]["examples"][name]["value"]

    @property
    def api(self) -> str:
        """Where the repository is in the API."""
        return f"{self.address}{self.prefix}{REPOSITORY}"

    def refuse_second(self, there: Pull) -> None:
        raise RefusedError(422, f"A pull request already exists for acme:{there.branch}.")

    def error(self, message: Any) -> Any:
        return {"message": message, "documentation_url": "https://docs.github.com/rest", "status": "422"}

    def repository(self, *, query: Any) -> Any:
        # The description demands of related repositories what the example does not have.
        related = ("parent", "source", "template_repository")
        example = self.example("full-repository-default-response")
        return {
            **{name: value for name, value in example.items() if name not in related},
            "language": None,
            "permissions": {"admin": False, "push": self.may_push, "pull": True},
            "has_pull_requests": self.takes_pulls,
            "url": self.api,
            "full_name": self.project,
            "archived": self.archived,
            "default_branch": git(self.bare, "symbolic-ref", "--short", "HEAD"),
        }

    def branch(self, name: str, *, query: Any) -> Any:
        if not self.tip(name):
            raise RefusedError(404, "Branch not found")
        example = self.example("branch-get")
        # Classic protection: our rules are a ruleset's.
        commit = {**example["commit"], "sha": self.tip(name)}
        return {**example, "name": name, "protected": False, "commit": commit}

    def rules_of(self, branch: str, *, query: Any) -> Any:
        origin = {"ruleset_source_type": "Repository", "ruleset_source": PROJECT, "ruleset_id": 42}
        found: list[Any] = []
        for rule in self.rules:
            if not rule.covers(branch):
                continue
            if not rule.force_push:
                found.append({"type": "non_fast_forward"})
            if rule.signed:
                found.append({"type": "required_signatures"})
            if rule.checks:
                checks = [{"context": name} for name in rule.checks]
                parameters = {
                    "required_status_checks": checks,
                    "strict_required_status_checks_policy": rule.outdated,
                }
                found.append({"type": "required_status_checks", "parameters": parameters})
            if rule.files:
                parameters = {"restricted_file_paths": [rule.files]}
                found.append({"type": "file_path_restriction", "parameters": parameters})
        return [{**each, **origin} for each in found]

    def merge_now(self, number: str, *, sent: Any) -> Any:
        if sent.get("sha", self.pull(number).head) != self.pull(number).head:
            raise RefusedError(409, "Head branch was modified. Review and try the merge again.")
        self.merge(int(number))
        return {"sha": self.pull(number).merge_commit, "merged": True, "message": "merged"}

    def events(self, number: str, *, query: Any) -> Any:
        self.pull(number)
        (example, *_) = self.example("issue-event-for-issue-items")
        return [{**example, "event": each} for each in self.pull(number).events]

    def make_blob(self, *, sent: Any) -> Any:
        assert sent["encoding"] == "base64"
        file = self.root / "blob"
        file.write_bytes(b64decode(sent["content"]))
        return CREATED, {**self.example("short-blob"), "sha": git(self.bare, "hash-object", "-w", str(file))}

    def make_tree(self, *, sent: Any) -> Any:
        def run(*arguments: str) -> str:
            # `--force-remove` wants a work tree.
            places = {"GIT_DIR": self.bare, "GIT_WORK_TREE": self.root, "GIT_INDEX_FILE": self.root / "index"}
            environment = {"PATH": os.environ["PATH"], **{name: str(each) for name, each in places.items()}}
            command = ["git", *arguments]
            done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, check=True)
            return done.stdout.decode().strip()

        run("read-tree", sent["base_tree"])
        for each in sent["tree"]:
            if each["sha"] is None:
                run("update-index", "--force-remove", each["path"])
            else:
                run("update-index", "--add", "--cacheinfo", f"{each['mode']},{each['sha']},{each['path']}")
        return CREATED, {**self.example("git-tree"), "sha": run("write-tree")}

    def make_commit(self, *, sent: Any) -> Any:
        assert sent.keys() == {"message", "tree", "parents"}, "GitHub signs nothing with a name of its own"
        names = {"author": BOT_COMMITS, "committer": ("GitHub", "noreply@github.com")}
        config = {
            f"{who}.{key}": value
            for who, pair in names.items()
            for key, value in zip(("name", "email"), pair, strict=True)
        }
        made = git(
            self.bare,
            *("commit-tree", "-p", sent["parents"][0], "-m", sent["message"], sent["tree"]),
            config=config,
        )
        reason = "valid" if self.signs_commits else "unsigned"
        example = self.example("git-commit")
        verification = {**example["verification"], "verified": self.signs_commits, "reason": reason}
        return CREATED, {**example, "sha": made, "verification": verification}

    def list_milestones(self, *, query: Any) -> Any:
        (example, *_) = self.example("milestone-items")
        return [{**example, "title": title, "number": key} for title, key in self.milestones.items()]

    def change_issue(self, number: str, *, sent: Any) -> Any:
        self.pull(number).milestone = sent["milestone"]
        return self.example("issue")

    def describe(self, pull: Pull, example: Any) -> Any:
        repo = example["base"]["repo"]
        return {
            **example,
            "requested_teams": [],  # the description demands more of them than the example has
            "url": f"{self.api}/pulls/{pull.number}",
            "node_id": f"PR_{pull.number}",
            "issue_url": f"{self.api}/issues/{pull.number}",
            "html_url": f"{self.address}/{PROJECT}/pull/{pull.number}",
            "number": pull.number,
            "title": pull.title,
            "body": pull.body,
            "state": "open" if pull.state == "open" else "closed",
            "draft": pull.draft,
            "labels": [{**example["labels"][0], "name": name} for name in pull.labels],
            "head": {
                **example["head"],
                "ref": pull.branch,
                "sha": pull.head,
                "repo": {**repo, "full_name": self.forks.get(pull.number, self.project)},
            },
            "base": {**example["base"], "ref": pull.base},
            "merged_at": pull.merged_at,
            # Before the merge: a trial merge that no branch holds.
            "merge_commit_sha": pull.merge_commit or "d" * 40,
            "auto_merge": {
                "enabled_by": example["user"],
                "merge_method": pull.auto_merge.lower(),
                "commit_title": "",
                "commit_message": "",
            }
            if pull.auto_merge
            else None,
        }

    def listed(self, *, query: Any) -> Any:
        found = [
            self.pull(each.number)
            for each in reversed(self.pulls)
            if f"acme:{each.branch}" == query.get("head", f"acme:{each.branch}")
        ]
        (example,) = self.example("pull-request-simple-items")
        wanted = [
            each for each in found if query["state"] in ("all", "open" if each.state == "open" else "closed")
        ]
        return [self.describe(each, example) for each in wanted]

    def shown(self, number: str, *, query: Any) -> Any:
        return self.describe(self.pull(number), self.example("pull-request"))

    def create(self, *, sent: Any) -> Any:
        draft = sent.get("draft", False)
        pull = self.open(sent["head"], sent["base"], sent["title"], sent["body"], draft=draft)
        return CREATED, self.describe(pull, self.example("pull-request"))

    def update(self, number: str, *, sent: Any) -> Any:
        pull = self.pull(number)
        if sent.get("state") == "closed":
            self.close(pull.number)
        for name, value in sent.items():
            setattr(pull, name, value)
        return self.shown(number, query={})

    def ask(self, number: str, *, sent: Any) -> Any:
        people, teams = set(sent["reviewers"]), set(sent["team_reviewers"])
        if "bot" in people:
            raise RefusedError(422, "Review cannot be requested from pull request author.")
        if people - set(self.members) or teams - set(self.teams):
            raise RefusedError(
                422,
                "Reviews may only be requested from collaborators. One or more of the users or teams you "
                "specified is not a collaborator of the acme/tiny repository.",
            )
        self.pull(number).reviewers += sent["reviewers"] + sent["team_reviewers"]
        return CREATED, self.describe(self.pull(number), self.example("pull-request-review-request"))

    def assign(self, number: str, *, sent: Any) -> Any:
        # Whom it will not have is left out without a word.
        pull, example = self.pull(number), self.example("issue")
        pull.assignees += [name for name in sent["assignees"] if name in self.members]
        people = [{**example["assignees"][0], "login": name} for name in pull.assignees]
        return CREATED, {**example, "assignees": people}

    def add_labels(self, number: str, *, sent: Any) -> Any:
        # An issue's labels are a set, and those that the repository does not have are made.
        names = sent["labels"] if isinstance(sent, dict) else sent
        pull = self.pull(number)
        pull.labels = list(dict.fromkeys([*pull.labels, *names]))
        (example, *_) = self.example("label-items")
        return [{**example, "name": name} for name in pull.labels]

    def remove_label(self, number: str, name: str, *, sent: Any) -> Any:
        pull = self.pull(number)
        if name not in pull.labels:
            raise RefusedError(404, "Label does not exist")
        pull.labels.remove(name)
        (example, *_) = self.example("label-items")
        return [{**example, "name": each} for each in pull.labels]

    def comments(self, number: str, *, query: Any) -> Any:
        return [self.describe_comment(key, body) for key, body in self.pull(number).comments.items()]

    def describe_comment(self, key: int, body: str) -> Any:
        (example,) = self.example("issue-comment-items")
        return {
            **example,
            "id": key,
            "url": f"{self.api}/issues/comments/{key}",
            "body": body,
            "user": {**example["user"], "id": self.author(key)},
        }

    def make_comment(self, number: str, *, sent: Any) -> Any:
        return CREATED, self.describe_comment(self.comment(number, sent["body"]), sent["body"])

    def change_comment(self, key: str, *, sent: Any) -> Any:
        self.commented(key).comments[int(key)] = sent["body"]
        return self.describe_comment(int(key), sent["body"])

    def make_token(self, installation: str, *, sent: Any) -> Any:
        """A token that holds for one look: it has run out already, and the next one takes its place."""
        assert installation == INSTALLATION
        self.tokens = [f"ghs_{TOKEN}_{len(self.requests)}"]
        return CREATED, {"token": self.tokens[0], "expires_at": "2026-01-05T06:00:00Z", "permissions": {}}

    def graphql(self, *, sent: Any) -> Any:
        viewer = {"databaseId": self.account("bot")}
        root = {
            "enablePullRequestAutoMerge": self.enable_auto_merge,
            "disablePullRequestAutoMerge": self.disable_auto_merge,
            "viewer": viewer,
            "repository": lambda _info, **_: {"pullRequest": self.standing},
        }
        done = graphql.graphql_sync(descriptions.GITHUB_GRAPHQL, sent["query"], root, None, sent["variables"])
        return done.formatted

    def enable_auto_merge(self, _info: Any, *, input: dict[str, str]) -> Any:  # noqa: A002  # GitHub's name
        if not self.allows_auto_merge:
            raise graphql.GraphQLError("Pull request Auto merge is not allowed for this repository")
        pull = self.pull(input["pullRequestId"].removeprefix("PR_"))
        if not self.hindered(pull):
            raise graphql.GraphQLError("Pull request Pull request is in clean status")
        pull.auto_merge = input["mergeMethod"]
        actor = {"__typename": "User", "login": "bot", "avatarUrl": "a", "resourcePath": "b", "url": "c"}
        return {"actor": actor}

    def disable_auto_merge(self, _info: Any, *, input: dict[str, str]) -> Any:  # noqa: A002  # GitHub's name
        self.pull(input["pullRequestId"].removeprefix("PR_")).auto_merge = None
        return {"actor": None}

    def standing(self, _info: Any, *, number: int) -> Any:
        """Where a pull request stands."""
        pull = self.pull(number)
        rule, why = self.rule(pull.base), self.hindered(pull)
        states = {"conflict": "DIRTY", "outdated": "BEHIND", "": "CLEAN"}
        runs = [
            {
                "__typename": "CheckRun",
                "name": name,
                "status": "COMPLETED",
                "conclusion": state.upper(),
                "isRequired": lambda _info, _name=name, **_: bool(rule and _name in rule.checks),
            }
            for name, state in self.statuses.items()
            if state != "pending"
        ]
        needed = rule.approvals if rule else 0
        # Without a required review there is no decision, whatever people have said.
        decision = "REVIEW_REQUIRED" if pull.approved < needed else "APPROVED"
        review = None if not needed else "CHANGES_REQUESTED" if pull.objections else decision
        said = [*(["APPROVED"] * pull.approved), *(["CHANGES_REQUESTED"] * len(pull.objections))]
        return {
            "mergeStateStatus": "UNKNOWN" if self.unsettled else states.get(why, "BLOCKED"),
            "mergeable": "CONFLICTING" if why == "conflict" else "MERGEABLE",
            "latestOpinionatedReviews": lambda _info, **_: {"nodes": [{"state": each} for each in said]},
            "reviewDecision": review,
            "statusCheckRollup": {"contexts": lambda _info, **_: {"nodes": runs}} if runs else None,
        }


class GitLabDouble(Double):
    """After https://docs.gitlab.com/api/."""

    prefix = "/api/v4"
    closes_with_branch = False
    users = (*Double.members, *Double.strangers)
    base_path = r"/projects/(?:acme%2Ftiny|1)"
    routes = (
        ("GET", "/users", "user"),
        ("GET", "/user", "own_user"),
        ("GET", base_path, "repository"),
        ("GET", rf"{base_path}/repository/branches/([^/]+)", "branch"),
        ("GET", rf"{base_path}/merge_requests", "listed"),
        ("POST", rf"{base_path}/merge_requests", "create"),
        ("GET", rf"{base_path}/merge_requests/(\d+)", "shown"),
        ("PUT", rf"{base_path}/merge_requests/(\d+)", "update"),
        ("PUT", rf"{base_path}/merge_requests/(\d+)/merge", "accept"),
        ("POST", rf"{base_path}/merge_requests/(\d+)/cancel_merge_when_pipeline_succeeds", "cancel"),
        ("GET", rf"{base_path}/merge_requests/(\d+)/approvals", "approvals"),
        ("GET", rf"{base_path}/protected_branches", "protected_branches"),
        ("GET", rf"{base_path}/push_rule", "push_rule"),
        ("GET", rf"{base_path}/milestones", "list_milestones"),
        ("GET", "/personal_access_tokens/self", "own_token"),
        ("GET", rf"{base_path}/merge_requests/(\d+)/notes", "notes"),
        ("POST", rf"{base_path}/merge_requests/(\d+)/notes", "make_note"),
        ("PUT", rf"{base_path}/merge_requests/(\d+)/notes/(\d+)", "change_note"),
    )

    def refuse_second(self, there: Pull) -> None:
        raise RefusedError(
            409, [f"Another open merge request already exists for this source branch: !{there.number}"]
        )

    def user(self, *, query: Any) -> Any:
        return [self.describe_user(name) for name in self.users if name == query["username"]]

    def own_user(self, *, query: Any) -> Any:
        return self.describe_user("bot")

    def describe_user(self, name: str) -> Any:
        return {"id": self.account(name), "username": name}

    def repository(self, *, query: Any) -> Any:
        default = git(self.bare, "symbolic-ref", "--short", "HEAD")
        rule = self.rule(default)
        return {
            "id": 1,
            "path_with_namespace": self.project,
            "default_branch": default,
            "archived": self.archived,
            "permissions": {
                "project_access": {"access_level": 30 if self.may_push else 20, "notification_level": 3},
                "group_access": None,
            },
            "merge_requests_access_level": "enabled" if self.takes_pulls else "disabled",
            "only_allow_merge_if_pipeline_succeeds": bool(rule and rule.checks),
        }

    def protected_branches(self, *, query: Any) -> Any:
        return [
            {"id": key, "name": rule.pattern, "allow_force_push": rule.force_push}
            for key, rule in enumerate(self.rules, 1)
        ]

    def push_rule(self, *, query: Any) -> Any:
        # Of a paid edition; without it the path is not there.
        raise RefusedError(404, "404 Not Found")

    def own_token(self, *, query: Any) -> Any:
        return {"id": 1, "name": "bot", "scopes": self.scopes or ["api"], "active": True, "revoked": False}

    def approvals(self, number: str, *, query: Any) -> Any:
        pull, rule = self.pull(number), self.rule(self.pull(number).base)
        needed = rule.approvals if rule else 0
        return {
            "id": 1000 + pull.number,
            "iid": pull.number,
            "approvals_required": needed,
            "approvals_left": max(0, needed - pull.approved),
            "approved_by": [{"user": self.describe_user(name)} for name in pull.approvals if not pull.stale],
        }

    def list_milestones(self, *, query: Any) -> Any:
        found = [(title, key) for title, key in self.milestones.items() if title == query["title"]]
        return [{"id": key, "iid": key, "title": title, "state": "active"} for title, key in found]

    def cancel(self, number: str, *, sent: Any) -> Any:
        self.pull(number).auto_merge = None
        return CREATED, self.describe(self.pull(number))

    def branch(self, name: str, *, query: Any) -> Any:
        if not self.tip(name):
            raise RefusedError(404, "404 Branch Not Found")
        return {"name": name, "protected": True, "commit": {"id": self.tip(name)}}

    def describe(self, pull: Pull) -> Any:
        return {
            "id": 1000 + pull.number,
            "iid": pull.number,
            "project_id": 1,
            "title": pull.title,
            "description": pull.body,
            "state": "opened" if pull.state == "open" else pull.state,
            "web_url": f"{self.address}/{PROJECT}/-/merge_requests/{pull.number}",
            "source_branch": pull.branch,
            "target_branch": pull.base,
            "source_project_id": 1,
            "target_project_id": 1,
            "sha": pull.head,
            "labels": sorted(pull.labels),
            "draft": pull.title.startswith("Draft: "),
            "reviewers": [self.describe_user(name) for name in pull.reviewers],
            "assignees": [self.describe_user(name) for name in pull.assignees],
            "merged_at": pull.merged_at,
            "merge_when_pipeline_succeeds": bool(pull.auto_merge),
            **self.describe_standing(pull),
            # A fast-forward makes no merge commit.
            "merge_commit_sha": None,
            "squash_commit_sha": None,
        }

    def describe_standing(self, pull: Pull) -> Any:
        rule = self.rule(pull.base)
        why = self.hindered(pull) if pull.state == "open" else ""
        names = {"conflict": "conflict", "checks": "ci_must_pass", "approvals": "not_approved"}
        told = {**names, "outdated": "need_rebase"}.get(why, "mergeable")
        if pull.objections and told == "mergeable":
            told = "requested_changes"
        states = {self.statuses.get(check, "pending") for check in rule.checks} if rule else set()
        pipeline = {"failure": "failed"}.get(min(states, default=""), min(states, default=""))
        return {
            "has_conflicts": why == "conflict",
            "detailed_merge_status": "checking" if self.unsettled else told,
            "head_pipeline": {"id": 1, "status": pipeline} if states else None,
        }

    def listed(self, *, query: Any) -> Any:
        assert query["state"] == "all"
        found = [each for each in reversed(self.pulls) if each.branch == query["source_branch"]]
        return [self.describe(self.pull(each.number)) for each in found]

    def shown(self, number: str, *, query: Any) -> Any:
        return self.describe(self.pull(number))

    def create(self, *, sent: Any) -> Any:
        pull = self.open(
            sent["source_branch"], sent["target_branch"], sent["title"], sent["description"], draft=False
        )
        return CREATED, self.describe(pull)

    def update(self, number: str, *, sent: Any) -> Any:
        pull = self.pull(number)
        names = {self.account(name): name for name in self.users}
        pull.title = sent.get("title", pull.title)
        pull.body = sent.get("description", pull.body)
        pull.base = sent.get("target_branch", pull.base)
        if sent.get("state_event") == "close":
            pull.state = "closed"
        for role, people in (("reviewer_ids", "reviewers"), ("assignee_ids", "assignees")):
            if role in sent:
                # Whom it will not have is left out without a word.
                setattr(pull, people, [names[each] for each in sent[role] if names[each] in self.members])
        pull.milestone = sent.get("milestone_id", pull.milestone)
        if sent.get("state_event") == "close":
            self.close(pull.number)
        added, removed = (sent.get(name, "").split(",") for name in ("add_labels", "remove_labels"))
        labels = dict.fromkeys([*pull.labels, *filter(None, added)])
        pull.labels = [each for each in labels if each not in removed]
        return self.describe(pull)

    def accept(self, number: str, *, sent: Any) -> Any:
        pull = self.pull(number)
        if sent.get("sha", pull.head) != pull.head:
            raise RefusedError(409, "SHA does not match HEAD of source branch")
        if sent.get("merge_when_pipeline_succeeds") and self.hindered(pull) == "checks":
            pull.auto_merge = sent
        else:
            self.merge(pull.number)
        return self.describe(pull)

    def describe_note(self, key: int, body: str) -> Any:
        author = {"id": self.author(key), "username": self.commented(str(key)).authors[key]}
        return {"id": key, "body": body, "system": False, "author": author}

    def notes(self, number: str, *, query: Any) -> Any:
        return [self.describe_note(key, body) for key, body in self.pull(number).comments.items()]

    def make_note(self, number: str, *, sent: Any) -> Any:
        return CREATED, self.describe_note(self.comment(number, sent["body"]), sent["body"])

    def change_note(self, number: str, key: str, *, sent: Any) -> Any:
        self.pull(number).comments[int(key)] = sent["body"]
        return self.describe_note(int(key), sent["body"])


NOT_GITEAS = (
    "assign",
    "remove_label",
    "graphql",
    "make_token",
    "rules_of",
    "merge_now",
    "events",
    "change_issue",
)


class GiteaDouble(Double):
    """After https://docs.gitea.com/api/."""

    prefix = "/api/v1"
    page = 50
    routes = (
        *(each for each in GitHubDouble.routes if each[2] not in NOT_GITEAS),
        ("DELETE", rf"{REPOSITORY}/issues/(\d+)/labels/(\d+)", "remove_label"),
        ("GET", rf"{REPOSITORY}/issues/(\d+)/labels", "own_labels"),
        ("GET", rf"{REPOSITORY}/assignees", "assignable"),
        ("GET", "/user", "own_user"),
        ("GET", "/version", "tell_version"),
        ("GET", r"/orgs/acme/labels", "organisation_labels"),
        ("GET", rf"{REPOSITORY}/labels", "labels"),
        ("POST", rf"{REPOSITORY}/labels", "make_label"),
        ("POST", rf"{REPOSITORY}/pulls/(\d+)/merge", "accept"),
        ("DELETE", rf"{REPOSITORY}/pulls/(\d+)/merge", "cancel"),
        ("GET", rf"{REPOSITORY}/pulls/(\d+)/reviews", "reviews"),
        ("GET", rf"{REPOSITORY}/commits/([^/]+)/status", "status"),
        ("GET", rf"{REPOSITORY}/branch_protections", "protections"),
        ("GET", rf"{REPOSITORY}/branch_protections/([^/]+)", "protection"),
        ("GET", rf"{REPOSITORY}/issues/(\d+)/timeline", "timeline"),
        ("GET", rf"{REPOSITORY}/git/refs/(pull/\d+/head)", "reference"),
    )

    def __init__(self, root: Path, description: Any) -> None:
        super().__init__(root, description)
        self.ids: dict[str, int] = {}
        self.version = "1.26.0"
        self.organisation: dict[str, int] | None = None

    def label_id(self, name: str) -> int:
        """The id of a label, the repository's or the organisation's."""
        return {**(self.organisation or {}), **self.ids}[name]

    def refuse_second(self, there: Pull) -> None:
        raise RefusedError(409, f"pull request already exists for these targets [id: {there.number}]")

    def error(self, message: Any) -> Any:
        return {"message": message, "url": f"{self.address}/api/swagger"}

    def repository(self, *, query: Any) -> Any:
        default = git(self.bare, "symbolic-ref", "--short", "HEAD")
        return {
            "id": 1,
            "full_name": self.project,
            "archived": self.archived,
            "default_branch": default,
            "permissions": {"admin": False, "push": self.may_push, "pull": True},
            "has_pull_requests": self.takes_pulls,
        }

    def branch(self, name: str, *, query: Any) -> Any:
        if not self.tip(name):
            raise RefusedError(404, "branch does not exist")
        rule = self.rule(name)
        return {
            "name": name,
            "protected": rule is not None,
            "effective_branch_protection_name": rule.pattern if rule else "",
            "enable_status_check": bool(rule and rule.checks),
            "status_check_contexts": list(rule.checks) if rule else [],
            "required_approvals": rule.approvals if rule else 0,
            "commit": {"id": self.tip(name)},
        }

    def protections(self, *, query: Any) -> Any:
        return [self.describe_rule(rule) for rule in self.rules]

    def protection(self, name: str, *, query: Any) -> Any:
        return next(self.describe_rule(rule) for rule in self.rules if rule.pattern == name)

    def describe_rule(self, rule: Rule) -> Any:
        return {
            "rule_name": rule.pattern,
            "enable_force_push": rule.force_push,
            "require_signed_commits": rule.signed,
            "protected_file_patterns": rule.files,
            "block_on_outdated_branch": rule.outdated,
        }

    def reviews(self, number: str, *, query: Any) -> Any:
        pull = self.pull(number)
        said = [
            *((name, "APPROVED") for name in pull.approvals),
            *((name, "REQUEST_CHANGES") for name in pull.objections),
        ]
        return [
            {"id": key, "state": state, "user": self.describe_user(name), "stale": pull.stale}
            for key, (name, state) in enumerate(said, 1)
        ]

    def status(self, commit: str, *, query: Any) -> Any:
        statuses = [{"context": name, "status": state} for name, state in self.statuses.items()]
        return {"sha": commit, "state": "pending", "statuses": statuses}

    def timeline(self, number: str, *, query: Any) -> Any:
        pull = self.pull(number)
        names = {"closed": "close", "head_ref_deleted": "delete_branch"}
        said = [(names[each], minute) for minute, each in enumerate(pull.events)]
        if pull.events[:1] == ["head_ref_deleted"]:  # it is closed by that
            said = [("close", 0), *([] if "+gitea" in self.version else [("delete_branch", 0)])]
        page = [
            {"id": key, "type": name, "created_at": f"2026-01-05T06:{minute:02}:00Z"}
            for key, (name, minute) in enumerate(said, 1)
        ]
        return self.paged(page, query)

    def reference(self, name: str, *, query: Any) -> Any:
        sha = git(self.bare, "for-each-ref", "--format=%(objectname)", f"refs/{name}")
        if not sha:
            raise RefusedError(404, "Not Found")
        return [{"ref": f"refs/{name}", "object": {"type": "commit", "sha": sha}}]

    def tell_version(self, *, query: Any) -> Any:
        return {"version": self.version}

    def list_milestones(self, *, query: Any) -> Any:
        found = [(title, key) for title, key in self.milestones.items() if query["name"] in title]
        return [{"id": key, "title": title, "state": "open"} for title, key in found]

    def cancel(self, number: str, *, sent: Any) -> Any:
        if not self.pull(number).auto_merge:
            raise RefusedError(404, "the pull request is not scheduled to merge")
        self.pull(number).auto_merge = None
        return 204, None

    def describe(self, pull: Pull) -> Any:
        there = self.tip(pull.branch)
        return {
            "id": 1000 + pull.number,
            "number": pull.number,
            "html_url": f"{self.address}/{PROJECT}/pulls/{pull.number}",
            "title": pull.title,
            "body": pull.body,
            "state": "open" if pull.state == "open" else "closed",
            "draft": pull.title.startswith("WIP: "),
            "merged": pull.state == "merged",
            "merged_at": pull.merged_at,
            "merge_commit_sha": pull.merge_commit,
            "mergeable": pull.state == "open" and not (self.unsettled or self.conflicts(pull)),
            "merge_base": self.merge_base(pull) if pull.head else "",
            "labels": self.own_labels(str(pull.number), query={}),
            "assignees": [self.describe_user(name) for name in pull.assignees] or None,
            "head": {
                "label": pull.branch,
                "ref": pull.branch if there else f"refs/pull/{pull.number}/head",
                # Also of one that has ended: where its branch is now.
                "sha": there or pull.head,
                "repo": {"full_name": PROJECT},
            },
            "base": {"label": pull.base, "ref": pull.base, "repo": {"full_name": PROJECT}},
        }

    def paged(self, answers: list[Any], query: Any) -> list[Any]:
        size = min(int(query.get("limit", self.page)), self.page)
        first = (int(query.get("page", 1)) - 1) * size
        return answers[first : first + size]

    def listed(self, *, query: Any) -> Any:
        found = [self.pull(each.number) for each in reversed(self.pulls)]
        wanted = [each for each in found if (each.state == "open") == (query["state"] == "open")]
        return self.paged([self.describe(each) for each in wanted], query)

    def shown(self, number: str, *, query: Any) -> Any:
        return self.describe(self.pull(number))

    def create(self, *, sent: Any) -> Any:
        return CREATED, self.describe(
            self.open(sent["head"], sent["base"], sent["title"], sent["body"], draft=False)
        )

    def update(self, number: str, *, sent: Any) -> Any:
        pull = self.pull(number)
        for name in sent.get("assignees", ()):
            if name in self.strangers:
                raise RefusedError(500, "user does not have access to the repository")
            if name not in self.members:
                raise RefusedError(422, f"assignee does not exist: [name: {name}]")
        if sent.get("state") == "closed":
            self.close(pull.number)
        for name, value in sent.items():
            setattr(pull, name, value)
        return CREATED, self.describe(pull)

    def ask(self, number: str, *, sent: Any) -> Any:
        # All are looked at first: one bad name refuses the whole call.
        for name in sent["reviewers"]:
            if name not in (*self.members, *self.strangers, "bot"):
                raise RefusedError(404, f"User '{name}' not exist")
            if name not in self.members:
                raise RefusedError(422, f"{name} can't be reviewer: author, or without access")
        for name in sent["team_reviewers"]:
            if name not in self.teams:
                raise RefusedError(404, f"Team '{name}' not exist")
        self.pull(number).reviewers += sent["reviewers"] + sent["team_reviewers"]
        return CREATED, []

    def describe_user(self, name: str) -> Any:
        return {"id": self.account(name), "login": name}

    def own_user(self, *, query: Any) -> Any:
        return self.describe_user("bot")

    def describe_comment(self, key: int, body: str) -> Any:
        return {"id": key, "body": body, "user": self.describe_user(self.commented(str(key)).authors[key])}

    def assignable(self, *, query: Any) -> Any:
        return [self.describe_user(name) for name in self.members]

    def accept(self, number: str, *, sent: Any) -> Any:
        pull = self.pull(number)
        if sent.get("merge_when_checks_succeed"):
            # Only noted: where the base requires nothing, nothing ever triggers it.
            pull.auto_merge = sent["do"]
            return 200, None
        if sent.get("head_commit_id", pull.head) != pull.head:
            raise RefusedError(409, "head out of date")
        self.merge(pull.number)
        return 200, None

    def labels(self, *, query: Any) -> Any:
        # The repository's alone: not those of its organisation.
        return self.paged([{"id": key, "name": name} for name, key in self.ids.items()], query)

    def organisation_labels(self, *, query: Any) -> Any:
        if self.organisation is None:
            raise RefusedError(404, "acme is a user")
        return self.paged([{"id": key, "name": name} for name, key in self.organisation.items()], query)

    def own_labels(self, number: str, *, query: Any) -> Any:
        return [{"id": self.label_id(name), "name": name} for name in self.pull(number).labels]

    def make_label(self, *, sent: Any) -> Any:
        self.ids[sent["name"]] = len(self.ids) + 1
        return CREATED, {"id": len(self.ids), "name": sent["name"], "color": sent["color"]}

    def add_labels(self, number: str, *, sent: Any) -> Any:
        names = {key: name for name, key in {**self.ids, **(self.organisation or {})}.items()}
        pull = self.pull(number)
        pull.labels = list(dict.fromkeys([*pull.labels, *(names[key] for key in sent["labels"])]))
        return self.own_labels(number, query={})

    def remove_label(self, number: str, key: str, *, sent: Any) -> Any:
        pull = self.pull(number)
        pull.labels = [name for name in pull.labels if self.label_id(name) != int(key)]
        return 204, None

    def comments(self, number: str, *, query: Any) -> Any:
        return [self.describe_comment(key, body) for key, body in self.pull(number).comments.items()]

    def make_comment(self, number: str, *, sent: Any) -> Any:
        return CREATED, self.describe_comment(self.comment(number, sent["body"]), sent["body"])

    def change_comment(self, key: str, *, sent: Any) -> Any:
        self.commented(key).comments[int(key)] = sent["body"]
        return self.describe_comment(int(key), sent["body"])


class Handler(BaseHTTPRequestHandler):
    """HTTP's side of a double: its API, and git behind the same token."""

    protocol_version = "HTTP/1.1"
    double: Double

    def answer(self) -> None:
        """Answer any request."""
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self.path.startswith(f"{self.double.below}/"):
            self.send(404, b"", {})
            return
        self.path = self.path.removeprefix(self.double.below)
        if not self.allowed():
            self.send(
                401,
                json.dumps({"message": "401 Unauthorized"}).encode(),
                {"WWW-Authenticate": "Basic realm=git"},
            )
        elif self.path.startswith((self.double.prefix, GRAPHQL)):
            status, content = self.double.answer(self.command, self.path, sent)
            headers = content if isinstance(content, Stumble) else {}
            body = b"" if content is None else json.dumps({} if headers else content).encode()
            self.send(status, body, {"Content-Type": "application/json", **headers})
        else:
            self.git(sent)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer  # noqa: N815  # http.server's names

    def allowed(self) -> bool:
        """Whether the token is in the request, in one of the forges' ways."""
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        if self.path.startswith(f"{self.double.prefix}/app/"):
            return jwt.decode(value, self.double.app_key, algorithms=["RS256"])["iss"] == APP
        if kind == "Basic":
            value = b64decode(value).decode().partition(":")[2]
        return not {value, self.headers.get("PRIVATE-TOKEN")}.isdisjoint(self.double.tokens)

    def git(self, sent: bytes) -> None:
        """Let git answer."""
        path, _, query = self.path.partition("?")
        if self.double.git_status and "receive-pack" in self.path:
            self.send(self.double.git_status, b"", {})
            return
        done = subprocess.run(
            ["git", "http-backend"],
            input=sent,
            capture_output=True,
            check=True,
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(self.double.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REMOTE_USER": "bot",
            },
        ).stdout
        head, _, content = done.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send(int(headers.pop("Status", "200").split()[0]), content, headers)

    def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        """Send an answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Be silent."""


class Served:
    """A double behind a real TLS server on a free port, until it is closed."""

    def __init__(self, double: Double, context: ssl.SSLContext) -> None:
        handler = type("Bound", (Handler,), {"double": double})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        double.address = f"https://localhost:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


KINDS = {
    "github": (GitHubDouble, descriptions.github),
    "gitlab": (GitLabDouble, descriptions.gitlab),
    "gitea": (GiteaDouble, descriptions.gitea),
}
