"""Whether a profile is worth a pull request: against the committed one, and against a rejected one."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.errors import ProfileError, RepositoryError
from fleetpgo.markdown import prose
from fleetpgo.proposal.blobs import TooLargeError, changed_files, is_gone, read_at, read_blob
from fleetpgo.proposal.commits import start_anew
from fleetpgo.proposal.etiquette import (
    DO_NOT_UPDATE,
    POINTLESS,
    TAKE_OVER,
    closed_as_pointless,
    hands_off,
    wants_rebase,
)
from fleetpgo.proposal.git import git
from fleetpgo.proposal.membership import leave
from fleetpgo.proposal.sections import marker_of
from fleetpgo.run.digest import digest

if TYPE_CHECKING:
    from fleetpgo.proposal.checkout import Checkout
    from fleetpgo.proposal.ensure import Marker
    from fleetpgo.proposal.forges import Forge, PullRequest
    from fleetpgo.service.rules import ServiceRules

_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

_log = logging.getLogger(__name__)


def compare(current: bytes | None, profile: bytes) -> pprof.Comparison | None:
    """Return what changes for the compiler; None without a readable current profile."""
    if not current:
        return None
    try:
        return pprof.compare(pprof.decode(current), pprof.decode(profile))
    except ProfileError as error:
        _log.warning("a committed profile cannot be read, so it is not compared: %s", error.message)
        return None


def nothing_new(change: pprof.Comparison, service: ServiceRules) -> str:
    """Return why the profile is not worth a pull request; "" if it is."""
    base, threshold = service.repository.base, service.profile.unchanged_above
    if change.unchanged:
        return f"nothing changed for the compiler since the profile on {base}"
    if change.alike(threshold):
        return (
            f"its overlap with the profile on {base} is {change.overlap:.3f}, where chance alone gives "
            f"{change.by_chance:.3f} at so many samples; profile.unchanged_above is {threshold:g}"
        )
    return ""


def left_alone(
    forge: Forge,
    checkout: Checkout,
    found: PullRequest | None,
    profile: bytes,
    service: ServiceRules,
    *,
    again: bool,
) -> str:
    """Return why people, or what they did, have the branch left alone; "" if it may be changed."""
    # In this order: on a rejected pull request nobody needs to be told of a foreign commit.
    return (
        _rejected(forge, checkout, found, profile, service)
        or hands_off(forge, checkout, found)
        or ("" if again else _good_as_approved(forge, checkout, found, profile, service))
    )


def pointless(
    forge: Forge, checkout: Checkout, found: PullRequest | None, why: str, service: ServiceRules
) -> str:
    """Close the open pull request if the base holds as good a profile; return why it does, "" if not.

    From a group's pull request the service is taken out; that of its last service is closed.
    """
    if why:
        _close_pointless(forge, checkout, found, why, service)
    return why


def _rejected(
    forge: Forge, checkout: Checkout, found: PullRequest | None, profile: bytes, service: ServiceRules
) -> str:
    """Return why a profile is too similar to one whose pull request was closed unmerged; "" if it is not.

    To delete its branch is no rejection, and neither is that fleetpgo closed it because it was pointless.
    """
    if found is None or TAKE_OVER in found.labels:
        return ""
    about = marker_of(service.name, found.body)
    taken_out = about is not None and about.absent == "rejected"
    if found.state != "closed" and not taken_out:
        return ""
    if not taken_out and (forge.lost_branch(found.number) or closed_as_pointless(forge, found)):
        return ""
    ended = "from which it was taken out" if taken_out else "which was closed unmerged"
    try:
        before = proposed_before(checkout, found, service)
    except RepositoryError as error:
        raise RepositoryError(
            f"the profile that pull request {found.number} proposed, {ended}, cannot be read: "
            f"{error.message}",
            hint=f"reopen it, or give it the label {TAKE_OVER}, to have a profile proposed again",
        ) from error
    change = compare(before, profile)
    threshold = service.review.propose_again_below
    if change is not None and change.alike(threshold):
        alike = (
            f"its overlap with the profile of pull request {found.number}, {ended}, is "
            f"{change.overlap:.3f}, where chance alone gives {change.by_chance:.3f} at so many samples; "
            f"review.propose_again_below is {threshold:g}"
        )
    elif before is None and _is_the_one(about, profile, service):
        alike = f"it is the profile of pull request {found.number}, {ended}"
    else:
        return ""
    return f"{alike}; to have it proposed all the same, reopen that one or give it the label {TAKE_OVER}"


def _is_the_one(about: Marker | None, profile: bytes, service: ServiceRules) -> bool:
    """Return whether a group's pull request says that it proposed this profile: its commit may be gone."""
    return (
        service.repository.group is not None
        and about is not None
        and about.absent in ("", "rejected")
        and about.profile == digest(profile)
    )


def _close_pointless(
    forge: Forge, checkout: Checkout, found: PullRequest | None, why: str, service: ServiceRules
) -> None:
    """Close a pull request of ours whose profile the base needs no more, with a sentence.

    One that people have asked to be left alone, or committed to, stays as it is.
    """
    if found is None or found.state != "open" or DO_NOT_UPDATE in found.labels or checkout.foreign:
        return
    if service.repository.group:
        with start_anew(replace(checkout, config=forge.git_config())) as untouched:
            leave(untouched, forge, service, prose(why))
        return
    forge.comment(
        found.number,
        f"fleetpgo closes this at {found.head}: {prose(why)}. It proposes a profile again as soon as one "
        "would change the build.",
        POINTLESS,
    )
    forge.close(found.number)
    _log.info("pull request %d is closed: %s", found.number, why)


def _good_as_approved(
    forge: Forge, checkout: Checkout, found: PullRequest | None, profile: bytes, service: ServiceRules
) -> str:
    """Return why an approved pull request is left as it is; "" if it is not, or the profile is better.

    A push may cost the approval. The measure is the one by which a profile counts as new:
    ``profile.unchanged_above``.
    """
    if found is None or found.state != "open" or checkout.seen is None:
        return ""
    if found.base != checkout.base or TAKE_OVER in found.labels or wants_rebase(found):
        return ""
    standing = forge.standing(found.number)
    if not standing.approved or standing.conflict or standing.behind:
        return ""
    change = compare(proposed_before(checkout, found, service), profile)
    if change is None or not (change.unchanged or change.alike(service.profile.unchanged_above)):
        return ""
    return (
        f"pull request {found.number} is approved, and the overlap of its profile with this one is "
        f"{change.overlap:.3f}: it is left as it is"
    )


def proposed_before(checkout: Checkout, found: PullRequest, service: ServiceRules) -> bytes | None:
    """Return the profile that a pull request of ours proposed, at its path or known by its digest.

    None if it proposed none of the service, as a group's may; or, of a group's, if it is not there any more.

    Raises:
        RepositoryError: its commit is not there any more.
    """
    path, head = service.repository.profile, found.head
    if service.repository.group:
        return _proposed_in_group(checkout, found, service)
    if path is not None:
        return read_at(checkout, head, path)
    about = marker_of(service.name, found.body)
    return _by_digest(checkout, head, about.profile) if about else None


def _proposed_in_group(checkout: Checkout, found: PullRequest, service: ServiceRules) -> bytes | None:
    # The head of a closed one may be that of a later one from the same branch: so the digest decides.
    about = marker_of(service.name, found.body)
    if about is None or about.absent not in ("", "rejected"):
        return None
    head = about.head if about.absent else found.head
    try:
        return _by_digest(checkout, head, about.profile) if _SHA.fullmatch(head) else None
    except RepositoryError as error:
        if not is_gone(error):
            raise
        _log.warning("what pull request %d proposed is not there any more: %s", found.number, error.message)
        return None


def _by_digest(checkout: Checkout, head: str, profile: str) -> bytes | None:
    git(checkout.path, "fetch", "--quiet", "--depth=1", "origin", head, config=checkout.config)
    for name in sorted(changed_files(checkout, checkout.base_commit, head)):
        try:
            content = read_blob(checkout, head, name)
        except TooLargeError:  # then it is no profile
            continue
        if content and digest(content) == profile:
            return content
    return None
