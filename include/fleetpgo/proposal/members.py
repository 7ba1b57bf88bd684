"""What the branch of a group holds: a commit for each service, read from git alone.

A commit names its service in trailers. A commit that is nobody's known is never passed over between two of
ours: whoever reads the branch gets an error.
"""

from __future__ import annotations

import logging
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fleetpgo import foreign
from fleetpgo.errors import RepositoryError
from fleetpgo.proposal.carry import edits_of, held_by, profile_of
from fleetpgo.proposal.commits import start_anew
from fleetpgo.proposal.git import git
from fleetpgo.proposal.sharing import in_group, of_repository
from fleetpgo.service.rules import NAME

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from fleetpgo.proposal.checkout import Checkout
    from fleetpgo.proposal.forges import Forge, PullRequest
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)

SERVICE_TRAILER, BASE, AFTER = "Fleetpgo-Service", "Fleetpgo-Base", "Fleetpgo-After"
"""Trailers of a commit: whose it is; the full SHA of the base that its branch was made from; the number of
the last pull request before the one that it is of."""

_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NUMBER = re.compile(r"[0-9]{1,18}")

_MOST = 100
"""Commits of a branch that are looked through."""

_LARGEST = 64 << 10
"""Bytes of a commit: a message may take a page of text, and a signature."""

_LONGEST_NAME = 200


@dataclass(frozen=True)
class Member:
    """A service's commit on the branch.

    Attributes:
        service: name of the service.
        commit: full SHA.
        parent: full SHA of the commit before it.
        after: number of the last pull request before the one that the commit is of; 0: there was none.
        profile: path of its profile, and the SHA of that as git keeps it.
    """

    service: str
    commit: str
    parent: str
    after: int
    profile: tuple[str, str]


@dataclass(frozen=True)
class _Row:
    """A commit as the log has it."""

    sha: str
    parents: tuple[str, ...]
    people: Mapping[str, str]
    """Address → name of its author and committer."""
    service: str
    base: str
    after: str

    def is_ours(self, addresses: Collection[str]) -> bool:
        """Whether fleetpgo made it for a service of a group."""
        trailers = (
            NAME.fullmatch(self.service) and _SHA.fullmatch(self.base) and _NUMBER.fullmatch(self.after)
        )
        return self.is_by(addresses) and trailers is not None and len(self.parents) == 1

    def is_by(self, addresses: Collection[str]) -> bool:
        return self.people.keys() <= set(addresses)

    def who(self, addresses: Collection[str]) -> str:
        """Who made it, if not fleetpgo."""
        names = [name for address, name in self.people.items() if address not in addresses]
        return foreign.line(names[0], _LONGEST_NAME) if names else "fleetpgo, for no service of a group"


def trailers(service: ServiceRules, base_commit: str) -> str:
    """Return the lines of a commit's message that tell a group's services apart; "" without a group."""
    if service.repository.group is None:
        return ""
    return f"{SERVICE_TRAILER}: {service.name}\n{BASE}: {base_commit}\n{AFTER}: 0\n"


def look(checkout: Checkout, service: ServiceRules) -> Checkout:
    """Note which profile the service has on its group's branch, as it was when the base was cloned.

    A run that finds another one there when it pushes has been overtaken by another run of the service.

    Raises:
        RepositoryError: the branch has a commit that is nobody's known, or git fails.
    """
    if checkout.seen is None:
        return checkout
    with start_anew(checkout) as apart:
        own = member_of(service.name, members_of(apart, checkout.seen, service, judged=True))
    return replace(checkout, own=own.profile if own else None)


def members_of(
    checkout: Checkout, commit: str, service: ServiceRules, *, judged: bool, merged: bool = False
) -> list[Member]:
    """Fetch a group's branch by its newest commit, and return its services' commits, the oldest first.

    Args:
        checkout: the repository of :func:`fleetpgo.proposal.commits.start_anew`.
        commit: full SHA of the branch's newest commit.
        service: a service of the repository; the others are known by their files.
        judged: whether it has been decided that people's commits on top of ours, if there are any, may be
            passed over (:func:`fleetpgo.proposal.etiquette.hands_off`).
        merged: whether commits that the base has are looked at, too.

    Raises:
        RepositoryError: git fails, the origin does not have that commit, or the branch has a commit that is
            not known to be fleetpgo's, or changes more than a profile and its wiring.
    """
    ours = checkout.identity.addresses
    rules = {each.name: each for each in (service, *of_repository(service))}
    rows = _rows(checkout, commit, *([] if merged else [f"^{checkout.base_commit}"]))
    first = next((at for at, row in enumerate(rows) if row.is_ours(ours)), None)
    passed = rows[: len(rows) if first is None else first]
    if passed and (passed[0].is_by(ours) or not judged):
        raise _not_ours(checkout, passed[0], ours, "the newest commit")
    if first is None:
        return []
    found: dict[str, Member] = {}
    base = rows[first].base
    for row in rows[first:]:
        if row.sha == base:
            break
        if not row.is_ours(ours) or row.service in found or _size(checkout, row.sha) > _LARGEST:
            raise _not_ours(checkout, row, ours, "a commit below fleetpgo's newest one")
        edits = edits_of(checkout, row.parents[0], row.sha)
        if row.service == service.name:  # it is replaced or taken off, whatever it holds
            profile = held_by(edits, service)
        else:
            profile = profile_of(edits, row.service, rules.get(row.service))
        found[row.service] = Member(row.service, row.sha, row.parents[0], int(row.after), profile)
    return list(found.values())[::-1]


def _size(checkout: Checkout, commit: str) -> int:
    """Return how many bytes a commit has, most of which are its message."""
    return int(git(checkout.path, "cat-file", "-s", commit))


def _not_ours(checkout: Checkout, row: _Row, ours: Collection[str], which: str) -> RepositoryError:
    return RepositoryError(
        f"somebody has committed to {checkout.branch}: {which}, {row.sha}, is by {row.who(ours)}. So the "
        "branch is left alone",
        hint="if it is a commit of fleetpgo's, correct the service file whose commit.author that is "
        "(`fleetpgo services check`); else take it off the branch, or delete the branch, and run again",
    )


def _rows(checkout: Checkout, commit: str, *without: str) -> list[_Row]:
    """Return the branch's commits, the newest first."""
    git(
        checkout.path,
        *("fetch", "--quiet", f"--depth={_MOST}", "--no-tags", "--filter=blob:none", "origin"),
        *(commit, checkout.base_commit),
        config=checkout.config,
    )
    told = (
        f"%(trailers:key={key},valueonly,unfold,separator=%x20)" for key in (SERVICE_TRAILER, BASE, AFTER)
    )
    form = "%x0a".join(["%H", "%P", "%ae", "%an", "%ce", "%cn", *told])
    known = ("--first-parent", f"--max-count={_MOST}", "-z", f"--format={form}")
    text = git(checkout.path, "log", *known, commit, *without, config=checkout.config)
    rows = []
    for each in filter(None, text.split("\0")):
        # Empty fields at the end are stripped.
        lines = [line.strip() for line in f"{each}\n\n\n".split("\n")]
        sha, parents, author, author_name, committer, committer_name, service, base, after = lines[:9]
        people = {committer: committer_name, author: author_name}
        rows.append(_Row(sha, tuple(parents.split()), people, service, base, after))
    return rows


def member_of(name: str, members: Iterable[Member]) -> Member | None:
    """Return a service's commit; None if it has none."""
    return next((each for each in members if each.service == name), None)


def own_commit(checkout: Checkout, service: ServiceRules, found: PullRequest) -> str | None:
    """Return the service's commit in its group's pull request; None if there is none that can be read.

    Args:
        checkout: a clone of the base; the branch is fetched elsewhere.
        service: rules of the service.
        found: the pull request. Its head may be of a later one from the same branch, as on Gitea.
    """
    identity = in_group(checkout.identity, service)
    if not _SHA.fullmatch(found.head):
        return None
    try:
        with start_anew(replace(checkout, identity=identity)) as apart:
            there = members_of(apart, found.head, service, judged=True, merged=True)
    except RepositoryError as error:
        _log.warning("the commits of pull request %d cannot be read: %s", found.number, error.message)
        return None
    own = member_of(service.name, there)
    return own.commit if own and own.after < found.number else None


def brought_by(forge: Forge, found: PullRequest) -> set[str]:
    """Return the services that have a commit in a group's pull request; none if no commit names one.

    Whoever has put it there: it may have been put on another base, or into another commit, by a person.

    Args:
        forge: where it is.
        found: the pull request.

    Raises:
        RepositoryError: git fails, or the origin does not have its head any more.
        ForgeError: the forge gives no credentials.
    """
    if not _SHA.fullmatch(found.head):
        return set()
    with tempfile.TemporaryDirectory(prefix="fleetpgo-") as directory:
        place = Path(directory)
        git(place, "init", "--quiet", "--template=")
        shallow = ("fetch", "--quiet", f"--depth={_MOST}", "--no-tags", "--filter=tree:0")
        git(place, *shallow, forge.clone_url, found.head, config=forge.git_config())
        log = ("log", "--first-parent", f"--max-count={_MOST}", "-z", "--format=%H%n%B")
        told = git(place, *log, found.head)
    services: set[str] = set()
    base = None
    for each in told.split("\0"):
        sha, _, words = each.partition("\n")
        if sha == base:
            break
        services |= set(_named(SERVICE_TRAILER, words))
        base = base or next(iter(_named(BASE, words)), None)
    return services


def _named(key: str, words: str) -> list[str]:
    return re.findall(rf"^{key}: (\S+)[ \t]*$", words, re.MULTILINE)


def left_over(forge: Forge, branch: str, ended: PullRequest, ours: Collection[str]) -> str | None:
    """Return the branch's newest commit if it is fleetpgo's, and a pull request's last; None if it is not.

    Args:
        forge: where it is.
        branch: branch of a group.
        ended: the pull request, which was merged.
        ours: addresses of fleetpgo's commits.

    Raises:
        RepositoryError: git fails.
        ForgeError: the forge gives no credentials.
    """
    config = forge.git_config()
    with tempfile.TemporaryDirectory(prefix="fleetpgo-") as directory:
        place = Path(directory)
        git(place, "init", "--quiet", "--template=")
        there = git(place, "ls-remote", forge.clone_url, f"refs/heads/{branch}", config=config)
        if not there:
            return None
        shallow = ("fetch", "--quiet", "--depth=1", "--no-tags", "--filter=blob:none")
        git(place, *shallow, forge.clone_url, f"refs/heads/{branch}", config=config)
        form = f"%H%n%ae%n%ce%n%(trailers:key={AFTER},valueonly,unfold,separator=%x20)"
        told = git(place, "show", "--no-patch", f"--format={form}", "FETCH_HEAD")
    sha, author, committer, after = f"{told}\n\n\n".split("\n")[:4]
    if not {author, committer} <= set(ours) or sha != ended.head:
        return None
    return sha if _NUMBER.fullmatch(after) and int(after) < ended.number else None
