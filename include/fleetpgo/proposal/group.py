"""One branch for a group of services: a commit for each, of which every run replaces its own service's only.

The branch is made anew at each run: the base, then each service's commit in its order. This run's commit is
new; the others' are carried over (:mod:`fleetpgo.proposal.carry`). A commit names its service in trailers, so
what is on the branch is read from git alone. A commit there that is nobody's known is neither dropped nor
carried over: the run stops. A push that loses a race is made again from what is there then.

What the pull request's text says of it, :mod:`fleetpgo.proposal.membership` writes.
"""

from __future__ import annotations

import logging
import random
import re
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fleetpgo import foreign
from fleetpgo.errors import RepositoryError
from fleetpgo.proposal import sections
from fleetpgo.proposal.carry import apply, edits_of, held_by, profile_of
from fleetpgo.proposal.checkout import branch_head
from fleetpgo.proposal.commits import commit_tree, push, start_anew
from fleetpgo.proposal.git import git
from fleetpgo.proposal.sharing import addresses_of, of_repository
from fleetpgo.service.rules import NAME

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from fleetpgo.proposal.checkout import Checkout
    from fleetpgo.proposal.ensure import Marker
    from fleetpgo.proposal.forges import Forge, PullRequest
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)

SERVICE_TRAILER, _BASE, _AFTER = "Fleetpgo-Service", "Fleetpgo-Base", "Fleetpgo-After"
"""Trailers of a commit: whose it is; the full SHA of the base that its branch was made from; the number of
the last pull request before the one that it is of."""

_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NUMBER = re.compile(r"[0-9]{1,18}")

_MOST = 100
"""Commits of a branch that are looked through."""

_ATTEMPTS = 10
"""Pushes until a run gives way to the others."""

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
class Chain:
    """The branch of a group, as a run has pushed it.

    Attributes:
        tip: full SHA of its newest commit.
        members: the commits, the oldest first.
        lost: services whose commit is not on the branch, and what their section said.
        contended: whether another run has pushed meanwhile.
        found: the branch's pull request right before the push.
        left: the commits that an ended pull request has left on the branch.
    """

    tip: str
    members: tuple[Member, ...]
    lost: Mapping[str, Marker] = field(default_factory=dict)
    contended: bool = False
    found: PullRequest | None = None
    left: tuple[Member, ...] = ()

    def commit_of(self, service: str) -> str | None:
        """Return the full SHA of a service's commit; None if it has none."""
        found = _of(service, self.members)
        return found.commit if found else None


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
    return f"{SERVICE_TRAILER}: {service.name}\n{_BASE}: {base_commit}\n{_AFTER}: 0\n"


def draft(checkout: Checkout) -> Checkout:
    """Return a checkout whose commits are drafts: :func:`join` makes and signs the commit of them."""
    return replace(checkout, seen=None, identity=replace(checkout.identity, make=None, sign=None))


def look(checkout: Checkout, service: ServiceRules) -> Checkout:
    """Note which profile the service has on its group's branch, as it was when the base was cloned.

    A run that finds another one there when it pushes has been overtaken by another run of the service.

    Raises:
        RepositoryError: the branch has a commit that is nobody's known, or git fails.
    """
    if checkout.seen is None:
        return checkout
    with start_anew(checkout) as apart:
        own = _of(service.name, members_of(apart, checkout.seen, service, judged=True))
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
        if not row.is_ours(ours) or row.service in found:
            raise _not_ours(checkout, row, ours, "a commit below fleetpgo's newest one")
        edits = edits_of(checkout, row.parents[0], row.sha)
        if row.service == service.name:  # it is replaced or taken off, whatever it holds
            profile = held_by(edits, service)
        else:
            profile = profile_of(edits, row.service, rules.get(row.service))
        found[row.service] = Member(row.service, row.sha, row.parents[0], int(row.after), profile)
    return list(found.values())[::-1]


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
        f"%(trailers:key={key},valueonly,unfold,separator=%x20)" for key in (SERVICE_TRAILER, _BASE, _AFTER)
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


def _of(name: str, members: Iterable[Member]) -> Member | None:
    return next((each for each in members if each.service == name), None)


def join(checkout: Checkout, forge: Forge, service: ServiceRules, own: str | None) -> Chain:
    """Push the group's branch with this service's commit in its place; or without it.

    Args:
        checkout: the repository of :func:`fleetpgo.proposal.commits.start_anew`, with credentials that hold,
            and what :func:`look` noted.
        forge: where the pull request is.
        service: rules of the service.
        own: full SHA of its commit on top of the base, not yet signed; None takes the service's commit off
            the branch. If it was the only one, the branch stays as it is: the chain has no members then.

    Raises:
        RepositoryError: a person, or another run of the service, has pushed to the branch since it was
            cloned, git fails, or others push all the time.
        ForgeError: the forge does not answer.
    """
    contended = False
    for attempt in range(_ATTEMPTS):
        # In this order: a run pushes its commit before it writes its section.
        found = forge.find(checkout.branch)
        tip = branch_head(checkout)
        try:
            there = members_of(checkout, tip, service, judged=tip == checkout.seen) if tip else []
        except RepositoryError:
            if branch_head(checkout) == tip:
                raise
            continue  # another run has moved it meanwhile: that commit may be gone
        mine = _of(service.name, there)
        if tip != checkout.seen:
            contended = True
            _require_not_overtaken(checkout, service, mine, own)
        ended = found is not None and found.state != "open"
        left = [each for each in there if found is not None and ended and each.after < found.number]
        there = [each for each in there if each not in left]
        after = 0 if found is None else found.number if ended else found.number - 1
        chain = _chain(checkout, service, own, there, after)
        kept = {each.service for each in chain.members} | {service.name}
        shown = sections.live(found.body) if found is not None and not ended else {}
        lost = {name: about for name, about in shown.items() if name not in kept}
        chain = replace(chain, lost=lost, contended=contended, found=found, left=tuple(left))
        if not chain.members:
            return chain
        try:
            push(replace(checkout, seen=tip), chain.tip)
        except RepositoryError:
            if branch_head(checkout) == tip:
                raise
            _log.info("another run has pushed to %s meanwhile: once more from what is there", checkout.branch)
            contended = True
            time.sleep(random.uniform(0, 0.2 * attempt))  # noqa: S311  # only so that not all try at once
            continue
        return chain
    raise RepositoryError(
        f"{checkout.branch} was moved by others at each of {_ATTEMPTS} pushes", hint="run again"
    )


def _require_not_overtaken(
    checkout: Checkout, service: ServiceRules, mine: Member | None, own: str | None
) -> None:
    """Check that the service's profile on the branch is what it was, or what is to be pushed."""
    now = mine.profile if mine else None
    wanted = None
    if own:
        edits = edits_of(checkout, checkout.base_commit, own)
        wanted = held_by(edits, service)
    if now not in (checkout.own, wanted):
        raise RepositoryError(
            f"{checkout.branch} has got another commit of {service.name} since this run began: it is left as "
            "it is",
            hint="most likely another run of the service is under way: let it end, then look or run again",
        )


def _chain(
    checkout: Checkout, service: ServiceRules, own: str | None, there: Sequence[Member], after: int
) -> Chain:
    """Put the services' commits on top of the base, this run's in the place of the one before."""
    places: list[tuple[str, Member | None]] = [(each.service, each) for each in there]
    if own and service.name not in dict(places):
        places.append((service.name, None))
    tip = checkout.base_commit
    kept: list[Member] = []
    for name, before in places:
        if name != service.name:
            made = _carried(checkout, before, tip) if before else None
        elif own is None:
            continue
        else:
            made = _own(checkout, service, own, tip, before, after, kept)
        if made is None:
            _log.warning("the commit of %s does not apply to %s any more", name, checkout.base)
            continue
        kept.append(made)
        tip = made.commit
    return Chain(tip, tuple(kept))


def _own(
    checkout: Checkout,
    service: ServiceRules,
    own: str,
    tip: str,
    before: Member | None,
    after: int,
    kept: Sequence[Member],
) -> Member:
    """Make this run's commit; the one before is kept if it is the same."""
    edits = edits_of(checkout, checkout.base_commit, own)
    after = before.after if before else after
    tree = apply(checkout, edits, tip)
    if tree is None:
        raise RepositoryError(
            f"the commit of {service.name} changes the same lines as those of "
            f"{', '.join(each.service for each in kept)} on {checkout.branch}",
            hint="merge that pull request first, or leave repository.group out of one of the files",
        )
    words = _with_trailers(checkout, _words(checkout, own)[2], after)
    commit = None
    if before and not checkout.identity.signs:
        told = git(checkout.path, "show", "--no-patch", "--format=%T %P%n%B", before.commit)
        if told.strip() == f"{tree} {tip}\n{words}".strip():
            commit = before.commit
    commit = commit or commit_tree(checkout, tree, tip, words)
    return Member(service.name, commit, tip, after, held_by(edits, service))


def _carried(checkout: Checkout, member: Member, tip: str) -> Member | None:
    """Return a commit's change on top of another commit; None if it does not apply, or changes nothing."""
    if member.parent == tip:
        return member
    tree = apply(checkout, edits_of(checkout, member.parent, member.commit), tip)
    if tree is None or tree == git(checkout.path, "rev-parse", f"{tip}^{{tree}}"):
        return None
    author, address, words = _words(checkout, member.commit)
    made = commit_tree(checkout, tree, tip, _with_trailers(checkout, words, member.after), (author, address))
    return replace(member, commit=made, parent=tip)


def _words(checkout: Checkout, commit: str) -> tuple[str, str, str]:
    """Return a commit's author, the address, and the message."""
    author, address, words = git(checkout.path, "show", "--no-patch", "--format=%an%n%ae%n%B", commit).split(
        "\n", 2
    )
    return author, address, words


def _with_trailers(checkout: Checkout, words: str, after: int) -> str:
    for key, value in ((_BASE, checkout.base_commit), (_AFTER, str(after))):
        words = re.sub(rf"^{key}: .*$", f"{key}: {value}", words, flags=re.MULTILINE)
    return words


def require_member(checkout: Checkout, service: ServiceRules, chain: Chain) -> None:
    """Check that the branch, as it is now, has the service's profile as it was pushed.

    Raises:
        RepositoryError: it has not: another run of the service, or a person, has moved the branch.
    """
    tip, own = branch_head(checkout), _of(service.name, chain.members)
    if tip == chain.tip:
        return
    there = _of(service.name, members_of(checkout, tip, service, judged=True)) if tip else None
    if there is None or own is None or there.profile != own.profile:
        raise RepositoryError(
            f"{checkout.branch} was moved after this run had pushed it, and has another commit of "
            f"{service.name}: the pull request is left to whoever moved it",
            hint="most likely another run of the service is under way: let it end, then look or run again",
        )


def own_commit(checkout: Checkout, service: ServiceRules, found: PullRequest) -> str | None:
    """Return the service's commit in its group's pull request; None if there is none that can be read.

    Args:
        checkout: a clone of the base; the branch is fetched elsewhere.
        service: rules of the service.
        found: the pull request. Its head may be of a later one from the same branch, as on Gitea.
    """
    identity = replace(checkout.identity, others=addresses_of([service, *of_repository(service)]))
    if not _SHA.fullmatch(found.head):
        return None
    try:
        with start_anew(replace(checkout, identity=identity)) as apart:
            there = members_of(apart, found.head, service, judged=True, merged=True)
    except RepositoryError as error:
        _log.warning("the commits of pull request %d cannot be read: %s", found.number, error.message)
        return None
    own = _of(service.name, there)
    return own.commit if own and own.after < found.number else None


def left_over(forge: Forge, branch: str, number: int) -> str | None:
    """Return the branch's newest commit if it is of a pull request, or of one before; None if it is not.

    Args:
        forge: where it is.
        branch: branch of a group.
        number: of the pull request, which has ended.

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
        form = f"%H %(trailers:key={_AFTER},valueonly,unfold,separator=%x20)"
        sha, _, after = git(place, "show", "--no-patch", f"--format={form}", "FETCH_HEAD").partition(" ")
    return sha if _NUMBER.fullmatch(after) and int(after) < number else None
