"""A service's part in the pull request of its group: write its section, take it out, leave for another place.

No forge changes a part of a text in one step: of two runs that write their sections at the same moment, one
may undo the other's. So a run that has met another looks again whether its section is there; what it misses
even so, its wait for the merge sees (:mod:`fleetpgo.steps.watch`).
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from fleetpgo.errors import ForgeError, RepositoryError
from fleetpgo.proposal import sections
from fleetpgo.proposal.checkout import branch_head
from fleetpgo.proposal.commits import start_anew
from fleetpgo.proposal.ensure import HANDED_OVER, Marker, hand_over, marker
from fleetpgo.proposal.etiquette import DO_NOT_UPDATE
from fleetpgo.proposal.group import join, members_of, require_member
from fleetpgo.proposal.sharing import addresses_of, of_repository

if TYPE_CHECKING:
    from collections.abc import Collection

    from fleetpgo.proposal.checkout import Checkout
    from fleetpgo.proposal.forges import Forge, PullRequest
    from fleetpgo.proposal.group import Chain
    from fleetpgo.service.review import ReviewRules
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)

PAUSES = (1.0, 2.0, 4.0)
"""Seconds after which a run that has met another looks again whether its section is there."""

_MOVED = "moved-to-a-group"
"""The comment on a service's own pull request that a group's replaces."""


def write_section(
    checkout: Checkout,
    forge: Forge,
    service: ServiceRules,
    chain: Chain,
    text: str,
    review: ReviewRules,
    path: str,
) -> PullRequest:
    """Find, update or open the group's pull request, with this text as the service's section.

    The service's people are asked when its section is new. The base of the pull request follows the service
    file, which all services of a group agree on.

    Args:
        checkout: the repository that has pushed.
        forge: where the pull request is.
        service: rules of the service.
        chain: what was pushed.
        text: the section.
        review: people and labels.
        path: path of the profile.

    Raises:
        ForgeError: the forge cannot be reached, or refuses.
        RepositoryError: another run of the service, or a person, has moved the branch: the section is theirs.
    """
    require_member(checkout, service.name, chain, path)
    made, new = _write_once(forge, service, text, chain.lost, review)
    if chain.contended or branch_head(checkout) != chain.tip:
        for pause in PAUSES:
            time.sleep(pause)
            require_member(checkout, service.name, chain, path)
            made, _ = _write_once(forge, service, text, (), review)
    if new or HANDED_OVER not in made.labels:
        hand_over(forge, made, review)
    return made


def _write_once(
    forge: Forge, service: ServiceRules, text: str, lost: Collection[str], review: ReviewRules
) -> tuple[PullRequest, bool]:
    """Return the pull request with the section in it, and whether it had none of the service before."""
    group, branch, base = str(service.repository.group), service.branch, service.repository.base
    found = forge.find(branch)
    if found is None or found.state != "open":
        body = sections.replaced("", group, service.name, text)
        try:
            return forge.create(branch, base, sections.title_of(group, body), body, draft=review.draft), True
        except ForgeError:
            # Another run may have opened it at the same moment.
            found = forge.find(branch)
            if found is None or found.state != "open":
                raise
    body = sections.replaced(found.body, group, service.name, text, lost)
    title = sections.title_of(group, body)
    new = service.name not in sections.live(found.body)
    if (found.title, found.body.replace("\r\n", "\n"), found.base) != (title, body, base):
        found = forge.update(found.number, title, body, base if found.base != base else None)
    return found, new


def withdraw(
    checkout: Checkout,
    forge: Forge,
    service: ServiceRules,
    why: str,
    *,
    how: sections.Absent = "withdrawn",
    run: str = "",
) -> bool:
    """Take a service's commit out of the group's open pull request; return whether others are left.

    Its section then says why. If no other service is left, nothing is changed: the caller closes it.

    Args:
        checkout: the repository of :func:`fleetpgo.proposal.commits.start_anew`; its branch is the group's.
        forge: where the pull request is.
        service: rules of the service; its group need not be that one.
        why: in a sentence without its first capital, in Markdown.
        how: in a word.
        run: id of the run that does it; "" by hand.
    """
    found = forge.find(checkout.branch)
    if found is None or found.state != "open":
        return True
    if how == "withdrawn" and DO_NOT_UPDATE in found.labels:
        return True
    about = marker(sections.sections(found.body).get(service.name, ""))
    if about is None or about.absent:
        return True
    tip = branch_head(checkout)
    there = members_of(checkout, tip) if tip else []
    head = next((each.commit for each in there if each.service == service.name), "")
    chain = join(checkout, forge, service, None)
    if not chain.members:
        return False
    text = sections.absent(service.name, how, Marker(run or about.run, about.profile, head=head), why)
    group = checkout.branch.rpartition(".")[2]
    for pause in (0.0, *(PAUSES if chain.contended else ())):
        time.sleep(pause)
        found = forge.get(found.number)
        body = sections.replaced(found.body, group, service.name, text, chain.lost)
        if found.state == "open" and body != found.body:
            forge.update(found.number, sections.title_of(group, body), body)
    _log.info("%s is taken out of pull request %d: %s", service.name, found.number, why)
    return True


def leave_elsewhere(
    checkout: Checkout, forge: Forge, service: ServiceRules, made: PullRequest | None
) -> None:
    """Take the service out of where its profile was proposed before its group was another, or none.

    That it cannot be is no failure: a person sees two pull requests, and closes one.

    Args:
        checkout: the clone; nothing in its directory is read.
        forge: where the pull requests are.
        service: rules of the service.
        made: where its profile is proposed now; None: nowhere.
    """
    others = of_repository(service)
    why = f"it is proposed in {made.url} now" if made else f"{service.name} is not of this group any more"
    for branch in sorted({each.branch for each in others if each.repository.group} - {service.branch}):
        apart = replace(
            checkout,
            branch=branch,
            seen=None,
            config=forge.git_config(),
            identity=replace(checkout.identity, others=addresses_of([service, *others])),
        )
        try:
            with start_anew(apart) as untouched:
                if not withdraw(untouched, forge, service, why):
                    _close(forge, branch, why)
        except (ForgeError, RepositoryError) as error:
            _log.warning("%s stays in the pull request of %s: %s", service.name, branch, error.message)
    if made and service.branch != service.own_branch:
        _close(forge, service.own_branch, why)


def _close(forge: Forge, branch: str, why: str) -> None:
    found = forge.find(branch)
    if found is not None and found.state == "open" and DO_NOT_UPDATE not in found.labels:
        forge.comment(found.number, f"fleetpgo closes this: {why}.", _MOVED)
        forge.close(found.number)
