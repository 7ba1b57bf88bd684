"""What a run does about its open pull request between two weekly runs: nothing is profiled anew.

The wait for the merge sees what is due (:func:`fleetpgo.steps.watch.due`); this does it, on a worker. The
same profile is wired into the newest base, built, verified and pushed again; or the pull request is merged
by `review.auto_merge`.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from fleetpgo.errors import FleetPGOError, ForgeError, LimitError, StoreError
from fleetpgo.markdown import code
from fleetpgo.proposal.automerge import Figures, merge_by_rule
from fleetpgo.proposal.checkout import delete_branch
from fleetpgo.proposal.etiquette import REBASE, closed_as_pointless, wants_rebase, without_rebase
from fleetpgo.proposal.members import left_over
from fleetpgo.proposal.sharing import in_group
from fleetpgo.proposal.signing import Identity
from fleetpgo.run.proposed import Merge, Proposed, Watched
from fleetpgo.service.rules import GROUP_BRANCH
from fleetpgo.steps.propose_run import propose_profile
from fleetpgo.steps.turns import require_turn
from fleetpgo.steps.watch import (
    BY_RULE,
    SELDOM,
    closed_beside,
    due,
    is_asked,
    moved_on,
    proposed_elsewhere,
    work_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fleetpgo.proposal.forges import Forge, PullRequest
    from fleetpgo.run.store import RunStore
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)

_SOON = timedelta(minutes=5)
"""Until the next look at a pull request of which the forge does not know yet whether it can be merged."""

_STUCK = "stuck"
"""The comment that says why a branch could not be brought up to date."""


def refresh(
    service: ServiceRules,
    store: RunStore,
    forge: Forge,
    *,
    cache: Path,
    run_url: str | None = None,
    now: datetime | None = None,
) -> str:
    """Do what is due about the run's pull request; return what was done, in a sentence.

    A failure that a new try cannot mend is said on the pull request, and ends nothing: the next move of the
    base, or somebody's label, has it tried again.

    Args:
        service: rules of the service.
        store: artifacts of the run.
        forge: where the pull request is.
        cache: directory for Go's caches, kept between runs.
        run_url: URL of the run's page.
        now: the time; default: the clock's.

    Raises:
        ForgeError: the forge does not answer when it is asked what is due.
    """
    proposed = store.read(Proposed)
    if proposed.pull_request is None:
        return "nothing is due: no pull request was opened"
    found = forge.get(proposed.pull_request)
    if why := proposed_elsewhere(store, forge, service, proposed):
        return f"nothing is due any more about pull request {found.number}: {why}"
    if (cause := closed_beside(service, proposed, found)) and closed_as_pointless(forge, found):
        return _open_again(service, store, forge, found, cause, cache=cache, run_url=run_url, now=now)
    standing = forge.standing(found.number)
    cause = due(service, proposed, found, standing) or moved_on(service, store, found, standing)
    if found.state != "open" or not cause:
        return f"nothing is due any more about pull request {found.number}"
    now, asked = now or datetime.now(UTC), is_asked(found)
    tried, again_at = work_key(cause, standing, asked=asked), None
    # No service's rule speaks for a group, which this service may have been of when it proposed.
    rule = None if found.branch.startswith(GROUP_BRANCH) else service.review.merge_rule
    try:
        if rule and not (standing.conflict or standing.behind) and cause.endswith(BY_RULE):
            figures = Figures(proposed.overlap, proposed.source_match)
            final, done = merge_by_rule(forge, found, rule, figures, head=proposed.head or "")
            again_at = None if final else now + _SOON
        else:
            require_turn(service, store, lambda: forge, opens=True, now=now)
            done = _propose_again(service, store, forge, found, cache, run_url)
    except (ForgeError, StoreError, LimitError) as error:
        again_at = now + SELDOM
        when = f"{again_at:%Y-%m-%d %H:%M} UTC"
        done = f"pull request {found.number} is not up to date; this is tried again at {when}: {error}"
        _log.warning("%s", done)
    except FleetPGOError as error:
        done = f"pull request {found.number} cannot be brought up to date: {error}"
        _log.warning("%s", done)
        try:
            forge.comment(found.number, _why_stuck(error), _STUCK)
        except ForgeError as unsaid:
            again_at = now + SELDOM
            _log.warning("nor can that be said on it: %s", unsaid)
    finally:
        _note(store, tried=tried, again_at=again_at, worked_at=now)
    if asked and again_at is None:
        _answered(store, forge, found, now)
    return done


def _open_again(
    service: ServiceRules,
    store: RunStore,
    forge: Forge,
    found: PullRequest,
    cause: str,
    *,
    cache: Path,
    run_url: str | None,
    now: datetime | None,
) -> str:
    """Propose once more what a pull request proposed that was closed for another service."""
    now, again_at = now or datetime.now(UTC), None
    try:
        require_turn(service, store, lambda: forge, opens=True, now=now)
        done = _propose_again(service, store, forge, found, cache, run_url)
    except FleetPGOError as error:
        again_at = now + SELDOM if isinstance(error, (ForgeError, StoreError, LimitError)) else None
        done = f"what pull request {found.number} proposed cannot be proposed again: {error}"
        _log.warning("%s", done)
    _note(store, tried=cause, again_at=again_at, worked_at=now)
    return done


def _answered(store: RunStore, forge: Forge, found: PullRequest, now: datetime) -> None:
    """Take off what a person asked by; once nothing asks any more, they may ask for the same again."""
    try:
        # As it is now: the text may have been written anew.
        there = forge.get(found.number)
        if wants_rebase(there):
            without_rebase(forge, there)
            there = forge.get(found.number)
    except ForgeError as error:
        _log.warning("pull request %d still asks for what is done: %s", found.number, error)
        _note(store, again_at=now + SELDOM)
        return
    if not is_asked(there):
        _note(store, tried="")


def _note(store: RunStore, **changes: Any) -> None:  # noqa: ANN401  # of fields of several types
    store.write(replace(store.find(Watched) or Watched(), **changes))


def _propose_again(
    service: ServiceRules,
    store: RunStore,
    forge: Forge,
    found: PullRequest,
    cache: Path,
    run_url: str | None,
) -> str:
    again = propose_profile(service, store, forge, dry_run=False, cache=cache, run_url=run_url, again=True)
    if again.unchanged:
        return f"pull request {found.number} is left as it is: {again.reason}"
    return f"pull request {found.number} was made anew from its base: {again.head}"


def _why_stuck(error: FleetPGOError) -> str:
    """Return the comment; the same words for the same failure."""
    return (
        "fleetpgo could not make this branch anew from its base: "
        f"{code(error.message)}.{f' {code(error.hint)}.' if error.hint else ''}\n\n"
        f"It is tried again when the base has moved, or at once with the label `{REBASE}`."
    )


def clean_up(store: RunStore, connect: Callable[[], Forge], service: ServiceRules | None = None) -> None:
    """Delete our branch after the merge, unless it has moved; that it cannot is no failure of the run.

    Args:
        store: artifacts of the run.
        connect: reaches the forge.
        service: its rules; None: only commits of fleetpgo's own name are its own.
    """
    merge, proposed = store.find(Merge), store.find(Proposed)
    if merge is None or merge.state != "merged" or proposed is None or proposed.head is None:
        return
    try:
        forge = connect()
        head: str | None = proposed.head
        if proposed.branch.startswith(GROUP_BRANCH) and proposed.pull_request is not None:
            # Another service's commit may be the newest, or there may be another pull request already.
            known = in_group(Identity(), service) if service else Identity()
            ended = forge.get(proposed.pull_request)
            head = left_over(forge, proposed.branch, ended, known.addresses)
        if head is not None:
            delete_branch(forge.clone_url, proposed.branch, head, forge.git_config())
    except FleetPGOError as error:
        _log.warning("the merged branch %s stays: %s", proposed.branch, error.message)
