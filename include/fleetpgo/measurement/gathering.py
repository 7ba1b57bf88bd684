"""Evidence from Prometheus or Thanos: sums by datacenter, made there and not here.

Two thousand instances for a week are four million points in Prometheus and a few thousand in an answer. Who
is treated is asked once, after the rollout, and pinned with the ``@`` modifier: instances belong to their
group before it, too. Long ranges are read in pieces, each within the limits of one query.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.errors import MeasurementError
from fleetpgo.measurement.asking import Asker, grid
from fleetpgo.measurement.evidence import Amount, Evidence, change
from fleetpgo.measurement.rollout import expression
from fleetpgo.measurement.staggered import Panel
from fleetpgo.measurement.usage import COVERAGE, Usage
from fleetpgo.measurement.windows import DAY, PLACEBOS, WEEK, spans
from fleetpgo.prometheus import from_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import timedelta

    from fleetpgo.config import Service
    from fleetpgo.measurement.evidence import Change
    from fleetpgo.measurement.rollout import Rollout
    from fleetpgo.measurement.usage import Floats
    from fleetpgo.measurement.windows import Span, Windows
    from fleetpgo.prometheus import Prometheus

WEEK_POINTS = 2_016
"""Points of a window at most: a week is read every five minutes, shorter windows at the service's step."""

_PANEL_POINTS = 60
_HISTORY = 4 * WEEK


def step_for(service: Service, window: timedelta) -> int:
    """Seconds between the points of a window of that length."""
    return math.ceil(max(service.measurement.step.total_seconds(), window.total_seconds() / WEEK_POINTS))


def gather(
    prometheus: Prometheus, service: Service, rollout: Rollout, windows: Windows, step: int
) -> Evidence:
    """Ask for everything that the estimators and the report need.

    Raises:
        MeasurementError: a query does not give what it must, or the windows hold no CPU or no requests.
        PrometheusError: unreachable, or a query is refused.
    """
    rules = service.measurement
    reader = _Reader(Asker(prometheus), service, rollout, windows, step)
    raw = reader.raw()
    needed = list(spans(windows, weeks=PLACEBOS))
    usage = reader.usage(needed, step, rules.cpu, rules.requests)
    history, panel = usage, None
    if windows.length < DAY:
        start = windows.rolling[0] // 3_600 * 3_600
        if rules.requests is not None:
            history = reader.usage([(start - _HISTORY, start)], 3_600, rules.cpu, rules.requests)
        panel = reader.panel()
    own = list(spans(windows, weeks=0))
    guardrails = {each.name: reader.usage(own, step, each.query, None) for each in rules.guardrails}
    revisions = reader.revisions()
    wrong = [*reader.restarts(), *(f"Prometheus warns: {warning}" for warning in reader.ask.warnings)]
    return Evidence(
        usage=usage,
        history=history,
        panel=panel,
        raw=raw,
        guardrails=guardrails,
        revisions=revisions,
        defects=tuple(dict.fromkeys(wrong)),
        queries=reader.queries,
    )


@dataclass
class _Reader:
    """Asks about one rollout; keeps the queries worth pasting."""

    ask: Asker
    service: Service
    rollout: Rollout
    windows: Windows
    step: int
    queries: dict[str, str] = field(default_factory=dict)

    def raw(self) -> Change:
        """The fleet before and after, each figure the answer to the literal PromQL in `queries`."""
        rules, end = self.service.measurement, self.windows.after[1]
        instance = self.service.selection.instance_label
        self.queries["evaluated at"] = from_timestamp(end).isoformat()
        amounts = []
        for side, offset in (("before", f" offset {end - self.windows.rolling[0]}s"), ("after", "")):
            figures: dict[str, float | None] = {"requests": None}
            for name, of in (("cpu", rules.cpu), ("requests", rules.requests)):
                if of is None:
                    continue
                # Summed before averaged: instances come and go, and each would count while it lasted.
                over = f"[{self.windows.length}s:{self.step}s]{offset}"
                query = f"avg_over_time(sum({of}){over})"
                self.queries[f"{name} {side}"] = query
                figures[name] = self.ask.number(query, end)
                lowest = self.ask.number(f"min_over_time(min({of}){over})", end)
                if lowest < 0:
                    raise MeasurementError(
                        f"{name} of an instance fell to {lowest} in the window {side} the rollout: {of}",
                        hint="no rate is negative; take rate() of a counter, not deriv() or delta()",
                    )
            amounts.append(Amount(figures["cpu"] or 0.0, figures["requests"]))
        return change(round(self.ask.number(f"count(count by ({instance}) ({rules.cpu}))", end)), *amounts)

    def usage(self, spans: Sequence[Span], step: int, cpu: str, requests: str | None) -> Usage:
        """Sums and counts over those spans, by group and datacenter."""
        label = self.service.selection.datacenter_label
        # An expression may split an instance further (by status code, say): it is counted once.
        once = f"count by ({label}) (count by ({label}, {self.service.selection.instance_label})"
        kinds = [(f"sum by ({label})", cpu, ""), (once, cpu, ")")]
        if requests is not None:
            kinds.append((f"sum by ({label})", requests, ""))
        groups = [
            [
                self.ask.matrix(f"{how} (({of}){group}){close}", spans, step, label)[0]
                for how, of, close in kinds
            ]
            for group in self._groups()
        ]
        if not groups[-1][0]:
            groups = groups[:1]  # nobody was held back
        datacenters = sorted({name for group in groups for kind in group for name in kind})
        times = grid(spans, step)
        missing = np.full(len(times), np.nan)
        cpu_sums, counts, *request_sums = (
            np.array([[group[kind].get(name, missing) for name in datacenters] for group in groups]).reshape(
                len(groups), len(datacenters), len(times)
            )
            for kind in range(len(kinds))
        )
        return Usage(
            times, step, tuple(datacenters), cpu_sums, request_sums[0] if request_sums else None, counts
        )

    def panel(self) -> Panel | None:
        """The instances around the rollout; None if it cannot be told when each went over."""
        rules, measured = self.service.rollout, self.service.measurement
        by_build = rules.treated is not None and bool(self.rollout.profile)
        if not by_build and rules.started is None:
            return None
        start, end = self.windows.rolling[0] - self.windows.length, self.windows.after[1]
        step = math.ceil((end - start) / _PANEL_POINTS / self.step) * self.step
        span = start // step * step, end
        times = grid([span], step)
        cpu, datacenters = self._by_instance(measured.cpu, span, step)
        names = sorted(cpu)
        missing = np.full(len(times), np.nan)

        def rows(found: Mapping[str, Floats]) -> Floats:
            return np.array([found.get(name, missing) for name in names]).reshape(len(names), len(times))

        restarted = self._restarted(names)
        switched = restarted
        if by_build:
            new = rows(
                self._by_instance(expression(rules.treated or "", self.rollout.profile), span, step)[0]
            )
            switched = np.where(np.isfinite(new), times, np.inf).min(axis=1, initial=np.inf)
        return Panel(
            times=times,
            datacenter=np.unique([datacenters[name] for name in names], return_inverse=True)[1],
            cpu=rows(cpu),
            requests=None
            if measured.requests is None
            else rows(self._by_instance(measured.requests, span, step)[0]),
            switched=switched,
            restarted=restarted,
        )

    def revisions(self) -> tuple[frozenset[str], frozenset[str]]:
        """Revisions that ran when the rollout began, and when the window after it ended."""
        query = self.service.rollout.revision
        if query is None:
            return frozenset(), frozenset()
        self.queries["revisions"] = query
        before, after = (
            frozenset(series.labels.get("revision", "") for series in self.ask.instant(query, at).series)
            for at in (self.windows.rolling[0], self.windows.after[1])
        )
        return before, after

    def restarts(self) -> Iterator[str]:
        """Windows in which so many processes started that something else must have been rolled out."""
        started = self.service.rollout.started
        if started is None:
            return
        # Held-back instances may be restarted first: as long before the rollout as it settles after it.
        settle = math.ceil(self.service.measurement.settle.total_seconds())
        for side, (start, end) in (
            ("before", (self.windows.before[0], self.windows.rolling[0] - settle)),
            ("after", self.windows.after),
        ):
            query = f"(count(({started}) > {start}) or vector(0)) / count({started})"
            share = self.ask.number(query, end)
            if share > 1 - COVERAGE:
                self.queries[f"restarted in the window {side}"] = query
                yield (
                    f"{100 * share:.0f} % of the instances were started in the window {side} the rollout: "
                    "another deploy, or a crash loop"
                )

    def _groups(self) -> list[str]:
        """PromQL that restricts an expression to the treated, and to the held-back instances."""
        treated = self.service.rollout.treated
        if treated is None or not self.rollout.profile:
            return [""]
        length = self.windows.length
        pinned = (
            f"last_over_time(({expression(treated, self.rollout.profile)})"
            f"[{length}s:{max(1, length // 12)}s] @ {self.windows.after[1]})"
        )
        self.queries["treated"] = pinned
        by = self.service.selection.instance_label
        return [f" and on ({by}) ({pinned})", f" unless on ({by}) ({pinned})"]

    def _by_instance(self, of: str, span: Span, step: int) -> tuple[dict[str, Floats], dict[str, str]]:
        """The values, and the datacenter, by instance."""
        rules = self.service.selection
        query = f"sum by ({rules.instance_label}, {rules.datacenter_label}) ({of})"
        values, labels = self.ask.matrix(query, [span], step, rules.instance_label)
        return values, {name: each.get(rules.datacenter_label, "") for name, each in labels.items()}

    def _restarted(self, names: Sequence[str]) -> Floats:
        """When each instance was restarted in the rollout; infinite: it was not, or that is not known."""
        started = self.service.rollout.started
        if started is None:
            return np.full(len(names), np.inf)
        start, end = self.windows.rolling
        query = f"max by ({self.service.selection.instance_label}) ({started})"
        found = {
            series.labels.get(self.service.selection.instance_label, ""): series.value
            for series in self.ask.instant(query, self.windows.after[1]).series
        }
        times = np.array([found.get(name, math.inf) for name in names])
        return np.where((times >= start) & (times < end), times, np.inf)
