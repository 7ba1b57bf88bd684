"""A service's part in the pull request of its group: write its section, take it out, leave for another place.

No forge changes a part of a text in one step, or closes a pull request only if nobody has pushed to it. So a
run that has met another looks again whether its section is there; what it misses even so, its wait for the
merge sees (:mod:`fleetpgo.steps.watch`).
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from fleetpgo import foreign
from fleetpgo.errors import FleetPGOError, ForgeError, RepositoryError
from fleetpgo.markdown import code
from fleetpgo.proposal import sections
from fleetpgo.proposal.checkout import branch_head, branches, delete_branch, look_at
from fleetpgo.proposal.commits import start_anew
from fleetpgo.proposal.ensure import HANDED_OVER, Marker, hand_over
from fleetpgo.proposal.etiquette import DO_NOT_UPDATE, POINTLESS, closed_as_pointless, take_back
from fleetpgo.proposal.group import join, require_member, rest
from fleetpgo.proposal.members import members_of
from fleetpgo.proposal.sharing import in_group
from fleetpgo.proposal.updating import only_updated
from fleetpgo.service.files import service_files
from fleetpgo.service.rules import GROUP_BRANCH

if TYPE_CHECKING:
    from fleetpgo.proposal.checkout import Checkout
    from fleetpgo.proposal.forges import Forge, PullRequest
    from fleetpgo.proposal.group import Chain
    from fleetpgo.service.review import ReviewRules
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)

PAUSES = (1.0, 2.0, 4.0)
"""Seconds after which a run that has met another looks again whether its section is there."""

_MOST = 50
"""Branches of groups that are looked at."""

_ATTEMPTS = 5
"""Tries to take the last service out while others join."""

_LONGEST_REASON = 300

_UNKNOWN = "no-service-file"
"""The comment on commits of services that have no file."""

_STAYS = "stays"
"""The comment on a pull request that a service has left, and that has a person's commit."""


def write_section(
    checkout: Checkout, forge: Forge, service: ServiceRules, chain: Chain, text: str, review: ReviewRules
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

    Raises:
        ForgeError: the forge cannot be reached, or refuses.
        RepositoryError: another run of the service, or a person, has moved the branch: the section is theirs.
            Or the pull request was closed meanwhile.
    """
    require_member(checkout, service, chain)
    made, new = _write_once(forge, service, text, chain, review)
    if chain.contended or branch_head(checkout) != chain.tip:
        for pause in PAUSES:
            time.sleep(pause)
            require_member(checkout, service, chain)
            made, _ = _write_once(forge, service, text, replace(chain, lost={}, found=made), review)
    else:
        made = forge.get(made.number)
        if made.state == "closed" and closed_as_pointless(forge, made):
            # The last of the others left at the same moment.
            made, new = _write_once(forge, service, text, replace(chain, lost={}, found=made), review)
    _tell_unknown(forge, made, chain)
    if new or HANDED_OVER not in made.labels:
        hand_over(forge, made, review)
    return made


def _tell_unknown(forge: Forge, made: PullRequest, chain: Chain) -> None:
    """Say whose commit nobody will replace or take off: no service file is named so any more."""
    known = {file.stem for file in service_files()}
    unknown = [each.service for each in chain.members if each.service not in known]
    if unknown:
        _log.warning("there is no service file of %s, whose commit is on the branch", ", ".join(unknown))
        forge.comment(
            made.number,
            f"There is no service file of {', '.join(map(code, unknown))} any more, and this has a commit of "
            "it, which no run will replace. To be rid of it, delete the branch: that rejects nothing, and "
            "the next run of each service makes its commit anew.",
            _UNKNOWN,
        )


def _write_once(
    forge: Forge, service: ServiceRules, text: str, chain: Chain, review: ReviewRules
) -> tuple[PullRequest, bool]:
    """Return the pull request with the section in it, and whether it had none of the service before."""
    group, branch, base = str(service.repository.group), service.branch, service.repository.base
    there = [each.service for each in chain.members]
    found = forge.find(branch)
    if found is None or found.state != "open":
        was_open = chain.found is not None and chain.found.state == "open"
        if found is not None and was_open and not closed_as_pointless(forge, found):
            raise RepositoryError(
                f"pull request {found.number} of {branch} was {found.state} while this run pushed to it",
                hint="run again: what was in it is then told from what is new",
            )
        inherited = _inherited(forge, found, chain) if found else ""
        body = sections.replaced(inherited, group, service.name, text, there=there)
        try:
            return forge.create(branch, base, sections.title_of(group, body), body, draft=review.draft), True
        except ForgeError:
            # Another run may have opened it at the same moment.
            found = forge.find(branch)
            if found is None or found.state != "open":
                raise
    take_back(forge, found, code(service.name))
    body = sections.replaced(found.body, group, service.name, text, chain.lost, there)
    title = sections.title_of(group, body)
    new = service.name not in sections.live(found.body)
    if (found.title, found.body.replace("\r\n", "\n"), found.base) != (title, body, base):
        found = forge.update(found.number, title, body, base if found.base != base else None)
    return found, new


def _inherited(forge: Forge, ended: PullRequest, chain: Chain) -> str:
    """Return the sections of what people rejected, so that the next pull request still tells."""
    rejected = (
        ended.state == "closed"
        and not closed_as_pointless(forge, ended)
        and not forge.lost_branch(ended.number)
    )
    heads = {each.service: each.commit for each in chain.left}
    return sections.inherited(ended.body, ended.number, heads, rejected=rejected)


def leave(checkout: Checkout, forge: Forge, service: ServiceRules, why: str) -> None:
    """Take a service's commit out of a group's pull request; close that if nobody else is left in it.

    Args:
        checkout: the repository of :func:`fleetpgo.proposal.commits.start_anew`; its branch is the group's,
            looked at (:func:`fleetpgo.proposal.members.look`).
        forge: where the pull request is.
        service: rules of the service; its group need not be that one.
        why: in a sentence without its first capital, in Markdown.

    Raises:
        RepositoryError: git fails, or the branch has a commit that is nobody's known.
        ForgeError: the forge cannot be reached, or refuses.
    """
    for _ in range(_ATTEMPTS):
        if withdraw(checkout, forge, service, why) or _close_last(checkout, forge, service, why):
            return
    _log.warning(
        "%s stays in %s: others have joined or left at each of %d tries",
        service.name,
        checkout.branch,
        _ATTEMPTS,
    )


def withdraw(
    checkout: Checkout,
    forge: Forge,
    service: ServiceRules,
    why: str,
    *,
    how: sections.Absent = "withdrawn",
) -> bool:
    """Take a service's commit out of the group's open pull request; return whether others are left.

    Its section then says why. If no other service is left, nothing is changed: the caller closes it.
    Arguments and errors as of :func:`leave`; `how` in a word.
    """
    found = forge.find(checkout.branch)
    if found is None or found.state != "open":
        return True
    if how == "withdrawn" and DO_NOT_UPDATE in found.labels:
        return True
    about = sections.marker_of(service.name, found.body)
    head = _commit_of(checkout, service)
    if not head and (about is None or about.absent):
        return True
    chain = join(checkout, forge, service, None)
    if not chain.members:
        return False
    before = about or Marker("", "0" * 12)
    text = sections.absent(service.name, how, replace(before, head=head), why)
    group = checkout.branch.removeprefix(GROUP_BRANCH)
    for pause in (0.0, *(PAUSES if chain.contended else ())):
        time.sleep(pause)
        found = forge.get(found.number)
        # A newer run of the service may have written its own meanwhile.
        own = text if sections.marker_of(service.name, found.body) == about else None
        body = sections.replaced(found.body, group, service.name, own, chain.lost)
        if found.state == "open" and body != found.body.replace("\r\n", "\n"):
            forge.update(found.number, sections.title_of(group, body), body)
    _log.info("%s is taken out of pull request %d: %s", service.name, found.number, why)
    return True


def _commit_of(checkout: Checkout, service: ServiceRules) -> str:
    tip = branch_head(checkout)
    there = members_of(checkout, tip, service, judged=tip == checkout.seen) if tip else []
    return next((each.commit for each in there if each.service == service.name), "")


def _close_last(checkout: Checkout, forge: Forge, service: ServiceRules, why: str) -> bool:
    """Close the pull request of a group of which this is the last service; return whether that is done.

    The branch goes before it is closed, and only as it was looked at: a run that joins at the same moment
    either keeps it, or makes it again. So who looks at the branch after that knows whether one has joined.
    """
    found = forge.find(checkout.branch)
    if found is None or found.state != "open" or DO_NOT_UPDATE in found.labels:
        return True
    tip = branch_head(checkout)
    there = members_of(checkout, tip, service, judged=tip == checkout.seen) if tip else []
    if rest(checkout, service, there):
        return False
    # The text comes first: by it a run of another service, if one joins now, tells that it is not meant.
    group = checkout.branch.removeprefix(GROUP_BRANCH)
    about = sections.marker_of(service.name, found.body) or Marker("", "0" * 12)
    text = None if about.absent else sections.absent(service.name, "withdrawn", about, why)
    lost = {name: each for name, each in sections.live(found.body).items() if name != service.name}
    if text or lost:
        body = sections.replaced(found.body, group, service.name, text, lost)
        forge.update(found.number, sections.title_of(group, body), body)
    said = (
        f"fleetpgo closes this at {found.head}: {why}. It proposes a profile again as soon as one would "
        "change the build."
    )
    forge.comment(found.number, said, POINTLESS)
    if tip:
        try:
            delete_branch(checkout.url, checkout.branch, tip, forge.git_config())
        except RepositoryError as error:
            _log.warning("%s is not deleted: %s", checkout.branch, error.message)
    if branch_head(checkout) not in (None, tip):
        take_back(forge, found, "another service")
        return False
    if forge.get(found.number).state == "open":
        forge.close(found.number)
    # Who has joined just now may have taken it back.
    forge.comment(found.number, said, POINTLESS)
    _log.info("pull request %d is closed: %s", found.number, why)
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
    why = f"it is proposed in {made.url} now" if made else f"{service.name} is not of this group any more"
    try:
        apart = replace(checkout, config=forge.git_config(), seen=None, own=None)
        # Also of groups that no service file names any more.
        others = [each for each in branches(apart, GROUP_BRANCH) if each != service.branch][:_MOST]
    except FleetPGOError as error:
        _log.warning("whether %s is proposed elsewhere, too, is not known: %s", service.name, error.message)
        return
    own = [service.own_branch] if made and service.repository.group else []
    for branch in (*others, *own):
        try:
            _leave_one(replace(apart, branch=branch), forge, service, why)
        except FleetPGOError as error:
            _log.warning(
                "whether %s still has a part in the pull request of %s is not known: %s",
                *(service.name, branch, error.message),
            )


def _leave_one(checkout: Checkout, forge: Forge, service: ServiceRules, why: str) -> None:
    """Take the service out of one branch's pull request, if it is in it and nobody else has a part in it."""
    found = forge.find(checkout.branch)
    if found is None or found.state != "open" or DO_NOT_UPDATE in found.labels:
        return
    grouped = checkout.branch != service.own_branch
    about = sections.marker_of(service.name, found.body)
    if grouped and (service.name not in sections.sections(found.body) or (about and about.absent)):
        return
    # On its own branch a commit of another service's author is no commit of fleetpgo's.
    alone = replace(checkout.identity, others=frozenset())
    identity = in_group(alone, service) if grouped else alone
    with start_anew(replace(checkout, identity=identity)) as untouched:
        there = look_at(untouched, checkout.branch)
        if there.foreign and not only_updated(there):
            _say_that_it_stays(forge, found, why, f"its newest commit is by {there.foreign}")
        elif grouped and found.base != there.base:
            _say_that_it_stays(forge, found, why, f"its base is {found.base}, and not {there.base}")
        elif not grouped:
            _close_own(there, forge, found, why)
        else:
            members = members_of(there, there.seen, service, judged=True) if there.seen else []
            own = next((each.profile for each in members if each.service == service.name), None)
            leave(replace(there, own=own), forge, service, why)


def _close_own(there: Checkout, forge: Forge, found: PullRequest, why: str) -> None:
    """Close a service's own pull request, from before it joined a group."""
    head = branch_head(there)
    if head != there.seen:
        _log.info("pull request %d stays: its branch has just moved", found.number)
        return
    forge.comment(found.number, f"fleetpgo closes this at {head or found.head}: {why}.", POINTLESS)
    forge.close(found.number)


def _say_that_it_stays(forge: Forge, found: PullRequest, why: str, because: str) -> None:
    forge.comment(
        found.number,
        f"fleetpgo does not update this for its service any more: {why}. It leaves this pull request as it "
        f"is: {code(foreign.line(because, _LONGEST_REASON))}. Close it if nobody needs it.",
        _STAYS,
    )
