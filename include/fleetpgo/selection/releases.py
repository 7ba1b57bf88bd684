"""New releases, as Prometheus shows them: a source revision that a share of the instances has come to run.

``rollout.revision`` tells how many instances run which revision; ``release.share`` and ``release.settle``,
from when one counts. A revision is *known* once it has been a release, or had the share when it was first
looked: what runs already is no news, nor is what a rollback brings back. Who keeps the known ones passes them
to each look.

A revision that has had its share for more than a day is no news either: nobody looked meanwhile, and the
service's schedule has refreshed its profile, or will.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fleetpgo.errors import QueryError
from fleetpgo.selection.absence import percent
from fleetpgo.service.release import REVISION
from fleetpgo.service.values import written

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from fleetpgo.prometheus import Answer, Prometheus
    from fleetpgo.service.release import ReleaseRules
    from fleetpgo.service.rules import ServiceRules

FRESH = timedelta(days=1)
"""For so long a release is news."""

MOST_KNOWN = 500
"""Revisions that are remembered; the oldest go."""

_POINTS = 500
_NAME = re.compile(REVISION)


@dataclass(frozen=True)
class Release:
    """A release of a service.

    Attributes:
        revision: the source revision, as ``rollout.revision`` names it.
        since: when it came to have ``release.share`` of the instances, to within three minutes.
        share: of the instances that run it now, 0 … 1.
    """

    revision: str
    since: datetime
    share: float


@dataclass(frozen=True)
class Looked:
    """What a look at the releases found.

    Attributes:
        known: the revisions that are known from now on.
        release: the newest release that was not known; it stays unknown until somebody takes it. None: none.
        message: what was found, in a sentence.
    """

    known: tuple[str, ...]
    release: Release | None
    message: str


def release_shares(
    prometheus: Prometheus, service: ServiceRules, *, at: datetime | None = None
) -> dict[str, float]:
    """Return revision → share of the instances that run it, 0 … 1; the largest first.

    Instances whose revision is empty, or no name that git could know, count in the sum and are no release.

    Args:
        prometheus: where the metrics are.
        service: with ``rollout.revision``.
        at: evaluation time; default: now.

    Raises:
        PrometheusError: Prometheus cannot be asked, or its answer is partial.
    """
    try:
        answer = prometheus.instant(_query(service), at=at)
    except QueryError as error:
        raise QueryError(error.message, hint="correct rollout.revision") from error
    shares = next(iter(_shares(answer).values()), {})
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


def look(
    connect: Callable[[], Prometheus],
    service: ServiceRules,
    shares: Mapping[str, float],
    known: Collection[str] | None,
    now: datetime,
) -> Looked:
    """Look for a release that is not known.

    Args:
        connect: reaches the Prometheus that has the metrics; called only if a revision is not known.
        service: with ``release`` and ``rollout.revision``.
        shares: what runs now, of :func:`release_shares`.
        known: what earlier looks have said is known; None: this is the first.
        now: the time.

    Raises:
        PrometheusError: Prometheus cannot be asked, or its answer is partial.
    """
    rules = _rules(service)
    running = [revision for revision, share in shares.items() if share >= rules.share]
    if known is None:
        said = f"from now on, a revision other than {_listed(running)} is a new release"
        return Looked(tuple(running), None, said)
    fresh = [revision for revision in running if revision not in known]
    if not fresh:
        if not running:
            return Looked(tuple(known), None, f"no revision has {percent(rules.share)} of the instances")
        return Looked(tuple(known), None, f"no new release: {_listed(running)} is known")
    old, found = [], []
    prometheus = connect()
    begin = now - rules.settle
    history = _history(prometheus, service, begin, now, max(timedelta(seconds=1), rules.settle / 10))
    settled = [
        each for each in fresh if history and all(at.get(each, 0.0) >= rules.share for at in history.values())
    ]
    waiting = [each for each in fresh if each not in settled]
    if settled:
        before = _history(prometheus, service, begin - FRESH, begin, FRESH / _POINTS)
        for each in settled:
            since = _since(each, before, rules.share, begin)
            if since is None:
                old.append(each)
            else:
                found.append(Release(each, since, shares[each]))
    newest = max(found, key=lambda each: each.since, default=None)
    # Of two that are new, the older one has been overtaken.
    passed = [each.revision for each in found if newest is not None and each.revision != newest.revision]
    now_known = (*known, *old, *passed)[-MOST_KNOWN:]
    if newest is not None:
        # The same at each look, so that it is logged once.
        said = f"release {newest.revision}, on {percent(newest.share)} of the instances, is new"
    elif waiting:
        said = (
            f"{_listed(waiting)} has {percent(rules.share)} of the instances, but not yet for "
            f"{written(rules.settle)}"
        )
    else:
        said = f"{_listed(old)} has run for more than a day: no news"
    return Looked(now_known, newest, said)


def matchers_of(revision: str, rules: ReleaseRules, before: str) -> str:
    """Return label matchers, as PromQL writes them, of the instances to profile for a release.

    Args:
        revision: the release's; a name that :data:`fleetpgo.service.release.REVISION` accepts.
        rules: ``profile`` says whether their build has a profile.
        before: matchers that hold besides; "": none.
    """
    if not _NAME.fullmatch(revision):
        raise ValueError(f"{revision!r} is no revision")
    pgo = {"any": "", "with": 'pgo!~"|off"', "without": 'pgo=~"|off"'}[rules.profile]
    return ", ".join(filter(None, (before, f'revision="{revision}"', pgo)))


def is_revision(text: str) -> bool:
    """Return whether a text may be the name of a revision."""
    return _NAME.fullmatch(text) is not None


def _query(service: ServiceRules) -> str:
    # On a line of its own, as a comment may end it.
    return f"sum by (revision) (\n{service.rollout.revision}\n)"


def _rules(service: ServiceRules) -> ReleaseRules:
    if service.release is None:
        raise ValueError(f"{service.name} has no `release`")
    return service.release


def _history(
    prometheus: Prometheus, service: ServiceRules, start: datetime, end: datetime, step: timedelta
) -> dict[float, dict[str, float]]:
    """Return time → shares, of the times at which anything has a series: others are Prometheus' own gaps."""
    return _shares(prometheus.range(_query(service), start=start, end=end, step=step))


def _shares(answer: Answer) -> dict[float, dict[str, float]]:
    counts: defaultdict[float, dict[str, float]] = defaultdict(dict)
    for series in answer.series:
        revision = series.labels.get("revision", "")
        for at, value in series.points:
            if math.isfinite(value) and value > 0:
                counts[at][revision] = value
    return {
        at: {revision: value / total for revision, value in each.items() if is_revision(revision)}
        for at, each in sorted(counts.items())
        if (total := sum(each.values()))
    }


def _since(
    revision: str, before: Mapping[float, Mapping[str, float]], share: float, settled: datetime
) -> datetime | None:
    """Return when a revision last came to have its share; None if that was before the first look back.

    Where Prometheus does not reach back so far, it counts from when that begins.
    """
    times = list(before)
    below = [place for place, at in enumerate(times) if before[at].get(revision, 0.0) < share]
    if not times:
        return settled
    first = (settled - FRESH + 2 * FRESH / _POINTS).timestamp()
    if not below and times[0] <= first:
        return None
    after = below[-1] + 1 if below else 0
    return settled if after == len(times) else min(settled, datetime.fromtimestamp(times[after], UTC))


def _listed(revisions: Collection[str]) -> str:
    return ", ".join(revisions) or "none"
