"""What can go wrong around a rollout, done to a simulated fleet.

Each scenario takes what was measured, the saving included, and gives what would have been measured had it
happened, too; a deploy that the metrics show is told beside, as the reader of Prometheus would tell it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fleetpgo.measurement.usage import CONTROL, Panel, Usage
from studies.measurement.fleet import (
    ELASTICITY,
    ROLL_END,
    ROLL_START,
    SETTLE,
    STEP,
    since,
    strike,
)

Random = np.random.Generator
Scenario = Callable[[Usage, Random], Usage]
PanelScenario = Callable[[Panel, Random], Panel]

DAY = 86_400
FRESH, FRESH_LASTS = 0.008, 12 * 3_600  # cheaper by this share when started, and how slowly that fades


def nothing(usage: Usage, _: Random) -> Usage:
    """Nothing but the rollout."""
    return usage


def _more_traffic(usage: Usage, factor: float, since: int, until: float = np.inf) -> Usage:
    factors = np.where((usage.times >= since) & (usage.times < until), factor, 1.0)
    requests = None if usage.requests is None else usage.requests * factors
    return replace(usage, cpu=usage.cpu * factors**ELASTICITY, requests=requests)


def traffic_step(usage: Usage, _: Random) -> Usage:
    """5 % more traffic from the rollout on."""
    return _more_traffic(usage, 1.05, ROLL_START)


def holiday(usage: Usage, _: Random) -> Usage:
    """15 % less traffic in the week before the rollout."""
    return _more_traffic(usage, 0.85, ROLL_START - 7 * DAY, ROLL_START)


def attack(usage: Usage, random: Random) -> Usage:
    """Half of the datacenters under attack for twelve hours from the end of the rollout."""
    traffic, cost = np.ones((2, len(usage.datacenters), len(usage.times)))
    hit = random.random(len(usage.datacenters)) < 0.5  # noqa: PLR2004  # half
    strike(traffic, cost, usage.times.astype(float), start=ROLL_END, hours=12, datacenters=hit)
    requests = None if usage.requests is None else usage.requests * traffic
    return replace(usage, cpu=usage.cpu * cost * traffic**ELASTICITY, requests=requests)


def balancer(usage: Usage, _: Random) -> Usage:
    """A load balancer that gives each instance the same CPU, so that the cheaper ones get more requests."""
    if usage.requests is None or len(usage.cpu) <= CONTROL:
        return usage
    per_instance = usage.requests / usage.instances
    cost = usage.cpu / usage.instances / per_instance**ELASTICITY
    share = cost ** (-1 / ELASTICITY)
    balanced = share * usage.requests.sum(axis=0) / (share * usage.instances).sum(axis=0)
    return replace(
        usage,
        cpu=cost * balanced**ELASTICITY * usage.instances,
        requests=balanced * usage.instances,
    )


def fresh_process(usage: Usage, _: Random) -> Usage:
    """A restarted process runs 0.8 % cheaper, fading over half a day; the hold-back is restarted, too."""
    age = usage.times - (ROLL_START + ROLL_END) / 2
    return replace(usage, cpu=usage.cpu * (1 - np.where(age >= 0, FRESH * np.exp(-age / FRESH_LASTS), 0.0)))


def missing_scrapes(usage: Usage, random: Random) -> Usage:
    """A fifth of the scrapes of each instance is missing."""
    kept = random.binomial(usage.instances.astype(int), 0.8) / usage.instances
    requests = None if usage.requests is None else usage.requests * kept
    counts = usage.instances * kept
    return replace(usage, cpu=usage.cpu * kept, requests=requests, instances=counts, serving=counts.copy())


def counter_resets(usage: Usage, random: Random) -> Usage:
    """Each instance restarts twice a day; up to a whole point of its CPU and requests is lost each time."""
    mean = usage.instances * 2 * STEP / DAY
    lost = [random.poisson(mean) * random.random(mean.shape) / usage.instances for _ in range(2)]
    requests = None if usage.requests is None else usage.requests * (1 - np.minimum(lost[1], 1))
    return replace(usage, cpu=usage.cpu * (1 - np.minimum(lost[0], 1)), requests=requests)


def churn(usage: Usage, random: Random) -> Usage:
    """A tenth of the instances is replaced each week by others that cost 5 % more or less."""
    week = (usage.times - usage.times[0]) // (7 * DAY)
    size = usage.instances[..., :1]
    steps = random.normal(0, 0.05, (*usage.cpu.shape[:2], week.max() + 1)) * np.sqrt(0.2 / size)
    return replace(usage, cpu=usage.cpu * np.exp(np.cumsum(steps, axis=-1)[..., week]))


def datacenter_lost(usage: Usage, random: Random) -> Usage:
    """One datacenter is gone from the day after the rollout on; its traffic goes to the others."""
    gone = usage.times >= ROLL_END + DAY
    lost = random.integers(len(usage.datacenters))
    stays = np.where(gone & (np.arange(len(usage.datacenters)) == lost)[:, None], np.nan, 1.0)
    datacenters = len(usage.datacenters)
    more = np.where(gone, datacenters / (datacenters - 1), 1.0)
    requests = None if usage.requests is None else usage.requests * more * stays
    return replace(
        usage,
        cpu=usage.cpu * more**ELASTICITY * stays,
        requests=requests,
        instances=usage.instances * stays,
        serving=None if usage.serving is None else usage.serving * stays,
    )


def clock_skew(usage: Usage, random: Random) -> Usage:
    """Two replicas whose clocks are two minutes apart; which one answers for CPU changes by the hour."""
    late = random.random(len(usage.times) * STEP // 3_600 + 2) < 0.5  # noqa: PLR2004  # either
    chosen = late[(usage.times - usage.times[0]) // 3_600]
    before = np.concatenate([usage.cpu[..., :1], usage.cpu[..., :-1]], axis=-1)
    weight = 120 / STEP
    return replace(usage, cpu=np.where(chosen, (1 - weight) * usage.cpu + weight * before, usage.cpu))


def second_deploy(usage: Usage, _: Random) -> Usage:
    """Another release two days after the rollout, 3 % dearer, to all instances."""
    return replace(usage, cpu=usage.cpu * np.where(usage.times >= ROLL_END + 2 * DAY, 1.03, 1.0))


def new_machines(usage: Usage, _: Random) -> Usage:
    """Two datacenters get machines that are 10 % faster on the day of the rollout."""
    factors = np.ones((len(usage.datacenters), len(usage.times)))
    factors[:2, usage.times >= ROLL_START] = 0.9
    return replace(usage, cpu=usage.cpu * factors)


def new_machines_everywhere(usage: Usage, _: Random) -> Usage:
    """All datacenters get something that is 2 % faster on the day of the rollout: a kernel, say."""
    return replace(usage, cpu=usage.cpu * np.where(usage.times >= ROLL_START, 0.98, 1.0))


def no_traffic_metric(usage: Usage, _: Random) -> Usage:
    """The service has no traffic expression: CPU per instance is compared."""
    return replace(usage, requests=None)


def three_datacenters(usage: Usage, _: Random) -> Usage:
    """A fleet of three datacenters."""
    return replace(
        usage,
        datacenters=usage.datacenters[:3],
        cpu=usage.cpu[:, :3],
        requests=None if usage.requests is None else usage.requests[:, :3],
        instances=usage.instances[:, :3],
    )


def short_history(usage: Usage, _: Random) -> Usage:
    """Metrics are kept for four weeks: two placebo weeks."""
    return since(usage, ROLL_END + SETTLE - 3 * 7 * DAY)


def panel_nothing(panel: Panel, _: Random) -> Panel:
    """Nothing but the rollout."""
    return panel


def panel_traffic_step(panel: Panel, _: Random) -> Panel:
    """5 % more traffic from the middle of the rollout on."""
    factors = np.where(panel.times >= (ROLL_START + ROLL_END) / 2, 1.05, 1.0)
    return _panel_traffic(panel, np.broadcast_to(factors, panel.cpu.shape), 1.0)


def panel_attack(panel: Panel, random: Random) -> Panel:
    """Half of the datacenters under attack from the middle of the rollout on."""
    hit = (random.random(panel.datacenter.max() + 1) < 0.5)[panel.datacenter][:, None]  # noqa: PLR2004  # half
    struck = hit & (panel.times >= (ROLL_START + ROLL_END) / 2)
    return _panel_traffic(panel, np.where(struck, 1.4, 1.0), np.where(struck, 0.8, 1.0))


def _panel_traffic(panel: Panel, factors: np.ndarray, cost: np.ndarray | float) -> Panel:
    requests = None if panel.requests is None else panel.requests * factors
    return replace(panel, cpu=panel.cpu * cost * factors**ELASTICITY, requests=requests)


def panel_balancer(panel: Panel, _: Random) -> Panel:
    """A load balancer that gives each instance of a datacenter the same CPU."""
    if panel.requests is None:
        return panel
    cost = panel.cpu / panel.requests**ELASTICITY
    share = cost ** (-1 / ELASTICITY)
    requests, cpu = np.empty_like(panel.cpu), np.empty_like(panel.cpu)
    for d in np.unique(panel.datacenter):
        own = panel.datacenter == d
        requests[own] = share[own] * panel.requests[own].sum(axis=0) / share[own].sum(axis=0)
        cpu[own] = cost[own] * requests[own] ** ELASTICITY
    return replace(panel, cpu=cpu, requests=requests)


def panel_fresh_process(panel: Panel, _: Random) -> Panel:
    """A restarted process runs 0.8 % cheaper, fading over half a day; none is restarted on the old build."""
    age = panel.times - panel.restarted[:, None]
    fade = np.where(age >= 0, FRESH * np.exp(-np.maximum(age, 0) / FRESH_LASTS), 0.0)
    return replace(panel, cpu=panel.cpu * (1 - fade))


def panel_missing_scrapes(panel: Panel, random: Random) -> Panel:
    """A fifth of the scrapes of each instance is missing."""
    lost = random.random(panel.cpu.shape) < 0.2  # noqa: PLR2004  # a fifth
    return replace(
        panel,
        cpu=np.where(lost, np.nan, panel.cpu),
        requests=None if panel.requests is None else np.where(lost, np.nan, panel.requests),
    )


def panel_counter_resets(panel: Panel, random: Random) -> Panel:
    """Each instance restarts twice a day; up to a whole point of its CPU and requests is lost each time."""

    def lost() -> np.ndarray:
        return 1 - random.random(panel.cpu.shape) * (random.random(panel.cpu.shape) < 2 * STEP / DAY)

    return replace(
        panel,
        cpu=panel.cpu * lost(),
        requests=None if panel.requests is None else panel.requests * lost(),
    )


def panel_datacenter_lost(panel: Panel, random: Random) -> Panel:
    """One datacenter is gone from the middle of the rollout on; its traffic goes to the others."""
    gone = panel.times >= (ROLL_START + ROLL_END) / 2
    datacenters = panel.datacenter.max() + 1
    lost = (panel.datacenter == random.integers(datacenters))[:, None] & gone
    more = np.where(gone, datacenters / (datacenters - 1), 1.0)
    moved = _panel_traffic(panel, np.broadcast_to(more, panel.cpu.shape), 1.0)
    return replace(moved, cpu=np.where(lost, np.nan, moved.cpu))


def panel_second_deploy(panel: Panel, _: Random) -> Panel:
    """Another release, 3 % dearer, to all instances half an hour after the last of them went over."""
    return replace(panel, cpu=panel.cpu * np.where(panel.times >= ROLL_END + 1_800, 1.03, 1.0))


def panel_churn(panel: Panel, random: Random) -> Panel:
    """A tenth of the instances comes, another goes, at some time around the rollout."""
    when = random.uniform(panel.times[0], panel.times[-1], len(panel.cpu))[:, None]
    kind = random.random(len(panel.cpu))[:, None]
    lost = ((kind < 0.1) & (panel.times >= when)) | ((kind > 0.9) & (panel.times < when))  # noqa: PLR2004
    return replace(panel, cpu=np.where(lost, np.nan, panel.cpu))


def panel_clock_skew(panel: Panel, random: Random) -> Panel:
    """Which of two replicas, two minutes apart, answers for CPU changes from point to point."""
    before = np.concatenate([panel.cpu[:, :1], panel.cpu[:, :-1]], axis=1)
    weight = (random.random(len(panel.times)) < 0.5) * 120 / STEP  # noqa: PLR2004  # either
    return replace(panel, cpu=(1 - weight) * panel.cpu + weight * before)
