"""The step that ends in a pull request: clone, wire, build twice, commit, push, propose.

The target repository and the forge are the only state. The step may be interrupted anywhere and run again:
the branch, its commit and the pull request are found and brought up to date, never duplicated.
"""

from __future__ import annotations

import hashlib
import logging
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.errors import ProfileError, RepositoryError
from fleetpgo.proposal.body import Change, FunctionShare, Proposal, body, title
from fleetpgo.proposal.commits import commit, push, start_anew
from fleetpgo.proposal.ensure import ensure_pull_request
from fleetpgo.proposal.etiquette import TAKE_OVER, hands_off, obeying_take_over
from fleetpgo.proposal.git import Checkout, base_moved, clone, fetch_history, read_at
from fleetpgo.proposal.verify import verify
from fleetpgo.proposal.wiring.edits import find_wiring

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fleetpgo.proposal.body import Provenance
    from fleetpgo.proposal.forges import Forge, PullRequest
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)

_NAMED = 10
_ALL = 1 << 30
"""Functions that are shown, and that are looked through."""


@dataclass(frozen=True)
class Proposed:
    """What came of proposing a profile; plain values only, for ``dataclasses.asdict`` and JSON.

    Attributes:
        branch: branch that the pull request comes from.
        base: branch that it goes to.
        profile: first 12 hex digits of the SHA-256 of the profile's bytes.
        unchanged: nothing was built, pushed or opened: the base branch holds a profile that is as good, the
            repository wants none, or people want the pull request left alone.
        reason: why; "" if something was proposed.
        overlap: of this profile with the one on the base branch, 0 … 1; None if there is none.
        dry_run: everything was done but the push and the pull request.
        head: full SHA of the pushed commit; None where nothing was pushed.
        pull_request: its number; None where none was opened.
        url: where a person reads it; None where none was opened.
        toolchain: version of Go that built the service, such as ``go1.27.3``.
        size_without: bytes of the binary built without a profile; this and the rest are None if unchanged.
        size_with: bytes of the binary built with this profile.
        seconds_without: how long the build without a profile took.
        seconds_with: how long the build with this profile took.
        source_match: share of the profile's weight that the source still has; None if nothing was compared.
        current_match: the same of the profile on the base branch.
    """

    branch: str
    base: str
    profile: str
    unchanged: bool
    dry_run: bool
    reason: str = ""
    overlap: float | None = None
    head: str | None = None
    pull_request: int | None = None
    url: str | None = None
    toolchain: str | None = None
    size_without: int | None = None
    size_with: int | None = None
    seconds_without: float | None = None
    seconds_with: float | None = None
    source_match: float | None = None
    current_match: float | None = None


def propose(
    service: ServiceRules,
    forge: Forge,
    profile: bytes,
    provenance: Provenance,
    *,
    dry_run: bool,
    cache: Path,
) -> Proposed:
    """Propose a profile to a service's repository as a pull request.

    :mod:`fleetpgo.proposal.etiquette` says whether it may be touched at all. If the base gets commits
    while the service is built, all is done again from the new base, once.

    Args:
        service: whose repository and build it is.
        forge: where the repository is.
        profile: the bytes to commit at ``service.repository.profile``.
        provenance: where the profile comes from; told in the pull request.
        dry_run: do everything but the push and the pull request.
        cache: directory for Go's caches, kept between runs.

    Raises:
        RepositoryError: if git fails, or nothing can be made to pass the profile on.
        ToolchainError: if Go is missing, or is not the one that the repository asks for.
        BuildError: if the service does not build, with the compiler's last words, or builds without the
            profile.
        ForgeError: if the forge cannot be reached, or refuses.
    """
    repository = service.repository
    forge.check(repository.base)
    moved = False
    while True:
        with clone(forge.clone_url, repository.base, service.branch, config=forge.git_config()) as checkout:
            # A dry run asks nothing of the forge's pull requests, so it needs no right to see them.
            found = None if dry_run else forge.find(service.branch)
            proposed, proposal, files = _prepare(
                checkout, service, forge, found, profile, provenance, dry_run=dry_run, cache=cache
            )
            if proposal is None:
                return proposed
            # The builds may have taken longer than the credentials hold.
            checkout = replace(checkout, config=forge.git_config())  # noqa: PLW2901
            if not (dry_run or moved) and base_moved(checkout):
                _log.info("%s has got commits during the build: building again on top of them", checkout.base)
                moved = True
                continue
            with start_anew(checkout) as untouched:
                head = commit(untouched, files, _message(proposal), exact=repository.profile)
                if dry_run:
                    _log.info("dry run: nothing is pushed and no pull request opened")
                    return proposed
                with obeying_take_over(forge, found):
                    push(untouched, head)
                    made = ensure_pull_request(
                        forge,
                        service.branch,
                        repository.base,
                        title(proposal),
                        body(proposal),
                        service.review,
                    )
        _log.info("pull request %d: %s", made.number, made.url)
        return replace(proposed, head=head, pull_request=made.number, url=made.url)


def _prepare(
    checkout: Checkout,
    service: ServiceRules,
    forge: Forge,
    found: PullRequest | None,
    profile: bytes,
    provenance: Provenance,
    *,
    dry_run: bool,
    cache: Path,
) -> tuple[Proposed, Proposal | None, Mapping[str, bytes]]:
    """What came of it so far, what to propose (None if nothing is), and the files to commit."""
    repository = service.repository
    proposed = Proposed(service.branch, repository.base, digest(profile), unchanged=False, dry_run=dry_run)
    current = _read(checkout, repository.profile)
    wiring = find_wiring(checkout, service)
    files = {repository.profile: profile, **wiring.files}
    wired = [name for name, content in wiring.files.items() if content != _read(checkout, name)]
    # In this order: on a rejected pull request nobody needs to be told of a foreign commit.
    why = "" if dry_run else _rejected(checkout, found, profile, service) or hands_off(forge, checkout, found)
    if wiring.off:
        why = why or f"the repository builds without a profile on purpose: {wiring.off}"
    change = _compare(current, profile)
    if change is not None:
        proposed = replace(proposed, overlap=change.overlap)
        if not wired:
            why = why or _nothing_new(change, service)
    if why:
        _log.info("nothing is proposed: %s", why)
        return replace(proposed, unchanged=True, reason=why), None, files

    if wiring.history:
        fetch_history(checkout)
    readable = current if change else None
    verified = verify(
        checkout, service, files, cache, current=pprof.call_edges(readable) if readable else None
    )
    proposed = replace(
        proposed,
        toolchain=verified.toolchain,
        size_without=verified.without.size,
        size_with=verified.with_profile.size,
        seconds_without=verified.without.seconds,
        seconds_with=verified.with_profile.seconds,
        source_match=verified.match.share if verified.match else None,
        current_match=verified.current_match.share if verified.current_match else None,
    )
    proposal = Proposal(
        service=service.name,
        branch=service.branch,
        path=repository.profile,
        profile=proposed.profile,
        size=len(profile),
        # An empty file is no profile to Go, so it is none to the reader.
        current=digest(current) if current else None,
        current_size=len(current) if current else None,
        change=Change(change.overlap, len(change.hot_gained), len(change.hot_lost)) if change else None,
        command=shlex.join(service.build.command),
        binary=service.build.binary,
        wired=wired,
        unaware=wiring.unaware,
        verified=verified,
        match_below=service.profile.match_below,
        functions=_functions(readable, profile),
        provenance=provenance,
    )
    return proposed, proposal, files


def _compare(current: bytes | None, profile: bytes) -> pprof.Comparison | None:
    """What changes for the compiler; None if there is no profile yet, or none that can be read."""
    if not current:
        return None
    try:
        return pprof.compare(current, profile)
    except ProfileError as error:
        _log.warning("a committed profile cannot be read, so it is not compared: %s", error.message)
        return None


def _nothing_new(change: pprof.Comparison, service: ServiceRules) -> str:
    """Why the profile is not worth a pull request; "" if it is."""
    base, threshold = service.repository.base, service.profile.unchanged_above
    if change.unchanged:
        return f"nothing changed for the compiler since the profile on {base}"
    if change.alike(threshold):
        return (
            f"its overlap with the profile on {base} is {change.overlap:.3f}, where chance alone gives "
            f"{change.by_chance:.3f} at so many samples; profile.unchanged_above is {threshold:g}"
        )
    return ""


def _rejected(checkout: Checkout, found: PullRequest | None, profile: bytes, service: ServiceRules) -> str:
    """Why a profile is too much like one whose pull request was closed unmerged; "" if it is not."""
    if found is None or found.state != "closed" or TAKE_OVER in found.labels:
        return ""
    try:
        before = read_at(checkout, found.head, service.repository.profile)
    except RepositoryError as error:
        raise RepositoryError(
            f"the profile that pull request {found.number} proposed, which was closed unmerged, cannot be "
            f"read: {error.message}",
            hint=f"reopen it, or give it the label {TAKE_OVER}, to have a profile proposed again",
        ) from error
    change = _compare(before, profile)
    threshold = service.review.propose_again_below
    if change is None or not change.alike(threshold):
        return ""
    return (
        f"its overlap with the profile of pull request {found.number}, which was closed unmerged, is "
        f"{change.overlap:.3f}, where chance alone gives {change.by_chance:.3f} at so many samples; "
        f"review.propose_again_below is {threshold:g}; to have it proposed all the "
        f"same, reopen that one or give it the label {TAKE_OVER}"
    )


def digest(profile: bytes) -> str:
    """The first 12 hex digits of a profile's SHA-256: enough to tell the profiles of a fleet apart."""
    return hashlib.sha256(profile).hexdigest()[:12]


def _functions(current: bytes | None, profile: bytes) -> list[FunctionShare]:
    """The functions that the calls with most weight lead to, and what that weight was before."""
    before = {rank.function: rank.flat_share for rank in pprof.top(current, _ALL)} if current else None
    return [
        FunctionShare(
            rank.function, rank.flat_share, None if before is None else before.get(rank.function, 0.0)
        )
        for rank in pprof.top(profile, _NAMED)
    ]


def _read(checkout: Checkout, name: str) -> bytes | None:
    """A file of the work tree; None where there is none."""
    path = checkout.path / name
    return path.read_bytes() if path.is_file() else None


def _message(proposal: Proposal) -> str:
    """The commit message. It names no run: the same change is the same commit, whichever run makes it."""
    return (
        f"{title(proposal)}\n\n"
        f"{proposal.path} (SHA-256 {proposal.profile}…) is what {proposal.service} spent its CPU time on, "
        "for `go build -pgo`.\n"
    )
