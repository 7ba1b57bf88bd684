"""One branch for a group of services: a commit for each, of which every run replaces its own service's only.

The branch is made anew at each run: the base, then each service's commit in its order. This run's commit is
new; the others' are carried over, each by the three-way merge of its own change. A commit names its service
and the base of its branch, so what is on the branch is read from git alone. A push that loses a race is made
again from what is there then.

What the pull request's text says of it, :mod:`fleetpgo.proposal.membership` writes.
"""

from __future__ import annotations

import logging
import random
import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fleetpgo.errors import RepositoryError
from fleetpgo.proposal import sections
from fleetpgo.proposal.checkout import branch_head, changed_files
from fleetpgo.proposal.commits import commit_tree, push, start_anew
from fleetpgo.proposal.git import git
from fleetpgo.proposal.sharing import addresses_of, of_group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleetpgo.proposal.checkout import Checkout
    from fleetpgo.proposal.forges import Forge
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)

SERVICE_TRAILER, _BASE = "Fleetpgo-Service", "Fleetpgo-Base"
"""Trailers of a commit: whose it is, and the full SHA of the base that its branch was made from."""

_MOST = 100
"""Commits of a branch that are looked through."""

_ATTEMPTS = 10
"""Pushes until a run gives way to the others."""


@dataclass(frozen=True)
class Member:
    """A service's commit on the branch, and the commit before it."""

    service: str
    commit: str
    parent: str


@dataclass(frozen=True)
class Chain:
    """The branch of a group, as a run has pushed it.

    Attributes:
        tip: full SHA of its newest commit.
        members: the commits, the oldest first.
        lost: services whose section is in the pull request, and whose commit did not apply any more.
        contended: whether another run has pushed meanwhile.
    """

    tip: str
    members: tuple[Member, ...]
    lost: tuple[str, ...]
    contended: bool

    def commit_of(self, service: str) -> str | None:
        """Return the full SHA of a service's commit; None if it has none."""
        return next((each.commit for each in self.members if each.service == service), None)


def trailers(service: ServiceRules, base_commit: str) -> str:
    """Return the lines of a commit's message that tell a group's services apart; "" without a group."""
    if service.repository.group is None:
        return ""
    return f"{SERVICE_TRAILER}: {service.name}\n{_BASE}: {base_commit}\n"


def members_of(checkout: Checkout, commit: str) -> list[Member]:
    """Fetch a group's branch by its newest commit, and return its services' commits, the oldest first.

    Commits of people above them are passed over; what lies below the first of ours is the base.

    Raises:
        RepositoryError: git fails, or the origin does not have that commit.
    """
    _fetch(checkout, commit)
    found: list[Member] = []
    base = None
    for sha, parents, people, service, built_on in _log_of(checkout, commit):
        ours = people <= checkout.identity.addresses and service and built_on and len(parents) == 1
        if sha == base or (base is not None and not ours):
            break
        if ours:
            base = base or built_on
            found.append(Member(service, sha, parents[0]))
    newest = {each.service: each for each in reversed(found)}
    return list(newest.values())


def _fetch(checkout: Checkout, what: str) -> None:
    git(
        checkout.path,
        *("fetch", "--quiet", f"--depth={_MOST}", "--no-tags", "--filter=blob:none", "origin", what),
        config=checkout.config,
    )


def _log_of(checkout: Checkout, commit: str) -> list[tuple[str, list[str], set[str], str, str]]:
    """Return the commits from one on: SHA, parents, addresses, service and base."""
    values = (f"%(trailers:key={key},valueonly,separator=%x20)" for key in (SERVICE_TRAILER, _BASE))
    form = "%x09".join(["%H", "%P", "%ae", "%ce", *values])
    lines = git(
        checkout.path, "log", "--first-parent", f"--max-count={_MOST}", f"--format={form}", commit
    ).splitlines()
    # The end of the last line is stripped.
    rows = [f"{line}\t\t".split("\t")[:6] for line in lines]
    return [
        (sha, parents.split(), {author, committer}, service.strip(), base.strip())
        for sha, parents, author, committer, service, base in rows
    ]


def join(checkout: Checkout, forge: Forge, service: ServiceRules, own: str | None) -> Chain:
    """Push the group's branch with this service's commit in its place; or without it.

    Args:
        checkout: the repository of :func:`fleetpgo.proposal.commits.start_anew`, with credentials that hold.
        forge: where the pull request is.
        service: rules of the service.
        own: full SHA of its commit on top of the base; None takes the service's commit off the branch. If it
            was the only one, the branch stays as it is: the chain has no members then.

    Raises:
        RepositoryError: a person has committed to the branch since it was cloned, git fails, or others push
            all the time.
        ForgeError: the forge does not answer.
    """
    contended = False
    for attempt in range(_ATTEMPTS):
        # In this order: a run pushes its commit before it writes its section.
        found = forge.find(checkout.branch)
        tip = branch_head(checkout)
        there = members_of(checkout, tip) if tip else []
        if tip and tip != checkout.seen:
            contended = True
            _require_ours(checkout, tip)
        if found is not None and found.state != "open" and found.head == tip:
            there = []  # what a pull request before has left
        chain = _chain(checkout, service.name, own, there)
        kept = {each.service for each in chain.members}
        shown = sections.live(found.body) if found is not None and found.state == "open" else []
        lost = tuple(name for name in shown if name not in kept and name != service.name)
        chain = replace(chain, lost=lost, contended=contended)
        if not chain.members:
            return chain
        _require_own_files(checkout, chain, there, own)
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


def _require_ours(checkout: Checkout, tip: str) -> None:
    people = _log_of(checkout, tip)[0][2]
    if not people <= checkout.identity.addresses:
        raise RepositoryError(
            f"somebody has committed to {checkout.branch} during the build, so it is left alone",
            hint="run again: a comment then says how to resume",
        )


def _chain(checkout: Checkout, name: str, own: str | None, there: Sequence[Member]) -> Chain:
    """Put the services' commits on top of the base, this run's in the place of the one before."""
    places: list[tuple[str, Member | None]] = [(each.service, each) for each in there]
    if own and name not in dict(places):
        places.append((name, None))
    tip = checkout.base_commit
    kept: list[Member] = []
    for service, before in places:
        if service != name:
            made = _carried(checkout, before, tip) if before else None
        elif own is None:
            continue
        else:
            made = _carried(checkout, Member(name, own, checkout.base_commit), tip)
            if made is None:
                raise RepositoryError(
                    f"the commit of {name} changes the same lines as those of "
                    f"{', '.join(each.service for each in kept)} on {checkout.branch}",
                    hint="merge that pull request first, or leave repository.group out of one of the files",
                )
            if before and not checkout.identity.signs and _same(checkout, before.commit, made):
                made = before.commit
        if made is None:
            _log.warning("the commit of %s does not apply to %s any more", service, checkout.base)
            continue
        kept.append(Member(service, made, tip))
        tip = made
    return Chain(tip, tuple(kept), (), contended=False)


def _carried(checkout: Checkout, member: Member, tip: str) -> str | None:
    """Return a commit's change on top of another commit; None if it does not apply, or changes nothing."""
    path = checkout.path
    if member.parent == tip:
        return member.commit
    # Beside the commit, from its parent: so that is what the two are merged by.
    beside = git(path, "commit-tree", "-p", member.parent, "-m", "beside", f"{tip}^{{tree}}")
    try:
        tree = git(path, "merge-tree", "--write-tree", beside, member.commit, config=checkout.config)
    except RepositoryError as error:
        if "CONFLICT" not in error.message:
            raise
        return None
    if tree == git(path, "rev-parse", f"{tip}^{{tree}}"):
        return None
    about = git(path, "show", "--no-patch", "--format=%an%n%ae%n%B", member.commit)
    author, address, words = about.split("\n", 2)
    words = re.sub(rf"^{_BASE}: .*$", f"{_BASE}: {checkout.base_commit}", words, flags=re.MULTILINE)
    return commit_tree(checkout, tree, tip, words, (author, address))


def _same(checkout: Checkout, one: str, other: str) -> bool:
    """Return whether two commits have the same tree, parents and message."""
    one, other = (
        git(checkout.path, "show", "--no-patch", "--format=%T %P%n%B", each) for each in (one, other)
    )
    return one == other


def _require_own_files(checkout: Checkout, chain: Chain, there: Sequence[Member], own: str | None) -> None:
    """Refuse a branch that differs from the base in more than its services' own files."""
    allowed: set[str] = set()
    for each in there:
        allowed |= changed_files(checkout, each.parent, each.commit)
    if own:
        allowed |= changed_files(checkout, checkout.base_commit, own)
    if others := changed_files(checkout, checkout.base_commit, chain.tip) - allowed:
        raise RepositoryError(
            f"the branch would change {', '.join(sorted(others))}, too, so it is not pushed",
            hint="report this as a bug of fleetpgo",
        )


def require_member(checkout: Checkout, name: str, chain: Chain, path: str) -> None:
    """Check that the branch, as it is now, has the service's profile as it was pushed.

    Raises:
        RepositoryError: it has not: another run of the service, or a person, has moved the branch.
    """
    tip, own = branch_head(checkout), chain.commit_of(name)
    if tip == chain.tip:
        return
    now = {each.service: each.commit for each in members_of(checkout, tip)} if tip else {}
    there = now.get(name)
    if there is None or own is None or _blob(checkout, there, path) != _blob(checkout, own, path):
        raise RepositoryError(
            f"{checkout.branch} was moved after this run had pushed it, and has another commit of "
            f"{name}: the pull request is left to whoever moved it",
            hint="most likely another run of the service is under way: let it end, then look or run again",
        )


def _blob(checkout: Checkout, commit: str, path: str) -> str:
    return git(checkout.path, "rev-parse", f"{commit}:{path}")


def own_commit(checkout: Checkout, service: ServiceRules, head: str) -> str | None:
    """Return the service's commit on its group's branch as a pull request has it; None if there is none.

    Args:
        checkout: a clone of the base; the branch is fetched elsewhere.
        service: rules of the service.
        head: full SHA of the pull request's newest commit.
    """
    identity = replace(checkout.identity, others=addresses_of([service, *of_group(service)]))
    with start_anew(replace(checkout, identity=identity)) as apart:
        try:
            found = members_of(apart, head)
        except RepositoryError as error:
            _log.warning("the commits of pull request head %s cannot be read: %s", head, error.message)
            return None
    return next((each.commit for each in found if each.service == service.name), None)
