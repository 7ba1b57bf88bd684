"""What a deployer does with the demo's fleet: roll the new build out, and rotate the baseline.

In each datacenter one instance gets the new build, and one keeps the old one: the hold-back of the
measurement. One more is there for the standing baseline: two thirds of these run a build without the profile,
in turn.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from demo.fleet import Fleet
    from fleetpgo.service.rules import MeasurementRules

GROUPS = 3
"""Instances in each datacenter: treated, held back, for the baseline."""

TURNS = 3
"""Memberships of the baseline; with fewer the level is refused."""


@dataclass(frozen=True)
class Builds:
    """The binaries: as before the profile, with the profile, and from the same commit without it."""

    old: Path
    new: Path
    baseline: Path


def deploy(fleet: Fleet, old: Path, new: Path) -> None:
    """Roll the new build through one instance of each datacenter; the next ones stay as the control group.

    The control group is restarted as well: a fresh process alone can use another amount of CPU. It comes
    last: what of it falls out of the rollout falls into the gap after it.
    """
    treated, control, _ = _groups(fleet)
    fleet.roll(treated, new)
    fleet.roll(control, old)


def start_baseline(fleet: Fleet, builds: Builds) -> None:
    """Start the baseline, and with those of its instances that get the new build, end the rollout."""
    first, *others = _turns(fleet)
    fleet.roll([i for turn in others for i in turn], builds.baseline)
    fleet.roll(first, builds.new)


def _groups(fleet: Fleet) -> list[range]:
    """Return the instances of each group: one of every datacenter."""
    size = len(fleet.datacenters)
    return [range(group * size, (group + 1) * size) for group in range(GROUPS)]


def _turns(fleet: Fleet) -> list[range]:
    """Return the instances of the baseline that run the new build, turn by turn."""
    _, _, turning = _groups(fleet)
    return [turning[turn::TURNS] for turn in range(TURNS)]


class Rotation:
    """Rotates the baseline when asked whether it is time, until the week after the rollout has passed."""

    def __init__(self, fleet: Fleet, builds: Builds, rules: MeasurementRules) -> None:
        self._fleet = fleet
        self._builds = builds
        self._every = (rules.settle + rules.week).total_seconds() / TURNS
        self._start = time.monotonic()
        self._turn = 0

    def turn(self) -> str:
        """Let the next instances have the new build in the place of the last ones; say so if it was time."""
        turn = self._turn + 1
        if turn >= TURNS or time.monotonic() < self._start + turn * self._every:
            return ""
        self._turn = turn
        joins, leaves = _turns(self._fleet)[turn - 1 : turn + 1]
        self._fleet.roll(leaves, self._builds.new)
        self._fleet.roll(joins, self._builds.baseline)
        return f"rotated the baseline: {self._names(joins)} in, {self._names(leaves)} out"

    def _names(self, instances: range) -> str:
        return ", ".join(self._fleet.instances[i].datacenter for i in instances)
