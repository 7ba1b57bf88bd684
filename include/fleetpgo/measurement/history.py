"""Every refresh of a service as one row: what it saved, and the sum over time."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, dataclass, fields
from operator import attrgetter
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from fleetpgo.measurement.distributions import t_quantile
from fleetpgo.measurement.estimators.registry import early
from fleetpgo.measurement.figures import saving
from fleetpgo.run.measured import PERIODS, Measurement
from fleetpgo.run.proposed import Rollout
from fleetpgo.run.store import runs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    import pandas as pd
    from upath import UPath

    from fleetpgo.run.measured import Saving
    from fleetpgo.run.store import RunStore

TOGETHER = "release and PGO together"


@dataclass(frozen=True, slots=True)
class Refresh:
    """Result of one rollout: the measurement over the week, or across the rollout if there is no other.

    Attributes:
        run: directory of the run in the store.
        rollout_end: when the rollout was complete.
        profile: first 12 hex digits of the SHA-256 of its profile.
        period: ``week`` or ``rollout``.
        verdict: ``saved``, ``regression`` …; see :mod:`.verdict`.
        attribution: ``PGO`` or ``release``.
        method: letter of the estimator; this and the rest are None without an estimate.
        saving: the estimate, as a share of CPU; ``low`` and ``high`` are the ends of its 95 % interval.
        cores: the saving in cores; ``cores_low`` and ``cores_high`` likewise.
        degrees: degrees of freedom of the interval's t distribution; None also in a record without them.
    """

    run: str
    rollout_end: datetime
    profile: str
    period: str
    verdict: str
    attribution: str
    method: str | None
    saving: float | None
    low: float | None
    high: float | None
    cores: float | None
    cores_low: float | None
    cores_high: float | None
    degrees: float | None = None

    @property
    def counts(self) -> bool:
        """Whether its cores count: a valid measurement of PGO alone, to which fresh processes are no saving.

        Whatever the verdict: a sum of only the changes that were called is a sum of the larger errors. An
        estimator of the first hours (S, E) counts for nothing: what fresh processes save or cost has one
        sign, so it would add up.
        """
        figures = (self.cores, self.cores_low, self.cores_high, self.method)
        if None in figures or self.method is None or early(self.method):
            return False
        return self.verdict != "invalid" and self.attribution == "PGO"

    @property
    def error(self) -> float:
        """Standard error of the cores: of the logarithm of CPU, times the CPU that would have been used.

        The half-width in the logarithm is divided by the t quantile of its degrees of freedom; a record
        without these is taken as one of a normal distribution. NaN for a refresh that does not count.
        """
        if not self.counts or not self.saving or self.low is None or self.high is None or self.cores is None:
            return math.nan
        half = (math.log1p(-self.low) - math.log1p(-self.high)) / 2
        return half / (t_quantile(self.degrees) if self.degrees else _NORMAL) * self.cores / self.saving


COLUMNS = (
    *(field.name for field in fields(Refresh) if field.name != "run"),
    "core_hours",
    "core_hours_total",
)


@dataclass(frozen=True)
class Reclaimed:
    """Sum of the measured changes of all refreshes up to a time, in cores, with its 95 % interval.

    It is not what PGO saves now: what a stale profile had lost and a refresh regained is in it each time.
    """

    at: datetime
    cores: float
    low: float
    high: float


def history(store: Path | UPath, service: str, *, now: datetime) -> pd.DataFrame:
    """Return a table with one row per measured refresh, sorted by rollout; the index is the run's directory.

    The columns are the fields of :class:`Refresh`, ``core_hours`` (see :func:`core_hours`) and their
    cumulative sum, ``core_hours_total``.

    Args:
        store: root of the artifact store.
        service: name of the service.
        now: end of the time in which the latest saving counts.
    """
    import pandas as pd  # noqa: PLC0415  # half a second: not for those who want the rows alone

    rows = refreshes(store, service)
    frame = pd.DataFrame(map(asdict, rows), columns=["run", *COLUMNS])
    frame["rollout_end"] = pd.to_datetime(frame["rollout_end"], utc=True)
    frame["core_hours"] = core_hours(rows, now=now)
    frame["core_hours_total"] = frame["core_hours"].cumsum()
    return frame.set_index("run")


def refreshes(store: Path | UPath, service: str) -> list[Refresh]:
    """Return all measured refreshes of a service, by the time of their rollout."""
    runs = (read_refresh(run) for run in runs_of(store, service))
    return in_order(run for run in runs if run is not None)


def latest_savings(store: Path | UPath, service: str, *, count: int = 3) -> list[str]:
    """Return what the latest measured refreshes saved, the oldest first: ``saved 3.1 % [2.2, 4.0]``.

    Without a saving, the text is the verdict alone. If a release went out with the profile, it is
    ``release and PGO together``.

    Args:
        store: root of the artifact store.
        service: name of the service.
        count: most refreshes to return.
    """
    return [_told(each) for each in refreshes(store, service)[-count:]]


def expected_saving(store: Path | UPath, service: str, *, count: int = 3) -> str:
    """Return what a further refresh is expected to save: ``2.1 % [0.9, 4.0] of the CPU, …``; "" if unknown.

    The figure is the median of the latest refreshes in which nothing but the profile changed; inconclusive
    ones count. The brackets hold the lowest and the highest end of their 95 % intervals: the next refresh
    brings another profile, so their mean would promise too much.

    Args:
        store: root of the artifact store.
        service: name of the service.
        count: how many of the latest refreshes to take at most.
    """
    found = [
        (each.saving, each.low, each.high)
        for each in refreshes(store, service)
        if each.attribution == "PGO"
        and each.verdict != "invalid"
        and not (each.saving is None or each.low is None or each.high is None)
    ][-count:]
    if not found:
        return ""
    middle = median(saved for saved, _, _ in found)
    figures = saving(middle, min(low for _, low, _ in found), max(high for _, _, high in found))
    how = "as the last one" if len(found) == 1 else f"as the last {len(found)}"
    return f"{figures} of the CPU, {how} that {'was' if len(found) == 1 else 'were'} measured"


def _told(each: Refresh) -> str:
    if each.attribution != "PGO":
        return TOGETHER
    if each.verdict != "saved" or each.saving is None or each.low is None or each.high is None:
        return each.verdict
    return f"saved {saving(each.saving, each.low, each.high)}"


def rollouts(store: Path | UPath, service: str) -> list[tuple[datetime, datetime]]:
    """Return start and end of each rollout that a service's runs recorded, sorted by start."""
    found = (run.find(Rollout) for run in runs_of(store, service))
    return sorted((rollout.start, rollout.end) for rollout in found if rollout is not None)


def read_refresh(run: RunStore) -> Refresh | None:
    """Read a run's measurement over the week, else the one across the rollout; None if there is neither."""
    for period in reversed(PERIODS):
        if found := run.find(Measurement, period):
            return _refresh(run.directory.name, found)
    return None


def in_order(refreshes: Iterable[Refresh]) -> list[Refresh]:
    """Return refreshes by the time of their rollout."""
    return sorted(refreshes, key=lambda refresh: refresh.rollout_end)


def core_hours(refreshes: Sequence[Refresh], *, now: datetime) -> list[float]:
    """Return the core-hours that each refresh has saved from its rollout until `now`.

    What a refresh saved goes on after the next one. Its cores are what it added to the sum of the changes
    (:func:`reclaimed`): none for a release that went out with the profile.

    Args:
        refreshes: of one service, by the time of their rollout.
        now: end of the hours.
    """
    sums = {point.at: point.cores for point in reclaimed(refreshes)}
    hours, before = [], 0.0
    for refresh in refreshes:
        cores = sums.get(refresh.rollout_end, before) if refresh.counts else before
        hours.append((cores - before) * (now - refresh.rollout_end).total_seconds() / 3_600)
        before = cores
    return hours


def reclaimed(refreshes: Iterable[Refresh]) -> list[Reclaimed]:
    """Return the cumulative sum of measured changes after each counted refresh, over any number of services.

    Errors are assumed to be independent, so the squares of standard errors (:attr:`Refresh.error`) are added.
    The interval has the t quantile of the degrees of freedom of Welch and Satterthwaite, (Σ e²)²/Σ (e⁴/f): of
    one refresh they are its own, of many the quantile is that of a normal distribution.

    The sum is shrunk towards zero by its own noise, as James and Stein (1961) do: with e its standard error,
    it is multiplied by 1 − e²/sum², and is zero if that is negative. The interval is that of the plain sum.
    """
    return sum_up(changes(refreshes))


class Change(NamedTuple):
    """What refreshes until a time add to the sum of the measured changes.

    Attributes:
        at: end of the rollout.
        cores: cores saved.
        variance: square of their standard error.
        per_degree: square of the variance, divided by its degrees of freedom; 0 without these.
    """

    at: datetime
    cores: float
    variance: float
    per_degree: float


def changes(refreshes: Iterable[Refresh]) -> list[Change]:
    """Return what each counted refresh adds, unsorted."""
    found = []
    for refresh in refreshes:
        error = refresh.error
        if refresh.cores is None or math.isnan(error):
            continue
        per_degree = error**4 / refresh.degrees if refresh.degrees else 0.0
        found.append(Change(refresh.rollout_end, refresh.cores, error**2, per_degree))
    return found


def sum_up(found: Iterable[Change]) -> list[Reclaimed]:
    """Return the cumulative sum after each change; see :func:`reclaimed`."""
    cores = variance = per_degree = 0.0
    points = []
    for change in sorted(found, key=attrgetter("at")):
        cores += change.cores
        variance += change.variance
        per_degree += change.per_degree
        quantile = t_quantile(variance**2 / per_degree) if per_degree else _NORMAL
        half = quantile * math.sqrt(variance)
        points.append(Reclaimed(change.at, _shrunk(cores, variance), cores - half, cores + half))
    return points


def _shrunk(total: float, variance: float) -> float:
    """Return the sum, shrunk by its noise."""
    if total == 0:
        return 0.0
    return total * max(0.0, 1 - variance / total**2)


_NORMAL = 1.96
"""Standard deviations from the middle of a 95 % interval to its end."""


def _refresh(run: str, measured: Measurement) -> Refresh:
    found = measured.estimate
    cores_low, cores_high = _interval(found) if found else (None, None)
    return Refresh(
        run=run,
        rollout_end=measured.rollout.end,
        # Thousands are kept in memory, with few different words in them.
        profile=sys.intern(measured.rollout.profile),
        period=sys.intern(measured.period),
        verdict=sys.intern(measured.verdict.call),
        attribution=sys.intern(measured.verdict.attribution),
        method=sys.intern(found.method) if found else None,
        saving=found.saving if found else None,
        low=found.low if found else None,
        high=found.high if found else None,
        cores=found.cores if found else None,
        cores_low=cores_low,
        cores_high=cores_high,
        degrees=found.degrees if found else None,
    )


def _interval(found: Saving) -> tuple[float | None, float | None]:
    """Return the interval's ends in cores. A saved share s is s/(1 − s) of the CPU that is still used."""
    if not found.saving or 1 in (found.low, found.high):  # all that would be used: no number of cores
        return None, None
    used = found.cores * (1 - found.saving) / found.saving
    low, high = (used * share / (1 - share) for share in (found.low, found.high))
    return low, high
