"""Effects that led people to believe a wrong number, each done to a simulated fleet.

Each takes what was measured and returns what would have been measured if the effect had happened too. An
effect of the build itself also takes the saving and returns the fleet's true one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.measurement.estimators.level import Standing
from fleetpgo.measurement.usage import CONTROL, TREATED, Floats, Panel, Usage
from studies.measurement import scenarios
from studies.measurement.fleet import ELASTICITY, HISTORY, ROLL_END, ROLL_START, SETTLE, drift
from studies.measurement.scenarios import DAY, Random

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEEK = 7 * DAY
BASE = "base"

LOW_LOAD = 0.3
SHARED_DRIFT = 0.007  # of all held-back instances against the others, in a week
WARM_UP, WARM_LASTS = 0.05, 1_800  # dearer by this share when started, and how slowly that fades
REFRESHES = 0.01  # standard deviation of what each weekly refresh changes

Groups = Callable[[Usage, Random], Usage]
BuildGroups = Callable[[Usage, Random, float], tuple[Usage, float]]
Panels = Callable[[Panel, Random], Panel]
Standings = Callable[[Standing, Random], Standing]
BuildStandings = Callable[[Standing, float], tuple[Standing, float]]


@dataclass(frozen=True)
class Effect:
    """One effect, as each kind of estimator meets it.

    Attributes:
        of_groups: done to sums by group and datacenter, with no saving in them: for A, B and E.
        of_build: instead, if the effect is one of the build.
        hourly: whether it is there in the hours around the rollout, so that E meets it.
        of_panel: done to instances around the rollout: for S.
        of_standing: done to instances with a baseline: for L.
        of_build_in_standing: the effect of the build there.
        told: what Prometheus shows of it, as a defect; "": nothing.
        refreshed: whether the service is refreshed every week, and the store knows.
        only_control: whether it touches held-back instances only, so that B need not be asked.
    """

    of_groups: Groups | None = None
    of_build: BuildGroups | None = None
    hourly: bool = False
    of_panel: Panels | None = None
    of_standing: Standings | None = None
    of_build_in_standing: BuildStandings | None = None
    told: str = ""
    refreshed: bool = False
    only_control: bool = False


def _after(usage: Usage, *, since: int = ROLL_START) -> np.ndarray:
    return usage.times >= since


def _requests(of: Usage | Standing) -> np.ndarray:
    """Return the requests; every simulated fleet has some."""
    if of.requests is None:
        raise TypeError("a fleet without requests")
    return of.requests


def _one_in_a_hundred(usage: Usage, _: Random) -> Usage:
    """The CPU series of one treated instance in a hundred are lost after the rollout; one at least."""
    counts = usage.instances[TREATED]
    lost = np.floor(0.01 * counts)
    lost[0] = np.maximum(lost[0], 1)
    kept = np.where(_after(usage, since=ROLL_END), 1 - lost / counts, 1.0)
    cpu, instances = usage.cpu.copy(), usage.instances.copy()
    cpu[TREATED] *= kept
    instances[TREATED] *= kept
    cpu[cpu == 0] = np.nan
    return replace(usage, cpu=cpu, instances=instances)


def _missing_in_standing(standing: Standing, random: Random) -> Standing:
    lost = random.random(len(standing.cpu)) < 0.01  # noqa: PLR2004  # one in a hundred
    lost[0] = True
    late = standing.times >= standing.times[len(standing.times) // 2]
    return replace(standing, cpu=np.where(lost[:, None] & late, np.nan, standing.cpu))


def _unequal(usage: Usage, _: Random, share: float) -> tuple[Usage, float]:
    """One datacenter has ten times the size; the build saves a quarter there of what it saves elsewhere."""
    factors = np.ones((len(usage.datacenters), 1))
    factors[0] = 10.0
    saved = np.full((len(usage.datacenters), 1), 1.6 * share)
    saved[0] = 0.4 * share
    new = np.clip((usage.times - ROLL_START) / (ROLL_END - ROLL_START), 0.0, 1.0)
    cpu = usage.cpu * factors
    would = cpu[TREATED].copy()
    cpu[TREATED] *= 1 - saved * new
    at = _after(usage, since=ROLL_END + SETTLE)
    truth = 1 - float(cpu[TREATED][:, at].sum() / would[:, at].sum())
    return replace(usage, cpu=cpu, requests=_requests(usage) * factors), truth


def _unequal_in_standing(standing: Standing, share: float) -> tuple[Standing, float]:
    """The same, with as many instances in each datacenter's baseline."""
    first = standing.datacenter == 0
    factors = np.where(first, 10.0, 1.0)[:, None]
    saved = np.where(first, 0.4 * share, 1.6 * share)[:, None]
    would = standing.cpu * factors
    cpu = would * np.where(standing.baseline, 1.0, 1 - saved)
    others = ~standing.baseline
    truth = 1 - float(cpu[others].sum() / would[others].sum())
    return replace(standing, cpu=cpu, requests=_requests(standing) * factors), truth


def _late(usage: Usage, _: Random, share: float) -> tuple[Usage, float]:
    """One treated instance of the first datacenter gets the new build three days after the others."""
    new = np.clip((usage.times - ROLL_START) / (ROLL_END - ROLL_START), 0.0, 1.0)
    shares = np.broadcast_to(new, usage.cpu[TREATED].shape).copy()
    count = usage.instances[TREATED][0]
    shares[0] = np.where(usage.times < ROLL_END + 3 * DAY, shares[0] * (1 - 1 / count), shares[0])
    cpu = usage.cpu.copy()
    cpu[TREATED] *= 1 - share * shares
    return replace(usage, cpu=cpu), share


def _affine(load: np.ndarray) -> np.ndarray:
    """CPU at a load, in units of that at load 1: a constant part, and one per request."""
    return np.asarray(1 - ELASTICITY + ELASTICITY * load)


def low_load(usage: Usage, _: Random, *, step: float = 0.0) -> Usage:
    """Held-back instances get 30 % of the others' requests; some CPU follows none. Traffic may step up."""
    load = _requests(usage) / usage.instances / 1_000
    cost = usage.cpu / usage.instances / load**ELASTICITY
    own = load / load.mean(axis=-1, keepdims=True)
    own = own * (1 + step * _after(usage))
    own[CONTROL] *= LOW_LOAD
    cpu = cost * _affine(own) * load.mean(axis=-1, keepdims=True)
    requests = 1_000 * own * load.mean(axis=-1, keepdims=True)
    return replace(usage, cpu=cpu * usage.instances, requests=requests * usage.instances)


def _low_load_with_traffic(usage: Usage, random: Random) -> Usage:
    return low_load(usage, random, step=0.1)


def _low_load_in_standing(standing: Standing, _: Random) -> Standing:
    load = _requests(standing) / 1_000
    cost = standing.cpu / load**ELASTICITY
    own = np.where(standing.baseline, LOW_LOAD, 1.0) * load
    return replace(standing, cpu=cost * _affine(own), requests=1_000 * own)


def _shared_drift(usage: Usage, random: Random) -> Usage:
    """All held-back instances drift away from the others."""
    cpu = usage.cpu.copy()
    cpu[CONTROL] *= np.exp(drift(random, (len(usage.times),), SHARED_DRIFT))
    return replace(usage, cpu=cpu)


def _spiky(usage: Usage, random: Random) -> Usage:
    """From the rollout on one held-back instance uses thirty times the CPU in a fifth of the hours."""
    hours = (usage.times - usage.times[0]) // 3_600
    burst = (random.random(hours.max() + 1) < 0.2)[hours] & _after(usage)  # noqa: PLR2004  # a fifth
    return _one_held_back(usage, np.where(burst, 30.0, 1.0))


def _doubled(usage: Usage, _: Random) -> Usage:
    """From the rollout on one held-back instance uses twice the CPU."""
    return _one_held_back(usage, np.where(_after(usage), 2.0, 1.0))


def _one_held_back(usage: Usage, factors: np.ndarray) -> Usage:
    cpu = usage.cpu.copy()
    cpu[CONTROL, 0] *= 1 + (factors - 1) / usage.instances[CONTROL, 0]
    return replace(usage, cpu=cpu)


def _spiky_in_standing(standing: Standing, random: Random) -> Standing:
    burst = random.random(len(standing.times)) < 0.2  # noqa: PLR2004  # a fifth of the hours
    cpu = standing.cpu.copy()
    cpu[0] *= np.where(burst, 30.0, 1.0)
    return replace(standing, cpu=cpu)


def _spiky_in_panel(panel: Panel, random: Random) -> Panel:
    cpu = panel.cpu.copy()
    cpu[0] *= np.where(random.random(len(panel.times)) < 0.2, 30.0, 1.0)  # noqa: PLR2004  # a fifth
    return replace(panel, cpu=cpu)


def _full_of_held_back(usage: Usage, _: Random) -> Usage:
    """The first datacenter holds held-back instances only."""
    cpu, instances = usage.cpu.copy(), usage.instances.copy()
    requests = _requests(usage).copy()
    for values in (cpu, requests, instances):
        values[TREATED, 0] = np.nan
    return replace(usage, cpu=cpu, requests=requests, instances=instances, serving=instances.copy())


def _warm_up(usage: Usage, _: Random) -> Usage:
    """A new process is 5 % dearer at first, for half an hour; the hold-back is not restarted."""
    restarts = np.linspace(ROLL_START, ROLL_END, 25)
    age = usage.times[:, None] - restarts
    extra = np.where(age >= 0, WARM_UP * np.exp(-np.maximum(age, 0) / WARM_LASTS), 0.0).mean(axis=1)
    cpu = usage.cpu.copy()
    cpu[TREATED] *= 1 + extra
    return replace(usage, cpu=cpu)


def _warm_up_in_panel(panel: Panel, _: Random) -> Panel:
    age = panel.times - panel.restarted[:, None]
    extra = np.where(age >= 0, WARM_UP * np.exp(-np.maximum(age, 0) / WARM_LASTS), 0.0)
    return replace(panel, cpu=panel.cpu * (1 + extra))


def _warm_up_in_standing(standing: Standing, _: Random) -> Standing:
    """Whoever joins or leaves the baseline restarts."""
    changed: NDArray[np.bool_] = np.zeros(standing.cpu.shape, dtype=bool)
    changed[:, 1:] = standing.baseline[:, 1:] != standing.baseline[:, :-1]
    # A point is the mean over the hour before it.
    lasts = [math.exp(-h * 3_600 / WARM_LASTS) for h in range(6)]
    means: list[float] = [0.0, *((a - b) * WARM_LASTS / 3_600 for a, b in itertools.pairwise(lasts))]
    extra: Floats = np.zeros(standing.cpu.shape)
    for later, mean in enumerate(means):
        extra[:, later:] += WARM_UP * mean * changed[:, : changed.shape[1] - later]
    return replace(standing, cpu=standing.cpu * (1 + extra))


def _refreshed(usage: Usage, random: Random) -> Usage:
    """A new profile every week before this one's, each with an effect of its own."""
    log = np.zeros(len(usage.times))
    for week in range(1, HISTORY + 1):
        log += random.normal(0, REFRESHES) * (usage.times >= ROLL_START - week * WEEK)
    cpu = usage.cpu.copy()
    cpu[TREATED] *= np.exp(log)
    return replace(usage, cpu=cpu)


def _fixed(standing: Standing, _: Random) -> Standing:
    """The baseline is never rotated; machines differ."""
    fixed = np.repeat(standing.baseline[:, :1], len(standing.times), axis=1)
    return replace(standing, baseline=fixed)


def _balancer_in_standing(standing: Standing, _: Random) -> Standing:
    """A load balancer gives each instance of a datacenter the same CPU."""
    panel = Panel(
        standing.times,
        standing.datacenter,
        standing.cpu,
        standing.requests,
        np.full(len(standing.cpu), np.inf),
        np.full(len(standing.cpu), np.inf),
    )
    balanced = scenarios.panel_balancer(panel, np.random.default_rng(0))
    return replace(standing, cpu=balanced.cpu, requests=balanced.requests)


def _base_standing(standing: Standing, _: Random) -> Standing:
    return standing


EFFECTS: dict[str, Effect] = {
    BASE: Effect(
        scenarios.nothing, hourly=True, of_panel=scenarios.panel_nothing, of_standing=_base_standing
    ),
    "1 % of the CPU series lost": Effect(_one_in_a_hundred, hourly=True, of_standing=_missing_in_standing),
    "a datacenter of ten times the size saves less": Effect(
        of_build=_unequal, of_build_in_standing=_unequal_in_standing
    ),
    "held-back instances at 30 % load": Effect(low_load, of_standing=_low_load_in_standing),
    "the same, and 10 % more traffic": Effect(_low_load_with_traffic),
    "held-back instances drift together": Effect(_shared_drift, only_control=True),
    "one spiky held-back instance": Effect(
        _spiky, of_panel=_spiky_in_panel, of_standing=_spiky_in_standing, only_control=True
    ),
    "one held-back instance doubles its CPU": Effect(_doubled, only_control=True),
    "one late instance": Effect(of_build=_late),
    "the hold-back fills a datacenter": Effect(_full_of_held_back),
    "warm-up": Effect(_warm_up, hourly=True, of_panel=_warm_up_in_panel, of_standing=_warm_up_in_standing),
    "fresh process": Effect(scenarios.fresh_process, hourly=True, of_panel=scenarios.panel_fresh_process),
    "weekly refreshes": Effect(_refreshed, hourly=True, refreshed=True),
    "5 % more traffic": Effect(scenarios.traffic_step, hourly=True, of_panel=scenarios.panel_traffic_step),
    "attack after": Effect(scenarios.attack, hourly=True, of_panel=scenarios.panel_attack),
    "balancer": Effect(
        scenarios.balancer, of_panel=scenarios.panel_balancer, of_standing=_balancer_in_standing
    ),
    "instance churn": Effect(scenarios.churn, hourly=True, of_panel=scenarios.panel_churn),
    "2 % faster everywhere, unseen": Effect(scenarios.new_machines_everywhere),
    "a baseline that is never rotated": Effect(of_standing=_fixed),
}
WEEKLY_ROLLOUTS = [(ROLL_START - week * WEEK, ROLL_END - week * WEEK) for week in range(1, HISTORY + 1)]
