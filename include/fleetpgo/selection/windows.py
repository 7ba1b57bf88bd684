"""Windows: phases of the day or the week, each with a share of the instances.

A service does different work at different hours, so one moment does not represent a whole week. Each window
selects when it opens, from the instances that no other window has taken. Together the windows are one sample:
they share a seed and continue one draw. In the merge, a stratum of a window has the weight of the CPU that it
used in that window.

Of a store of profiles (``collection.source: pyroscope`` and the like) nobody waits for a window: the store is
asked about the last one that is over, and Prometheus about who was there when it ended.

A window opens at a local time. If the clock skips that time in spring, the window opens later by as much. If
the time occurs twice in autumn, the window opens the first time (PEP 495, fold = 0).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, get_args
from zoneinfo import ZoneInfo

from fleetpgo.errors import ServiceFileError
from fleetpgo.run.selected import Selection, Target
from fleetpgo.service.values import Day

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleetpgo.service.rules import SelectionRules, WindowRules

OPEN = timedelta(hours=1)
"""So long a window stays open: a task that is retried within it goes on, later it waits for the next time."""


def find_window(rules: SelectionRules, name: str) -> WindowRules:
    """Return the window with that name.

    Raises:
        ServiceFileError: there is none.
    """
    for window in rules.windows:
        if window.name == name:
            return window
    raise ServiceFileError(
        f"selection.windows has no window {name!r}",
        hint="the service file has changed since the run began; trigger a new run",
    )


def opening(window: WindowRules, now: datetime) -> datetime:
    """Return the time in UTC at which the window opens next; if it is open, at which it opened."""
    zone, at = ZoneInfo(window.timezone), time.fromisoformat(window.at)
    today = now.astimezone(zone).date()
    # From yesterday, for a window that opened just before midnight, to a week from today.
    days = [today + timedelta(days=ahead) for ahead in range(-1, 8)]
    return next(
        moment
        for day in days
        if get_args(Day)[day.weekday()] in window.days
        and (moment := datetime.combine(day, at, zone).astimezone(UTC)) > now - OPEN
    )


def past_end(window: WindowRules, length: timedelta, now: datetime) -> datetime:
    """Return the time in UTC at which the phase ended last, if it lasts so long from its opening."""
    zone, at = ZoneInfo(window.timezone), time.fromisoformat(window.at)
    today = now.astimezone(zone).date()
    days = [today - timedelta(days=back) for back in range(length.days + 9)]
    return next(
        end
        for day in days
        if get_args(Day)[day.weekday()] in window.days
        and (end := datetime.combine(day, at, zone).astimezone(UTC) + length) <= now
    )


def combined(selections: Mapping[str, Selection]) -> Selection:
    """Combine the selections of all windows into one; window → its selection.

    An instance that a window has taken is not in another's further rounds.
    """
    targets: dict[str, Target] = {}
    for target in sorted(
        (
            replace(each, stratum=f"{name}: {each.stratum}") if each.stratum else each
            for name, selection in selections.items()
            for each in selection.targets
        ),
        key=lambda target: target.round,
    ):
        targets.setdefault(target.instance, target)
    datacenters: dict[str, int] = {}
    for selection in selections.values():
        for name, count in selection.datacenters.items():
            datacenters[name] = max(count, datacenters.get(name, 0))
    return Selection(
        tuple(targets.values()),
        query="\n".join(dict.fromkeys(selection.query for selection in selections.values())),
        warnings=tuple(
            f"{name}: {warning}" for name, selection in selections.items() for warning in selection.warnings
        ),
        strata={
            f"{name}: {stratum}": cores
            for name, selection in selections.items()
            for stratum, cores in selection.strata.items()
        },
        datacenters=datacenters,
    )
