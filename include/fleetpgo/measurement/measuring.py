"""The measurement of one rollout from end to end: windows, evidence, conclusion, files."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fleetpgo.measurement.checking import absent
from fleetpgo.measurement.comparison import Comparison, as_json, conclude
from fleetpgo.measurement.gathering import gather, step_for
from fleetpgo.measurement.plot import mermaid, svg
from fleetpgo.measurement.report import markdown
from fleetpgo.measurement.windows import Windows, around

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

    import pandas as pd

    from fleetpgo.measurement.comparison import WhatElse
    from fleetpgo.measurement.usage import Usage
    from fleetpgo.prometheus import Prometheus
    from fleetpgo.run.proposed import Rollout
    from fleetpgo.service.rules import MeasurementRules, ServiceRules


@dataclass(frozen=True)
class Measured:
    """A comparison, and the data of its chart."""

    comparison: Comparison
    usage: Usage
    windows: Windows

    def files(self) -> dict[str, bytes]:
        """Return the comparison as JSON, Markdown and SVG, by file name extension."""
        text = json.dumps(as_json(self.comparison), indent=2, ensure_ascii=False) + "\n"
        return {
            "json": text.encode(),
            "md": markdown(self.comparison, mermaid(self.comparison, self.usage, self.windows)).encode(),
            "svg": svg(self.comparison, self.usage, self.windows),
        }


def measure(
    prometheus: Prometheus,
    service: ServiceRules,
    rollout: Rollout,
    *,
    period: str,
    window: timedelta,
    excluded: Iterable[tuple[datetime, datetime]] = (),
    what_else: WhatElse | None = None,
    rollouts: Iterable[tuple[datetime, datetime]] = (),
    datacenters: Iterable[str] = (),
) -> Measured:
    """Compare CPU in windows of that length before and after a rollout.

    Args:
        prometheus: where the metrics are.
        service: what they are called, and how a saving is judged.
        rollout: when it happened.
        period: name of the comparison: ``rollout``, ``week``, ``by hand``.
        window: length of each window.
        excluded: spans to leave out, besides those of the service file.
        what_else: see :func:`.comparison.conclude`.
        rollouts: start and end of other rollouts; see :func:`fleetpgo.measurement.windows.around`.
        datacenters: where instances were when they were selected, besides `selection.expect`; a measurement
            without one of them is invalid.

    Raises:
        MeasurementError: the metrics cannot be compared.
        PrometheusError: unreachable, or a query is refused.
    """
    rules = service.measurement
    step = step_for(service, window)
    spans = [*((each.start, each.end) for each in rules.excluded), *excluded]
    windows = around(
        rollout, settle=rules.settle, length=window, step=step, excluded=spans, rollouts=rollouts
    )
    evidence = gather(prometheus, service, rollout, windows, step)
    gone = absent(evidence.usage, {*service.selection.expect, *datacenters})
    evidence = replace(evidence, defects=(*gone, *evidence.defects))
    comparison = conclude(evidence, windows, rollout, rules, period=period, what_else=what_else)
    return Measured(comparison, evidence.usage, windows)


def measure_table(
    table: pd.DataFrame,
    rules: MeasurementRules,
    *,
    window: timedelta,
    complete: float = 1.0,
    version: str | None = None,
    excluded: Iterable[tuple[datetime, datetime]] = (),
) -> Measured:
    """Compare CPU before and after a rollout from a table of rows; :mod:`.frames` names its columns.

    Args:
        table: one row per instance and time.
        rules: settling and materiality; the queries in it are not used.
        window: length of each window.
        complete: share of the instances from which the rollout counts as complete.
        version: the one whose rollout is measured; default: the one that came last.
        excluded: spans to leave out, besides those of the rules.

    Raises:
        MeasurementError: the table lacks something, or its figures cannot be compared.
    """
    from fleetpgo.measurement import frames  # noqa: PLC0415  # pandas: not for those who ask Prometheus

    recorded = frames.record(table)
    rollout, switched = frames.find_rollout(recorded, version, complete=complete)
    windows = around(
        rollout,
        settle=rules.settle,
        length=window,
        step=recorded.step,
        excluded=[*((each.start, each.end) for each in rules.excluded), *excluded],
    )
    evidence = frames.evidence(recorded, windows, switched)
    comparison = conclude(evidence, windows, rollout, rules, period="by hand")
    return Measured(comparison, evidence.usage, windows)
