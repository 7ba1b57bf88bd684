"""Artifact of the select step: the targets, and the fleet they were chosen from."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  # pydantic reads the annotations
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Target:
    """An instance to profile.

    Args:
        instance: its address, host:port.
        datacenter: its datacenter; "": not known.
        cores: the CPU it uses.
        labels: the labels of its series.
        stratum: the stratum it was drawn from; "": it represents only itself.
        round: the round that profiles it, from 1. A later round runs only if there are too few samples.
        why: the reason it was chosen.
        until: Unix time in seconds up to which a store of profiles is asked about it; 0: now.
    """

    instance: str
    datacenter: str
    cores: float
    labels: Mapping[str, str]
    stratum: str = ""
    round: int = 1
    why: str = ""
    until: float = 0.0


@dataclass(frozen=True)
class Selection:
    """The chosen instances, and the fleet that they are from.

    Args:
        targets: the chosen instances of all rounds, by round.
        query: the PromQL that gave the fleet.
        warnings: what Prometheus warned of; what was left out and why.
        strata: stratum → the CPU of all its instances, in cores; empty: there are none, and profiles are not
            weighted.
        datacenters: datacenter → how many instances the fleet has there.
        seconds: length of each profile, or of the span asked of a profile store; 0: not decided yet.
        matchers: label matchers that a store's profiles must have as well; "": none.
        candidates: the PromQL that gives the whole fleet, of which `query` may ask the busiest only.
    """

    targets: tuple[Target, ...]
    query: str = ""
    warnings: tuple[str, ...] = ()
    strata: Mapping[str, float] = field(default_factory=dict)
    datacenters: Mapping[str, int] = field(default_factory=dict)
    seconds: int = 0
    matchers: str = ""
    candidates: str = ""

    def of_round(self, number: int) -> tuple[Target, ...]:
        """Return the targets of a round."""
        return tuple(target for target in self.targets if target.round == number)

    def at_once(self, max_share: float) -> dict[str, int]:
        """Return, by datacenter, how many instances a share of it is; at least 1."""
        return {name: max(1, int(max_share * count)) for name, count in self.datacenters.items()}
