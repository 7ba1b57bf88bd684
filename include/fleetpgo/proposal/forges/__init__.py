"""The protocol of a forge, which keeps a repository and its pull requests.

Each kind of forge is one module with one class; :func:`connect` picks it. A forge is asked anew every time:
its answers are the state, nothing is remembered between calls. Git itself (clone, commit, push) is
:mod:`fleetpgo.proposal.git`'s; a forge only says where to clone from and with which credentials.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from fleetpgo.errors import ForgeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from fleetpgo.proposal.signing import MakeCommit

State = Literal["open", "merged", "closed"]
"""``closed`` means closed without a merge."""

MergeKind = Literal["merge", "squash", "rebase"]
"""Ways in which a forge merges automatically."""


@dataclass(frozen=True)
class PullRequest:
    """A pull request as the forge showed it at one moment.

    Attributes:
        number: the forge's number for it, unique in its repository.
        url: where a person reads it.
        title: one line.
        body: Markdown.
        state: open, merged, or closed without a merge.
        branch: the branch it comes from.
        head: full SHA of the newest commit of that branch that belongs to it.
        base: the branch it goes to.
        labels: the names of its labels.
        draft: whether it is a draft.
        merged_at: when it was merged (with time zone), if it was.
        merge_commit: full SHA of the commit that merged it into the base, if it was.
    """

    number: int
    url: str
    title: str
    body: str
    state: State
    branch: str
    head: str
    base: str
    labels: tuple[str, ...] = ()
    draft: bool = False
    merged_at: datetime | None = None
    merge_commit: str | None = None


@dataclass(frozen=True)
class App:
    """An app of GitHub's as it is installed for a repository.

    Attributes:
        app: id of the app, or its client id.
        installation: id of the installation.
    """

    app: str
    installation: int


@dataclass(frozen=True)
class Intent:
    """What is going to be proposed.

    Attributes:
        base: the branch that the pull request goes to.
        branch: the branch that it comes from; it need not exist.
        path: path of the profile in the repository; None if that is not known yet.
        signed: whether the commit is signed.
    """

    base: str
    branch: str
    path: str | None = None
    signed: bool = False


@dataclass(frozen=True)
class Obstacle:
    """Something at the forge that stands in the way of a proposal, as the forge tells it.

    Attributes:
        said: what was found, in a sentence.
        hint: what to change.
        fatal: whether no proposal can succeed with it; else it may be meant for others.
    """

    said: str
    hint: str
    fatal: bool = True


@dataclass(frozen=True)
class Standing:
    """What stands between an open pull request and its merge, as the forge showed it at one moment.

    Attributes:
        head: full SHA of the newest commit of its branch.
        base_head: full SHA of the newest commit of its base.
        checks: names of the checks that the base requires; of GitLab the pipeline.
        waiting: what it waits for before it can be merged, each in a few words.
        failed: names of required checks that failed.
        conflict: whether it cannot be merged without a person's or our work.
        behind: whether the base has moved on and requires a branch that holds its newest commit.
        approved: whether somebody has approved it, and nobody asks for changes.
        settled: False while the forge is still working out whether it can be merged, as after a push.
    """

    head: str
    base_head: str
    checks: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    conflict: bool = False
    behind: bool = False
    approved: bool = False
    settled: bool = True


class Forge(Protocol):
    """One repository on one forge. Every method raises ForgeError if the forge cannot or will not."""

    @property
    def clone_url(self) -> str:
        """The URL for git's clones and pushes, without credentials."""

    signing_key: str | None
    """Private key that signs commits, from the connection."""

    @property
    def make_commit(self) -> MakeCommit | None:
        """What has the forge make a commit, and sign it; None: this forge does not."""

    def git_config(self) -> dict[str, str]:
        """Git configuration that holds the credentials; for git's environment only, never for a file.

        It may hold for an hour only: ask anew after what takes long.
        """

    def check(self, base: str) -> None:
        """Check that the repository exists, has that base, and that the token can push to it."""

    def obstacles(self, intent: Intent) -> tuple[Obstacle, ...]:
        """Return what will keep a branch from being pushed, proposed, labelled, refreshed or merged.

        Forges tell it in part only: GitHub not who may bypass a ruleset, Gitea protections to administrators.
        """

    def find(self, branch: str) -> PullRequest | None:
        """Return the open pull request from a branch, with any base; if none is open, the newest one."""

    def get(self, number: int) -> PullRequest:
        """Return the pull request of that number, whatever its state."""

    def create(self, branch: str, base: str, title: str, body: str, *, draft: bool = False) -> PullRequest:
        """Open a pull request; an error if one is open for the same branch and base."""

    def update(self, number: int, title: str, body: str, base: str | None = None) -> PullRequest:
        """Replace the title and the body of a pull request, and its base if another is given."""

    def ask(self, number: int, reviewer: str) -> None:
        """Ask one person, or one team (`acme/perf`), for a review; nothing changes if it was asked before.

        Raises:
            RefusedError: if the forge does not know it, or it may not review this pull request.
        """

    def assign(self, number: int, person: str) -> None:
        """Assign a pull request to one person, besides those it is assigned to.

        Raises:
            RefusedError: if the forge does not know the person, or nothing can be assigned to them.
        """

    def standing(self, number: int) -> Standing:
        """Return what an open pull request waits for."""

    def merge_once_ready(self, number: int, how: MergeKind, head: str) -> None:
        """Have the forge merge a pull request by itself once its own checks and rules are satisfied."""

    def stop_merging(self, number: int) -> None:
        """Take back :meth:`merge_once_ready`; nothing changes if the forge does not merge by itself."""

    def merge(self, number: int, how: MergeKind, head: str) -> object:
        """Merge a pull request now, if its newest commit is still `head`.

        Raises:
            RefusedError: if the forge's rules forbid it, or the branch has moved.
        """

    def close(self, number: int) -> object:
        """Close an open pull request without merging it."""

    def lost_branch(self, number: int) -> bool:
        """Return whether a pull request was closed by the deletion of its branch, and not by a person."""

    def set_milestone(self, number: int, title: str) -> None:
        """Put a pull request into an open milestone.

        Raises:
            RefusedError: there is none of that title.
        """

    def label(self, number: int, *, add: Sequence[str] = (), remove: str | None = None) -> None:
        """Add labels to a pull request, made where there are none; or take one off, if it is on."""

    def comment(self, number: int, body: str, key: str) -> None:
        """Write the one comment called `key` on a pull request: made the first time, replaced after that."""

    def read_comment(self, number: int, key: str) -> str:
        """Return the one comment called `key` on a pull request; "" if there is none."""


def current(pull_requests: Iterable[PullRequest]) -> PullRequest | None:
    """Return the open one of a branch's pull requests; if none is open, the newest one."""
    return max(pull_requests, key=lambda each: (each.state == "open", each.number), default=None)


def comment_marker(key: str) -> str:
    """Return the invisible line by which a comment is found again."""
    return f"<!-- fleetpgo:{key} -->"


Kind = Literal["local", "github", "gitlab", "gitea"]


def connect(
    kind: Kind,
    project: str,
    *,
    address: str,
    token: str | None,
    app: App | None = None,
    ca: Path | None = None,
    signing_key: str | None = None,
) -> Forge:
    """Reach a repository on a forge. Sends nothing yet.

    Args:
        kind: which kind of forge.
        project: the repository there, such as ``owner/name``.
        address: the forge's own address: a directory for ``local``; ``https://github.com`` or that of an
            Enterprise server for ``github``; that of the server for ``gitlab`` and ``gitea``.
        token: what the forge authenticates by; ``local`` needs none.
        app: only for ``github``: authenticate as this app; the token is then its private key, in PEM.

        signing_key: private key that signs commits (``commit.sign``).
        ca: file of the certificate authorities to trust, by the API's client and by git; None: the system's.

    Raises:
        ForgeError: if address, token, app or ca are not what that kind of forge needs.
    """
    if app and kind != "github":
        raise ForgeError(
            f"the forge's connection names an app of GitHub's, but the forge is {kind}",
            hint="remove app_id and installation_id from the connection's extra",
        )
    if ca is not None and not ca.is_file():
        raise ForgeError(
            f"there is no file {ca} with certificate authorities",
            hint="correct ca in the connection's extra (or --ca): a PEM file on this machine",
        )
    made = _connect(kind, project, address, token, app, ca)
    made.signing_key = signing_key
    return made


def _connect(
    kind: Kind, project: str, address: str, token: str | None, app: App | None, ca: Path | None
) -> Forge:
    # Imported late: a forge's client library is loaded only by those who use that forge.
    match kind:
        case "local":
            from fleetpgo.proposal.forges.local import LocalForge  # noqa: PLC0415

            return LocalForge(address, project)
        case "github":
            from fleetpgo.proposal.forges.github import GitHubForge  # noqa: PLC0415

            return GitHubForge(address, project, token, app, ca)
        case "gitlab":
            from fleetpgo.proposal.forges.gitlab import GitLabForge  # noqa: PLC0415

            return GitLabForge(address, project, token, ca)
        case "gitea":
            from fleetpgo.proposal.forges.gitea import GiteaForge  # noqa: PLC0415

            return GiteaForge(address, project, token, ca)
