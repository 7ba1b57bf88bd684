"""A fleet that never was, with everything that makes a saving hard to see, and its saving known.

500 instances in 10 datacenters, a tenth of each held back; 3,000 cores at 5-minute points over seven weeks.
Traffic has a day (±32 %), a weekend (−15 %), growth, weather (autoregressive noise of the fleet and of each
datacenter) and attacks. CPU follows it with an elasticity of 0.85; what a request costs drifts, for the
fleet, for a datacenter and for an instance, and has weather of its own. Groups of instances are drawn as
sums: their noise is an instance's divided by the root of their number.

`draw` gives the fleet with no saving at all. A saving is applied after (`saved`): it multiplies CPU.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import lfilter

from fleetpgo.measurement.usage import CONTROL, TREATED, Floats, Panel, Usage
from fleetpgo.measurement.windows import DAY, WEEK

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEP = 300
DATACENTERS, INSTANCES, HELD_BACK = 10, 50, 5  # instances and hold-back of each datacenter
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
DAY_POINTS, HALF_DAY, HOUR_POINTS = DAY // STEP, DAY // STEP // 2, 3_600 // STEP


@dataclass(frozen=True)
class Draw:
    """A simulated fleet: what was measured, and the times at which its new build was effective."""

    usage: Usage
    effective: Floats  # shape (times,): share of the treated instances on the new build


def _weather(random: np.random.Generator, shape: tuple[int, ...], deviation: float, points: float) -> Floats:
    """Stationary autoregressive noise with that correlation length."""
    rho = np.exp(-1 / points)
    noise = random.standard_normal(shape) * deviation * np.sqrt(1 - rho**2)
    noise[..., 0] = random.standard_normal(shape[:-1]) * deviation
    weather: Floats = lfilter([1.0], [1.0, -rho], noise, axis=-1)
    return weather


def _drift(random: np.random.Generator, shape: tuple[int, ...], weekly: float) -> Floats:
    walk: Floats = np.cumsum(random.standard_normal(shape) * weekly * np.sqrt(STEP / WEEK), axis=-1)
    return walk


def _attacks(random: np.random.Generator, times: Floats, rate: float) -> tuple[Floats, Floats]:
    """Factors on a datacenter's traffic and on its cost per request, shape (datacenters, times)."""
    traffic, cost = np.ones((2, DATACENTERS, len(times)))
    for _ in range(random.poisson(rate * (times[-1] - times[0]) / WEEK)):
        strike(
            traffic,
            cost,
            times,
            start=random.uniform(times[0], times[-1]),
            hours=random.uniform(1, 6),
            datacenters=random.random(DATACENTERS) < 0.3,  # noqa: PLR2004  # a handful of them
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


def draw(random: np.random.Generator) -> Draw:
    """One fleet, measured over seven weeks and a bit, with no saving in it."""
    start = ROLL_START - HISTORY * WEEK - DAY
    times = np.arange(start, ROLL_END + SETTLE + WEEK + STEP, STEP)
    t = times.astype(float)
    shape = (2, DATACENTERS, len(times))
    sizes = np.array([INSTANCES - HELD_BACK, HELD_BACK], dtype=float)[:, None, None]
    zone = np.arange(DATACENTERS)[:, None] * 2 * 3_600  # ten time zones
    local = t + zone
    day = DAILY * np.sin(2 * np.pi * (local / DAY - 0.3)) + 0.08 * np.sin(4 * np.pi * local / DAY)
    weekday = ((local // DAY) + 3) % 7  # the epoch was a Thursday
    attack_traffic, attack_cost = _attacks(random, t, ATTACKS)
    log_traffic = (
        np.log1p(day)
        + np.where(weekday >= 5, np.log1p(-WEEKEND), 0.0)  # noqa: PLR2004  # Saturday
        + GROWTH * (t - t[0]) / WEEK
        + _weather(random, (len(t),), TRAFFIC_FLEET, DAY_POINTS)
        + _weather(random, shape[1:], TRAFFIC_DATACENTER, DAY_POINTS)
        + np.log(attack_traffic)
        + random.normal(0, 0.5, (DATACENTERS, 1))  # datacenters differ in size of traffic
    )
    log_cost = (
        _weather(random, (len(t),), COST_FLEET, HALF_DAY)
        + _drift(random, (len(t),), DRIFT_FLEET)
        + _weather(random, shape[1:], COST_DATACENTER, HALF_DAY)
        + _drift(random, shape[1:], DRIFT_DATACENTER)
        + np.log(attack_cost)
        + (_weather(random, shape, COST_INSTANCE, HOUR_POINTS) + _drift(random, shape, DRIFT_INSTANCE))
        / np.sqrt(sizes)
    )
    per_instance = np.exp(log_traffic + random.normal(0, 0.01, shape))  # in units of the average
    return Draw(
        Usage(
            times=times,
            step=STEP,
            datacenters=tuple(f"dc{d}" for d in range(DATACENTERS)),
            cpu=sizes * CORES * np.exp(log_cost) * per_instance**ELASTICITY,
            requests=sizes * 1_000 * per_instance,
            instances=np.broadcast_to(sizes, shape).copy(),
        ),
        effective=np.clip((t - ROLL_START) / (ROLL_END - ROLL_START), 0.0, 1.0),
    )


def saved(drawn: Draw, share: float) -> Usage:
    """What would have been measured with a saving of that share on the new build."""
    cpu = drawn.usage.cpu.copy()
    cpu[TREATED] *= 1 - share * drawn.effective
    return replace(drawn.usage, cpu=cpu)


def staggered(random: np.random.Generator, share: float) -> Panel:
    """The fleet's instances around a rollout in random order, none held back, with a saving of that share."""
    times = np.arange(ROLL_START - 3_600, ROLL_END + SETTLE + 3_600, STEP)
    count = DATACENTERS * INSTANCES
    shape = (count, len(times))
    datacenter = np.repeat(np.arange(DATACENTERS), INSTANCES)
    shared = random.standard_normal((DATACENTERS, 1)) + _weather(
        random, (DATACENTERS, len(times)), TRAFFIC_DATACENTER, DAY_POINTS
    )
    day = np.log1p(DAILY * np.sin(2 * np.pi * (times / DAY - 0.3)))
    log_requests = (shared + day)[datacenter] + _weather(random, shape, 0.03, HOUR_POINTS)
    log_cost = (
        random.normal(0, 0.05, (count, 1))  # machines differ
        + _weather(random, (DATACENTERS, len(times)), COST_DATACENTER, HALF_DAY)[datacenter]
        + _weather(random, shape, COST_INSTANCE, HOUR_POINTS)
    )
    switched = random.permutation(np.linspace(ROLL_START, ROLL_END, count))
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
    )


def without_control(usage: Usage) -> Usage:
    """The same fleet with the hold-back taken out of the measurement."""
    return replace(
        usage,
        cpu=usage.cpu[:CONTROL],
        requests=None if usage.requests is None else usage.requests[:CONTROL],
        instances=usage.instances[:CONTROL],
    )
