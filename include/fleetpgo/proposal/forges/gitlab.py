"""GitLab, on gitlab.com or a server of one's own, over its REST API. It calls them merge requests."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import gitlab
import requests

from fleetpgo.errors import ForgeError, RefusedError
from fleetpgo.proposal.forges import PullRequest, comment_marker, current, gitlab_rules
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

_DRAFT = "Draft: "
"""A draft is one whose title begins so."""


class _Client(gitlab.Gitlab):
    """GitLab's client without its own repetitions, which would multiply ours."""

    def http_request(self, *arguments: Any, **options: Any) -> requests.Response:  # noqa: ANN401  # its own
        """Send one request."""
        return super().http_request(
            *arguments, **{**options, "obey_rate_limit": False, "retry_transient_errors": False}
        )


class GitLabForge:
    """One repository on GitLab.

    Args:
        address: ``https://gitlab.com`` or the address of another server.
        project: ``group/name``, with all subgroups.
        token: project, group or personal access token, with scope ``api`` and role Developer.
        ca: file of the certificate authorities to trust; None: the system's.

    Raises:
        ForgeError: if one of them cannot be right.
    """

    def __init__(self, address: str, project: str, token: str | None, ca: Path | None = None) -> None:
        self._address, self._token = checked(address, token)
        if "/" not in project:
            raise ForgeError(
                f"{project!r} is not a repository on GitLab",
                hint="write group/name as repository.project in the service file",
            )
        self._path = project
        self._ca = ca
        self._gitlab = _Client(
            self._address, private_token=self._token, timeout=TIMEOUT, session=session(self._address, ca)
        )
        self._project = self._gitlab.projects.get(project, lazy=True)

    signing_key: str | None = None
    make_commit: MakeCommit | None = None

    @property
    def clone_url(self) -> str:
        """The URL for git's clones and pushes."""
        return f"{self._address}/{self._path}.git"

    def git_config(self) -> dict[str, str]:
        """Return the token as an HTTP header for this server only, and rewrite its SSH URLs to HTTPS."""
        return git_access(self._address, "oauth2", self._token, self._ca)

    def check(self, base: str) -> None:
        """Check that the repository has not moved, has that base, and that the token can push to it."""
        with self._errors("looking at the repository"):
            there = self._gitlab.projects.get(self._path)
            require_place((self._address, there.path_with_namespace), self._path, archived=there.archived)
            require_base(base, there.default_branch, there=self._has(base))

    def obstacles(self, intent: Intent) -> tuple[Obstacle, ...]:
        """Return what will keep a branch from being proposed; GitLab tells nothing of single files."""
        with self._errors("asking what the token may do"), understanding():
            there = self._gitlab.projects.get(self._path)
            return tuple(gitlab_rules.obstacles(self._gitlab, self._project, there, intent))

    def find(self, branch: str) -> PullRequest | None:
        """Return the open pull request from a branch, with any base; if none is open, the newest one."""
        with self._errors(f"looking for a merge request from {branch}"):
            answers = self._project.mergerequests.list(
                state="all", source_branch=branch, get_all=True, per_page=100
            )
            # A fork may have a branch of that name too.
            return current(
                _read(each) for each in answers if each.source_project_id == each.target_project_id
            )

    def get(self, number: int) -> PullRequest:
        """Return the pull request of that number, whatever its state."""
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

    def ask(self, number: int, reviewer: str) -> None:
        """Ask one person for a review; GitLab asks no teams."""
        self._add(number, "reviewer", reviewer, f"asking {reviewer} for a review of merge request {number}")

    def assign(self, number: int, person: str) -> None:
        """Assign a merge request to one person, besides those it is assigned to."""
        self._add(number, "assignee", person, f"assigning merge request {number} to {person}")

    def _add(self, number: int, role: str, name: str, doing: str) -> None:
        """Add one person to the reviewers or the assignees."""
        with self._errors(doing):
            there = self._project.mergerequests.get(number)
            # The list that is sent replaces the one that is there.
            ids = [each["id"] for each in getattr(there, f"{role}s")]
            user = self._user(name)
            if user in ids:
                return
            answer = self._project.mergerequests.update(number, {f"{role}_ids": [*ids, user]})
        # GitLab leaves out whom it will not have, and calls it a success.
        if user not in {each["id"] for each in answer[f"{role}s"]}:
            raise RefusedError(
                f"{self._address}/{self._path}: {doing} is not possible: GitLab left the name out",
                hint=f"make the user a member of the project, or correct review.{role}s; GitLab Free takes "
                "one of a kind",
            )

    def standing(self, number: int) -> Standing:
        """Return what an open merge request waits for."""
        with self._errors(f"asking what merge request {number} waits for"), understanding():
            there = self._project.mergerequests.get(number)
            whole = self._gitlab.projects.get(self._path)
            return gitlab_rules.standing(self._project, whole, there)

    def merge_once_ready(self, number: int, how: MergeKind, head: str) -> None:
        """Have GitLab merge once the pipeline succeeds."""
        with self._errors(f"switching auto-merge on for merge request {number}"):
            # The older name of `auto_merge`: a version that did not know it would merge at once.
            sent = {"merge_when_pipeline_succeeds": True, "squash": how == "squash", "sha": head}
            self._accept(number, sent)

    def stop_merging(self, number: int) -> None:
        """Take auto-merge back, if it is on."""
        with self._errors(f"switching auto-merge off for merge request {number}"):
            there = self._project.mergerequests.get(number)
            if getattr(there, "merge_when_pipeline_succeeds", False):
                there.cancel_merge_when_pipeline_succeeds()

    def merge(self, number: int, how: MergeKind, head: str) -> None:
        """Merge now, if the newest commit is still that; GitLab rebases by the project's merge method."""
        with self._errors(f"merging merge request {number}"):
            self._accept(number, {"squash": how == "squash", "sha": head})

    def _accept(self, number: int, sent: Mapping[str, object]) -> None:
        """Send what python-gitlab's own method sends, and the commit, for which that has no word."""
        self._gitlab.http_put(f"{self._project.mergerequests.path}/{number}/merge", post_data=dict(sent))

    def close(self, number: int) -> None:
        """Close an open merge request without merging it."""
        with self._errors(f"closing merge request {number}"):
            self._project.mergerequests.update(number, {"state_event": "close"})

    def lost_branch(self, number: int) -> bool:
        """Return False: on GitLab a merge request stays open without its branch."""
        del number
        return False

    def set_milestone(self, number: int, title: str) -> None:
        """Put a merge request into an open milestone."""
        with self._errors(f"putting merge request {number} into the milestone {title}"):
            found = self._project.milestones.list(title=title, state="active", get_all=False)
            if not found:
                raise no_milestone(f"{self._address}/{self._path}", title)
            self._project.mergerequests.update(number, {"milestone_id": found[0].id})

    def label(self, number: int, *, add: Sequence[str] = (), remove: str | None = None) -> None:
        """Add labels to a pull request, made where the repository has none of that name; or take one off."""
        sent = {
            name: value for name, value in (("add_labels", ",".join(add)), ("remove_labels", remove)) if value
        }
        with self._errors(f"labelling merge request {number}"):
            self._project.mergerequests.update(number, sent)

    def comment(self, number: int, body: str, key: str) -> None:
        """Write the one comment called `key` on a pull request: made the first time, replaced after that."""
        sent = {"body": f"{comment_marker(key)}\n{body}"}
        with self._errors(f"commenting on merge request {number}"):
            there = self._note(number, key)
            notes = self._project.mergerequests.get(number, lazy=True).notes
            if there is None:
                notes.create(sent)
            elif there.body != sent["body"]:
                notes.update(there.id, sent)

    def read_comment(self, number: int, key: str) -> str:
        """Return the one comment called `key` on a pull request; "" if there is none."""
        with self._errors(f"reading the comments of merge request {number}"):
            there = self._note(number, key)
            return str(there.body).removeprefix(comment_marker(key)).strip() if there else ""

    def _note(self, number: int, key: str) -> Any:  # noqa: ANN401  # python-gitlab's object
        """Our own comment of a key; None without one."""
        notes = self._project.mergerequests.get(number, lazy=True).notes.list(iterator=True, per_page=100)
        marked = (each for each in notes if each.body.startswith(comment_marker(key)))
        return next((each for each in marked if each.author["id"] == self._own_id()), None)

    def _own_id(self) -> int:
        """Return the id of the account that the token belongs to."""
        if self._gitlab.user is None:
            self._gitlab.auth()
        return int(self._gitlab.user.id)  # type: ignore[union-attr]

    def _has(self, branch: str) -> bool:
        try:
            self._project.branches.get(branch)
        except gitlab.GitlabGetError as error:
            if error.response_code == requests.codes.not_found:
                return False
            raise
        return True

    def _user(self, name: str) -> int:
        """Return the id of a user; GitLab's API takes users by id only."""
        for user in self._gitlab.users.list(username=name, get_all=False):
            return int(user.id)
        raise RefusedError(
            f"there is no user {name} on {self._address}",
            hint="correct review.reviewers and review.assignees in the service file",
        )

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Turn errors inside the block into a ForgeError; GitLab's answers never hold the token."""
        try:
            with one_call():
                yield
        except gitlab.GitlabError as error:
            status = error.response_code or 0
            raise refusal(status)(
                f"{self._address}/{self._path}: {doing} failed: {words(error)}", hint=HINTS.get(status, ELSE)
            ) from error
        except requests.RequestException as error:
            raise unanswered(self._address, doing, error) from error


@understanding()
def _read(answer: Any) -> PullRequest:  # noqa: ANN401  # python-gitlab's objects have the answer's attributes
    """Convert a merge request from the format of GitLab's API."""
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
