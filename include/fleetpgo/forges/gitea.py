"""Gitea and Forgejo, over the REST API that they share.

No client is used: those there are for Python are generated whole from the API's description, or unkept.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import requests

from fleetpgo.errors import ForgeError
from fleetpgo.forges import PullRequest, comment_marker
from fleetpgo.forges.access import (
    ELSE,
    HINTS,
    TIMEOUT,
    checked,
    git_access,
    require_base,
    require_place,
    session,
    unanswered,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fleetpgo.config import Review

_PAGE = 50
"""Most that Gitea gives at once, as it is delivered."""

_DRAFT = "WIP: "
"""A draft is one whose title begins so."""


class GiteaForge:
    """One repository on a Gitea or Forgejo server.

    Args:
        address: the server's address.
        project: ``owner/name``.
        token: access token with scopes ``write:repository`` and ``write:issue``.

    Raises:
        ForgeError: if one of them cannot be right.
    """

    def __init__(self, address: str, project: str, token: str | None) -> None:
        self._address, self._token = checked(address, token)
        if project.count("/") != 1:
            raise ForgeError(
                f"{project!r} is no repository on Gitea",
                hint="write owner/name as repository.project in the service file",
            )
        self._project = project
        self._session = session()
        self._session.headers["Authorization"] = f"token {self._token}"

    @property
    def clone_url(self) -> str:
        """Where git clones from and pushes to."""
        return f"{self._address}/{self._project}.git"

    def git_config(self) -> dict[str, str]:
        """The token as an HTTP header for this server alone; its addresses for SSH as those for HTTPS."""
        return git_access(self._address, "x-access-token", self._token)

    def check(self, base: str) -> None:
        """Nothing, if the repository has not moved, can be written to, and has that base."""
        there = self._ask("GET", "", "looking at the repository")
        require_place((self._address, there["full_name"]), self._project, archived=there["archived"])
        branch = self._ask("GET", f"/branches/{quote(base, safe='')}", f"looking for {base}", absent=True)
        require_base(base, there["default_branch"], there=branch is not None)

    def find(self, branch: str) -> PullRequest | None:
        """The open pull request from a branch, whatever its base; where none is open, the newest."""
        # The API cannot filter by branch; it gives the newest first.
        for state in ("open", "closed"):
            for answer in self._pages("/pulls", f"looking for a pull request from {branch}", state=state):
                head = answer["head"]
                ours = (head.get("repo") or {}).get("full_name", "").lower() == self._project.lower()
                if ours and head["label"] == branch:
                    return _read(answer)
        return None

    def get(self, number: int) -> PullRequest:
        """The pull request of that number, whatever its state."""
        return _read(self._ask("GET", f"/pulls/{number}", f"reading pull request {number}"))

    def create(self, branch: str, base: str, title: str, body: str, *, draft: bool = False) -> PullRequest:
        """Open a pull request; Gitea refuses a second one for the same branch and base."""
        sent = {"head": branch, "base": base, "title": f"{_DRAFT if draft else ''}{title}", "body": body}
        return _read(self._ask("POST", "/pulls", f"opening a pull request from {branch} to {base}", sent))

    def update(self, number: int, title: str, body: str, base: str | None = None) -> PullRequest:
        """Replace the title and the body of a pull request, and its base if another is given."""
        sent = {"title": f"{_DRAFT if self.get(number).draft else ''}{title}", "body": body}
        if base:
            sent["base"] = base
        return _read(self._ask("PATCH", f"/pulls/{number}", f"updating pull request {number}", sent))

    def hand_over(self, number: int, review: Review) -> None:
        """Ask the reviewers, assign, and have Gitea merge once the checks succeed if the file says so."""
        pull_request = f"/pulls/{number}"
        people = [name for name in review.reviewers if "/" not in name]
        teams = [name.rpartition("/")[2] for name in review.reviewers if "/" in name]
        if review.reviewers:
            asked = {"reviewers": people, "team_reviewers": teams}
            self._ask("POST", f"{pull_request}/requested_reviewers", "asking for a review", asked)
        if review.assignees:
            self._ask("PATCH", pull_request, "assigning", {"assignees": list(review.assignees)})
        if review.auto_merge:
            # Go's JSON takes a field's name in any case; older versions call it "Do".
            merge = {"do": review.auto_merge, "merge_when_checks_succeed": True}
            self._ask("POST", f"{pull_request}/merge", "switching auto-merge on", merge)

    def label(self, number: int, *, add: Sequence[str] = (), remove: str | None = None) -> None:
        """Add labels to a pull request, made where the repository has none of that name; or take one off."""
        doing = f"labelling pull request {number}"
        ids = {answer["name"]: answer["id"] for answer in self._pages("/labels", doing)}
        for name in add:
            if name not in ids:
                ids[name] = self._ask("POST", "/labels", doing, {"name": name, "color": "#00add8"})["id"]
        if add:
            self._ask("POST", f"/issues/{number}/labels", doing, {"labels": [ids[name] for name in add]})
        if remove in ids:
            self._ask("DELETE", f"/issues/{number}/labels/{ids[remove]}", doing)

    def comment(self, number: int, body: str, key: str) -> None:
        """Write the one comment called `key` on a pull request: made the first time, replaced after that."""
        marker = comment_marker(key)
        sent = {"body": f"{marker}\n{body}"}
        doing = f"commenting on pull request {number}"
        for comment in self._ask("GET", f"/issues/{number}/comments", doing):
            if comment["body"].startswith(marker):
                if comment["body"] != sent["body"]:
                    self._ask("PATCH", f"/issues/comments/{comment['id']}", doing, sent)
                return
        self._ask("POST", f"/issues/{number}/comments", doing, sent)

    def _pages(self, path: str, doing: str, **query: str) -> Iterator[Any]:
        """All that a list holds, page after page."""
        page = 1
        while answers := self._ask("GET", path, doing, query={**query, "page": page, "limit": _PAGE}):
            yield from answers
            page += 1

    def _ask(
        self,
        method: str,
        path: str,
        doing: str,
        sent: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        absent: bool = False,
    ) -> Any:  # noqa: ANN401  # whatever JSON can hold
        """Send one request about the repository; the answer's JSON, or None without one.

        Args:
            method: of HTTP.
            path: below the repository's.
            doing: what for; told in the error.
            sent: JSON to send.
            query: parameters of the URL.
            absent: a 404 is an answer too: None.
        """
        url = f"{self._address}/api/v1/repos/{self._project}{path}"
        try:
            answer = self._session.request(method, url, params=query, json=sent, timeout=TIMEOUT)
        except requests.RequestException as error:
            raise unanswered(self._address, doing, error) from error
        if absent and answer.status_code == requests.codes.not_found:
            return None
        if not answer.ok:
            raise ForgeError(
                f"{self._address}/{self._project}: {doing} failed: {answer.status_code} {_reason(answer)}",
                hint=HINTS.get(answer.status_code, ELSE),
            )
        return answer.json() if answer.content else None


def _read(answer: Mapping[str, Any]) -> PullRequest:
    """A pull request as Gitea's API describes it, in our words."""
    merged = answer["merged"]
    return PullRequest(
        number=answer["number"],
        url=answer["html_url"],
        title=answer["title"].removeprefix(_DRAFT),
        body=answer["body"] or "",
        state="merged" if merged else "open" if answer["state"] == "open" else "closed",
        # `ref` is another one once the branch is deleted.
        branch=answer["head"]["label"],
        head=answer["head"]["sha"],
        base=answer["base"]["ref"],
        labels=tuple(label["name"] for label in answer["labels"] or ()),
        draft=answer["draft"],
        merged_at=datetime.fromisoformat(answer["merged_at"]) if merged else None,
        merge_commit=answer["merge_commit_sha"] if merged else None,
    )


def _reason(answer: requests.Response) -> str:
    """Gitea's own words."""
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.reason or ""
