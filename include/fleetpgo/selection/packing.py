"""Distribution of the targets over the mapped tasks that fetch profiles.

There are few tasks with many instances each (docs/decisions/0300). A task enforces the limits per datacenter
and per host by counting inside its own process. So a datacenter or a host with more targets than its limit
stays in one task.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetpgo.network.addresses import INSTANCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fleetpgo.run.selected import Target


@dataclass(frozen=True)
class Pack:
    """Instances whose profiles one of Airflow's mapped tasks fetches, and the task's name in Airflow's UI."""

    name: str
    targets: tuple[Target, ...]


def pack(
    targets: Sequence[Target], *, max_tasks: int, limits: Mapping[str, int], per_host: int
) -> list[Pack]:
    """Distribute targets over at most `max_tasks` tasks: one task each if they are few, else by datacenter.

    If there are more datacenters than tasks, datacenters share tasks. The packs are balanced greedily
    (largest datacenter first, always into the smallest pack).

    Args:
        targets: the targets.
        max_tasks: most tasks.
        limits: datacenter → how many of its instances may be profiled at once.
        per_host: how many instances of a host may be profiled at once.
    """
    if len(targets) <= max_tasks and _free(targets, limits, per_host):
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


def _free(targets: Sequence[Target], limits: Mapping[str, int], per_host: int) -> bool:
    """Return whether all targets may be profiled at the same time."""
    datacenters = Counter(target.datacenter for target in targets)
    hosts = Counter(found["host"] for target in targets if (found := INSTANCE.fullmatch(target.instance)))
    return all(count <= limits.get(name, 1) for name, count in datacenters.items()) and all(
        count <= per_host for count in hosts.values()
    )


def _size(datacenters: Mapping[str, Sequence[Target]]) -> int:
    return sum(map(len, datacenters.values()))


def _flatten(groups: Iterable[Iterable[Target]]) -> Iterable[Target]:
    return (target for group in groups for target in group)


def _short_name(target: Target) -> str:
    return f"{target.datacenter} · {target.instance}" if target.datacenter else target.instance


def _enumerate(names: Sequence[str], most: int = 3) -> str:
    """Return the first names, and how many more."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
