"""GitHub and GitHub Enterprise Server, over their REST API."""

from __future__ import annotations

from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import requests
from github import Auth, Github, GithubException, RateLimitExceededException, UnknownObjectException
from github.GithubObject import NotSet
from github.GithubRetry import GithubRetry
from github.Requester import HTTPRequestsConnectionClass, HTTPSRequestsConnectionClass, Requester
from jwt import PyJWTError

from fleetpgo import foreign
from fleetpgo.errors import ForgeError, RefusedError
from fleetpgo.proposal.forges import PullRequest, comment_marker, current, github_rules
from fleetpgo.proposal.forges.access import (
    ELSE,
    HINTS,
    checked,
    git_access,
    no_milestone,
    refusal,
    require_base,
    require_place,
    unanswered,
    understanding,
    words,
)
from fleetpgo.proposal.forges.github_commits import make_signed
from fleetpgo.proposal.forges.transport import (
    LONGEST_WAIT,
    RETRIED,
    TIMEOUT,
    BoundedAdapter,
    Patience,
    one_call,
)
from fleetpgo.proposal.signing import with_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from github.InstallationAuthorization import InstallationAuthorization
    from github.IssueComment import IssueComment
    from github.PullRequest import PullRequest as Answer
    from github.Repository import Repository

    from fleetpgo.proposal.forges import App, Intent, MergeKind, Obstacle, Standing
    from fleetpgo.proposal.signing import Entry

_HINTS = {**HINTS, 400: HINTS[405]}
"""PyGithub gives the errors of GraphQL, which only auto-merge is asked of, the status 400."""


class _Connection(HTTPSRequestsConnectionClass):
    """PyGithub's connection, within our limits. It follows no redirect to another host by itself."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  # its own
        super().__init__(*arguments, **options)
        self.session.mount("https://", BoundedAdapter(None, self.retry))


# PyGithub has no other place to say so; nothing else here uses it.
Requester.injectConnectionClasses(HTTPRequestsConnectionClass, _Connection)


class GitHubForge:
    """One repository on GitHub.

    Args:
        address: ``https://github.com`` or the address of an Enterprise server.
        project: ``owner/name``.
        token: personal access token; or the private key of an app, in PEM.
        app: the app, if it is one; it gets its tokens by itself, each for an hour.
        ca: file of the certificate authorities to trust; None: the system's.

    Raises:
        ForgeError: if one of them cannot be right.
    """

    def __init__(
        self, address: str, project: str, token: str | None, app: App | None = None, ca: Path | None = None
    ) -> None:
        self._address, token = checked(address, token)
        if project.count("/") != 1:
            raise ForgeError(
                f"{project!r} is not a repository on GitHub",
                hint="write owner/name as repository.project in the service file",
            )
        self._project = project
        self._ca = ca
        own = urlsplit(self._address).hostname != "github.com"
        self._github = Github(
            base_url=f"{self._address}/api/v3" if own else "https://api.github.com",
            auth=_as_app(app, token) if app else Auth.Token(token),
            lazy=True,
            per_page=100,
            timeout=int(TIMEOUT),
            verify=True if ca is None else str(ca),
            retry=_Patience(
                total=5, backoff_factor=1, max_rate_limit_wait=LONGEST_WAIT, allowed_methods=RETRIED
            ),
        )
        self._repository = self._github.get_repo(project)

    signing_key: str | None = None

    @property
    def clone_url(self) -> str:
        """The URL for git's clones and pushes."""
        return f"{self._address}/{self._project}.git"

    def git_config(self) -> dict[str, str]:
        """Return the token as an HTTP header for this server only, and rewrite its SSH URLs to HTTPS."""
        with self._errors("getting a token"):
            auth = self._github.requester.auth
            assert auth is not None  # noqa: S101  # for the reader of types: it was given one above
            return git_access(self._address, "x-access-token", auth.token, self._ca)

    def check(self, base: str) -> None:
        """Check that the repository has not moved, has that base, and that the token can push to it."""
        with self._errors("looking at the repository"):
            there = self._github.get_repo(self._project)
            there.complete()
            require_place((self._address, there.full_name), self._project, archived=there.archived)
            require_base(base, there.default_branch, there=_has(there, base))

    def obstacles(self, intent: Intent) -> tuple[Obstacle, ...]:
        """Return what will keep a branch from being proposed."""
        with self._errors("asking what the token may do"), understanding():
            there = self._get("") or {}
            scopes = self._github.oauth_scopes
            return tuple(github_rules.obstacles(self._get, there, scopes, intent))

    def _get(self, path: str) -> Any:  # noqa: ANN401  # JSON
        """Return the JSON of a path below the repository; None where there is none."""
        try:
            return self._github.requester.requestJsonAndCheck("GET", f"/repos/{self._project}{path}")[1]
        except GithubException as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return None

    def _post(self, path: str, sent: Mapping[str, Any]) -> Any:  # noqa: ANN401  # JSON
        """Post to a path below the repository; return the answer's JSON."""
        address = f"/repos/{self._project}{path}"
        return self._github.requester.requestJsonAndCheck("POST", address, input=sent)[1]

    def make_commit(self, files: Sequence[Entry], base: str, base_tree: str, message: str) -> str:
        """Have GitHub make a commit on top of the base; return its SHA. No branch points to it yet."""
        with self._errors("having a commit made"):
            return make_signed(self._post, files, base, base_tree, message)

    def find(self, branch: str) -> PullRequest | None:
        """Return the open pull request from a branch, with any base; if none is open, the newest one."""
        owner = self._project.partition("/")[0]
        with self._errors(f"looking for a pull request from {branch}"):
            answers = self._repository.get_pulls(state="all", head=f"{owner}:{branch}")
            # The owner may have forks of the repository, with branches of that name too.
            with understanding():
                return current(_read(each) for each in answers if self._is_own(each))

    def _is_own(self, answer: Answer) -> bool:
        """Return whether a pull request comes from this repository. A deleted fork has no name."""
        there = answer.head.repo
        return there is not None and there.full_name.lower() == self._project.lower()

    def get(self, number: int) -> PullRequest:
        """Return the pull request of that number, whatever its state."""
        with self._errors(f"reading pull request {number}"):
            return _read(self._repository.get_pull(number))

    def create(self, branch: str, base: str, title: str, body: str, *, draft: bool = False) -> PullRequest:
        """Open a pull request; GitHub refuses a second one for the same branch and base."""
        with self._errors(f"opening a pull request from {branch} to {base}"):
            return _read(self._repository.create_pull(base, branch, title=title, body=body, draft=draft))

    def update(self, number: int, title: str, body: str, base: str | None = None) -> PullRequest:
        """Replace the title and the body of a pull request, and its base if another is given."""
        with self._errors(f"updating pull request {number}"):
            answer = self._repository.get_pull(number)
            answer.edit(title=title, body=body, base=base or NotSet)
            return _read(answer)

    def ask(self, number: int, reviewer: str) -> None:
        """Ask one person, or one team, for a review."""
        team, name = "/" in reviewer, reviewer.rpartition("/")[2]
        with self._errors(f"asking {reviewer} for a review of pull request {number}"):
            answer = self._repository.get_pull(number)
            answer.create_review_request([] if team else [name], [name] if team else [])

    def assign(self, number: int, person: str) -> None:
        """Assign a pull request to one person, besides those it is assigned to."""
        doing = f"assigning pull request {number} to {person}"
        with self._errors(doing):
            answer = self._repository.get_pull(number)
            answer.add_to_assignees(person)
        # GitHub leaves out whom it will not have, and calls it a success.
        if person.lower() not in {each.login.lower() for each in answer.assignees}:
            raise RefusedError(
                f"{self._address}/{self._project}: {doing} is not possible: GitHub left the name out",
                hint="give the user access to the repository, or correct review.assignees",
            )

    def standing(self, number: int) -> Standing:
        """Return what an open pull request waits for."""
        with self._errors(f"asking what pull request {number} waits for"), understanding():
            owner, _, name = self._project.partition("/")
            asked = {"owner": owner, "name": name, "number": number}
            _, answer = self._github.requester.graphql_query(github_rules.QUERY, asked)
            told = answer["data"]["repository"]["pullRequest"]
            return github_rules.standing(self._get, self._get(f"/pulls/{number}"), told)

    def merge_once_ready(self, number: int, how: MergeKind, head: str) -> None:
        """Have GitHub merge that commit once its rules allow it."""
        with self._errors(f"switching auto-merge on for pull request {number}"):
            self._repository.get_pull(number).enable_automerge(how.upper(), expected_head_oid=head)

    def stop_merging(self, number: int) -> None:
        """Take auto-merge back, if it is on."""
        with self._errors(f"switching auto-merge off for pull request {number}"):
            there = self._repository.get_pull(number)
            if there.raw_data.get("auto_merge"):
                there.disable_automerge()

    def merge(self, number: int, how: MergeKind, head: str) -> None:
        """Merge now, if the newest commit is still that."""
        with self._errors(f"merging pull request {number}"):
            self._repository.get_pull(number).merge(merge_method=how, sha=head)

    def close(self, number: int) -> None:
        """Close an open pull request without merging it."""
        with self._errors(f"closing pull request {number}"):
            self._repository.get_pull(number).edit(state="closed")

    def lost_branch(self, number: int) -> bool:
        """Return whether it was closed by the deletion of its branch, which GitHub notes before it."""
        with self._errors(f"asking how pull request {number} was closed"), understanding():
            events = self._repository.get_issue(number).get_events()
            said = [each.event for each in events if each.event in ("closed", "head_ref_deleted")]
            # The order of the two that came last.
            return said[-2:] == ["head_ref_deleted", "closed"]

    def set_milestone(self, number: int, title: str) -> None:
        """Put a pull request into an open milestone."""
        with self._errors(f"putting pull request {number} into the milestone {title}"):
            found = [
                each
                for each in self._get("/milestones?state=open&per_page=100") or []
                if each["title"] == title
            ]
            if not found:
                raise no_milestone(f"{self._address}/{self._project}", title)
            path = f"/repos/{self._project}/issues/{number}"
            sent = {"milestone": found[0]["number"]}
            self._github.requester.requestJsonAndCheck("PATCH", path, input=sent)

    def label(self, number: int, *, add: Sequence[str] = (), remove: str | None = None) -> None:
        """Add labels to a pull request, made where there are none; or take one off, if it is on."""
        with self._errors(f"labelling pull request {number}"):
            issue = self._repository.get_issue(number)
            if add:
                issue.add_to_labels(*add)
            if remove:
                try:
                    # PyGithub's own method leaves the slash of a label's name in the path.
                    issue.requester.requestJsonAndCheck(
                        "DELETE", f"{issue.url}/labels/{quote(remove, safe='')}"
                    )
                except GithubException as error:
                    # Off already ("Label does not exist", for which PyGithub has no class of its own). Or
                    # not for this token to take off: then it is still there.
                    if error.status != HTTPStatus.NOT_FOUND or remove in {
                        each.name for each in self._repository.get_pull(number).labels
                    }:
                        raise

    def comment(self, number: int, body: str, key: str) -> None:
        """Write the one comment called `key` on a pull request: made the first time, replaced after that."""
        text = f"{comment_marker(key)}\n{body}"
        with self._errors(f"commenting on pull request {number}"):
            there = self._comment(number, key)
            if there is None:
                self._repository.get_issue(number).create_comment(text)
            elif there.body != text:
                there.edit(text)

    def read_comment(self, number: int, key: str) -> str:
        """Return the one comment called `key` on a pull request; "" if there is none."""
        with self._errors(f"reading the comments of pull request {number}"):
            there = self._comment(number, key)
            return there.body.removeprefix(comment_marker(key)).strip() if there else ""

    def _comment(self, number: int, key: str) -> IssueComment | None:
        """Our own comment of a key; None without one."""
        marked = [
            each
            for each in self._repository.get_issue(number).get_comments()
            if each.body.startswith(comment_marker(key))
        ]
        own = self._own_id() if marked else None
        return next((each for each in marked if each.user and each.user.id == own), None)

    def _own_id(self) -> int:
        """Return the id of the account that the token belongs to; an app's has one, too."""
        _, answer = self._github.requester.graphql_query("query { viewer { databaseId } }", {})
        return int(answer["data"]["viewer"]["databaseId"])

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Turn errors inside the block into a ForgeError; the forge's answers never hold the token."""
        try:
            # PyGithub asserts what it expects of an answer.
            with one_call(), understanding():
                yield
        except GithubException as error:
            # A limit is a 403 too.
            limited = isinstance(error, RateLimitExceededException)
            kind = ForgeError if limited else refusal(error.status)
            raise kind(
                f"{self._address}/{self._project}: {doing} failed: {error.status} {words(_reason(error))}",
                hint=ELSE if limited else _HINTS.get(error.status, ELSE),
            ) from error
        except requests.RequestException as error:
            raise unanswered(self._address, doing, error) from error


def _as_app(app: App, key: str) -> Auth.AppInstallationAuth:
    """Authenticate as an app."""
    try:
        auth = Auth.AppAuth(app.app, with_lines(key))
        _ = auth.token  # signs with it
    except (PyJWTError, ValueError) as error:
        raise ForgeError(
            f"the connection's password is not a private key of the app {app.app}",
            hint="set it to the key that GitHub gave for the app: -----BEGIN RSA PRIVATE KEY----- …",
        ) from error
    return _Installation(auth, app.installation)


class _Installation(Auth.AppInstallationAuth):
    """An app's authentication, whose tokens are blotted out of all text, like any other."""

    def _get_installation_authorization(self) -> InstallationAuthorization:
        made = super()._get_installation_authorization()
        foreign.remember(made.token)
        return made


class _Patience(Patience, GithubRetry):
    """Retry policy for GitHub, whose rate limits also answer 403; GithubRetry tells them from other 403s."""

    turned_away = Patience.turned_away | {requests.codes.forbidden}


def _has(repository: Repository, branch: str) -> bool:
    try:
        # GitHub leads from the old name of a renamed branch to the new one.
        return repository.get_branch(branch).name == branch
    except UnknownObjectException:
        return False


@understanding()
def _read(answer: Answer) -> PullRequest:
    """Convert a pull request from the format of GitHub's API."""
    merged = answer.merged_at is not None
    return PullRequest(
        number=answer.number,
        url=answer.html_url,
        title=answer.title,
        body=answer.body or "",
        state="merged" if merged else "open" if answer.state == "open" else "closed",
        branch=answer.head.ref,
        head=answer.head.sha,
        base=answer.base.ref,
        labels=tuple(label.name for label in answer.labels),
        draft=answer.draft,
        merged_at=answer.merged_at,
        # Before the merge this field names a trial merge that no branch holds.
        merge_commit=answer.merge_commit_sha if merged else None,
    )


def _reason(error: GithubException) -> str:
    """GitHub's own words: its message, and those about single fields."""
    if not isinstance(error.data, dict):
        return str(error.data or "")
    details = [
        str(detail.get("message") or detail) if isinstance(detail, dict) else str(detail)
        for detail in error.data.get("errors", [])
    ]
    return "; ".join(filter(None, [str(error.data.get("message", "")), *details]))
