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


class Forge(Protocol):
    """One repository on one forge. Every method raises ForgeError if the forge cannot or will not."""

    @property
    def clone_url(self) -> str:
        """The URL for git's clones and pushes, without credentials."""

    def git_config(self) -> dict[str, str]:
        """Git configuration that holds the credentials; for git's environment only, never for a file.

        It may hold for an hour only: ask anew after what takes long.
        """

    def check(self, base: str) -> None:
        """Check that the repository exists, has that base, and that the token can push to it."""

    def find(self, branch: str) -> PullRequest | None:
        """Return the open pull request from a branch, with any base; if none is open, the newest one."""

    def get(self, number: int) -> PullRequest:
        """Return the pull request of that number, whatever its state."""

    def create(self, branch: str, base: str, title: str, body: str, *, draft: bool = False) -> PullRequest:
        """Open a pull request; an error if one is open for the same branch and base."""

    def update(self, number: int, title: str, body: str, base: str | None = None) -> PullRequest:
        """Replace the title and the body of a pull request, and its base if another is given."""

    def close(self, number: int) -> PullRequest:
        """Close an open pull request unmerged."""

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

    def merge_once_ready(self, number: int, how: MergeKind) -> None:
        """Have the forge merge a pull request by itself once its own checks and rules are satisfied."""

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


def connect(kind: Kind, project: str, *, address: str, token: str | None, app: App | None = None) -> Forge:
    """Reach a repository on a forge. Sends nothing yet.

    Args:
        kind: which kind of forge.
        project: the repository there, such as ``owner/name``.
        address: the forge's own address: a directory for ``local``; ``https://github.com`` or that of an
            Enterprise server for ``github``; that of the server for ``gitlab`` and ``gitea``.
        token: what the forge authenticates by; ``local`` needs none.
        app: only for ``github``: authenticate as this app; the token is then its private key, in PEM.

    Raises:
        ForgeError: if address, token or app are not what that kind of forge needs.
    """
    if app and kind != "github":
        raise ForgeError(
            f"the forge's connection names an app of GitHub's, but the forge is {kind}",
            hint="remove app_id and installation_id from the connection's extra",
        )
    # Imported late: a forge's client library is loaded only by those who use that forge.
    match kind:
        case "local":
            from fleetpgo.proposal.forges.local import LocalForge  # noqa: PLC0415

            return LocalForge(address, project)
        case "github":
            from fleetpgo.proposal.forges.github import GitHubForge  # noqa: PLC0415

            return GitHubForge(address, project, token, app)
        case "gitlab":
            from fleetpgo.proposal.forges.gitlab import GitLabForge  # noqa: PLC0415

            return GitLabForge(address, project, token)
        case "gitea":
            from fleetpgo.proposal.forges.gitea import GiteaForge  # noqa: PLC0415

            return GiteaForge(address, project, token)
