"""How CPU follows traffic: the elasticity d ln C / d ln Q of a fleet, from its own history.

A process does some work without any request, so CPU per request falls when traffic rises, without any change
of the build. For each hour and datacenter before the rollout, ln(C_h/C_{h−168}) is regressed on
ln(Q_h/Q_{h−168}): the change of CPU within a week on that of traffic. Hours with unusual changes of traffic
are left out: attacks and incidents have a cost of their own, and the most leverage. Some outliers remain, so
the fit is Huber's M-estimator (Huber, Robust Statistics, 1981), by iteratively reweighted least squares, with
the normalised median absolute deviation as its scale.

Assumption: CPU follows traffic after the rollout as it did before, and in all datacenters alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.measurement.usage import TREATED
from fleetpgo.measurement.windows import WEEK

if TYPE_CHECKING:
    from fleetpgo.measurement.usage import Floats, Times, Usage

HOUR = 3_600
FEWEST_HOURS = 72
_TUNING = 1.345  # 95 % efficiency under normal errors
_MAD_TO_SIGMA = 1.4826
_LEAST_SPREAD = 0.002  # of ln Q week on week; with less, the slope is noise
_SELDOM = 3.0  # robust standard deviations of ln Q week on week


def huber(x: Floats, y: Floats) -> tuple[float, float]:
    """Return intercept and slope of y on x, with outliers weighted down."""
    design = np.column_stack([np.ones_like(x), x])
    weights = np.ones_like(x)
    coefficients = np.zeros(2)
    for _ in range(50):
        root = np.sqrt(weights)
        previous = coefficients
        coefficients = np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0]
        if np.allclose(coefficients, previous, rtol=1e-8, atol=1e-12):
            break
        residuals = np.abs(y - design @ coefficients)
        scale = _MAD_TO_SIGMA * np.median(residuals)
        if scale == 0:
            break
        weights = _TUNING * scale / np.maximum(residuals, _TUNING * scale)
    return float(coefficients[0]), float(coefficients[1])


def hourly(times: Times, cpu: Floats, work: Floats) -> tuple[Floats, Floats, Floats]:
    """Return Unix hours, and ln C and ln Q averaged over each, from series of shape (times,)."""
    there = (cpu > 0) & (work > 0)
    hours, position = np.unique(times[there] // HOUR, return_inverse=True)
    points = np.bincount(position, minlength=len(hours))
    sums = [np.bincount(position, weights=values[there], minlength=len(hours)) for values in (cpu, work)]
    return hours.astype(float), np.log(sums[0] / points), np.log(sums[1] / points)


def week_on_week(hours: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Return the hours that have a partner a week earlier, and the difference to it."""
    if not len(hours):
        return hours, values
    partners = hours - WEEK // HOUR
    position = np.searchsorted(hours, partners)
    there = hours[position] == partners
    return hours[there], values[there] - values[position[there]]


def elasticity(usage: Usage, *, until: int) -> float | None:
    """Return the elasticity of the treated group's CPU with respect to traffic; None if history is too short.

    Args:
        usage: data of some weeks. Without a traffic expression the result is None.
        until: Unix seconds; only earlier data are used.
    """
    if usage.requests is None or not usage.datacenters:
        return None
    changes: list[list[Floats]] = [[], []]
    for cpu, requests in zip(usage.cpu[TREATED], usage.requests[TREATED], strict=True):
        hours, *logs = hourly(usage.times, cpu, requests)
        for values, log in zip(changes, logs, strict=True):
            at, change = week_on_week(hours, log)
            values.append(change[at < until // HOUR])
    y, x = (np.concatenate(values) for values in changes)
    if len(x) < FEWEST_HOURS * len(usage.datacenters) or x.std() < _LEAST_SPREAD:
        return None
    distance = np.abs(x - np.median(x))
    usual = distance <= _SELDOM * _MAD_TO_SIGMA * np.median(distance)
    return float(np.clip(huber(x[usual], y[usual])[1], 0.0, 1.5))
