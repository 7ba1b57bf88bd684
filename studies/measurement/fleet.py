"""Simulated fleets, with everything that makes a saving hard to see; their saving is known.

Fleets of three sizes (:class:`Size`), measured every five minutes over seven weeks. Traffic has a day (±32
%), a weekend (−15 %), growth, weather (autoregressive noise of the fleet and of each datacenter) and
attacks. CPU follows it with an elasticity of 0.85. The cost of a request drifts, for the fleet, for a
datacenter and for an instance, and has weather of its own; an instance's weather has heavy tails (Student's
t with four degrees of freedom). Groups of instances are drawn as sums: their noise is an instance's divided
by the root of their number.

`draw` gives a fleet without a saving. `saved` applies a saving: it multiplies CPU.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import lfilter

from fleetpgo.measurement.estimators.level import Standing
from fleetpgo.measurement.usage import CONTROL, TREATED, Floats, Panel, Usage
from fleetpgo.measurement.windows import DAY, WEEK

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEP = 300
CORES = 6.0  # of an instance, on average
ELASTICITY = 0.85
ROLL_START = int(datetime(2026, 3, 2, 9, tzinfo=UTC).timestamp())  # a Monday, at opening time
ROLL_END = ROLL_START + 2 * 3_600
SETTLE = 900
HISTORY = 6  # weeks before the rollout that are simulated; one more after it

DAILY, WEEKEND, GROWTH = 0.32, 0.15, 0.005  # growth: a week
TRAFFIC_FLEET, TRAFFIC_DATACENTER = 0.03, 0.03  # standard deviation of weather, correlated over a day
COST_FLEET, COST_DATACENTER, COST_INSTANCE = 0.006, 0.01, 0.05  # likewise, over 12 h, 12 h and 1 h
DRIFT_FLEET, DRIFT_DATACENTER, DRIFT_INSTANCE = 0.0052, 0.005, 0.014  # random walk: deviation after a week
ATTACKS = 2.0  # a week
_TAIL = 4  # degrees of freedom of an instance's noise
DAY_POINTS, HALF_DAY, HOUR_POINTS = DAY // STEP, DAY // STEP // 2, 3_600 // STEP


@dataclass(frozen=True)
class Size:
    """Number of datacenters, and in each the number of instances and of those held back."""

    datacenters: int
    instances: int
    held_back: int

    @property
    def total(self) -> int:
        """Number of instances of the fleet."""
        return self.datacenters * self.instances


SMALL, MIDDLE, LARGE, HUGE = Size(3, 2, 1), Size(4, 12, 1), Size(10, 50, 5), Size(20, 100, 10)
"""6, 48, 500 and 2,000 instances."""


@dataclass(frozen=True)
class Draw:
    """A simulated fleet: what was measured, and the times at which its new build was effective."""

    usage: Usage
    effective: Floats  # shape (times,): share of the treated instances on the new build


def weather(
    random: np.random.Generator,
    shape: tuple[int, ...],
    deviation: float,
    points: float,
    *,
    heavy: bool = False,
) -> Floats:
    """Stationary autoregressive noise with that correlation length; its innovations may have heavy tails."""
    rho = np.exp(-1 / points)
    white = (
        random.standard_t(_TAIL, shape) * np.sqrt(1 - 2 / _TAIL) if heavy else random.standard_normal(shape)
    )
    noise = white * deviation * np.sqrt(1 - rho**2)
    noise[..., 0] = random.standard_normal(shape[:-1]) * deviation
    filtered: Floats = lfilter([1.0], [1.0, -rho], noise, axis=-1)
    return filtered


def drift(random: np.random.Generator, shape: tuple[int, ...], weekly: float) -> Floats:
    """Return a random walk with that standard deviation after a week."""
    walk: Floats = np.cumsum(random.standard_normal(shape) * weekly * np.sqrt(STEP / WEEK), axis=-1)
    return walk


def _attacks(
    random: np.random.Generator, times: Floats, rate: float, datacenters: int
) -> tuple[Floats, Floats]:
    """Factors on a datacenter's traffic and on its cost per request, shape (datacenters, times)."""
    traffic, cost = np.ones((2, datacenters, len(times)))
    for _ in range(random.poisson(rate * (times[-1] - times[0]) / WEEK)):
        strike(
            traffic,
            cost,
            times,
            start=random.uniform(times[0], times[-1]),
            hours=random.uniform(1, 6),
            datacenters=random.random(datacenters) < 0.3,  # noqa: PLR2004  # a handful of them
        )
    return traffic, cost


def strike(
    traffic: Floats,
    cost: Floats,
    times: Floats,
    *,
    start: float,
    hours: float,
    datacenters: NDArray[np.bool_],
) -> None:
    """An attack: 40 % more requests, which are refused early and cost little."""
    hit = np.ix_(datacenters, (times >= start) & (times < start + hours * 3_600))
    traffic[hit] *= 1.4
    cost[hit] *= 0.8


def draw(random: np.random.Generator, size: Size = LARGE) -> Draw:
    """One fleet of that size, measured over seven weeks and a bit, with no saving in it."""
    start = ROLL_START - HISTORY * WEEK - DAY
    times = np.arange(start, ROLL_END + SETTLE + WEEK + STEP, STEP)
    t = times.astype(float)
    datacenters = size.datacenters
    shape = (2, datacenters, len(times))
    sizes = np.array([size.instances - size.held_back, size.held_back], dtype=float)[:, None, None]
    zone = np.arange(datacenters)[:, None] * 2 * 3_600  # ten time zones
    local = t + zone
    day = DAILY * np.sin(2 * np.pi * (local / DAY - 0.3)) + 0.08 * np.sin(4 * np.pi * local / DAY)
    weekday = ((local // DAY) + 3) % 7  # the epoch was a Thursday
    attack_traffic, attack_cost = _attacks(random, t, ATTACKS, datacenters)
    log_traffic = (
        np.log1p(day)
        + np.where(weekday >= 5, np.log1p(-WEEKEND), 0.0)  # noqa: PLR2004  # Saturday
        + GROWTH * (t - t[0]) / WEEK
        + weather(random, (len(t),), TRAFFIC_FLEET, DAY_POINTS)
        + weather(random, shape[1:], TRAFFIC_DATACENTER, DAY_POINTS)
        + np.log(attack_traffic)
        + random.normal(0, 0.5, (datacenters, 1))  # datacenters differ in size of traffic
    )
    log_cost = (
        weather(random, (len(t),), COST_FLEET, HALF_DAY)
        + drift(random, (len(t),), DRIFT_FLEET)
        + weather(random, shape[1:], COST_DATACENTER, HALF_DAY)
        + drift(random, shape[1:], DRIFT_DATACENTER)
        + np.log(attack_cost)
        + (
            weather(random, shape, COST_INSTANCE, HOUR_POINTS, heavy=True)
            + drift(random, shape, DRIFT_INSTANCE)
        )
        / np.sqrt(sizes)
    )
    per_instance = np.exp(log_traffic + random.normal(0, 0.01, shape))  # in units of the average
    counts = np.broadcast_to(sizes, shape).copy()
    return Draw(
        Usage(
            times=times,
            step=STEP,
            datacenters=tuple(f"dc{d}" for d in range(datacenters)),
            cpu=sizes * CORES * np.exp(log_cost) * per_instance**ELASTICITY,
            requests=sizes * 1_000 * per_instance,
            instances=counts,
            serving=counts.copy(),
        ),
        effective=np.clip((t - ROLL_START) / (ROLL_END - ROLL_START), 0.0, 1.0),
    )


def saved(drawn: Draw, share: float) -> Usage:
    """What would have been measured with a saving of that share on the new build."""
    cpu = drawn.usage.cpu.copy()
    cpu[TREATED] *= 1 - share * drawn.effective
    return replace(drawn.usage, cpu=cpu)


def staggered(
    random: np.random.Generator, share: float, size: Size = LARGE, *, held_back: bool = False
) -> Panel:
    """The fleet's instances around a rollout in random order, with a saving of that share.

    Args:
        random: source of the noise.
        share: the saving.
        size: of the fleet.
        held_back: whether the size's hold-back stays on the old build, and is not restarted.
    """
    times = np.arange(ROLL_START - 3_600, ROLL_END + SETTLE + 3_600, STEP)
    count = size.total
    shape = (count, len(times))
    datacenter = np.repeat(np.arange(size.datacenters), size.instances)
    shared = random.standard_normal((size.datacenters, 1)) + weather(
        random, (size.datacenters, len(times)), TRAFFIC_DATACENTER, DAY_POINTS
    )
    day = np.log1p(DAILY * np.sin(2 * np.pi * (times / DAY - 0.3)))
    log_requests = (shared + day)[datacenter] + weather(random, shape, 0.03, HOUR_POINTS)
    log_cost = (
        random.normal(0, 0.05, (count, 1))  # machines differ
        + weather(random, (size.datacenters, len(times)), COST_DATACENTER, HALF_DAY)[datacenter]
        + weather(random, shape, COST_INSTANCE, HOUR_POINTS, heavy=True)
    )
    switched = random.permutation(np.linspace(ROLL_START, ROLL_END, count))
    if held_back:
        switched[np.arange(count) % size.instances < size.held_back] = np.inf
    new = times >= switched[:, None]
    return Panel(
        times=times,
        datacenter=datacenter,
        cpu=CORES * np.exp(log_cost + ELASTICITY * log_requests) * (1 - share * new),
        requests=1_000 * np.exp(log_requests),
        switched=switched,
        restarted=switched,
    )


def since(usage: Usage, start: int) -> Usage:
    """The same fleet where metrics are kept from that Unix time on."""
    kept = usage.times >= start
    return replace(
        usage,
        times=usage.times[kept],
        cpu=usage.cpu[..., kept],
        requests=None if usage.requests is None else usage.requests[..., kept],
        instances=usage.instances[..., kept],
        serving=None if usage.serving is None else usage.serving[..., kept],
    )


def without_control(usage: Usage) -> Usage:
    """The same fleet with the hold-back taken out of the measurement."""
    return replace(
        usage,
        cpu=usage.cpu[:CONTROL],
        requests=None if usage.requests is None else usage.requests[:CONTROL],
        instances=usage.instances[:CONTROL],
        serving=None if usage.serving is None else usage.serving[:CONTROL],
    )


BASELINE_WEEKS = 4


def standing(random: np.random.Generator, share: float, size: Size, *, rotated: bool = True) -> Standing:
    """The fleet's instances over four weeks, a point every hour; the size's hold-back runs without a profile.

    Args:
        random: source of the noise.
        share: what all others save.
        size: of the fleet.
        rotated: whether other instances are in the baseline each week.
    """
    step = 3_600
    times = np.arange(ROLL_START - BASELINE_WEEKS * WEEK, ROLL_START, step)
    shape = (size.total, len(times))
    datacenter = np.repeat(np.arange(size.datacenters), size.instances)
    place = np.arange(size.total) % size.instances
    week = (times - times[0]) // WEEK if rotated else np.zeros(len(times), dtype=np.int64)
    turns = size.instances // size.held_back
    baseline = (place // size.held_back)[:, None] == (week % turns)[None, :]
    day = np.log1p(DAILY * np.sin(2 * np.pi * (times / DAY - 0.3)))
    shared = weather(random, (size.datacenters, len(times)), TRAFFIC_DATACENTER, 24)
    log_requests = (
        (shared + day)[datacenter]
        + random.normal(0, 0.05, (size.total, 1))
        + weather(random, shape, 0.03, 3, heavy=True)
    )
    walk = np.cumsum(random.standard_normal(shape) * DRIFT_INSTANCE * np.sqrt(step / WEEK), axis=-1)
    log_cost = (
        random.normal(0, 0.05, (size.total, 1))  # machines differ
        + weather(random, (size.datacenters, len(times)), COST_DATACENTER, 12)[datacenter]
        + weather(random, shape, COST_INSTANCE, 1, heavy=True)
        + walk
    )
    return Standing(
        times=times,
        step=step,
        names=tuple(f"i{i}" for i in range(size.total)),
        datacenter=datacenter,
        cpu=CORES * np.exp(log_cost + ELASTICITY * log_requests) * np.where(baseline, 1.0, 1 - share),
        requests=1_000 * np.exp(log_requests),
        baseline=baseline,
    )
