"""GitLab, on gitlab.com or a server of one's own, over its REST API. It calls them merge requests."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import gitlab
import requests

from fleetpgo.errors import ForgeError
from fleetpgo.forges import PullRequest, comment_marker, current
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
    from collections.abc import Iterator, Sequence

    from fleetpgo.config import Review

_DRAFT = "Draft: "
"""A draft is one whose title begins so."""


class GitLabForge:
    """One repository on GitLab.

    Args:
        address: ``https://gitlab.com`` or the address of another server.
        project: ``group/name``, with all subgroups.
        token: project, group or personal access token, with scope ``api`` and role Developer.

    Raises:
        ForgeError: if one of them cannot be right.
    """

    def __init__(self, address: str, project: str, token: str | None) -> None:
        self._address, self._token = checked(address, token)
        if "/" not in project:
            raise ForgeError(
                f"{project!r} is no repository on GitLab",
                hint="write group/name as repository.project in the service file",
            )
        self._path = project
        self._gitlab = gitlab.Gitlab(
            self._address, private_token=self._token, timeout=TIMEOUT, session=session()
        )
        self._project = self._gitlab.projects.get(project, lazy=True)

    @property
    def clone_url(self) -> str:
        """Where git clones from and pushes to."""
        return f"{self._address}/{self._path}.git"

    def git_config(self) -> dict[str, str]:
        """The token as an HTTP header for this server alone; its addresses for SSH as those for HTTPS."""
        return git_access(self._address, "oauth2", self._token)

    def check(self, base: str) -> None:
        """Nothing, if the repository has not moved, can be written to, and has that base."""
        with self._errors("looking at the repository"):
            there = self._gitlab.projects.get(self._path)
            require_place((self._address, there.path_with_namespace), self._path, archived=there.archived)
            require_base(base, there.default_branch, there=self._has(base))

    def find(self, branch: str) -> PullRequest | None:
        """The open pull request from a branch, whatever its base; where none is open, the newest."""
        with self._errors(f"looking for a merge request from {branch}"):
            answers = self._project.mergerequests.list(
                state="all", source_branch=branch, get_all=True, per_page=100
            )
            # A fork may have a branch of that name too.
            return current(
                _read(each) for each in answers if each.source_project_id == each.target_project_id
            )

    def get(self, number: int) -> PullRequest:
        """The pull request of that number, whatever its state."""
        with self._errors(f"reading merge request {number}"):
            return _read(self._project.mergerequests.get(number))

    def create(self, branch: str, base: str, title: str, body: str, *, draft: bool = False) -> PullRequest:
        """Open a pull request; GitLab refuses a second one for the same branch and base."""
        with self._errors(f"opening a merge request from {branch} to {base}"):
            return _read(
                self._project.mergerequests.create(
                    {
                        "source_branch": branch,
                        "target_branch": base,
                        "title": f"{_DRAFT if draft else ''}{title}",
                        "description": body,
                    }
                )
            )

    def update(self, number: int, title: str, body: str, base: str | None = None) -> PullRequest:
        """Replace the title and the body of a pull request, and its base if another is given."""
        sent = {"title": f"{_DRAFT if self.get(number).draft else ''}{title}", "description": body}
        if base:
            sent["target_branch"] = base
        with self._errors(f"updating merge request {number}"):
            self._project.mergerequests.update(number, sent)
        return self.get(number)

    def hand_over(self, number: int, review: Review) -> None:
        """Ask the reviewers, assign, and have GitLab merge once the pipeline succeeds if the file says so."""
        with self._errors(f"handing merge request {number} over"):
            people = {"reviewer_ids": review.reviewers, "assignee_ids": review.assignees}
            sent = {name: [self._user(each) for each in names] for name, names in people.items() if names}
            if sent:
                self._project.mergerequests.update(number, sent)
            if review.auto_merge:
                # The older name of `auto_merge`: a version that did not know it would merge at once.
                self._project.mergerequests.get(number, lazy=True).merge(
                    merge_when_pipeline_succeeds=True, squash=review.auto_merge == "squash"
                )

    def label(self, number: int, *, add: Sequence[str] = (), remove: str | None = None) -> None:
        """Add labels to a pull request, made where the repository has none of that name; or take one off."""
        sent = {
            name: value for name, value in (("add_labels", ",".join(add)), ("remove_labels", remove)) if value
        }
        with self._errors(f"labelling merge request {number}"):
            self._project.mergerequests.update(number, sent)

    def comment(self, number: int, body: str, key: str) -> None:
        """Write the one comment called `key` on a pull request: made the first time, replaced after that."""
        marker = comment_marker(key)
        sent = {"body": f"{marker}\n{body}"}
        with self._errors(f"commenting on merge request {number}"):
            notes = self._project.mergerequests.get(number, lazy=True).notes
            for note in notes.list(iterator=True, per_page=100):
                if note.body.startswith(marker):
                    if note.body != sent["body"]:
                        notes.update(note.id, sent)
                    return
            notes.create(sent)

    def _has(self, branch: str) -> bool:
        try:
            self._project.branches.get(branch)
        except gitlab.GitlabGetError as error:
            if error.response_code == requests.codes.not_found:
                return False
            raise
        return True

    def _user(self, name: str) -> int:
        """The id of a user, by which alone GitLab takes them."""
        for user in self._gitlab.users.list(username=name, get_all=False):
            return int(user.id)
        raise ForgeError(
            f"there is no user {name} on {self._address}",
            hint="correct review.reviewers and review.assignees in the service file",
        )

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Turn what goes wrong inside into a ForgeError; GitLab's answers never hold the token."""
        try:
            yield
        except gitlab.GitlabError as error:
            status = error.response_code or 0
            raise ForgeError(
                f"{self._address}/{self._path}: {doing} failed: {error}", hint=HINTS.get(status, ELSE)
            ) from error
        except requests.RequestException as error:
            raise unanswered(self._address, doing, error) from error


def _read(answer: Any) -> PullRequest:  # noqa: ANN401  # python-gitlab's objects have the answer's attributes
    """A merge request as GitLab's API describes it, in our words."""
    merged = answer.state == "merged"
    return PullRequest(
        number=answer.iid,
        url=answer.web_url,
        title=answer.title.removeprefix(_DRAFT),
        body=answer.description or "",
        # `locked` is an open one while it is being merged.
        state="merged" if merged else "closed" if answer.state == "closed" else "open",
        branch=answer.source_branch,
        head=answer.sha or "",
        base=answer.target_branch,
        labels=tuple(answer.labels),
        draft=answer.draft,
        merged_at=datetime.fromisoformat(answer.merged_at) if merged else None,
        # A squash without a merge commit, or a fast-forward, leaves other traces.
        merge_commit=(answer.merge_commit_sha or answer.squash_commit_sha or answer.sha) if merged else None,
    )
