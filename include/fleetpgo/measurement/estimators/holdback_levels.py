"""The levels of A: what the treated and the held-back instances of each datacenter use, part by part.

:mod:`fleetpgo.measurement.estimators.holdback` has the formulas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.measurement.usage import CONTROL, TREATED
from fleetpgo.measurement.windows import DAY, PLACEBOS, WEEK

if TYPE_CHECKING:
    from fleetpgo.measurement.usage import Floats, Positions, Usage
    from fleetpgo.measurement.windows import Windows

FEWEST_DATACENTERS = 2

_HOURS = 24
_DAYS = 1_000  # more than the hours of a part

FEWEST_WEEKS = 3
"""Weeks before the rollout from which on the drift can be told from the noise."""

MOST_WEIGHT = 0.5
"""λ at most: no day has more than about half of the weight, whatever little history makes of r/q."""


@dataclass(frozen=True)
class Levels:
    """CPU of the treated relative to that of the hold-back, cleared of traffic.

    A level is ln C − ε ln Q: C is CPU, Q requests, ε the elasticity of CPU in traffic. ``after`` and
    ``before`` are the level of the treated less that of the hold-back, of shape (datacenters, parts).
    ``parts`` are the numbers, from 0, of the window's parts that were measured on both sides; ``datacenters``
    are the positions in :class:`.usage.Usage` of those that were measured in all of these parts. ``control``
    is the change of the hold-back alone, a mean over the parts; of shape (datacenters,).
    """

    parts: Positions
    datacenters: Positions
    after: Floats
    before: Floats
    control: Floats

    @property
    def changes(self) -> Floats:
        """The changes A_db − B_db."""
        return self.after - self.before

    def differences(self, weights: Floats) -> Floats:
        """Return D_d, shape (datacenters,). The weights are those of all parts, and need no sum of 1."""
        near, far = weights[self.parts], weights[::-1][self.parts]
        return np.asarray(self.after @ near / near.sum() - self.before @ far / far.sum())

    def only(self, datacenters: Positions) -> Levels:
        """Return the levels of these datacenters."""
        at = np.isin(self.datacenters, datacenters)
        return Levels(self.parts, self.datacenters[at], self.after[at], self.before[at], self.control[at])


def levels_of(usage: Usage, windows: Windows, slopes: tuple[float, float]) -> Levels:
    """Return the levels of those parts of the window that were measured before and after.

    Only datacenters that were measured in all of these parts are taken.

    Args:
        usage: sums of CPU and requests by group and datacenter.
        windows: what is compared.
        slopes: elasticity ε of CPU in traffic of the treated, and of the hold-back.
    """
    after, before = windows.pairs(usage.times)
    datacenters = len(usage.datacenters)
    if not len(after):
        none = np.zeros((0, 0))
        nobody = np.zeros(0, dtype=np.intp)
        return Levels(nobody, nobody, none, none, np.zeros(0))
    there = np.isfinite(usage.cpu + usage.work)
    there = there[..., after] & there[..., before]
    since = usage.times[after] - windows.after[0]
    unit = max(usage.step, windows.block // _HOURS // usage.step * usage.step)
    hours, starts = np.unique(
        since // windows.block * _DAYS + since % windows.block // unit, return_index=True
    )
    parts, place = np.unique(hours // _DAYS, return_inverse=True)
    follow = np.array(slopes)[:, None, None]

    def level(at: Positions) -> Floats:
        """Return ln C − ε ln Q of both groups, shape (groups, datacenters, parts)."""
        cpu, work = (
            np.add.reduceat(np.where(there, values[..., at], 0.0), starts, axis=-1)
            for values in (usage.cpu, usage.work)
        )
        with np.errstate(divide="ignore", invalid="ignore"):  # nothing was measured: no level
            log: Floats = np.log(cpu) - follow * np.log(work)
        return np.where(np.isfinite(log), log, np.nan)

    levels = level(after), level(before)
    differences = [each[TREATED] - each[CONTROL] for each in levels]
    complete = np.isfinite(differences[0] + differences[1])
    sides = []
    for values in (*differences, levels[0][CONTROL] - levels[1][CONTROL]):
        padded = np.full((datacenters, len(parts), int(np.bincount(place).max())), np.nan)
        padded[:, place, np.arange(len(hours)) - np.searchsorted(place, place)] = np.where(
            complete, values, np.nan
        )
        sides.append(_between_quartiles(padded))
    finite = np.isfinite(sides[0] + sides[1])
    measured = finite.any(axis=0)
    whole = finite[:, measured].all(axis=1) & finite.any(axis=1)
    chosen = [each[:, measured][whole] for each in sides]
    alone = chosen[2].sum(axis=1) / max(int(measured.sum()), 1)
    return Levels(parts[measured], np.flatnonzero(whole), chosen[0], chosen[1], alone)


def _between_quartiles(values: Floats) -> Floats:
    """Return the mean of the values between the quartiles along the last axis; NaN are left out."""
    ordered = np.sort(values, axis=-1)  # NaN last
    count = np.isfinite(values).sum(axis=-1, keepdims=True)
    cut = count // 4
    at = np.arange(values.shape[-1])
    chosen = (at >= cut) & (at < count - cut)
    total = np.where(chosen, ordered, 0.0).sum(axis=-1)
    return np.asarray(np.where(count[..., 0] > 0, total / np.maximum(chosen.sum(axis=-1), 1), np.nan))


def earlier_levels(usage: Usage, windows: Windows, slopes: tuple[float, float]) -> list[tuple[bool, Levels]]:
    """Return the levels of earlier weeks that were measured in all parts, and whether each had no rollout."""
    placebos = (windows.placebo(k) for k in range(1, PLACEBOS + 1))
    weeks = ((each.quiet, levels_of(usage, each, slopes)) for each in placebos)
    count = parts_of(windows)
    return [
        (quiet, each)
        for quiet, each in weeks
        if len(each.after) >= FEWEST_DATACENTERS and len(each.parts) == count
    ]


def parts_of(windows: Windows) -> int:
    """Return how many parts the windows have."""
    return -(-windows.length // windows.block)


def weights_of(earlier: list[Levels], windows: Windows) -> Floats:
    """Return w_b of all the window's parts, not normalised; see the module's docstring."""
    equal = np.ones(parts_of(windows))
    if windows.block != DAY or windows.shift != WEEK or len(earlier) < FEWEST_WEEKS:
        return equal
    next_day = float(np.mean([np.square(np.diff(each.before, axis=1)).mean() for each in earlier]))
    # About their mean: a release of those weeks, alike in all datacenters, is no drift between groups.
    next_week = float(np.mean([each.changes.var(axis=0, ddof=1).mean() for each in earlier]))
    walk = (next_week - next_day) / 6
    if walk <= 0:
        return equal
    noise = max((next_day - walk) / 2, 0.0)
    gain = 2 / (1 + math.sqrt(1 + 4 * noise / walk))
    return np.asarray((1 - min(gain, MOST_WEIGHT)) ** np.arange(len(equal)))
