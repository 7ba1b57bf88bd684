"""Refreshes for releases: for which one a run is, and which of a service's runs goes first.

Runs of one service must not fight over instances, branch and pull request. Each says in its store for which
release it has begun (:class:`~fleetpgo.run.released.Begun`), and looks at what the others say. Airflow lets
only one run of a DAG look at a time. docs/two-step.md has the orders as a table.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from fleetpgo.errors import ArtifactError, PrometheusError
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.proposed import Merge, Proposed
from fleetpgo.run.released import Begun
from fleetpgo.run.store import runs_with
from fleetpgo.selection.releases import matchers_of
from fleetpgo.service.values import written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fleetpgo.run.store import RunStore
    from fleetpgo.selection.releases import Release
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)

_REMEMBERED = timedelta(days=400)
"""How far back a release may have been taken: as long as runs are kept."""


@dataclass(frozen=True)
class Around:
    """What a run must ask others before it begins.

    Attributes:
        is_running: whether a run, by its id in Airflow, has not ended.
        is_open: whether the pull request that a run has opened is open.
    """

    is_running: Callable[[str], bool]
    is_open: Callable[[Proposed], bool]


@dataclass(frozen=True)
class _Other:
    """Another run of the service that has begun."""

    store: RunStore
    begun: Begun

    @property
    def under_way(self) -> bool:
        """Whether it may still profile or build: it has neither a pull request nor an end."""
        return not (self.store.exists(Proposed) or self.store.exists(Merge))

    def takes(self, revision: str) -> bool:
        """Whether a release is this run's."""
        return self.begun.revision == revision and not self.begun.gave_way and not self.begun.dry_run


def begin_run(
    service: ServiceRules,
    store: RunStore,
    release: Release | None,
    around: Around,
    *,
    run: str,
    shares: Mapping[str, float],
    by_hand: bool = False,
    dry_run: bool = False,
    now: datetime,
) -> str:
    """Note that a run begins, and for which release; return why it ends here instead, "" if it goes on.

    Args:
        service: rules of the service, with ``release``.
        store: artifacts of the run; :class:`Begun` is written.
        release: the release it is for; None: it was begun by the schedule or by hand, for none.
        around: asks others.
        run: the run's id in Airflow.
        shares: revision → share of the instances that run it now, 0 … 1.
        by_hand: a person names the release, who may have one profiled again.
        dry_run: the run proposes nothing.
        now: the time.

    Raises:
        PrometheusError: a run for a release does not see what the instances run.
        StoreError: the store does not answer.
        ForgeError: the forge does not answer.
    """
    own = replace(store.find(Begun) or Begun(run, now), dry_run=dry_run, gave_way="")
    if store.exists(Proposed):
        return ""  # somebody cleared the task of a run that is past all this
    go_on(store)
    others = list(_others(store))
    if release is None:
        why = _for_a_release(others, around)
    else:
        if not shares:
            raise PrometheusError(
                "no instance runs a revision that could be a release",
                hint="does rollout.revision give series?",
            )
        share = shares.get(release.revision, 0.0)
        since = None if by_hand else release.since
        own = replace(own, revision=release.revision, since=since, share=share)
        why = (
            _has_a_run(own, others, around, by_hand=by_hand)
            or _gone(service, own, by_hand=by_hand)
            or _in_the_way(others, around)
        )
    store.write(replace(own, gave_way=why))
    return why


def go_on(store: RunStore) -> None:
    """Forget that the run ended early: somebody has cleared the task at which it did."""
    if not store.exists(Proposed):
        store.remove(Merge)


def taken(store: RunStore, revision: str) -> str:
    """Return the other run of the service that is, or was, for a release; "" if none is.

    Args:
        store: artifacts of a run of the service, which need not exist.
        revision: the release's.
    """
    return next((each.begun.run for each in _others(store) if each.takes(revision)), "")


def later_release(store: RunStore) -> str:
    """Return the newest release that has come after the run's own; "" if none has, or it is for none."""
    later = _later(store)
    return max(later, key=lambda each: each[0])[1].begun.revision if later else ""


def overtaken(store: RunStore) -> str:
    """Return which later release has been profiled since, if the run is for a release; else "".

    Its own pull request, if it has one already, goes over to the later run by itself.
    """
    for _, each in _later(store):
        if each.store.exists(Manifest):
            return f"release {each.begun.revision} has come since, and run {each.begun.run} has profiled it"
    return ""


def asked(service: ServiceRules, store: RunStore, matchers: str | None, now: datetime) -> dict[str, Any]:
    """Return the parameters of a run that its release settles; none of them if it is for no release.

    These are ``matchers``, ``now`` (its instances may be gone before a window opens) and, where a store of
    profiles is asked, ``window``: not for the time before the release, if it is known when that began.

    Args:
        service: rules of the service.
        store: artifacts of the run.
        matchers: label matchers that hold besides.
        now: the time.
    """
    begun = store.find(Begun) if service.release is not None else None
    if service.release is None or begun is None or not begun.revision:
        return {}
    found: dict[str, Any] = {
        "matchers": matchers_of(begun.revision, service.release, matchers or ""),
        "now": True,
    }
    if service.collection.past and begun.since is not None:
        since = timedelta(seconds=max(1, int((now - begun.since).total_seconds())))
        found["window"] = written(min(timedelta(seconds=service.collection.length), since))
    return found


def _for_a_release(others: list[_Other], around: Around) -> str:
    """Return which release's run a run for none gives way to; "" if to none."""
    for each in others:
        release = each.begun.revision
        if not release or each.begun.gave_way:
            continue
        if each.under_way and around.is_running(each.begun.run) and not overtaken(each.store):
            return f"run {each.begun.run} refreshes the profile for release {release}"
        if each.store.exists(Merge):
            continue
        proposed = each.store.find(Proposed)
        if proposed is not None and proposed.pull_request is not None and around.is_open(proposed):
            return (
                f"pull request #{proposed.pull_request} ({proposed.url}) is open: it is step two of {release}"
            )
    return ""


def _has_a_run(own: Begun, others: list[_Other], around: Around, *, by_hand: bool) -> str:
    """Return which run the release has already; "" if none that counts for this one."""
    for each in others:
        if not each.takes(own.revision):
            continue
        if not by_hand or (each.under_way and around.is_running(each.begun.run)):
            return f"run {each.begun.run} is for release {own.revision}"
    return ""


def _gone(service: ServiceRules, own: Begun, *, by_hand: bool) -> str:
    """Return that a release does not have its share any more; by hand, that nothing runs it."""
    least = 0.0 if by_hand or service.release is None else service.release.share
    if own.share < least or own.share == 0:
        return f"release {own.revision} has gone: {100 * own.share:.0f} % of the instances run it"
    return ""


def _in_the_way(others: list[_Other], around: Around) -> str:
    """Return which run for no release a release's run waits for; "" if none. A later release overtakes."""
    for each in others:
        if not each.begun.revision and each.under_way and around.is_running(each.begun.run):
            return (
                f"run {each.begun.run} is under way; the release begins another run when that has proposed, "
                "if it is not older than a day then"
            )
    return ""


def _later(store: RunStore) -> list[tuple[datetime, _Other]]:
    """Return since when, and which runs are for a later release than the run's own."""
    own = store.find(Begun)
    if own is None or own.since is None:
        return []
    return [
        (since, each)
        for each in _others(store)
        if (since := each.begun.since) is not None
        and since > own.since
        and each.begun.revision != own.revision
        and each.takes(each.begun.revision)
    ]


def _others(store: RunStore) -> Iterator[_Other]:
    """Yield the other runs of the service that have begun, those that began last first."""
    found = []
    for run in runs_with(store.root, store.service, Begun, since=datetime.now(UTC) - _REMEMBERED):
        if run.directory == store.directory:
            continue
        try:
            begun = run.find(Begun)
        except ArtifactError as error:
            _log.warning("a run is not counted: %s", error)
            continue
        if begun is not None:
            found.append(_Other(run, begun))
    yield from sorted(found, key=lambda each: each.begun.at, reverse=True)
