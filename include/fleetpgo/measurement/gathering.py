"""Read the evidence from Prometheus or Thanos. The queries sum the instances of each datacenter.

Two thousand instances for a week are four million points in Prometheus, but a few thousand in an answer. The
set of held-back instances is evaluated once, after the rollout, and pinned with the ``@`` modifier, so it
also holds for the time before. All other instances are treated: their sum is the fleet's minus the
hold-back's. The queries are cheap because they join only the few held-back instances. Instances that joined
or left the standing baseline in a window are left out in the same way. Long ranges are split, so that each
part is within the limits of one query.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.errors import MeasurementError
from fleetpgo.measurement import disturbances
from fleetpgo.measurement.asking import Asker, grid
from fleetpgo.measurement.evidence import Amount, Evidence, change
from fleetpgo.measurement.guardrails import default_guardrails
from fleetpgo.measurement.rollout import names_profile, treated_query
from fleetpgo.measurement.usage import TREATED, Panel, Usage
from fleetpgo.measurement.windows import PLACEBOS, WEEK, spans
from fleetpgo.prometheus import from_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from fleetpgo.measurement.evidence import Change
    from fleetpgo.measurement.usage import Floats, Times
    from fleetpgo.measurement.windows import Span, Windows
    from fleetpgo.prometheus import Prometheus
    from fleetpgo.run.proposed import Rollout
    from fleetpgo.service.rules import ServiceRules

WEEK_POINTS = 2_016
"""Points of a window at most: a week is read every five minutes, shorter windows at the service's step."""

_ROUNDING = 1e-9  # of a sum
_LOOKS = 168  # at the values of single instances in a window
_PANEL_POINTS = 60
_HISTORY = 4 * WEEK


def step_for(service: ServiceRules, window: timedelta) -> int:
    """Return the seconds between the points of a window of that length."""
    return math.ceil(max(service.measurement.step.total_seconds(), window.total_seconds() / WEEK_POINTS))


def gather(
    prometheus: Prometheus, service: ServiceRules, rollout: Rollout, windows: Windows, step: int
) -> Evidence:
    """Query everything that the estimators and the report need.

    Raises:
        MeasurementError: a query returns unusable data, or there are no CPU or no requests in the windows.
        PrometheusError: Prometheus is unreachable, or refuses a query.
    """
    rules = service.measurement
    reader = _Reader(Asker(prometheus), service, rollout, windows, step)
    reader.leave_out_rotated()
    raw = reader.raw()
    needed = list(spans(windows, weeks=PLACEBOS))
    usage = reader.usage(needed, step, rules.cpu, rules.requests)
    if not np.isfinite(usage.cpu[TREATED]).any():
        build = f"the build with profile {rollout.profile}" if rollout.profile else "the new build"
        raise MeasurementError(
            f"no instance ran {build} in the window after the rollout",
            hint="check the profile, when the rollout was, and that rollout.treated names instances as "
            f"measurement.cpu does, by the label {service.selection.instance_label}",
        )
    history, panel = usage, None
    if windows.across_rollout:
        start = windows.rolling[0] // 3_600 * 3_600
        if rules.requests is not None:
            history = reader.usage([(start - _HISTORY, start)], 3_600, rules.cpu, rules.requests)
        panel = reader.panel()
    own = list(spans(windows, weeks=0))
    guardrails = {each.name: reader.usage(own, step, each.query, None) for each in rules.guardrails}
    coarse = _coarse(step, windows.shift)
    for each in default_guardrails(rules):
        if reader.exists(each.query):
            guardrails[each.name] = reader.usage(own, coarse, each.query, None)
    revisions = disturbances.revisions(reader.ask, service, windows, reader.queries)
    wrong = [
        *disturbances.restarts(reader.ask, service, windows, reader.queries, but=reader.rotated),
        *disturbances.rolled_back(reader.ask, service, rollout, windows, reader.queries),
        *disturbances.hardware(reader.ask, service, windows, reader.queries),
        *(f"Prometheus warns: {warning}" for warning in reader.ask.warnings),
        *prometheus.lost_stores(),
    ]
    return Evidence(
        usage=usage,
        history=history,
        panel=panel,
        raw=raw,
        guardrails=guardrails,
        revisions=revisions,
        defects=tuple(dict.fromkeys(wrong)),
        watched=service.rollout.started is not None,
        queries=reader.queries,
    )


@dataclass
class _Reader:
    """Asks about one rollout; keeps the queries worth pasting."""

    ask: Asker
    service: ServiceRules
    rollout: Rollout
    windows: Windows
    step: int
    queries: dict[str, str] = field(default_factory=dict)
    rotated: str = ""
    """PromQL for the instances that joined or left the baseline in a window; "" if none did."""

    def leave_out_rotated(self) -> None:
        """Leave out who joined or left the standing baseline before the rollout, or in the window after it.

        Such an instance ran both builds in one window, so it is neither treated nor held back; that it was
        restarted reveals no other deploy.
        """
        baseline, by = self.service.rollout.baseline, self.service.selection.instance_label
        if baseline is None:
            return
        others = f"({self.service.measurement.cpu}) unless on ({by}) ({baseline})"
        settle = math.ceil(self.service.measurement.settle.total_seconds())
        sides = []
        # Who is restarted right before the rollout belongs to it.
        for start, end in ((self.windows.before[0], self.windows.rolling[0] - settle), self.windows.after):
            if end <= start:
                continue
            pinned = f"[{end - start}s:{max(1, (end - start) // 12)}s] @ {end}"
            inside = f"count by ({by}) (last_over_time(({baseline}){pinned}))"
            sides.append(f"({inside} and on ({by}) last_over_time(({others}){pinned}))")
        rotated = " or ".join(sides)
        if self.ask.instant(rotated, self.windows.after[1]).series:
            self.rotated = self.queries["rotated into or out of the baseline"] = rotated

    def raw(self) -> Change:
        """Return the fleet before and after; each figure answers the literal PromQL in `queries`."""
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
                # Not at each point: an expression that can fall below zero does so at many.
                rarely = f"[{self.windows.length}s:{max(self.step, self.windows.length // _LOOKS)}s]{offset}"
                lowest = self.ask.number(f"min_over_time(min({of}){rarely})", end)
                if lowest < 0:
                    raise MeasurementError(
                        f"{name} of an instance fell to {lowest} in the window {side} the rollout: {of}",
                        hint="a rate is never negative; take rate() of a counter, not deriv() or delta()",
                    )
            amounts.append(Amount(figures["cpu"] or 0.0, figures["requests"]))
        return change(round(self.ask.number(f"count(count by ({instance}) ({rules.cpu}))", end)), *amounts)

    def usage(self, spans: Sequence[Span], step: int, cpu: str, requests: str | None) -> Usage:
        """Return sums and counts over the spans, by group and datacenter.

        The number of instances in the weeks before is not asked for if CPU is compared per request.
        """
        label = self.service.selection.datacenter_label
        times = grid(spans, step)
        own = spans
        if requests is not None:
            start, end = self.windows.before[0], self.windows.after[1]
            own = [(start, end)] if any(a <= start and end <= b for a, b in spans) else []
        kinds = [(f"sum by ({label}) (", cpu, ")", spans), (*self._count(cpu), own)]
        if requests is not None:
            kinds += [(f"sum by ({label}) (", requests, ")", spans), (*self._count(requests), own)]
        groups: list[list[dict[str, Floats]]] = []
        held_back, rotated = self._held_back(), [self._only(self.rotated)] if self.rotated else []
        for only in ("", *rotated, *held_back):
            since = _first(groups[0][0], times) if groups else 0  # retention may be shorter than the spans
            groups.append(
                [
                    self.ask.matrix(
                        f"{how}({of}){only}{close}", _from(since, when), step, label, times=times
                    )[0]
                    for how, of, close, when in kinds
                ]
            )
        if held_back and not groups[-1][0]:
            groups.pop()  # nobody was held back
        datacenters = sorted({name for group in groups for kind in group for name in kind})
        missing = np.full(len(times), np.nan)
        arrays = [
            np.array([[group[kind].get(name, missing) for name in datacenters] for group in groups]).reshape(
                len(groups), len(datacenters), len(times)
            )
            for kind in range(len(kinds))
        ]
        if rotated:
            rest = _less([each[:2] for each in arrays])
            arrays = [np.concatenate([less[:1], each[2:]]) for less, each in zip(rest, arrays, strict=True)]
        if len(arrays[0]) > 1:
            arrays = _less(arrays)
        cpu_sums, counts, *of_requests = arrays
        request_sums, serving = of_requests or (None, None)
        return Usage(times, step, tuple(datacenters), cpu_sums, request_sums, counts, serving)

    def _count(self, of: str) -> tuple[str, str, str]:
        """Return what precedes an expression, the expression, and what follows it, to count instances."""
        rules = self.service.selection
        count = f"count by ({rules.datacenter_label}) ("
        if self._split(of):  # by status code, say: an instance is counted once
            inner = f"count by ({rules.datacenter_label}, {rules.instance_label}) ("
            return count + inner, of, "))"
        return count, of, ")"

    def exists(self, of: str) -> bool:
        """Return whether the query gives a series, before the rollout and after it."""
        times = self.windows.rolling[0], self.windows.after[1]
        return all(self.ask.instant(f"count({of})", at).series for at in times)

    def _split(self, of: str) -> bool:
        """Return whether the expression gives several series for an instance, before or after the rollout."""
        rules = self.service.selection
        query = f"count({of}) > count(count by ({rules.datacenter_label}, {rules.instance_label}) ({of}))"
        return any(
            self.ask.instant(query, at).series for at in (self.windows.rolling[0], self.windows.after[1])
        )

    def panel(self) -> Panel | None:
        """Return CPU and requests of each instance in the hours around the rollout.

        None if no metric shows when each instance got the new build.
        """
        rules, measured = self.service.rollout, self.service.measurement
        treated = treated_query(rules, self.rollout.profile)
        # Who is stated not to be held back was so before the rollout, too: the restart is the switch.
        by_build = treated is not None and names_profile(rules.treated or "")
        if not by_build and rules.started is None:
            return None
        start, end = self.windows.rolling[0] - self.windows.length, self.windows.after[1]
        step = math.ceil((end - start) / _PANEL_POINTS / self.step) * self.step
        span = start // step * step, end
        times = grid([span], step)
        cpu, datacenters = self._by_instance(measured.cpu, span, step)
        rotated = self.ask.instant(self.rotated, end).series if self.rotated else ()
        label = self.service.selection.instance_label
        names = sorted(cpu.keys() - {each.labels.get(label, "") for each in rotated})
        missing = np.full(len(times), np.nan)

        def rows(found: Mapping[str, Floats]) -> Floats:
            return np.array([found.get(name, missing) for name in names]).reshape(len(names), len(times))

        restarted = self._restarted(names)
        switched = restarted
        if treated is not None:
            new = np.isfinite(rows(self._by_instance(treated, span, step)[0]))
            switched = (
                np.where(new, times, np.inf).min(axis=1, initial=np.inf)
                if by_build
                else np.where(new.any(axis=1), restarted, np.inf)
            )
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

    def _held_back(self) -> list[str]:
        """Return PromQL that restricts an expression to held-back instances; nothing if unknown."""
        treated = treated_query(self.service.rollout, self.rollout.profile)
        if treated is None:
            return []
        length = self.windows.length
        pinned = f"[{length}s:{max(1, length // 12)}s] @ {self.windows.after[1]}"
        new = f"last_over_time(({treated}){pinned})"
        by = self.service.selection.instance_label
        there = f"count by ({by}) (last_over_time(({self.service.measurement.cpu}){pinned}))"
        held_back = f"{there} unless on ({by}) {new}"
        if self.rotated:
            held_back += f" unless on ({by}) ({self.rotated})"
        self.queries["held back"] = held_back
        return [self._only(held_back)]

    def _only(self, instances: str) -> str:
        """Return what restricts an expression to instances."""
        return f" and on ({self.service.selection.instance_label}) ({instances})"

    def _by_instance(self, of: str, span: Span, step: int) -> tuple[dict[str, Floats], dict[str, str]]:
        """Return values and datacenter of each instance."""
        rules = self.service.selection
        query = f"sum by ({rules.instance_label}, {rules.datacenter_label}) ({of})"
        values, labels = self.ask.matrix(query, [span], step, rules.instance_label)
        return values, {name: each.get(rules.datacenter_label, "") for name, each in labels.items()}

    def _restarted(self, names: Sequence[str]) -> Floats:
        """Return when each instance was restarted in the rollout; infinite: not, or unknown."""
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


def _coarse(step: int, shift: int) -> int:
    """Return up to twelve steps that fit the windows' distance, so that each time keeps its partner."""
    return step * max(count for count in range(1, 13) if shift % (count * step) == 0)


def _first(rows: Mapping[str, Floats], times: Times) -> int:
    """Return the first time at which a row has a value."""
    there = np.any([np.isfinite(row) for row in rows.values()], axis=0)
    return int(times[there][0]) if there.any() else 0


def _from(since: int, spans: Sequence[Span]) -> list[Span]:
    """Return the part of the spans that begins at a time."""
    return [(max(start, since), end) for start, end in spans if end > since]


def _less(arrays: Sequence[Floats]) -> list[Floats]:
    """Return sums and counts of (the others, a part) from those of (all, a part)."""
    _, counts, *_ = arrays
    others = counts[0] - np.nan_to_num(counts[1])
    result = []
    for total, part in arrays:
        rest = total - np.nan_to_num(part)
        # Where nobody was counted: what is left of a sum of which nothing is left is its rounding error.
        nobody = np.where(np.isfinite(others), others <= 0, rest <= _ROUNDING * total)
        nobody &= np.isfinite(part)
        result.append(np.array([np.where(nobody, np.nan, rest), part]))
    return result
