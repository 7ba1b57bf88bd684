"""The step that opens or updates the pull request: clone, wire, build twice, commit, push, propose.

The target repository and the forge are the only state. The step may be interrupted anywhere and run again: it
finds and updates the branch, its commit and the pull request, and never duplicates them.
"""

from __future__ import annotations

import logging
import os
import shlex
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.errors import BuildError, RepositoryError
from fleetpgo.golang.reference import differences, read_reference
from fleetpgo.proposal.automerge import Figures
from fleetpgo.proposal.body import (
    Change,
    FunctionShare,
    Proposal,
    Provenance,
    body,
    message,
    section,
    title,
)
from fleetpgo.proposal.builds import clone_to_build, record_build, runner_of
from fleetpgo.proposal.checkout import Checkout, base_moved, fetch_history, read, require_head
from fleetpgo.proposal.codeowners import with_owners
from fleetpgo.proposal.commits import commit, difference, push, require_committable, start_anew
from fleetpgo.proposal.ensure import ensure_pull_request
from fleetpgo.proposal.etiquette import DO_NOT_UPDATE, obeying_take_over
from fleetpgo.proposal.group import draft, join
from fleetpgo.proposal.members import look, trailers
from fleetpgo.proposal.membership import leave_elsewhere, write_section
from fleetpgo.proposal.novelty import compare, left_alone, nothing_new, pointless, proposed_before
from fleetpgo.proposal.preflight import look_ahead
from fleetpgo.proposal.sharing import built_alike, find_beside, of_group
from fleetpgo.proposal.variants import require_variants
from fleetpgo.proposal.verify import verify
from fleetpgo.proposal.wiring.edits import find_wiring
from fleetpgo.proposal.wiring.mains import likely_profile, main_directories
from fleetpgo.proposal.wiring.texts import read_build_texts
from fleetpgo.run.artifacts import ProposedDiff, ProposedText
from fleetpgo.run.digest import digest
from fleetpgo.run.proposed import Proposed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from fleetpgo.proposal.builds import Recorded
    from fleetpgo.proposal.forges import Forge, PullRequest
    from fleetpgo.proposal.wiring.texts import BuildTexts
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)

_NAMED = 10
_ALL = 1 << 30
"""Number of functions that are shown, and that are compared."""


def propose(
    service: ServiceRules,
    forge: Forge,
    profile: bytes,
    provenance: Provenance,
    *,
    dry_run: bool,
    cache: Path,
    keep: Callable[[bytes], None] = lambda _: None,
    again: bool = False,
    variants: Sequence[str] = (),
) -> Proposed:
    """Propose a profile to a service's repository as a pull request.

    :mod:`fleetpgo.proposal.etiquette` decides whether the branch may be changed at all. If the base gets
    commits during the builds, everything is repeated once from the new base.

    Args:
        service: rules of the service.
        forge: forge that hosts the repository.
        profile: the bytes to commit.
        provenance: where the profile comes from; shown in the pull request.
        dry_run: do everything but the push and the pull request.
        cache: directory for Go's caches, kept between runs.
        keep: takes the pull request's text and diff, before anything is pushed.
        again: the same profile is proposed again because the base has moved, also over an approval, which the
            forge may then ask for anew.
        variants: names of the build variants to build and benchmark beside the profile; if nothing is
            proposed, they are not built, and the reason says so.

    Raises:
        RepositoryError: git fails, or no change to the repository makes its build use the profile.
        ToolchainError: Go is missing, or is not the version that the repository requires.
        BuildError: the service does not build (with the compiler's last lines), its build ignores the
            profile, or it has no variant of a name.
        ForgeError: the forge cannot be reached, or refuses.
    """
    repository = service.repository
    _require_one_base(service)
    require_variants(service.build, variants)
    forge.check(repository.base)
    moved = False
    while True:
        with clone_to_build(service, forge, cache) as checkout:
            # A dry run asks nothing of the forge's pull requests, so it needs no right to see them.
            found = None if dry_run else forge.find(service.branch)
            if repository.group and not (dry_run or (found and DO_NOT_UPDATE in found.labels)):
                checkout = look(checkout, service)  # noqa: PLW2901
            proposed, proposal, files = _prepare(
                checkout,
                service,
                forge,
                found,
                profile,
                provenance,
                dry_run=dry_run,
                again=again,
                cache=cache,
                variants=variants,
            )
            if proposal is None:
                if not dry_run:
                    leave_elsewhere(checkout, forge, service, None)
                return proposed
            # The builds may have taken longer than the credentials hold.
            checkout = replace(checkout, config=forge.git_config())  # noqa: PLW2901
            if not (dry_run or moved) and base_moved(checkout):
                _log.info("%s has got commits during the build: building again on top of them", checkout.base)
                moved = True
                continue
            if dry_run:  # the forge would have it made, and keep it
                checkout = replace(checkout, identity=replace(checkout.identity, make=None))  # noqa: PLW2901
            with start_anew(checkout) as untouched:
                head = commit(
                    # In a group it is put among the others', and signed there.
                    draft(untouched) if repository.group else untouched,
                    files,
                    message(proposal),
                    exact=proposal.path,
                    trailers=trailers(service, checkout.base_commit),
                )
                text = section(proposal, 1 + len(of_group(service))) if repository.group else body(proposal)
                keep(ProposedText(f"# {title(proposal)}\n\n{text}".encode()))
                keep(ProposedDiff(f"{difference(untouched, head)}\n".encode()))
                if dry_run:
                    _log.info("dry run: nothing is pushed and no pull request opened")
                    return proposed
                with obeying_take_over(forge, found):
                    if repository.group:
                        head, made = _join(service, forge, untouched, head, proposal, text)
                    else:
                        push(untouched, head)
                        made = ensure_pull_request(
                            forge,
                            service.branch,
                            repository.base,
                            title(proposal),
                            text,
                            with_owners(service, untouched, proposal.path),
                            head=head,
                            require_head=partial(require_head, untouched, head, forge.git_config),
                            figures=Figures(proposed.overlap, proposed.source_match),
                        )
            leave_elsewhere(checkout, forge, service, made)
        _log.info("pull request %d: %s", made.number, made.url)
        return replace(proposed, head=head, pull_request=made.number, url=made.url)


def _require_one_base(service: ServiceRules) -> None:
    for other in of_group(service):
        if other.repository.base != service.repository.base:
            raise RepositoryError(
                f"{service.name} and {other.name} are of one group, {service.repository.group}, and the base "
                f"of one is {service.repository.base}, of the other {other.repository.base}",
                hint="give both service files the same repository.base, or another repository.group",
            )


def _join(
    service: ServiceRules, forge: Forge, untouched: Checkout, own: str, proposal: Proposal, text: str
) -> tuple[str, PullRequest]:
    """Put the commit and the section among the group's; return the commit as it is there, and where."""
    chain = join(untouched, forge, service, own)
    review = with_owners(service, untouched, proposal.path)
    made = write_section(untouched, forge, service, chain, text, review)
    return chain.commit_of(service.name) or own, made


def _prepare(
    checkout: Checkout,
    service: ServiceRules,
    forge: Forge,
    found: PullRequest | None,
    profile: bytes,
    provenance: Provenance,
    *,
    dry_run: bool,
    again: bool,
    cache: Path,
    variants: Sequence[str],
) -> tuple[Proposed, Proposal | None, Mapping[str, bytes]]:
    """Return the result so far, the proposal (None if there is none), and the files to commit."""
    repository = service.repository
    proposed = Proposed(service.branch, repository.base, digest(profile), unchanged=False, dry_run=dry_run)
    path = repository.profile
    texts = read_build_texts(checkout)
    before = _proposed_before(checkout, found, service)
    current = read(checkout, path) if path else None
    change = compare(current, profile)
    why = "" if dry_run else left_alone(forge, checkout, found, profile, service, again=again)
    if change is not None:
        proposed = replace(proposed, overlap=change.overlap)
        if path and texts.passes_profile(path):
            why = why or pointless(forge, checkout, found, nothing_new(change, service), service)
    if why:
        return _nothing(proposed, why, variants), None, {}

    if texts.history:
        fetch_history(checkout)
    recorded, differs = _build_base(checkout, service, texts, cache)
    wiring = find_wiring(texts, service, recorded.plain.base)
    if path is None and not wiring.off:
        current = read(checkout, wiring.path)
        change = compare(current, profile)
    proposed = replace(proposed, path=wiring.path or None, overlap=change.overlap if change else None)
    if wiring.off:
        why = f"the repository builds without a profile on purpose: {wiring.off}"
    elif change is not None and not wiring.files:
        why = pointless(forge, checkout, found, nothing_new(change, service), service)
    if why:
        return _nothing(proposed, why, variants), None, {}

    readable = current if change else None
    verified = verify(
        checkout,
        service,
        wiring,
        profile,
        cache,
        repository=texts,
        recorded=recorded,
        current=pprof.call_edges(pprof.decode(readable)) if readable else None,
        differs=differs,
        variants=variants,
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
        variants=verified.variants,
    )
    proposal = Proposal(
        service=service.name,
        branch=service.branch,
        path=wiring.path,
        profile=proposed.profile,
        size=len(profile),
        # An empty file is no profile to Go, so it is none to the reader.
        current=digest(current) if current else None,
        current_size=len(current) if current else None,
        change=Change(change.overlap, len(change.hot_gained), len(change.hot_lost)) if change else None,
        command=shlex.join(service.build.command),
        binary=service.build.binary,
        wired=sorted(wiring.files),
        unaware=wiring.unaware,
        images=wiring.images,
        verified=verified,
        match_below=service.profile.match_below,
        functions=_functions(readable, profile),
        since=_since(before, profile),
        title=service.commit.title,
        message=service.commit.message,
        provenance=provenance,
    )
    return proposed, proposal, {**wiring.files, wiring.path: profile}


def _build_base(
    checkout: Checkout, service: ServiceRules, texts: BuildTexts, cache: Path
) -> tuple[Recorded, list[str] | None]:
    """Build the base. Return the build, and its differences from the reference (None: no reference)."""
    for each in look_ahead(texts, service.build, runner_of(checkout, service, cache).environment):
        if each.fatal:
            raise BuildError(each.said, hint=each.hint)
        _log.warning("%s (%s)", each.said, each.hint)
    mains = main_directories(checkout.path)
    likely = service.repository.profile or likely_profile(mains, service.build.binary)
    if likely:
        require_committable(checkout, likely)
    beside = find_beside(checkout, mains, built_alike(service))
    recorded = record_build(
        checkout, service, cache, modules=texts.modules.values(), profile=likely, beside=beside
    )
    if not service.build.reference:
        return recorded, None
    reference = read_reference(service.build.reference, environment=os.environ)
    differs = differences(recorded.plain.base.settings, reference)
    for sentence in differs:
        _log.warning("%s", sentence)
    return recorded, differs


def _proposed_before(checkout: Checkout, found: PullRequest | None, service: ServiceRules) -> bytes | None:
    """Return what an open pull request proposes so far; before any build, as git has the credentials here."""
    if found is None or found.state != "open" or checkout.seen is None:
        return None
    return proposed_before(checkout, found, service)


def _since(before: bytes | None, profile: bytes) -> Change | None:
    """Return what changes for readers of an open pull request; None: nothing, or it is new."""
    change = compare(before, profile)
    if change is None or change.unchanged:
        return None
    return Change(change.overlap, len(change.hot_gained), len(change.hot_lost))


def _nothing(proposed: Proposed, why: str, variants: Sequence[str]) -> Proposed:
    """Return the result where nothing is built: why, and that the variants are not built either."""
    if variants:
        names = ", ".join(dict.fromkeys(variants))
        why += (
            f"; the variants {names} were not built"
            if "," in names
            else f"; the variant {names} was not built"
        )
    _log.info("nothing is proposed: %s", why)
    return replace(proposed, unchanged=True, reason=why)


def _functions(current: bytes | None, profile: bytes) -> list[FunctionShare]:
    """Return the hottest functions, with their flat share in the new and in the current profile."""
    before = None
    if current:
        before = {rank.function: rank.flat_share for rank in pprof.top(pprof.decode(current), _ALL)}
    return [
        FunctionShare(
            rank.function, rank.flat_share, None if before is None else before.get(rank.function, 0.0)
        )
        for rank in pprof.top(pprof.decode(profile), _NAMED)
    ]
