"""GitHub and GitHub Enterprise Server, over their REST API."""

from __future__ import annotations

from base64 import b64encode
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from github import Auth, Github, GithubException
from github.GithubRetry import GithubRetry
from urllib3 import Retry

from fleetpgo.errors import ForgeError
from fleetpgo.forges import PullRequest, comment_marker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from github.PullRequest import PullRequest as Answer

_HINTS = {
    401: "the connection's token is wrong or has expired: make a new one",
    403: "let the connection's token read and write contents and pull requests of this repository",
    404: "check repository.project in the service file; a token that may not see it gets this answer too",
    422: "correct what the answer names; if a pull request was opened meanwhile, run the step again",
}

_LONGEST_WAIT = 120.0
"""Seconds to wait for a rate limit in place; the step's own retry can wait longer and holds no worker."""


class GitHubForge:
    """One repository on GitHub.

    Args:
        address: ``https://github.com`` or the address of an Enterprise server.
        project: ``owner/name``.
        token: personal access token, or installation token of an app.

    Raises:
        ForgeError: if one of them cannot be right.
    """

    def __init__(self, address: str, project: str, token: str | None) -> None:
        parts = urlsplit(address)
        if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc:
            raise ForgeError(
                "the forge's address is no https:// URL without user name and password",
                hint="set the connection's host to https://github.com or the address of your own server",
            )
        if project.count("/") != 1:
            raise ForgeError(
                f"{project!r} is no repository on GitHub",
                hint="write owner/name as repository.project in the service file",
            )
        if not token:
            raise ForgeError(
                "the forge's connection holds no token", hint="set the connection's password to one"
            )
        self._address = f"https://{parts.netloc}"
        self._project = project
        self._token = token
        api = "https://api.github.com" if parts.hostname == "github.com" else f"{self._address}/api/v3"
        self._repository = Github(
            base_url=api,
            auth=Auth.Token(token),
            lazy=True,
            # POST is not retried: a comment whose answer got lost would be there twice. The step that is
            # run again looks for it first.
            retry=GithubRetry(
                total=5,
                backoff_factor=1,
                max_rate_limit_wait=_LONGEST_WAIT,
                allowed_methods=Retry.DEFAULT_ALLOWED_METHODS | {"PATCH"},
            ),
        ).get_repo(project)

    @property
    def clone_url(self) -> str:
        """Where git clones from and pushes to."""
        return f"{self._address}/{self._project}.git"

    def git_config(self) -> dict[str, str]:
        """The token as an HTTP header for this server alone."""
        credentials = b64encode(f"x-access-token:{self._token}".encode()).decode()
        return {f"http.{self._address}/.extraHeader": f"Authorization: Basic {credentials}"}

    def find(self, branch: str, base: str) -> PullRequest | None:
        """The open pull request from a branch to a base, if there is one."""
        owner = self._project.partition("/")[0]
        with self._errors(f"looking for a pull request from {branch}"):
            for answer in self._repository.get_pulls(state="open", head=f"{owner}:{branch}", base=base):
                return _read(answer)
        return None

    def get(self, number: int) -> PullRequest:
        """The pull request of that number, whatever its state."""
        with self._errors(f"reading pull request {number}"):
            return _read(self._repository.get_pull(number))

    def create(self, branch: str, base: str, title: str, body: str) -> PullRequest:
        """Open a pull request; GitHub refuses a second one for the same branch and base."""
        with self._errors(f"opening a pull request from {branch} to {base}"):
            return _read(self._repository.create_pull(base, branch, title=title, body=body))

    def update(self, number: int, title: str, body: str) -> PullRequest:
        """Replace the title and the body of a pull request."""
        with self._errors(f"updating pull request {number}"):
            answer = self._repository.get_pull(number)
            answer.edit(title=title, body=body)
            return _read(answer)

    def comment(self, number: int, body: str, key: str) -> None:
        """Write the one comment called `key` on a pull request: made the first time, replaced after that."""
        marker = comment_marker(key)
        text = f"{marker}\n{body}"
        with self._errors(f"commenting on pull request {number}"):
            issue = self._repository.get_issue(number)
            for comment in issue.get_comments():
                if comment.body.startswith(marker):
                    comment.edit(text)
                    return
            issue.create_comment(text)

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Turn what goes wrong inside into a ForgeError; the forge's answers never hold the token."""
        try:
            yield
        except GithubException as error:
            raise ForgeError(
                f"{self._address}/{self._project}: {doing} failed: {error.status} {_reason(error)}",
                hint=_HINTS.get(error.status, "see whether the forge is well, then run the step again"),
            ) from error
        except requests.RequestException as error:
            raise ForgeError(
                f"{self._address} cannot be reached, {doing}: {error}",
                hint="check the connection's host and the network, then run the step again",
            ) from error


def _read(answer: Answer) -> PullRequest:
    """A pull request as GitHub's API describes it, in our words."""
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
    return "; ".join([str(error.data.get("message", "")), *details])
