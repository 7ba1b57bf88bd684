"""The times to compare: a window before a rollout, one after it, and the times left out of both.

Windows of a day or more are compared with the same clock times whole weeks earlier, because a day's and a
week's rhythm is the largest change of all; a time whose partner lies in the rollout is left out. Shorter
windows are compared with the time just before the rollout, because a week's drift is more than an hour's.
All times are multiples of the step since the epoch, as Prometheus aligns its subqueries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from numpy.typing import NDArray

    from fleetpgo.run.proposed import Rollout

    Span = tuple[int, int]

DAY, WEEK = 86_400, 604_800
PLACEBOS = 5
"""How many weeks before the rollout's own are measured the same way, if history reaches that far."""

WORTH = 0.84
"""Degrees of freedom for each week of placebos."""


@dataclass(frozen=True)
class Windows:
    """The times to compare, in Unix seconds: `after`, and the same `shift` earlier; both half-open.

    Attributes:
        after: the window after the rollout and its settling.
        shift: distance to the partner of each time, seconds.
        rolling: from the rollout's start to its end and settling; never compared.
        excluded: other spans that are never compared: other deploys, incidents.
        rollouts: other rollouts of profiles, from the start to the end of settling, or of what they spoil.
            They are never compared either, and a comparison across one of them is no placebo.
    """

    after: Span
    shift: int
    rolling: Span
    excluded: tuple[Span, ...] = ()
    rollouts: tuple[Span, ...] = ()

    @property
    def length(self) -> int:
        """Seconds of each window."""
        return self.after[1] - self.after[0]

    @property
    def across_rollout(self) -> bool:
        """Whether the windows lie right before and after the rollout, and do not compare whole days."""
        return self.length < DAY

    @property
    def before(self) -> Span:
        """The window before the rollout, before anything is left out of it."""
        return self.after[0] - self.shift, self.after[1] - self.shift

    @property
    def block(self) -> int:
        """Seconds of the parts of a window that are averaged over with equal weight."""
        return min(DAY, -(-self.length // 5))  # rounded up: no sixth part of a point or two

    def placebo(self, weeks: int, days: int = 0) -> Windows:
        """Return the same comparison at an earlier time, before the rollout.

        Args:
            weeks: how many weeks earlier; where the windows before and after are farther apart than a week,
                how many times their distance.
            days: days earlier than that.
        """
        distance = weeks * max(WEEK, self.shift) + days * DAY

        def earlier(span: Span) -> Span:
            return span[0] - distance, span[1] - distance

        return replace(self, after=earlier(self.after), rolling=earlier(self.rolling))

    @property
    def quiet(self) -> bool:
        """Whether no earlier rollout has compared times both before and after it."""
        start, end = self.before[0], self.after[1]
        return all(first <= start or last >= end for first, last in self.rollouts)

    @property
    def left_out(self) -> tuple[Span, ...]:
        """All spans that are never compared."""
        return (self.rolling, *self.excluded, *self.rollouts)

    def pairs(self, times: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the positions in `times` of the times after, and of their partners before."""
        after = np.flatnonzero(self._usable(times) & (times >= self.after[0]) & (times < self.after[1]))
        partners = times[after] - self.shift
        before = np.searchsorted(times, partners)
        there = (times[np.minimum(before, len(times) - 1)] == partners) & self._usable(partners)
        return after[there], before[there]

    def expected_pairs(self, step: int) -> int:
        """Return how many pairs there are if nothing is missing."""
        times = np.arange(self.after[0], self.after[1], step)
        return int((self._usable(times) & self._usable(times - self.shift)).sum())

    def _usable(self, times: NDArray[np.int64]) -> NDArray[np.bool_]:
        usable = np.ones(len(times), dtype=bool)
        for start, end in self.left_out:
            usable &= (times < start) | (times >= end)
        return usable


def loud(windows: Windows) -> str:
    """Return the end of a note: how many placebo weeks hold a rollout; "" if none does."""
    count = sum(not windows.placebo(week).quiet for week in range(1, PLACEBOS + 1))
    return f" ({count} hold the rollout of a profile)" if count else ""


def around(
    rollout: Rollout,
    *,
    settle: timedelta,
    length: timedelta,
    step: int,
    excluded: Iterable[tuple[datetime, datetime]] = (),
    rollouts: Iterable[tuple[datetime, datetime]] = (),
) -> Windows:
    """Return the windows of that length around a rollout.

    Args:
        rollout: its start and end.
        settle: time left out after its end.
        length: length of each window.
        step: step in seconds; the windows begin and end at its multiples.
        excluded: spans that are never compared.
        rollouts: start and end of other rollouts. One before is left out, with its settling time; if it lies
            in the window before, so is what is before it. Of the window after, what follows the start of a
            later rollout is left out.
    """
    end = math.floor((rollout.end + settle + length).timestamp() / step) * step
    start = end - math.floor(length.total_seconds() / step) * step
    roll_start = math.floor(rollout.start.timestamp() / step) * step
    weeks = math.ceil((end - start) / WEEK)
    shift = weeks * WEEK if length >= timedelta(days=1) else end - roll_start
    return Windows(
        after=(start, end),
        shift=shift,
        rolling=(roll_start, start),
        excluded=tuple((math.floor(a.timestamp()), math.ceil(b.timestamp())) for a, b in excluded),
        rollouts=tuple(_other_rollouts(rollouts, rollout, settle, before=start - shift, end=end)),
    )


def _other_rollouts(
    rollouts: Iterable[tuple[datetime, datetime]],
    own: Rollout,
    settle: timedelta,
    *,
    before: int,
    end: int,
) -> Iterator[Span]:
    """Yield the span in which each other rollout spoils a comparison of the windows from `before` to `end`.

    What lies before a rollout in the window before ran the build before the last one; what lies after a
    rollout in the window after runs the next one.
    """
    for a, b in rollouts:
        first, last = math.floor(a.timestamp()), math.ceil((b + settle).timestamp())
        if b < own.start:
            yield (min(first, before) if b.timestamp() > before else first), last
        elif a > own.end and first < end:
            yield first, end


def spans(windows: Windows, *, weeks: int) -> Iterator[Span]:
    """Yield the spans to read for the windows and their placebos of so many weeks: disjoint, ascending."""
    needed = sorted((each.before[0], each.after[1]) for each in map(windows.placebo, range(weeks + 1)))
    start, end = needed[0]
    for next_start, next_end in needed[1:]:
        if next_start > end:
            yield start, end
            start = next_start
        end = max(end, next_end)
    yield start, end
