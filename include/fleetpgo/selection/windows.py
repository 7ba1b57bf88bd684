"""Windows: phases of the day or the week, each with a share of the instances.

A service does different work at different hours, so one moment does not represent a whole week. Each window
selects when it opens, from the instances that no other window has chosen. Together the windows are one random
sample without replacement, with one seed. In the merge, each stratum of a window is weighted by the CPU that
it used in that window.

With a profile store (``collection.source: pyroscope`` and the like) a run does not wait for a window. It asks
the store for the last window that has ended, and Prometheus for the instances at its end.

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

    from fleetpgo.service.profiling import SelectionRules, WindowRules

OPEN = timedelta(hours=1)
"""How long a window stays open. A task retried in that time continues; later it waits for the next one."""


def find_window(rules: SelectionRules, name: str) -> WindowRules:
    """Return the window with that name.

    Raises:
        ServiceFileError: there is no such window.
    """
    for window in rules.windows:
        if window.name == name:
            return window
    raise ServiceFileError(
        f"selection.windows has no window {name!r}",
        hint="the service file has changed since the run began; trigger a new run",
    )


def opening(window: WindowRules, now: datetime) -> datetime:
    """Return the UTC time at which the window opens next. If it is open now, return when it opened."""
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
    """Return the UTC time at which the last completed window ended.

    Args:
        window: when it opens.
        length: how long it lasts.
        now: the current time.
    """
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
    """Combine the selections of all windows (name → selection) into one.

    An instance that occurs in several windows, as a reserve for later rounds, is kept once: in the earliest
    round.
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
        candidates=next((each.candidates for each in selections.values()), ""),
    )
