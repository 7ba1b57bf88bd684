"""Gitea and Forgejo, over the REST API that they share.

No client is used: those there are for Python are generated whole from the API's description, or unkept.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import requests

from fleetpgo.errors import ForgeError, RefusedError, UndecidedError
from fleetpgo.proposal.forges import PullRequest, comment_marker, gitea_rules
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
from fleetpgo.proposal.forges.transport import TIMEOUT, one_call, session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from fleetpgo.proposal.forges import Intent, MergeKind, Obstacle, Standing
    from fleetpgo.proposal.signing import MakeCommit

_log = logging.getLogger(__name__)

_PAGE = 50
"""Most that Gitea gives at once, as it is delivered."""

_AT_ONCE = timedelta(seconds=2)
"""Between a deletion and the closing that it causes there is no longer."""

_DRAFT = "WIP: "
"""A draft is one whose title begins so."""


class GiteaForge:
    """One repository on a Gitea or Forgejo server.

    Args:
        address: the server's address.
        project: ``owner/name``.
        token: access token with scopes ``write:repository`` and ``write:issue``, ``read:user`` to tell its
            own comments from others, and ``read:organization`` to see the labels of the organisation that
            owns the repository.
        ca: file of the certificate authorities to trust; None: the system's.

    Raises:
        ForgeError: if one of them cannot be right.
    """

    def __init__(self, address: str, project: str, token: str | None, ca: Path | None = None) -> None:
        self._address, self._token = checked(address, token)
        if project.count("/") != 1:
            raise ForgeError(
                f"{project!r} is not a repository on Gitea",
                hint="write owner/name as repository.project in the service file",
            )
        self._project = project
        self._ca = ca
        self._session = session(self._address, ca)
        self._session.headers["Authorization"] = f"token {self._token}"

    signing_key: str | None = None
    make_commit: MakeCommit | None = None

    @property
    def clone_url(self) -> str:
        """The URL for git's clones and pushes."""
        return f"{self._address}/{self._project}.git"

    def git_config(self) -> dict[str, str]:
        """Return the token as an HTTP header for this server only, and rewrite its SSH URLs to HTTPS."""
        return git_access(self._address, "x-access-token", self._token, self._ca)

    def check(self, base: str) -> None:
        """Check that the repository has not moved, has that base, and that the token can push to it."""
        there = self._ask("GET", "", "looking at the repository")
        require_place((self._address, there["full_name"]), self._project, archived=there["archived"])
        branch = self._ask("GET", f"/branches/{quote(base, safe='')}", f"looking for {base}", absent=True)
        require_base(base, there["default_branch"], there=branch is not None)

    def obstacles(self, intent: Intent) -> tuple[Obstacle, ...]:
        """Return what will keep a branch from being proposed."""
        with one_call():
            return tuple(gitea_rules.obstacles(self._ask, intent))

    def find(self, branch: str) -> PullRequest | None:
        """Return the open pull request from a branch, with any base; if none is open, the newest one."""
        # The API cannot filter by branch; it gives the newest first.
        doing = f"looking for a pull request from {branch}"
        with one_call():
            for state in ("open", "closed"):
                for answer in self._pages("/pulls", doing, state=state):
                    head = answer["head"]
                    ours = (head.get("repo") or {}).get("full_name", "").lower() == self._project.lower()
                    if ours and head["label"] == branch:
                        return self._as_it_ended(_read(answer))
        return None

    def get(self, number: int) -> PullRequest:
        """Return the pull request of that number, whatever its state."""
        return self._as_it_ended(
            _read(self._ask("GET", f"/pulls/{number}", f"reading pull request {number}"))
        )

    def _as_it_ended(self, found: PullRequest) -> PullRequest:
        """Return a pull request with the head that it had at its end.

        Gitea gives the newest commit of its branch as that is now. What a person has committed to the branch
        since is none of it.
        """
        if found.state == "open":
            return found
        name = f"pull/{found.number}/head"
        doing = f"reading the head of pull request {found.number}"
        try:
            answer = self._ask("GET", f"/git/refs/{name}", doing, absent=True)
        except RefusedError as error:
            _log.warning("%s: a later commit of a person's is not told from it", error.message)
            return found
        with understanding():
            # A list, if there are others whose names begin so.
            there = answer if isinstance(answer, list) else [answer] if answer else []
            own = [each["object"]["sha"] for each in there if each["ref"] == f"refs/{name}"]
        return replace(found, head=own[0]) if own else found

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

    def ask(self, number: int, reviewer: str) -> None:
        """Ask one person, or one team, for a review."""
        team, name = "/" in reviewer, reviewer.rpartition("/")[2]
        sent = {"reviewers": [] if team else [name], "team_reviewers": [name] if team else []}
        self._ask("POST", f"/pulls/{number}/requested_reviewers", f"asking {reviewer} for a review", sent)

    def assign(self, number: int, person: str) -> None:
        """Assign a pull request to one person, besides those it is assigned to."""
        doing = f"assigning pull request {number} to {person}"
        # Looked up first: for one without access the answer is a 500, as if the server had stumbled.
        can = {each["login"].lower() for each in self._ask("GET", "/assignees", doing)}
        if person.lower() not in can:
            raise RefusedError(
                f"{self._address}/{self._project}: {doing} is not possible: no such user can write to it",
                hint="give the user access to the repository, or correct review.assignees",
            )
        # The list that is sent replaces the one that is there.
        there = self._ask("GET", f"/pulls/{number}", doing)["assignees"] or ()
        sent = {"assignees": list(dict.fromkeys([*(each["login"] for each in there), person]))}
        self._ask("PATCH", f"/pulls/{number}", doing, sent)

    def standing(self, number: int) -> Standing:
        """Return what an open pull request waits for."""
        with one_call(), understanding():
            return gitea_rules.standing(self._ask, number)

    def merge_once_ready(self, number: int, how: MergeKind, head: str) -> None:
        """Have Gitea merge once the checks succeed; it does nothing where none is required."""
        # Go's JSON takes a field's name in any case; older versions call it "Do".
        sent = {"do": how, "merge_when_checks_succeed": True, "head_commit_id": head}
        self._ask("POST", f"/pulls/{number}/merge", "switching auto-merge on", sent)

    def stop_merging(self, number: int) -> None:
        """Take the scheduled merge back, if there is one."""
        self._ask("DELETE", f"/pulls/{number}/merge", "switching auto-merge off", absent=True)

    def merge(self, number: int, how: MergeKind, head: str) -> None:
        """Merge now, if the newest commit is still that."""
        sent = {"do": how, "head_commit_id": head}
        self._ask("POST", f"/pulls/{number}/merge", f"merging pull request {number}", sent)

    def close(self, number: int) -> None:
        """Close an open pull request without merging it."""
        self._ask("PATCH", f"/pulls/{number}", f"closing pull request {number}", {"state": "closed"})

    def lost_branch(self, number: int) -> bool:
        """Return whether it was closed by the deletion of its branch.

        Both note the deletion of a closed one's branch on its page (``delete_branch``). Of a deletion that
        closes it, Gitea 1.26 notes both in the same second, Forgejo the closing alone.
        """
        doing = f"asking how pull request {number} was closed"
        with one_call():
            there = self._ask("GET", f"/pulls/{number}", doing)
            # `ref` is another one once the branch is gone.
            if there["state"] == "open" or there["merged"] or there["head"]["ref"] == there["head"]["label"]:
                return False
            at: dict[str, datetime] = {
                each["type"]: datetime.fromisoformat(each["created_at"])
                for each in self._pages(f"/issues/{number}/timeline", doing)
                if each["type"] in ("close", "delete_branch")
            }
            if at.keys() == {"close", "delete_branch"}:
                return abs(at["delete_branch"] - at["close"]) <= _AT_ONCE
            # Forgejo adds the version of the Gitea that it came from.
            version = self._ask("GET", "/version", doing, below="")["version"]
            return "+gitea" in version and "delete_branch" not in at

    def set_milestone(self, number: int, title: str) -> None:
        """Put a pull request into an open milestone."""
        doing = f"putting pull request {number} into the milestone {title}"
        found = self._ask("GET", "/milestones", doing, query={"name": title, "state": "open"})
        ids = [each["id"] for each in found if each["title"] == title]
        if not ids:
            raise no_milestone(f"{self._address}/{self._project}", title)
        self._ask("PATCH", f"/pulls/{number}", doing, {"milestone": ids[0]})

    def label(self, number: int, *, add: Sequence[str] = (), remove: str | None = None) -> None:
        """Add labels to a pull request, creating those that are not there yet, and take one off."""
        doing = f"labelling pull request {number}"
        own = f"/issues/{number}/labels"
        if add:
            with one_call():
                self._ask("POST", own, doing, {"labels": self._label_ids(add, doing)})
        if remove:
            # The pull request's own list has the labels of the organisation, too.
            for each in self._ask("GET", own, doing):
                if each["name"] == remove:
                    self._ask("DELETE", f"{own}/{each['id']}", doing)

    def comment(self, number: int, body: str, key: str) -> None:
        """Write the one comment called `key` on a pull request: made the first time, replaced after that."""
        sent = {"body": f"{comment_marker(key)}\n{body}"}
        doing = f"commenting on pull request {number}"
        there = self._comment(number, key, doing)
        if there is None:
            self._ask("POST", f"/issues/{number}/comments", doing, sent)
        elif there["body"] != sent["body"]:
            self._ask("PATCH", f"/issues/comments/{there['id']}", doing, sent)

    def read_comment(self, number: int, key: str) -> str:
        """Return the one comment called `key` on a pull request; "" if there is none."""
        there = self._comment(number, key, f"reading the comments of pull request {number}")
        return there["body"].removeprefix(comment_marker(key)).strip() if there else ""

    def _comment(self, number: int, key: str, doing: str) -> Any:  # noqa: ANN401  # JSON
        """Our own comment of a key as the API describes it; None without one."""
        comments = self._ask("GET", f"/issues/{number}/comments", doing)
        marked = [each for each in comments if each["body"].startswith(comment_marker(key))]
        own = self._own_id() if marked else None
        return next((each for each in marked if (each["user"] or {}).get("id") == own), None)

    def _own_id(self) -> int:
        """Return the id of the account that the token belongs to."""
        try:
            return int(self._ask("GET", "/user", "asking whose the token is", below="")["id"])
        except RefusedError as error:
            raise RefusedError(
                error.message,
                hint="give the connection's token the scope read:user: only comments of its own account are "
                "taken for fleetpgo's",
            ) from error

    def _label_ids(self, names: Sequence[str], doing: str) -> list[int]:
        """Return the ids of labels of the repository, else of the organisation; create missing ones."""
        ids = {each["name"]: each["id"] for each in self._pages("/labels", doing)}
        if not ids.keys() >= set(names):
            ids = self._organisation_labels(doing) | ids
        for name in names:
            if name not in ids:
                ids[name] = self._ask("POST", "/labels", doing, {"name": name, "color": "#00add8"})["id"]
        return [ids[name] for name in names]

    def _organisation_labels(self, doing: str) -> dict[str, int]:
        """Return the ids of the labels that the repository has from its organisation."""
        owner = self._project.partition("/")[0]
        try:
            found = self._pages("/labels", doing, below=f"/orgs/{owner}", absent=True)
            return {each["name"]: each["id"] for each in found}
        except RefusedError as error:
            _log.warning(
                "the labels of an organisation %s cannot be seen, so one may be made a second time; let the "
                "token read organizations: %s",
                owner,
                error.message,
            )
            return {}

    def _pages(
        self, path: str, doing: str, *, below: str | None = None, absent: bool = False, **query: str
    ) -> Iterator[Any]:
        """Yield all entries of a list, page by page; arguments as :meth:`_ask`."""
        page = 1
        while answers := self._ask(
            "GET", path, doing, query={**query, "page": page, "limit": _PAGE}, below=below, absent=absent
        ):
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
        below: str | None = None,
        absent: bool = False,
    ) -> Any:  # noqa: ANN401  # whatever JSON can hold
        """Send one request and return the answer's JSON, or None without one.

        Args:
            method: of HTTP.
            path: what is asked for.
            doing: what for; told in the error.
            sent: JSON to send.
            query: parameters of the URL.
            below: the path that `path` is below; None: the repository's.
            absent: a 404 is an answer too: None.
        """
        below = f"/repos/{self._project}" if below is None else below
        url = f"{self._address}/api/v1{below}{path}"
        try:
            with one_call():
                answer = self._session.request(method, url, params=query, json=sent, timeout=TIMEOUT)
        except requests.RequestException as error:
            raise unanswered(self._address, doing, error) from error
        if absent and answer.status_code == requests.codes.not_found:
            return None
        if not answer.ok:
            said = f"{answer.status_code} {words(_reason(answer))}"
            # So it says right after a push, while it looks for conflicts.
            kind = UndecidedError if "try again later" in said else refusal(answer.status_code)
            raise kind(
                f"{self._address}/{self._project}: {doing} failed: {said}",
                hint=HINTS.get(answer.status_code, ELSE),
            )
        return answer.json() if answer.content else None


@understanding()
def _read(answer: Mapping[str, Any]) -> PullRequest:
    """Convert a pull request from the format of Gitea's API."""
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
