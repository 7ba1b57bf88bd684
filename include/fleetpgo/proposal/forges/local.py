"""A forge that is a directory: bare repositories, and their pull requests as files beside them.

``<address>/<project>.git`` is the repository. Pull request 7 is ``<address>/<project>.pulls/7.json`` for
programs and ``7.md`` for people; its newest commit is ``refs/pull/7/head``, as on GitHub. There is no server:
whoever may write to the directory may merge. For the demo, for tests, and for trying fleetpgo out.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetpgo.errors import ForgeError, RefusedError, RepositoryError
from fleetpgo.proposal.forges import Obstacle, PullRequest, Standing, current
from fleetpgo.proposal.git import git

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fleetpgo.proposal.forges import Intent, MergeKind
    from fleetpgo.proposal.signing import MakeCommit


@dataclass(frozen=True)
class _Record:
    """The content of a pull request's JSON file."""

    pull_request: PullRequest
    comments: dict[str, str] = field(default_factory=dict)
    reviewers: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()


class LocalForge:
    """One bare repository under a directory. Safe for several writers on one machine.

    Args:
        address: the directory that holds the repositories.
        project: the repository's path under it, without ``.git``.

    Raises:
        ForgeError: the repository does not exist.
    """

    def __init__(self, address: str, project: str) -> None:
        if "://" in address:
            raise ForgeError(
                f"repository.forge is local, and {address} is no directory", hint="correct repository.forge"
            )
        root = Path(address).absolute()
        self._repository = root / f"{project}.git"
        self._pulls = root / f"{project}.pulls"
        if not (self._repository / "HEAD").is_file():
            raise ForgeError(
                f"there is no bare repository {self._repository}",
                hint=f"make one: git clone --bare <url> {self._repository}",
            )

    signing_key: str | None = None
    make_commit: MakeCommit | None = None

    @property
    def clone_url(self) -> str:
        """The repository as a ``file:`` URL: for a plain path git ignores the depth of a clone."""
        return self._repository.as_uri()

    def git_config(self) -> dict[str, str]:
        """Return no settings: the file system's permissions are the credentials."""
        return {}

    def check(self, base: str) -> None:
        """Check that the repository has that base.

        Raises:
            ForgeError: if it has not.
        """
        try:
            self._commit(base)
        except ForgeError as error:
            default = self._git("symbolic-ref", "--short", "HEAD")
            raise ForgeError(
                error.message,
                hint=f"set repository.base in the service file; the default branch is {default}",
            ) from error

    def obstacles(self, intent: Intent) -> tuple[Obstacle, ...]:  # noqa: ARG002  # alike for all
        """Return what will keep a branch from being pushed: here only a directory that takes nothing."""
        closed = [place for place in (self._repository, self._pulls.parent) if not os.access(place, os.W_OK)]
        return tuple(
            Obstacle(f"this user may not write to {place}", "let the user that runs fleetpgo write there")
            for place in closed
        )

    def find(self, branch: str) -> PullRequest | None:
        """Return the open pull request from a branch, with any base; if none is open, the newest one."""
        return current(each for each in self.pull_requests() if each.branch == branch)

    def get(self, number: int) -> PullRequest:
        """Return the pull request of that number, whatever its state."""
        return self._read(number).pull_request

    def pull_requests(self) -> list[PullRequest]:
        """Return all pull requests, the oldest first."""
        numbers = sorted(int(file.stem) for file in self._pulls.glob("*.json") if file.stem.isdecimal())
        return [self.get(number) for number in numbers]

    def create(self, branch: str, base: str, title: str, body: str, *, draft: bool = False) -> PullRequest:
        """Open a pull request.

        Raises:
            ForgeError: if one is open for the same branch and base, or one of the two is not there.
        """
        with self._lock():
            there = self.find(branch)
            if there and (there.state, there.base) == ("open", base):
                raise ForgeError(
                    f"pull request {there.number} is open for {branch} already", hint="run the step again"
                )
            head = self._commit(branch)
            self._commit(base)
            number = max((one.number for one in self.pull_requests()), default=0) + 1
            url = (self._pulls / f"{number}.md").as_uri()
            made = PullRequest(number, url, title, body, "open", branch, head, base, draft=draft)
            # While it is open, its head follows the branch.
            self._git("symbolic-ref", f"refs/pull/{number}/head", f"refs/heads/{branch}")
            self._write(_Record(made))
            return made

    def update(self, number: int, title: str, body: str, base: str | None = None) -> PullRequest:
        """Replace the title and the body of a pull request, and its base if another is given."""
        with self._lock():
            record = self._read(number)
            base = base or record.pull_request.base
            changed = replace(record.pull_request, title=title, body=body, base=base)
            self._write(replace(record, pull_request=changed))
            return changed

    def ask(self, number: int, reviewer: str) -> None:
        """Record a reviewer of a pull request. Any name will do: a local forge has no accounts."""
        with self._lock():
            record = self._read(number)
            self._write(replace(record, reviewers=tuple(dict.fromkeys((*record.reviewers, reviewer)))))

    def assign(self, number: int, person: str) -> None:
        """Record an assignee of a pull request."""
        with self._lock():
            record = self._read(number)
            self._write(replace(record, assignees=tuple(dict.fromkeys((*record.assignees, person)))))

    def standing(self, number: int) -> Standing:
        """Return whether a pull request conflicts with its base; a local forge requires nothing else."""
        pull_request = self.get(number)
        base = self._commit(pull_request.base)
        draft = ("it is a draft",) if pull_request.draft else ()
        try:
            git(self._repository, "merge-tree", "--write-tree", base, pull_request.head)
        except RepositoryError:
            waiting = (*draft, "a conflict with the base")
            return Standing(pull_request.head, base, waiting=waiting, conflict=True)
        return Standing(pull_request.head, base, waiting=draft)

    def merge_once_ready(self, number: int, how: MergeKind, head: str) -> None:  # noqa: ARG002
        """Refuse.

        Raises:
            ForgeError: always: this forge has no checks to wait for.
        """
        raise RefusedError(
            f"pull request {number} cannot be merged automatically ({how}): a local forge runs no checks",
            hint="remove review.auto_merge from the service file; `fleetpgo pr merge` merges",
        )

    def stop_merging(self, number: int) -> None:
        """Do nothing: a local forge never merges by itself."""

    def lost_branch(self, number: int) -> bool:
        """Return False: here a pull request stays open without its branch."""
        del number
        return False

    def set_milestone(self, number: int, title: str) -> None:
        """Refuse.

        Raises:
            RefusedError: always: this forge has no milestones.
        """
        raise RefusedError(
            f"pull request {number} cannot be put into the milestone {title}: a local forge has none",
            hint="remove review.milestone from the service file",
        )

    def label(self, number: int, *, add: Sequence[str] = (), remove: str | None = None) -> None:
        """Add labels to a pull request; or take one off, if it is on."""
        with self._lock():
            record = self._read(number)
            labels = dict.fromkeys((*record.pull_request.labels, *add))
            kept = tuple(label for label in labels if label != remove)
            self._write(replace(record, pull_request=replace(record.pull_request, labels=kept)))

    def comment(self, number: int, body: str, key: str) -> None:
        """Write the one comment called `key` on a pull request: made the first time, replaced after that."""
        with self._lock():
            record = self._read(number)
            self._write(replace(record, comments={**record.comments, key: body}))

    def read_comment(self, number: int, key: str) -> str:
        """Return the one comment called `key` on a pull request; "" if there is none."""
        return self._read(number).comments.get(key, "")

    def comments(self, number: int) -> dict[str, str]:
        """Return the comments of a pull request by their keys, the oldest first."""
        return self._read(number).comments

    def people(self, number: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the reviewers and the assignees of a pull request."""
        record = self._read(number)
        return record.reviewers, record.assignees

    def merge(self, number: int, how: MergeKind = "merge", head: str | None = None) -> PullRequest:  # noqa: ARG002
        """Merge an open pull request into its base with a merge commit, whatever `how` says.

        Raises:
            ForgeError: if it is not open, its branch is gone or not at `head`, or the two conflict.
        """
        with self._lock():
            record, pull_request = self._open(number)
            there = self._commit(pull_request.branch)
            if head not in (None, there):
                raise RefusedError(
                    f"pull request {number} cannot be merged: its branch is at {there}, not at {head}",
                    hint="run the step again",
                )
            head = there
            try:
                merge_commit = self._merge(pull_request, head)
            except RepositoryError as error:
                raise ForgeError(
                    f"pull request {number} cannot be merged into {pull_request.base}: {error.message}",
                    hint="run the refresh again: it makes the branch anew from its base",
                ) from error
            return self._finish(
                record,
                replace(
                    pull_request,
                    state="merged",
                    head=head,
                    merged_at=datetime.now(UTC),
                    merge_commit=merge_commit,
                ),
            )

    def close(self, number: int) -> PullRequest:
        """Close an open pull request without merging it.

        Raises:
            ForgeError: if it is not open.
        """
        with self._lock():
            record, pull_request = self._open(number)
            return self._finish(record, replace(pull_request, state="closed"))

    def _merge(self, pull_request: PullRequest, head: str) -> str:
        """Merge a head into the base and return the full SHA of the merge commit."""
        with tempfile.TemporaryDirectory(prefix="fleetpgo-", ignore_cleanup_errors=True) as directory:
            clone = Path(directory) / "clone"
            git(
                Path(directory), "clone", "--quiet", "--branch", pull_request.base, self.clone_url, str(clone)
            )
            message = f"Merge pull request #{pull_request.number} from {pull_request.branch}"
            git(clone, "merge", "--quiet", "--no-ff", "--message", f"{message}\n\n{pull_request.title}", head)
            git(clone, "push", "--quiet", "origin", f"HEAD:refs/heads/{pull_request.base}")
            # Not simply HEAD: a merge that was interrupted after its push is in the base already.
            merges = git(clone, "rev-list", "--first-parent", "--ancestry-path", f"{head}..HEAD")
            return merges.split("\n")[-1] or head

    def _open(self, number: int) -> tuple[_Record, PullRequest]:
        record = self._read(number)
        if record.pull_request.state != "open":
            raise ForgeError(
                f"pull request {number} is {record.pull_request.state} already",
                hint="`fleetpgo pr list` shows which are open",
            )
        return record, record.pull_request

    def _finish(self, record: _Record, finished: PullRequest) -> PullRequest:
        """Write a pull request that is merged or closed. Its head no longer moves."""
        self._git("update-ref", "--no-deref", f"refs/pull/{finished.number}/head", finished.head)
        self._write(replace(record, pull_request=finished))
        return finished

    def _commit(self, branch: str) -> str:
        try:
            return self._git("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}")
        except ForgeError as error:
            raise ForgeError(
                f"there is no branch {branch} in {self._repository}",
                hint="push it, or correct repository.base in the service file",
            ) from error

    def _git(self, *arguments: str) -> str:
        try:
            return git(self._repository, *arguments)
        except RepositoryError as error:
            raise ForgeError(f"{self._repository}: {error.message}", hint=error.hint) from error

    def _read(self, number: int) -> _Record:
        file = self._pulls / f"{number}.json"
        try:
            document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ForgeError(
                f"there is no pull request {number} in {self._pulls}",
                hint="`fleetpgo pr list` shows which there are",
            ) from error
        except (OSError, ValueError, RecursionError) as error:
            raise _unreadable(file, str(error)) from error
        try:
            comments = document.pop("comments")
            people = {name: tuple(document.pop(name, ())) for name in ("reviewers", "assignees")}
            document["labels"] = tuple(document.get("labels", ()))
            if document["merged_at"]:
                document["merged_at"] = datetime.fromisoformat(document["merged_at"])
            pull_request = PullRequest(**document)
        except KeyError as error:
            raise _unreadable(file, f"it has no {error}") from error
        except (AttributeError, TypeError, ValueError) as error:
            raise _unreadable(file, str(error)) from error
        if pull_request.state == "open":
            heads = self._git("for-each-ref", "--format=%(objectname)", f"refs/heads/{pull_request.branch}")
            pull_request = replace(pull_request, head=heads or pull_request.head)
        return _Record(pull_request, comments, **people)

    def _write(self, record: _Record) -> None:
        """Write both files of a pull request. The JSON comes last: if it exists, so does the rest."""
        pull_request = record.pull_request
        document = {
            **asdict(pull_request),
            "comments": record.comments,
            "reviewers": record.reviewers,
            "assignees": record.assignees,
        }
        if pull_request.merged_at:
            document["merged_at"] = pull_request.merged_at.isoformat()
        _replace(self._pulls / f"{pull_request.number}.md", _page(record))
        _replace(self._pulls / f"{pull_request.number}.json", json.dumps(document, indent=2) + "\n")

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Lock the forge for one writer; the system releases the lock if the writer dies."""
        try:
            self._pulls.mkdir(exist_ok=True)
            with (self._pulls / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise ForgeError(
                f"nothing can be written to {self._pulls}: {error.strerror}",
                hint="see that the disk has room, and that this user may write there",
            ) from error


def _page(record: _Record) -> str:
    """Return a pull request as a page of Markdown."""
    pull_request = record.pull_request
    parts = [
        f"# {pull_request.title} (#{pull_request.number}, {pull_request.state})",
        f"`{pull_request.branch}` → `{pull_request.base}`, head `{pull_request.head}`",
        pull_request.body,
        *(f"---\n\n{body}" for body in record.comments.values()),
    ]
    return "\n\n".join(parts) + "\n"


def _replace(file: Path, text: str) -> None:
    """Write a file in one step: a reader sees the old text or the new, never half of one."""
    whole = file.with_name(f".{file.name}")
    try:
        whole.write_text(text, encoding="utf-8")
        whole.replace(file)
    except OSError:
        whole.unlink(missing_ok=True)
        raise


def _unreadable(file: Path, why: str) -> ForgeError:
    return ForgeError(
        f"the pull request {file} cannot be read: {why}",
        hint="mend the file, or move it and its .md away, and run again",
    )
