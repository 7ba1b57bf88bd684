"""Whether a profile is worth a pull request: against the committed one, and against a rejected one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.errors import ProfileError, RepositoryError
from fleetpgo.proposal.ensure import marker
from fleetpgo.proposal.etiquette import TAKE_OVER
from fleetpgo.proposal.git import changed_files, git, read_at, read_blob
from fleetpgo.run.digest import digest

if TYPE_CHECKING:
    from fleetpgo.proposal.forges import PullRequest
    from fleetpgo.proposal.git import Checkout
    from fleetpgo.service.rules import ServiceRules

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


def rejected(checkout: Checkout, found: PullRequest | None, profile: bytes, service: ServiceRules) -> str:
    """Return why a profile is too similar to one whose pull request was closed unmerged; "" if it is not."""
    if found is None or found.state != "closed" or TAKE_OVER in found.labels:
        return ""
    try:
        before = _profile_of(checkout, found, service.repository.profile)
    except RepositoryError as error:
        raise RepositoryError(
            f"the profile that pull request {found.number} proposed, which was closed unmerged, cannot be "
            f"read: {error.message}",
            hint=f"reopen it, or give it the label {TAKE_OVER}, to have a profile proposed again",
        ) from error
    change = compare(before, profile)
    threshold = service.review.propose_again_below
    if change is None or not change.alike(threshold):
        return ""
    return (
        f"its overlap with the profile of pull request {found.number}, which was closed unmerged, is "
        f"{change.overlap:.3f}, where chance alone gives {change.by_chance:.3f} at so many samples; "
        f"review.propose_again_below is {threshold:g}; to have it proposed all the "
        f"same, reopen that one or give it the label {TAKE_OVER}"
    )


def _profile_of(checkout: Checkout, found: PullRequest, path: str | None) -> bytes | None:
    """Return the profile that a pull request of ours proposed, at its path or known by its digest."""
    if path is not None:
        return read_at(checkout, found.head, path)
    about = marker(found.body)
    git(checkout.path, "fetch", "--quiet", "--depth=1", "origin", found.head, config=checkout.config)
    contents = (
        read_blob(checkout, found.head, name)
        for name in sorted(changed_files(checkout, checkout.base_commit, found.head))
    )
    return next((each for each in contents if each and about and digest(each) == about.profile), None)
