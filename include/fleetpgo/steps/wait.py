"""The waits: check once whether the pull request is merged, the build is rolled out, or a period has passed.

A check blocks while it asks the forge or Prometheus. The caller decides when to check again. It builds and
pushes nothing: what is to be done about a pull request is done by :mod:`.refresh`, on a worker.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fleetpgo import foreign
from fleetpgo.errors import ArtifactError, RepositoryError
from fleetpgo.measurement.figures import percent
from fleetpgo.measurement.rollout import find_rollout, ready_at
from fleetpgo.proposal.etiquette import closed_as_pointless
from fleetpgo.proposal.members import brought_by
from fleetpgo.proposal.sections import marker_of
from fleetpgo.run.proposed import Merge, Proposed, Rollout
from fleetpgo.service.rules import GROUP_BRANCH
from fleetpgo.steps.watch import (
    LONGEST_RUN,
    Outcome,
    is_older,
    look_at_closed,
    look_at_open,
    proposed_elsewhere,
    skip,
)

if TYPE_CHECKING:
    from fleetpgo.prometheus import Prometheus
    from fleetpgo.proposal.ensure import Marker
    from fleetpgo.proposal.forges import Forge, PullRequest
    from fleetpgo.run.measured import Period
    from fleetpgo.run.store import RunStore
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)


def look_for_merge(  # one for each ending
    store: RunStore,
    forge: Forge,
    service: ServiceRules | None = None,
    *,
    now: datetime | None = None,
    patience: timedelta = timedelta(0),
) -> Outcome:
    """Check whether the run's pull request was merged, closed, or taken over by a newer run.

    Args:
        store: artifacts of the run.
        forge: where the pull request is.
        service: its rules; None: no work is looked for.
        now: the time; default: the clock's.
        patience: how long a closed one may be reopened.

    Returns:
        ``work`` if somebody has asked for something, or the base requires it: :mod:`.refresh` does it.
    """
    now = now or datetime.now(UTC)
    proposed = store.read(Proposed)
    if proposed.unchanged:
        return skip(store, f"nothing was proposed: {proposed.reason}")
    if proposed.pull_request is None:
        return skip(store, "dry run: no pull request was opened")
    pull_request = forge.get(proposed.pull_request)
    if why := _passed_on(store, forge, service, proposed, pull_request):
        return skip(store, why)
    match pull_request.state:
        case "open":
            return look_at_open(store, forge, service, proposed, pull_request, now)
        case "closed":
            return look_at_closed(store, forge, service, proposed, pull_request, now, patience)
        case "merged":
            return _look_at_merged(store, forge, proposed, pull_request, now)


def _passed_on(
    store: RunStore,
    forge: Forge,
    service: ServiceRules | None,
    proposed: Proposed,
    pull_request: PullRequest,
) -> str:
    """Say why the pull request is not this run's any more; "" if it is."""
    name = f"pull request #{pull_request.number} ({pull_request.url})"
    about = marker_of(store.service, pull_request.body)
    if about is not None and not is_older(store, about):
        if about.absent and not _may_be_made_anew(forge, about, pull_request):
            return f"its commit is not in {name}, whose section says why"
        if about.profile != proposed.profile:
            return f"superseded by run {foreign.line(about.run, LONGEST_RUN)}, which took over {name}"
    if service is None or pull_request.state == "merged":
        return ""
    return proposed_elsewhere(store, forge, service, proposed)


def _look_at_merged(
    store: RunStore, forge: Forge, proposed: Proposed, pull_request: PullRequest, now: datetime
) -> Outcome:
    name = f"pull request #{pull_request.number} ({pull_request.url})"
    if pull_request.base != proposed.base:
        return skip(store, f"{name} was merged into {pull_request.base}, and not into {proposed.base}")
    if why := _without_its_commit(store, forge, pull_request):
        return skip(store, f"{name} {why}")
    merged_at = pull_request.merged_at or now
    store.write(Merge("merged", merged_at, pull_request.merge_commit))
    return Outcome("done", f"{name} was merged at {merged_at:%Y-%m-%d %H:%M:%S %Z}")


def _may_be_made_anew(forge: Forge, about: Marker, pull_request: PullRequest) -> bool:
    """Return whether a commit that did not apply to the base is still to be proposed."""
    if about.absent != "conflict" or pull_request.state == "merged":
        return False
    return pull_request.state == "open" or closed_as_pointless(forge, pull_request)


def _without_its_commit(store: RunStore, forge: Forge, merged: PullRequest) -> str:
    """Say that a group's pull request was merged without the service's commit; "" if it was with it."""
    if not merged.branch.startswith(GROUP_BRANCH):
        return ""
    try:
        services = brought_by(forge, merged)
    except RepositoryError as error:
        _log.warning("whose commits %s has brought is not known: %s", merged.url, error.message)
        return ""
    if not services or store.service in services:
        return ""
    named = ", ".join(foreign.line(each, LONGEST_RUN) for each in sorted(services))
    return f"was merged without a commit of {store.service}: it has brought those of {named}"


def look_for_rollout(
    service: ServiceRules, store: RunStore, prometheus: Prometheus, now: datetime
) -> Outcome:
    """Check whether the fleet runs the new build, and has run it for long enough to be measured."""
    rollout = store.find(Rollout)
    if rollout is None:
        profile = store.read(Proposed).profile
        merged_at = _merged_at(store)
        fraction, rollout = find_rollout(
            prometheus,
            service.rollout,
            profile=profile,
            since=merged_at,
            now=now,
            instance=service.selection.instance_label,
        )
        if rollout is None:
            late = now - merged_at > service.rollout.deadline
            return Outcome(
                "failed" if late else "waiting",
                f"{percent(fraction)} of the instances run the build with profile {profile}; "
                f"the rollout is complete at {percent(service.rollout.complete)}"
                + (f" and was not within {service.rollout.deadline} of the merge" if late else ""),
            )
        store.write(rollout)
    moment = measurable_at(service, store, "rollout")
    return Outcome(
        "done" if now >= moment else "waiting",
        f"rolled out from {rollout.start} to {rollout.end}, to {percent(rollout.fraction)} of the instances; "
        f"measurable at {moment}",
    )


def _merged_at(store: RunStore) -> datetime:
    merge = store.read(Merge)
    if merge.merged_at is None:
        raise ArtifactError(
            f"the pull request of run {store.run} was not merged: {merge.reason}",
            hint="clear the task that waits for the merge, and its downstream tasks",
        )
    return merge.merged_at


def look_for_week(service: ServiceRules, store: RunStore, now: datetime) -> Outcome:
    """Check whether the long period after the rollout (``measurement.week``) has passed."""
    moment = measurable_at(service, store, "week")
    return Outcome("done" if now >= moment else "waiting", f"measurable at {moment}")


def measurable_at(service: ServiceRules, store: RunStore, period: Period) -> datetime:
    """Return when the period after the rollout ends."""
    return ready_at(service, store.read(Rollout), window_of(service, period))


def window_of(service: ServiceRules, period: Period) -> timedelta:
    """Return the length of a period after the rollout."""
    return service.measurement.window if period == "rollout" else service.measurement.week
