"""One branch for a group of services: a commit for each, of which every run replaces its own service's only.

The branch is made anew at each run: the base, then each service's commit in its order. This run's commit is
new; the others' are carried over (:mod:`fleetpgo.proposal.carry`). A push that loses a race is made again
from what is there then (:mod:`fleetpgo.proposal.members`).

What the pull request's text says of it, :mod:`fleetpgo.proposal.membership` writes.
"""

from __future__ import annotations

import logging
import random
import re
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fleetpgo.errors import RepositoryError
from fleetpgo.proposal import sections
from fleetpgo.proposal.carry import apply, edits_of, held_by
from fleetpgo.proposal.checkout import branch_head
from fleetpgo.proposal.commits import commit_tree, push
from fleetpgo.proposal.git import git
from fleetpgo.proposal.members import AFTER, BASE, Member, member_of, members_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleetpgo.proposal.checkout import Checkout
    from fleetpgo.proposal.ensure import Marker
    from fleetpgo.proposal.forges import Forge, PullRequest
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)

_ATTEMPTS = 10
"""Pushes until a run gives way to the others."""


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
        found = member_of(service, self.members)
        return found.commit if found else None


def draft(checkout: Checkout) -> Checkout:
    """Return a checkout whose commits are drafts: :func:`join` makes and signs the commit of them."""
    return replace(checkout, seen=None, identity=replace(checkout.identity, make=None, sign=None))


def join(checkout: Checkout, forge: Forge, service: ServiceRules, own: str | None) -> Chain:
    """Push the group's branch with this service's commit in its place; or without it.

    Args:
        checkout: the repository of :func:`fleetpgo.proposal.commits.start_anew`, with credentials that hold,
            and what :func:`fleetpgo.proposal.members.look` noted.
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
        mine = member_of(service.name, there)
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
            f"{checkout.branch} has got another commit of {service.name} since this run began, or lost it: "
            "it is left as it is",
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
            _log.warning("the commit of %s does not apply to %s, or changes nothing", name, checkout.base)
            continue
        kept.append(made)
        tip = made.commit
    return Chain(tip, tuple(kept))


def rest(checkout: Checkout, service: ServiceRules, there: Sequence[Member]) -> tuple[Member, ...]:
    """Return which of the other services' commits the newest base still takes, as they would be on it."""
    return _chain(checkout, service, None, there, 0).members


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
    # The address first: a name may be empty, and white space at the ends is stripped.
    told = git(checkout.path, "show", "--no-patch", "--format=%ae%n%an%n%B", commit)
    address, author, words = told.split("\n", 2)
    return author, address, words


def _with_trailers(checkout: Checkout, words: str, after: int) -> str:
    for key, value in ((BASE, checkout.base_commit), (AFTER, str(after))):
        words = re.sub(rf"^{key}: .*$", f"{key}: {value}", words, flags=re.MULTILINE)
    return words


def require_member(checkout: Checkout, service: ServiceRules, chain: Chain) -> None:
    """Check that the branch, as it is now, has the service's profile as it was pushed.

    Raises:
        RepositoryError: it has not: another run of the service, or a person, has moved the branch.
    """
    tip, own = branch_head(checkout), member_of(service.name, chain.members)
    if tip == chain.tip:
        return
    there = member_of(service.name, members_of(checkout, tip, service, judged=True)) if tip else None
    if there is None or own is None or there.profile != own.profile:
        raise RepositoryError(
            f"{checkout.branch} was moved after this run had pushed it, and has another commit of "
            f"{service.name}: the pull request is left to whoever moved it",
            hint="most likely another run of the service is under way: let it end, then look or run again",
        )
