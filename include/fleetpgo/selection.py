"""Which instances to profile.

The busiest ones: they are where the CPU goes, and an idle process shows the compiler nothing. The query is
``topk(n, …)`` over the service file's expression, which also holds the matchers (tier, environment) that
make the instances representative. A partial answer of Thanos will do here: profiling 39 of the 40 busiest
instances is as good.

Labels come from whoever can push a metric. What ends in a URL is checked here, before anything is fetched.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetpgo.errors import SelectionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fleetpgo.config import Selection as Rules
    from fleetpgo.prometheus import Prometheus

_ADDRESS = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
"""host, host:port, [v6] or [v6]:port. Nothing else may stand where a URL's authority is."""


@dataclass(frozen=True)
class Target:
    """An instance to profile: its address, where it is, and the CPU it uses, in cores."""

    instance: str
    datacenter: str
    cores: float
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Selection:
    """The chosen targets, busiest first; the query; what Prometheus warned of; what was left out and why."""

    query: str
    targets: tuple[Target, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pack:
    """Targets that one mapped task fetches, and its name in the UI."""

    name: str
    targets: tuple[Target, ...]


def select(prometheus: Prometheus, rules: Rules, *, instances: int) -> Selection:
    """Choose the busiest instances.

    Raises:
        SelectionError: the query gives nothing that can be profiled; the message holds the query.
        PrometheusError: unreachable, or the query is refused.
    """
    query = f"topk({instances}, {rules.cpu})"
    answer = prometheus.instant(query, partial_response=True)
    targets: dict[str, Target] = {}
    warnings = list(answer.warnings)
    for series in answer.series:
        instance = series.labels.get(rules.instance_label)
        if instance is None:
            warnings.append(
                f"left out: a series without the label {rules.instance_label}: {dict(series.labels)}"
            )
        elif not _ADDRESS.fullmatch(instance):
            warnings.append(f"left out: {rules.instance_label}={instance!r} is not host:port")
        elif not (math.isfinite(series.value) and series.value >= 0):
            warnings.append(f"left out: {instance} uses {series.value} cores, which cannot be")
        else:
            if instance in targets:
                warnings.append(f"{instance} has several series; the busiest counts")
            target = Target(
                instance, series.labels.get(rules.datacenter_label, ""), series.value, series.labels
            )
            targets[instance] = max(target, targets.get(instance, target), key=lambda each: each.cores)
    if not targets:
        raise SelectionError(
            "no instance to profile: the query gives nothing usable\n"
            + "\n".join([f"query: {query}", *warnings]),
            hint="paste the query into Prometheus; check its matchers, and selection.instance_label",
        )
    ordered = sorted(targets.values(), key=lambda target: (-target.cores, target.instance))
    return Selection(query, tuple(ordered), tuple(warnings))


def pack(targets: Sequence[Target], *, max_tasks: int) -> list[Pack]:
    """Deal targets out to at most `max_tasks` tasks: one each if they are few, else by datacenter.

    More datacenters than tasks share tasks so that the largest pack is as small as it can simply be made
    (largest datacenter first, always into the smallest pack).
    """
    if len(targets) <= max_tasks:
        return [Pack(_short_name(target), (target,)) for target in targets]
    datacenters: defaultdict[str, list[Target]] = defaultdict(list)
    for target in targets:
        datacenters[target.datacenter or "no datacenter"].append(target)
    packs: list[dict[str, list[Target]]] = [{} for _ in range(min(max_tasks, len(datacenters)))]
    for name, members in sorted(datacenters.items(), key=lambda item: (-len(item[1]), item[0])):
        min(packs, key=_size)[name] = members
    return [
        Pack(f"{_enumerate(sorted(each))} · {_size(each)} instances", tuple(_flatten(each.values())))
        for each in packs
    ]


def _size(datacenters: Mapping[str, Sequence[Target]]) -> int:
    return sum(map(len, datacenters.values()))


def _flatten(groups: Iterable[Iterable[Target]]) -> Iterable[Target]:
    return (target for group in groups for target in group)


def _short_name(target: Target) -> str:
    return f"{target.datacenter} · {target.instance}" if target.datacenter else target.instance


def _enumerate(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many more."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
