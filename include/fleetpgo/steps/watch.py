"""What a look at a run's pull request shows, before it is merged: what it waits for, and what is due.

Looks only, and builds and pushes nothing: it runs in a triggerer. What is due, :mod:`.refresh` does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from fleetpgo import foreign
from fleetpgo.errors import RefusedError
from fleetpgo.markdown import code, listed
from fleetpgo.proposal.automerge import Figures, objections
from fleetpgo.proposal.ensure import HANDED_OVER
from fleetpgo.proposal.etiquette import (
    DO_NOT_UPDATE,
    REBASE,
    TAKE_OVER,
    closed_as_pointless,
    wants_rebase,
)
from fleetpgo.proposal.sections import marker_of
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.proposed import Failed, Merge, Watched
from fleetpgo.run.store import RunStore
from fleetpgo.service.rules import GROUP_BRANCH
from fleetpgo.steps.release import later_release

if TYPE_CHECKING:
    from datetime import datetime

    from fleetpgo.proposal.ensure import Marker
    from fleetpgo.proposal.forges import Forge, PullRequest, Standing
    from fleetpgo.run.proposed import Proposed
    from fleetpgo.service.rules import ServiceRules

_LONG_FAILED = timedelta(days=1)
"""For so long a required check may fail before it is said on the pull request."""

LONGEST_RUN = 250
"""Characters of a run's id that are shown."""

SELDOM = timedelta(hours=1)
"""Between two tries that nobody asked for there is at least so long."""

_FAILING = "failing"
"""The comment that says it."""


BY_RULE = "review.auto_merge"
"""The key of the service file that merges without a person."""


@dataclass(frozen=True)
class Outcome:
    """Result of one check, and a sentence that describes it."""

    state: Literal["waiting", "work", "done", "skipped", "failed"]
    message: str


def look_at_closed(
    store: RunStore,
    forge: Forge,
    service: ServiceRules | None,
    proposed: Proposed,
    pull_request: PullRequest,
    now: datetime,
    patience: timedelta,
) -> Outcome:
    """A closed one may be reopened and merged; then its rollout is measured like any other."""
    name = f"pull request #{pull_request.number} ({pull_request.url})"
    if closed_as_pointless(forge, pull_request):
        cause = closed_beside(service, proposed, pull_request)
        watched = store.find(Watched) or Watched()
        if cause and (watched.tried != cause or (watched.again_at and now >= watched.again_at)):
            return Outcome("work", f"{name}: {cause}")
        if cause and watched.again_at:
            return Outcome("waiting", f"{name}: {cause}; it is tried again")
        return skip(store, f"{name} was closed by fleetpgo: its comment says why it was needed no more")
    newest = forge.find(pull_request.branch)
    if newest is not None and newest.number > pull_request.number and _has_part(store.service, newest):
        return skip(store, f"{name} was closed, and superseded by pull request #{newest.number}")
    said = (
        "was closed when its branch was deleted"
        if forge.lost_branch(pull_request.number)
        else "was closed without a merge"
    )
    watched = store.find(Watched) or Watched()
    closed_at = watched.closed_at or now
    if now - closed_at >= patience:
        return skip(store, f"{name} {said}")
    if watched.closed_at is None:
        store.write(replace(watched, closed_at=closed_at))
    return Outcome(
        "waiting", f"{name} {said}; until {closed_at + patience:%Y-%m-%d %H:%M %Z} it may be reopened"
    )


def closed_beside(service: ServiceRules | None, proposed: Proposed, pull_request: PullRequest) -> str:
    """Return that a group's pull request has this run's section, and is closed; "" if not.

    If fleetpgo closed it, that was for another service, the last one: it left just when this run joined, or
    while the base did not take this run's commit.
    """
    if service is None or service.repository.group is None or pull_request.state != "closed":
        return ""
    if (
        pull_request.branch != service.branch
    ):  # of a group that the service has left, or from before it had one
        return ""
    about = marker_of(service.name, pull_request.body)
    if about is None or about.absent not in ("", "conflict") or about.profile != proposed.profile:
        return ""
    return f"it, {pull_request.number}, was closed for another service, and this one's profile is left"


def _has_part(service: str, newest: PullRequest) -> bool:
    """Return whether a later pull request of the branch is the service's, too: a group's need not be."""
    if not newest.branch.startswith(GROUP_BRANCH):
        return True
    about = marker_of(service, newest.body)
    return about is not None and not about.absent


def proposed_elsewhere(store: RunStore, forge: Forge, service: ServiceRules, proposed: Proposed) -> str:
    """Say which later run proposed on another branch, if the service has joined or left a group; else ""."""
    if proposed.branch == service.branch:
        return ""
    there = forge.find(service.branch)
    about = marker_of(service.name, there.body) if there is not None and there.state == "open" else None
    if there is None or about is None or about.absent or not _is_newer(store, about):
        return ""
    return f"superseded by run {foreign.line(about.run, LONGEST_RUN)}, which proposed in {there.url}"


def look_at_open(
    store: RunStore,
    forge: Forge,
    service: ServiceRules | None,
    proposed: Proposed,
    pull_request: PullRequest,
    now: datetime,
) -> Outcome:
    """What an open one waits for, and whether there is something to do about it."""
    name = f"pull request #{pull_request.number} ({pull_request.url})"
    watched = store.find(Watched) or Watched()
    if watched.closed_at is not None:
        watched = replace(watched, closed_at=None)
        store.write(watched)
    if service is None:
        return Outcome("waiting", f"{name} is open")
    try:
        standing = forge.standing(pull_request.number)
    except RefusedError as error:
        # It may be merged all the same.
        return Outcome(
            "waiting", f"{name} is open; the forge does not say what it waits for: {error.message}"
        )
    cause = due(service, proposed, pull_request, standing) or moved_on(service, store, pull_request, standing)
    if cause and _may_try(watched, cause, standing, now, asked=is_asked(pull_request)):
        return Outcome("work", f"{name}: {cause}")
    _tell_failing(store, forge, pull_request, standing, watched, now)
    waits = f"; it waits for {', '.join(standing.waiting)}" if standing.waiting else ""
    return Outcome("waiting", f"{name} is open{waits}")


def due(service: ServiceRules, proposed: Proposed, pull_request: PullRequest, standing: Standing) -> str:
    """Return what there is to do about an open pull request, in a few words; "" if nothing."""
    ours = HANDED_OVER in pull_request.labels and standing.head == proposed.head
    rule = service.review.merge_rule if pull_request.branch == service.own_branch else None
    figures = Figures(proposed.overlap, proposed.source_match)
    about = marker_of(service.name, pull_request.body)
    reasons = (
        (
            service.repository.group is not None
            and (about is None or bool(about.absent) or about.profile != proposed.profile),
            "its section or its commit is not there",
        ),
        (TAKE_OVER in pull_request.labels, f"it has the label {TAKE_OVER}"),
        (wants_rebase(pull_request), "somebody asks to have its branch made anew"),
        (standing.conflict, "it conflicts with its base"),
        (standing.behind, "its base has moved, and requires a branch that holds its newest commit"),
        (
            rule is not None
            and ours
            and standing.settled
            and not any(objections(rule.when, figures, standing)),
            f"{'the forge can merge it later' if standing.waiting else 'it can be merged'} by {BY_RULE}",
        ),
    )
    if DO_NOT_UPDATE in pull_request.labels:
        return ""
    return next((said for holds, said in reasons if holds), "")


def moved_on(service: ServiceRules, store: RunStore, pull_request: PullRequest, standing: Standing) -> str:
    """Return that the release of a pull request was followed by another, which it does not say yet; else "".

    One that is approved is left alone: a push may cost the approval.
    """
    later = later_release(store) if service.release is not None else ""
    if (
        not later
        or standing.approved
        or DO_NOT_UPDATE in pull_request.labels
        or code(later) in pull_request.body
    ):
        return ""
    return f"release {later} has come since the one that it is for"


def is_asked(pull_request: PullRequest) -> bool:
    """Return whether a person asks for the work, by a label or the box."""
    return TAKE_OVER in pull_request.labels or wants_rebase(pull_request)


def work_key(cause: str, standing: Standing, *, asked: bool) -> str:
    """Return a key by which a later look knows that this was tried, and does not repeat it.

    If a person asked for it, the key does not hold the branch's state: fleetpgo's own push changes that,
    and must not make the request look new.
    """
    return f"{cause} {'' if asked else standing.head} {standing.base_head}"


def _may_try(watched: Watched, cause: str, standing: Standing, now: datetime, *, asked: bool) -> bool:
    """Return whether to try now: something is new, and nothing was built for an hour, or a person asks."""
    if work_key(cause, standing, asked=asked) == watched.tried:
        return watched.again_at is not None and now >= watched.again_at
    return asked or cause.endswith(BY_RULE) or watched.worked_at is None or now - watched.worked_at >= SELDOM


def _tell_failing(
    store: RunStore,
    forge: Forge,
    pull_request: PullRequest,
    standing: Standing,
    watched: Watched,
    now: datetime,
) -> None:
    """Say on the pull request, once, that a required check has failed for a day."""
    if standing.failed != watched.failing:
        store.write(replace(watched, failing=standing.failed, failing_since=now if standing.failed else None))
        return
    if standing.failed and watched.failing_since and now - watched.failing_since >= _LONG_FAILED:
        checks = listed([f"- {code(each)}" for each in standing.failed])
        forge.comment(
            pull_request.number,
            "These required checks have failed for more than a day, so that this cannot be merged:\n\n"
            f"{checks}\n\nIf they fail on the base as well, mend them there; to have this branch made anew "
            f"then, add the label `{REBASE}`.",
            _FAILING,
        )


def begin_to_wait(store: RunStore, what: str, now: datetime) -> None:
    """Note that a wait begins, and forget why it failed before, if its task was cleared."""
    store.remove(Failed, f"wait_for_{what}")
    if what == "merge":
        store.write(replace(store.find(Watched) or Watched(), since=now))


def _is_newer(store: RunStore, about: Marker) -> bool:
    """Return whether a marker is of a later run of the service."""
    after, own = RunStore(store.root, store.service, about.run).find(Manifest), store.find(Manifest)
    return after is not None and own is not None and after.made_at > own.made_at


def is_older(store: RunStore, about: Marker) -> bool:
    """Return whether a section is of an earlier run: another service's run may have put it back.

    A pull request that is no group's is written by the service's own runs alone.
    """
    if not about.service:
        return False
    before, own = RunStore(store.root, store.service, about.run).find(Manifest), store.find(Manifest)
    return before is not None and own is not None and before.made_at < own.made_at


def waited(store: RunStore, now: datetime) -> timedelta:
    """Return how long the wait for the merge has lasted; 0 if its beginning was not noted."""
    watched = store.find(Watched) or Watched()
    return now - (watched.since or now)


def skip(store: RunStore, reason: str) -> Outcome:
    """End the run without a failure, and store the reason."""
    store.write(Merge("skipped", reason=reason))
    return Outcome("skipped", reason)
