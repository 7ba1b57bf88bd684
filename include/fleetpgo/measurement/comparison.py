"""CPU before and after a rollout: the raw figures, by group where there is a control group.

Raw means: the difference of two times. Traffic, its mix and other releases are in it. The total figures are
what the literal PromQL in ``queries`` gives: an average over time of a sum over instances (the other order
overcounts instances that come and go), shifted by ``offset``.

The windows lie on either side of the rollout: ``window`` long, the one before it ending where the rollout
starts, the one after it starting ``settle`` after the rollout's end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd

from fleetpgo.errors import MeasurementError
from fleetpgo.measurement.holdback import Estimate, estimate
from fleetpgo.measurement.rollout import expression, ready_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleetpgo.config import Service
    from fleetpgo.measurement.rollout import Rollout
    from fleetpgo.prometheus import Prometheus, Series

_MOST_POINTS = 1_440
"""Points per window and series: a longer window is sampled more coarsely, a week costs what a day does."""


@dataclass(frozen=True)
class Usage:
    """Average CPU, in cores, and average requests per second (None if there is no traffic expression)."""

    cores: float
    requests: float | None

    @property
    def cpu_per_request(self) -> float | None:
        """CPU-seconds per request."""
        return self.cores / self.requests if self.requests else None


@dataclass(frozen=True)
class Change:
    """Usage of a group of instances in the window before and in the window after."""

    instances: int
    before: Usage
    after: Usage

    @property
    def saved_cores(self) -> float:
        """Cores used before less cores used after."""
        return self.before.cores - self.after.cores

    @property
    def saved_share(self) -> float:
        """The same as a share of the cores used before."""
        return self.saved_cores / self.before.cores

    @property
    def saved_share_per_request(self) -> float | None:
        """The share by which CPU per request fell."""
        before, after = self.before.cpu_per_request, self.after.cpu_per_request
        return None if before is None or after is None else 1 - after / before


@dataclass(frozen=True)
class Comparison:
    """What changed between two windows of equal length around a rollout.

    ``raw`` is the whole fleet; ``groups`` the instances that went over and those that did not; ``estimate``
    the saving with its interval, or None, and then ``no_estimate`` says why.
    """

    period: str
    before: tuple[datetime, datetime]
    after: tuple[datetime, datetime]
    raw: Change
    groups: Mapping[str, Change]
    estimate: Estimate | None
    no_estimate: str
    queries: Mapping[str, str]
    warnings: tuple[str, ...]


def compare(
    prometheus: Prometheus, service: Service, rollout: Rollout, *, period: str, window: timedelta
) -> Comparison:
    """Compare CPU in the windows of that length before and after a rollout.

    Raises:
        MeasurementError: a query does not give what it must, or there was no CPU or no traffic to compare.
        PrometheusError: unreachable, or a query is refused.
    """
    rules = service.measurement
    at = ready_at(service, rollout, window)
    offset = at - rollout.start
    step = max(rules.step, timedelta(seconds=math.ceil(window.total_seconds() / _MOST_POINTS)))
    look = _Look(prometheus, at, window, step, offset, service.selection.instance_label)
    cores_before, cores_after = look.total("cpu", rules.cpu)
    requests_before, requests_after = (
        look.total("requests", rules.requests) if rules.requests else (None, None)
    )
    if min(cores_before, cores_after) <= 0:
        raise MeasurementError(
            f"the fleet used {cores_before} cores before and {cores_after} after: nothing to compare",
            hint=f"check measurement.cpu: {rules.cpu}",
        )
    if 0 in {requests_before, requests_after}:
        raise MeasurementError(
            "there were no requests in one of the windows: CPU per request has no meaning",
            hint=f"check measurement.requests: {rules.requests}",
        )
    usage = look.instances(rules.cpu, rules.requests, service.selection.datacenter_label)
    raw = Change(len(usage), Usage(cores_before, requests_before), Usage(cores_after, requests_after))
    groups, found, why = {}, None, "the service file has no rollout.treated: no control group is known"
    if service.rollout.treated:
        treated = look.treated(expression(service.rollout.treated, rollout.profile))
        usage["treated"] = usage.index.isin(treated)
        groups = {
            name: _change(usage[usage["treated"] == flag])
            for name, flag in (("treated", True), ("control", False))
            if (usage["treated"] == flag).any()
        }
        found, why = estimate(usage)
    return Comparison(
        period=period,
        before=(rollout.start - window, rollout.start),
        after=(at - window, at),
        raw=raw,
        groups=groups,
        estimate=found,
        no_estimate=why,
        queries=look.queries,
        warnings=tuple(dict.fromkeys(look.warnings)),
    )


@dataclass
class _Look:
    """Asks for averages over the two windows; keeps each query asked and each warning heard."""

    prometheus: Prometheus
    at: datetime
    window: timedelta
    step: timedelta
    offset: timedelta
    instance_label: str
    queries: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.queries["evaluated at"] = self.at.isoformat()

    def averages(self, of: str) -> tuple[str, str]:
        """PromQL of an expression's average in the window before and in the window after."""
        subquery = f"[{_seconds(self.window)}:{_seconds(self.step)}]"
        return (
            f"avg_over_time({of}{subquery} offset {_seconds(self.offset)})",
            f"avg_over_time({of}{subquery})",
        )

    def total(self, name: str, of: str) -> tuple[float, float]:
        """The fleet's average before and after."""
        before, after = self.averages(f"sum({of})")
        self.queries |= {f"{name} before": before, f"{name} after": after}
        return self._number(before), self._number(after)

    def instances(self, cpu: str, requests: str | None, datacenter_label: str) -> pd.DataFrame:
        """One row per instance that was there in both windows; the columns of :func:`.holdback.estimate`."""
        columns: dict[str, pd.Series[float]] = {}
        datacenters: dict[str, str] = {}
        for kind, of in (("cpu", cpu), ("requests", requests)):
            # The expression may split an instance further (by status code, say): its CPU is their sum.
            by_instance = f"sum by ({self.instance_label}, {datacenter_label}) ({of})"
            for window, query in zip(("before", "after"), self.averages(f"({by_instance})"), strict=True):
                series = self._by_instance(query) if of else {}
                columns[f"{kind}_{window}"] = pd.Series(
                    {name: s.value for name, s in series.items()}, dtype=float
                )
                datacenters |= {name: s.labels.get(datacenter_label, "") for name, s in series.items()}
        usage = pd.DataFrame(columns)
        usage["datacenter"] = pd.Series(datacenters, dtype=str)
        partly = usage[usage[["cpu_before", "cpu_after"]].isna().any(axis=1)]
        if len(partly):
            self.warnings.append(
                f"{len(partly)} instance(s) were there in one window only and are in no group: "
                + ", ".join(sorted(partly.index)[:5])
            )
        return usage.drop(partly.index)

    def treated(self, query: str) -> set[str]:
        """The instances on the new build."""
        self.queries["treated"] = query
        return set(self._by_instance(query))

    def _by_instance(self, query: str) -> dict[str, Series]:
        answer = self.prometheus.instant(query, at=self.at)
        self.warnings += answer.warnings
        return {series.labels.get(self.instance_label, ""): series for series in answer.series}

    def _number(self, query: str) -> float:
        value, warnings = self.prometheus.number(query, at=self.at)
        self.warnings += warnings
        return value


def _change(usage: pd.DataFrame) -> Change:
    """The sums of a group's rows."""
    sums = usage[["cpu_before", "cpu_after", "requests_before", "requests_after"]].sum(min_count=1)

    def requests(window: str) -> float | None:
        value = float(sums[f"requests_{window}"])
        return None if math.isnan(value) else value

    return Change(
        len(usage),
        Usage(float(sums["cpu_before"]), requests("before")),
        Usage(float(sums["cpu_after"]), requests("after")),
    )


def _seconds(duration: timedelta) -> str:
    """A duration as PromQL takes it."""
    return f"{round(duration.total_seconds())}s"
