"""How small a saving a fleet of some size can show: the table of `make study-measurement`, for people.

The figures are those of simulated fleets (docs/measurement.md, "How small a saving can be seen").
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fleetpgo.measurement.figures import percent

TABLE = Path(__file__).with_name("power.json")


@dataclass(frozen=True)
class Line:
    """The smallest saving, as a share, that is called in 80 % of the rollouts; None: no saving is.

    Attributes:
        instances: size of the simulated fleet.
        held_back: whether it holds instances back.
        hour: after an hour.
        day: after a day.
        week: after seven days.
    """

    instances: int
    held_back: bool
    hour: float | None
    day: float | None
    week: float | None


@lru_cache(maxsize=1)
def lines() -> tuple[Line, ...]:
    """Return the table, by size."""
    return tuple(Line(**each) for each in json.loads(TABLE.read_text(encoding="utf-8")))


def expected(instances: int, *, held_back: bool) -> str:
    """Return what a fleet of that size can show, in one sentence.

    It is the line of the largest simulated fleet that is not larger; below the smallest, that of the
    smallest.
    """
    fitting = [each for each in lines() if each.held_back == held_back]
    line = max((each for each in fitting if each.instances <= instances), key=_size, default=fitting[0])
    with_it = "with" if held_back else "without"
    return (
        f"of {line.instances:,} simulated instances {with_it} a hold-back, 80 % of the rollouts show a "
        f"saving of {_shown(line.week)} after 7 days, {_shown(line.day)} after a day, {_shown(line.hour)} "
        "after an hour"
    )


def _size(line: Line) -> int:
    return line.instances


def _shown(share: float | None) -> str:
    return "no size" if share is None else percent(share)
