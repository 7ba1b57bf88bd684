"""Draw a conclusion from the evidence: which estimators are possible, which one leads, and the verdict.

The headline comes from the first possible estimator; the registry lists them by how much they assume. The
others that are possible support it or contradict it. The result also says why the rest is not possible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter

from fleetpgo.errors import MeasurementError
from fleetpgo.measurement.checking import defects, reject_impossible, unpaired
from fleetpgo.measurement.elasticity import elasticity
from fleetpgo.measurement.estimate import Estimate, NotPossibleError
from fleetpgo.measurement.estimators.estimator import Inputs
from fleetpgo.measurement.estimators.registry import ESTIMATORS
from fleetpgo.measurement.evidence import Amount, Change, change
from fleetpgo.measurement.guardrails import Guarded, compare_guardrails, default_guardrails
from fleetpgo.measurement.usage import CONTROL, TREATED
from fleetpgo.measurement.verdict import Verdict, detectable, judge
from fleetpgo.prometheus import from_timestamp
from fleetpgo.run.artifacts import FILES
from fleetpgo.run.measured import Measurement
from fleetpgo.run.proposed import Rollout  # noqa: TC001  # pydantic reads the annotation

if TYPE_CHECKING:
    from fleetpgo.measurement.evidence import Evidence
    from fleetpgo.measurement.usage import Floats, Usage
    from fleetpgo.measurement.windows import Windows
    from fleetpgo.service.rules import MeasurementRules

WhatElse = Callable[[frozenset[str], frozenset[str]], str]
"""Says what changed between revisions before and after, besides the profile; "" if nothing did."""

SCHEMA = FILES[Measurement].version
"""Version of the JSON form of :class:`Comparison`; it rises when a field changes its meaning or goes."""


@dataclass(frozen=True)
class Comparison:
    """What a rollout did to CPU, with intervals. Shares are fractions of 1; times are ISO 8601 in JSON.

    Attributes:
        period: ``rollout``, ``week``, or ``by hand``.
        rollout: profile, start, end, and the share of instances that got the new build.
        before: the span compared with `after`; for long windows, what lies in the rollout is left out of it.
        after: the span after the rollout and its settling.
        per: ``request``, or ``instance`` where there is no traffic expression.
        verdict: the word (``saved``, ``inconclusive`` …), its reasons, and guardrails that were exceeded.
        estimate: the headline's estimate with its interval; None if no estimator is possible.
        supporting: what the other possible estimators say.
        not_possible: letter of each other estimator, and why it is not possible.
        elasticity: of CPU in traffic, from history; None: not known, CPU per request is compared as it is.
        raw: CPU of the whole fleet before and after, uncorrected.
        groups: the same for the ``treated`` and the ``control`` instances, over the times that are compared.
        guardrails: other metrics that were compared, such as memory.
        queries: name → the PromQL that was asked, ready to paste.
        schema_version: version of this record's format.
    """

    period: str
    rollout: Rollout
    before: tuple[str, str]
    after: tuple[str, str]
    per: str
    verdict: Verdict
    estimate: Estimate | None
    supporting: tuple[Estimate, ...]
    not_possible: dict[str, str]
    elasticity: float | None
    raw: Change
    groups: dict[str, Change]
    guardrails: tuple[Guarded, ...]
    queries: dict[str, str]
    schema_version: int = SCHEMA


ADAPTER: TypeAdapter[Comparison]


def conclude(
    evidence: Evidence,
    windows: Windows,
    rollout: Rollout,
    rules: MeasurementRules,
    *,
    period: str,
    what_else: WhatElse | None = None,
) -> Comparison:
    """Judge the evidence.

    Args:
        evidence: what was measured.
        windows: what is compared.
        rollout: what happened between.
        rules: materiality, settling and guardrails.
        period: name of the windows, for the report.
        what_else: says what other changes of the source went out with the profile; None: by hand, nobody
            knows of a profile's merge.

    Raises:
        MeasurementError: impossible values, no CPU, or no requests.
    """
    usage = evidence.usage
    reject_impossible(usage)
    wrong = (
        *evidence.defects,
        *defects(usage, windows),
        *unpaired(usage, windows, material=rules.material),
    )
    slope = elasticity(evidence.history, until=windows.rolling[0])
    found, not_possible = _estimates(evidence, windows, rules, slope)
    headline, supporting = (found[0], found[1:]) if found else (None, ())
    guarded = compare_guardrails(
        evidence.guardrails, windows, (*rules.guardrails, *default_guardrails(rules))
    )
    together = _together(evidence, what_else)
    call, reasons = judge(headline, supporting, wrong, material=rules.material, watched=evidence.watched)
    return Comparison(
        period=period,
        rollout=rollout,
        before=_iso(windows.before),
        after=_iso(windows.after),
        per="instance" if usage.requests is None else "request",
        verdict=Verdict(
            call,
            reasons,
            detectable(headline, rules.material) if headline else None,
            but=tuple(each.name for each in guarded if each.weakens),
            attribution="release" if together else "PGO",
            together=together,
        ),
        estimate=headline,
        supporting=supporting,
        not_possible=not_possible,
        elasticity=slope,
        raw=evidence.raw,
        groups=_groups(usage, windows),
        guardrails=guarded,
        queries=dict(evidence.queries),
    )


def _estimates(
    evidence: Evidence, windows: Windows, rules: MeasurementRules, slope: float | None
) -> tuple[tuple[Estimate, ...], dict[str, str]]:
    """Return the possible estimators' estimates, in order, and by letter why others are not possible."""
    inputs = Inputs(evidence.usage, windows, slope, evidence.panel, rules.settle.total_seconds())
    found, not_possible = [], {}
    for estimator in ESTIMATORS:
        try:
            found.append(estimator.run(inputs))
        except NotPossibleError as reason:
            not_possible[estimator.letter] = reason.message
    return tuple(found), not_possible


def _groups(usage: Usage, windows: Windows) -> dict[str, Change]:
    """Return each group's change over the compared times; nothing if there is only one group."""
    if not usage.has_control:
        return {}
    after, before = windows.pairs(usage.times)

    def mean(values: Floats, at: Any) -> float:  # noqa: ANN401  # an index array
        there = np.isfinite(values[:, at])
        sums = np.where(there, values[:, at], 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
        return float(sums.sum())

    def amount(group: int, at: Any) -> Amount:  # noqa: ANN401
        requests = None if usage.requests is None else mean(usage.requests[group], at)
        return Amount(mean(usage.cpu[group], at), requests)

    groups = {}
    for name, group in (("treated", TREATED), ("control", CONTROL)):
        try:
            groups[name] = change(
                round(mean(usage.instances[group], after)), amount(group, before), amount(group, after)
            )
        except MeasurementError as error:
            raise MeasurementError(
                f"{name} instances: {error.message}",
                hint="do instances keep their names over a rollout? If not, choose another "
                "selection.instance_label, such as that of the machine",
            ) from error
    return groups


def _together(evidence: Evidence, what_else: WhatElse | None) -> str:
    """Say what of the source changed together with the profile; "" if nothing did, or nobody asked."""
    if evidence.revisions is None:
        return ""
    before, after = evidence.revisions
    if not before or not after:
        return f"rollout.revision names no revision {'after' if before else 'before'} the rollout"
    came = after - before
    if not came:
        return ""
    gone = (before - after) or before  # an instance held back may keep the old revision
    if what_else is None:
        return f"the source changed from {', '.join(sorted(gone))} to {', '.join(sorted(came))}"
    return what_else(gone, came)


def _iso(span: tuple[int, int]) -> tuple[str, str]:
    return from_timestamp(span[0]).isoformat(), from_timestamp(span[1]).isoformat()


ADAPTER = TypeAdapter(Comparison)


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as plain values; :func:`schema` describes them."""
    record: dict[str, Any] = ADAPTER.dump_python(comparison, mode="json")
    return record


def schema() -> dict[str, Any]:
    """Return the JSON Schema of `as_json`'s values."""
    return ADAPTER.json_schema(mode="serialization")
