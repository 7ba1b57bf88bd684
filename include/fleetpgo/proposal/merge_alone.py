"""Find out from git history whether two builds differ only by the merge of a profile.

A measured saving is PGO's only if nothing else went out with the profile. The metrics name the revisions that
ran before and after a rollout; git knows what lies between them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fleetpgo.errors import RepositoryError
from fleetpgo.proposal.carry import edits_in, profile_of
from fleetpgo.proposal.checkout import clone, fetch_history
from fleetpgo.proposal.git import git
from fleetpgo.proposal.members import SERVICE_TRAILER
from fleetpgo.proposal.sharing import addresses_of, of_repository
from fleetpgo.proposal.signing import Identity
from fleetpgo.service.release import REVISION
from fleetpgo.service.rules import NAME

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from fleetpgo.proposal.forges import Forge
    from fleetpgo.service.rules import ServiceRules

_REVISION = re.compile(REVISION)


def what_else(
    service: ServiceRules, forge: Forge, merge: str | None, before: Collection[str], after: Collection[str]
) -> str:
    """Say what changed between revisions besides the merge of a profile; "" if nothing did.

    Args:
        service: whose repository.
        forge: where it is.
        merge: full SHA of the commit that merged the profile; None if the forge does not tell.
        before: revisions that ran before the rollout: SHAs, short ones too, or whatever else git resolves.
        after: revisions that came with it.

    Raises:
        RepositoryError: if the repository cannot be cloned.
        ForgeError: if the forge cannot be reached.
    """
    if not merge:
        return "the forge does not say which commit merged the profile"
    base = service.repository.base
    with clone(forge.clone_url, base, service.branch, config=forge.git_config()) as checkout:
        fetch_history(checkout)
        services = [service, *of_repository(service)]
        group = _Group(
            Identity().addresses | addresses_of(services),
            {each.name: each for each in services},
            checkout.config,
        )
        found = (_more(checkout.path, base, merge, old, new, group) for old in before for new in after)
        return next(filter(None, found), "")


@dataclass(frozen=True)
class _Group:
    """By which fleetpgo's commits for other services are known: addresses, rules; and how to fetch files."""

    addresses: Collection[str]
    rules: Mapping[str, ServiceRules] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict, repr=False)


def _more(directory: Path, base: str, merge: str, old: str, new: str, group: _Group) -> str:
    ends = []
    for revision in (merge, old, new):
        commit = resolve(directory, revision)
        if commit is None:
            return f"revision {revision} is not in the history of {base}"
        ends.append(commit)
    merge, older, newer = ends
    # What a pull request brought is what its merge has and the base had not.
    had = git(directory, "rev-parse", f"{merge}^@").split()[:1]
    ours = set(_commits(directory, merge, had))
    gained = set(_commits(directory, newer, [older]))
    lost = set(_commits(directory, older, [newer]))
    if merge not in gained:
        return f"the profile's merge {merge[:12]} does not lie between revisions {old} and {new}"
    others = len(gained - ours) + len(lost)
    if others:
        return f"{others} other commit(s) lie between revisions {old} and {new}"
    # Of a group's pull request, the other services' profiles are in none of this one's builds.
    known = _of_groups(directory, merge, had, group)
    brought = len(_commits(directory, merge, had, "--no-merges")) - max(known, 1)
    return f"the profile's merge {merge[:12]} brought {brought} other commit(s)" if brought > 0 else ""


def resolve(directory: Path, revision: str) -> str | None:
    """Return the full SHA of a revision; None if the repository does not have it."""
    if not _REVISION.fullmatch(revision):
        return None
    try:
        return git(directory, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    except RepositoryError:
        return None


def _of_groups(directory: Path, tip: str, known: Collection[str], group: _Group) -> int:
    """Return how many commits fleetpgo made for services of a group, which hold what such a commit may."""
    form = f"--format=%H%n%ae%n%(trailers:key={SERVICE_TRAILER},valueonly,unfold,separator=%x20)"
    told = git(directory, "log", "--no-merges", "-z", form, tip, "--not", *known)
    rows = (f"{each}\n\n".split("\n")[:3] for each in told.split("\0"))
    return sum(
        author in group.addresses
        and NAME.fullmatch(name.strip()) is not None
        and _is_profiles(directory, sha, name.strip(), group)
        for sha, author, name in rows
    )


def _is_profiles(directory: Path, sha: str, name: str, group: _Group) -> bool:
    """Return whether a commit holds what one of fleetpgo's may: somebody may have amended it."""
    try:
        profile_of(edits_in(directory, f"{sha}^", sha, group.config), name, group.rules.get(name))
    except RepositoryError:
        return False
    return True


def _commits(directory: Path, tip: str, known: Collection[str], *options: str) -> list[str]:
    """Return the ancestors of a commit that are not ancestors of the known ones."""
    return git(directory, "rev-list", *options, tip, "--not", *known).split()
