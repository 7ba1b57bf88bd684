"""What a deployer does with the demo's fleet: roll the new build out, and rotate the baseline.

Three instances get the new build, three keep the old one: the hold-back of the measurement. Three more are
there for the standing baseline: two of them run a build without the profile, in turn.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo.fleet import DATACENTERS

if TYPE_CHECKING:
    from pathlib import Path

    from demo.fleet import Fleet
    from fleetpgo.service.rules import MeasurementRules

SIZE = len(DATACENTERS)
TREATED, CONTROL, TURNING = (range(group * SIZE, (group + 1) * SIZE) for group in range(3))
INSTANCES = 3 * SIZE

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
    fleet.roll(TREATED, new)
    fleet.roll(CONTROL, old)


def start_baseline(fleet: Fleet, builds: Builds) -> None:
    """Start the baseline, and with the last of its instances, which gets the new build, end the rollout."""
    fleet.roll(TURNING[1:], builds.baseline)
    fleet.roll(TURNING[:1], builds.new)


class Rotation:
    """Rotates the baseline when asked whether it is time, until the week after the rollout has passed."""

    def __init__(self, fleet: Fleet, builds: Builds, rules: MeasurementRules) -> None:
        self._fleet = fleet
        self._builds = builds
        self._every = (rules.settle + rules.week).total_seconds() / TURNS
        self._start = time.monotonic()
        self._turn = 0

    def turn(self) -> str:
        """Let the next instance have the new build in the place of the last one; say so if it was time."""
        turn = self._turn + 1
        if turn >= TURNS or time.monotonic() < self._start + turn * self._every:
            return ""
        self._turn = turn
        leaves, joins = TURNING[turn % SIZE], TURNING[turn - 1]
        self._fleet.roll([leaves], self._builds.new)
        self._fleet.roll([joins], self._builds.baseline)
        place = self._fleet.instances
        return f"rotated the baseline: {place[joins].datacenter} in, {place[leaves].datacenter} out"
