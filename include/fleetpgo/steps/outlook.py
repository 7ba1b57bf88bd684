"""What a service file's queries should give, and which estimator its metrics will allow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from fleetpgo.measurement.estimators.weekly import FEWEST_PLACEBOS
from fleetpgo.measurement.rollout import expression, fraction_query, names_profile

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from fleetpgo.prometheus import Answer
    from fleetpgo.service.rules import ServiceRules

NO_PROFILE = "0" * 12
"""The digest of no profile: no instance runs it."""


@dataclass(frozen=True)
class Query:
    """A query of the service file.

    Attributes:
        key: of the service file.
        query: PromQL, with its placeholder filled in.
        cpu: whether it gives cores.
        share: whether it gives one number from 0 to 1.
        instances: whether it gives a series per instance, named as ``selection.cpu`` names them.
        label: a label that each of its series has; "": none.
        empty: whether it may give nothing.
    """

    key: str
    query: str
    cpu: bool = False
    share: bool = False
    instances: bool = False
    label: str = ""
    empty: bool = False

    def judge(self, answer: Answer, known: Collection[str], label: str) -> tuple[str, str]:
        """Return what the query gives, and what to change; "": nothing.

        Args:
            answer: what it gives.
            known: instances of the answer that ``selection.cpu`` names, too.
            label: the label of instances.
        """
        count = len(answer.series)
        if not count:
            return "no series", "" if self.empty else f"does the metric of {self.key} exist? {self.query}"
        if self.share:
            value = answer.series[0].value
            if count > 1 or not (math.isfinite(value) and 0 <= value <= 1):
                return f"{count} series, the first {value:g}", f"{self.key} must give one number from 0 to 1"
            return f"{value:g}", ""
        said = f"{count:,} series, the first {answer.series[0].value:.3g}"
        if self.label and not any(series.labels.get(self.label) for series in answer.series):
            return said, f"{self.key} must give series with the label {self.label}"
        if self.instances and not known:
            return (
                f"{said}; none has the {label} of an instance that selection.cpu names",
                f"{self.key} and selection.cpu must name instances alike, by selection.instance_label",
            )
        return said, ""


def expected_queries(service: ServiceRules, *, now: datetime) -> Iterator[Query]:
    """Yield every query of a service file but selection.cpu, with what it should give."""
    rollout, measurement = service.rollout, service.measurement
    if rollout.fraction is not None:
        query = fraction_query(rollout, profile=NO_PROFILE, since=now)
        yield Query("rollout.fraction", query, share=True)
    if rollout.treated is not None:
        # Before there is a profile, nobody runs it.
        query = expression(rollout.treated, NO_PROFILE)
        yield Query("rollout.treated", query, instances=True, empty=names_profile(rollout.treated))
    if rollout.started is not None:
        yield Query("rollout.started", rollout.started, instances=True)
    if rollout.revision is not None:
        yield Query("rollout.revision", rollout.revision, label="revision")
    if rollout.baseline is not None:
        yield Query("rollout.baseline", rollout.baseline, instances=True)
    yield Query("measurement.cpu", measurement.cpu, cpu=True, instances=True)
    if measurement.requests is not None:
        yield Query("measurement.requests", measurement.requests, instances=True)
    if measurement.hardware is not None:
        yield Query("measurement.hardware", measurement.hardware)
    for guardrail in measurement.guardrails:
        yield Query("measurement.guardrails", guardrail.query)


def estimator(service: ServiceRules, *, datacenters: int, weeks: int) -> tuple[bool, str, str]:
    """Return whether an estimator will be possible over the week, a sentence, and what would allow more.

    Args:
        service: whose rollout will be measured.
        datacenters: how many the fleet is in.
        weeks: for how many whole weeks Prometheus has metrics.
    """
    treated = service.rollout.treated is not None
    needed = FEWEST_PLACEBOS + 1
    day = timedelta(days=1)
    weekly = day <= service.measurement.week <= 7 * day
    if treated and datacenters > 1:
        return (
            True,
            "A (hold-back group) over the week, if instances of two datacenters stay on the old build",
            "",
        )
    reason = "rollout.treated is not set" if not treated else "the fleet is in one datacenter"
    if weekly and weeks >= needed:
        return True, f"B (week on week): no hold-back group, as {reason}; {weeks} weeks of metrics", ""
    hint = (
        "set rollout.treated and leave some instances of two datacenters on the old build, or keep "
        f"{needed} weeks of metrics (docs/measurement.md)"
    )
    return (
        False,
        f"none over the week yet: no hold-back group, as {reason}, and {weeks} of {needed} weeks of metrics",
        hint,
    )
