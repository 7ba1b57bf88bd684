"""Read the candidates from Prometheus' answer. Series that cannot be an instance are left out and reported.

Prometheus itself leaves out stale series.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fleetpgo.network.addresses import INSTANCE
from fleetpgo.prometheus import LEFT_OUT
from fleetpgo.run.selected import Target

if TYPE_CHECKING:
    from fleetpgo.prometheus import Answer, Series
    from fleetpgo.service.profiling import SelectionRules


MOST_LABELS = 10_000
"""Characters that the labels of a series may have: they are kept with the run, and shown."""


def read_fleet(answer: Answer, rules: SelectionRules) -> tuple[list[Target], list[str]]:
    """Return the candidates, and what was left out and why: one line per kind of reason."""
    fleet: dict[str, Target] = {}
    left_out: dict[str, list[str]] = {}
    for series in answer.series:
        if reason := _objection(series, rules):
            kind, text = reason
            left_out.setdefault(kind, []).append(text)
            continue
        instance = series.labels[rules.instance_label]
        if instance in fleet:
            left_out.setdefault("several", []).append(f"{instance} has several series; the busiest counts")
            if fleet[instance].cores >= series.value:
                continue
        datacenter = series.labels.get(rules.datacenter_label, "")
        fleet[instance] = Target(instance, datacenter, series.value, series.labels)
    warnings = [
        f"{texts[0]} (and {len(texts) - 1:,} more like it)" if len(texts) > 1 else texts[0]
        for texts in left_out.values()
    ]
    return list(fleet.values()), warnings


def _objection(series: Series, rules: SelectionRules) -> tuple[str, str] | None:
    """Return why a series is not a candidate: kind of reason and sentence; None: it is one."""
    instance, value = series.labels.get(rules.instance_label), series.value
    length = len("".join([*series.labels, *series.labels.values()]))
    if length > MOST_LABELS:
        return "long", f"{LEFT_OUT}a series whose labels have {length:,} characters"
    if instance is None:
        return "label", f"{LEFT_OUT}a series without the label {rules.instance_label}: {dict(series.labels)}"
    if not INSTANCE.fullmatch(instance):
        return "address", f"{LEFT_OUT}{rules.instance_label}={instance!r} is not host:port"
    if not (math.isfinite(value) and value >= 0):
        return "value", f"{LEFT_OUT}{instance} uses {value} cores, which cannot be"
    if value == 0:
        return "idle", f"{LEFT_OUT}{instance} uses no CPU, so it has nothing to show"
    return None
