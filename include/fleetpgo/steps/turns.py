"""Whose turn it is to build, where ``repository.limits`` limits the builds and open pull requests.

The limits are those of the whole repository: of all service files that name it, the smallest counts. What
they are held against is kept nowhere else: builds are counted by the :class:`Turn` in the store of each run,
open pull requests are asked of the forge.

A run that finds a place claims it, looks again, and gives the claim back if others hold the place. Each
writes its claim before it looks, so of two runs that look at once at least one sees the other's: beyond the
limit goes none, whatever the clocks say, in a store that lists what was written. Both may give way; they
look again, not in step: the time between two looks varies. Who looks first after a place is free has it:
there is no queue.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fleetpgo.errors import ArtifactError, FleetPGOError, LimitError
from fleetpgo.proposal.sharing import of_repository
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.proposed import Failed, Merge, Proposed, Turn
from fleetpgo.run.store import RunStore, runs_with
from fleetpgo.service.repository import LimitRules, smallest
from fleetpgo.steps.watch import Outcome, skip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fleetpgo.proposal.forges import Forge
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)

HOUR = timedelta(hours=1)

WAIT_TASK, BUILD_TASK = "wait_for_turn", "build_and_open_pr"
"""The tasks whose failure ends a wait for a turn, and a build."""

_KEPT = 20
"""Builds of a run that are remembered."""


@dataclass(frozen=True)
class _Found:
    """A turn of another run, or of this one."""

    service: ServiceRules
    store: RunStore
    turn: Turn


def limits_of(service: ServiceRules, others: Iterable[ServiceRules]) -> LimitRules:
    """Return the limits that hold for a service's repository."""
    return smallest(each.repository.limits for each in (service, *others))


def ask_for_turn(service: ServiceRules, store: RunStore, *, opens: bool) -> bool:
    """Note that the run wants to build; return whether anything limits that.

    Args:
        service: its rules.
        store: artifacts of the run.
        opens: whether the run may open a pull request.

    Raises:
        StoreError: the store does not answer.
    """
    if limits_of(service, of_repository(service)) == LimitRules():
        return False
    asked = store.find(Turn) or Turn()
    _write(store, asked, replace(asked, opens=opens))
    return True


def look_for_turn(
    service: ServiceRules,
    store: RunStore,
    connect: Callable[[], Forge],
    *,
    now: datetime,
    others_of: Callable[[ServiceRules], list[ServiceRules]] = of_repository,
) -> Outcome:
    """Take the run's turn to build if the repository's limits leave a place.

    Args:
        service: rules of the service.
        store: artifacts of the run.
        connect: reaches the forge; called only where `open` limits.
        now: the time.
        others_of: returns the other services of the repository.

    Returns:
        ``done`` if the run may build now, ``waiting`` with what it waits for, or ``skipped`` if a newer run
        of the service has asked as well: its profile is the newer one.

    Raises:
        StoreError: the store does not answer.
        ForgeError: the forge does not answer.
    """
    own = store.find(Turn)
    if own and own.builds and not (store.exists(Proposed) or store.exists(Failed, BUILD_TASK)):
        return Outcome("done", "the run has its turn")  # and was killed after it had been noted
    outcome = _take(service, others_of(service), store, connect, now)
    if outcome.state == "waiting" and (newer := _newer_run(service, store)):
        return skip(store, f"superseded by run {newer}, which waits to build with a newer profile")
    return outcome


def _take(
    service: ServiceRules,
    others: list[ServiceRules],
    store: RunStore,
    connect: Callable[[], Forge],
    now: datetime,
) -> Outcome:
    """Take the run's turn, or note what it waits for."""
    limits = limits_of(service, others)
    if limits == LimitRules():
        return Outcome("done", "nothing limits the builds of this repository")
    own = store.find(Turn) or Turn()
    why = _held_up(service, others, limits, store, own, connect, now)
    if not why:
        # The claim comes before the look that counts: whoever looks later sees it.
        own = _write(store, own, replace(own, claimed_at=now))
        try:
            why = _held_up(service, others, limits, store, own, connect, now)
        except FleetPGOError:
            _write(store, own, replace(own, claimed_at=None))
            raise
    if why:
        _write(store, own, replace(own, claimed_at=None, waits_for=why))
        return Outcome("waiting", why)
    builds = (*own.builds, now)[-_KEPT:]
    _write(store, own, replace(own, claimed_at=None, builds=builds, waits_for=""))
    return Outcome("done", "there is room for this build")


def require_room(
    service: ServiceRules, store: RunStore, connect: Callable[[], Forge], *, opens: bool, now: datetime
) -> None:
    """Check that the run could build now, before its work begins; claim nothing.

    Raises:
        LimitError: it could not.
    """
    others = of_repository(service)
    limits = limits_of(service, others)
    if why := _held_up(service, others, limits, store, Turn(opens=opens), connect, now):
        raise LimitError(why, hint="run again later, or raise repository.limits")


def require_turn(
    service: ServiceRules, store: RunStore, connect: Callable[[], Forge], *, opens: bool, now: datetime
) -> None:
    """Take the run's turn to build.

    Raises:
        LimitError: the limits leave no place.
    """
    if not ask_for_turn(service, store, opens=opens):
        return
    own = store.read(Turn)
    outcome = _take(service, of_repository(service), store, connect, now)
    if outcome.state == "done":
        return
    if not own.builds:
        store.remove(Turn)  # nobody waits
    raise LimitError(
        outcome.message,
        hint=f"the profile of run {store.run} is kept: propose it later (--run {store.run}), or raise "
        "repository.limits",
    )


def _write(store: RunStore, before: Turn, after: Turn) -> Turn:
    """Write the turn if it is another; return it."""
    if after != before or not store.exists(Turn):
        store.write(after)
    return after


def _held_up(
    service: ServiceRules,
    others: list[ServiceRules],
    limits: LimitRules,
    store: RunStore,
    own: Turn,
    connect: Callable[[], Forge],
    now: datetime,
) -> str:
    """Return what holds the run up, in a sentence; "" if nothing. Claims are read before the forge is."""
    if limits == LimitRules():
        return ""
    turns = [found for each in (service, *others) for found in _turns(each, store, now)]
    project = service.repository.project
    if (most := limits.builds_per_hour) is not None:
        begun = sorted(
            at
            for each in turns
            for at in (*each.turn.builds, *([each.turn.claimed_at] if _is_other(each, store) else []))
            if at is not None and now - at < HOUR
        )
        if len(begun) >= most:
            free = begun[-most] + HOUR
            return (
                f"{len(begun)} build(s) of {project} have begun within an hour, and repository.limits allows "
                f"{most} (builds_per_hour); the next may begin at {free:%Y-%m-%d %H:%M %Z}"
            )
    if (most := limits.open) is not None and own.opens:
        building = {
            each.service.branch for each in turns if _is_other(each, store) and _may_open(each, now)
        } - {service.branch}
        forge = connect()
        if _is_open(forge, service.branch):
            return ""
        branches = {each.branch for each in others} - {service.branch}
        opened = sorted(branch for branch in branches if _is_open(forge, branch))
        taken = [*opened, *sorted(building - set(opened))]
        if len(taken) >= most:
            return (
                f"{len(taken)} pull request(s) of {project} are open, or soon will be: {', '.join(taken)}; "
                f"repository.limits allows {most} (open)"
            )
    return ""


def _is_other(found: _Found, store: RunStore) -> bool:
    return found.store.directory != store.directory


def _is_open(forge: Forge, branch: str) -> bool:
    found = forge.find(branch)
    return found is not None and found.state == "open"


def _turns(service: ServiceRules, store: RunStore, now: datetime) -> Iterator[_Found]:
    """Yield the turns of a service that may still matter."""
    # An hour more than is needed, for the storage's clock.
    since = now - max(service.build.longest, HOUR) - HOUR
    for run in runs_with(store.root, service.name, Turn, since=since):
        if (turn := _read(run)) is not None:
            yield _Found(service, run, turn)


def _read(run: RunStore) -> Turn | None:
    """Return a run's turn; None if it has none, or one that cannot be read."""
    try:
        return run.find(Turn)
    except ArtifactError as error:
        _log.warning("a build is not counted: %s", error)
        return None


def _may_open(found: _Found, now: datetime) -> bool:
    """Return whether a run is building, and may open a pull request soon."""
    begun = found.turn.claimed_at or (found.turn.builds[-1] if found.turn.builds else None)
    return (
        found.turn.opens
        and begun is not None
        and now - begun < found.service.build.longest
        and not found.store.exists(Proposed)
        and not found.store.exists(Failed, BUILD_TASK)
    )


def _newer_run(service: ServiceRules, store: RunStore) -> str:
    """Return a run of the service that waits to build, too, with a newer profile; "" if there is none."""
    own = _made_at(store)
    for run in runs_with(store.root, service.name, Turn, since=own):
        turn = _read(run)
        waits = turn is not None and turn.opens and (turn.waits_for or turn.claimed_at)
        ended = any(run.exists(Failed, task) for task in (WAIT_TASK, BUILD_TASK)) or run.exists(Merge)
        if waits and not ended and _made_at(run) > own:
            return run.run
    return ""


def _made_at(run: RunStore) -> datetime:
    """Return when a run's profile was merged; long ago if that cannot be read."""
    try:
        manifest = run.find(Manifest)
    except ArtifactError:
        manifest = None
    return manifest.made_at if manifest else datetime.fromtimestamp(0, UTC)
