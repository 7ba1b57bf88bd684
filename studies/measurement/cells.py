"""One block of the study: simulated fleets of one size, every effect done to each, every estimator asked.

The real estimators and the real verdict are run. A saving of the build shifts the logarithm of the new
build's CPU by a constant, and every estimator's answer by the same, so an answer at another saving is
computed from the answer at none (`shifted`; a test compares it with the estimators' own). Effects of the
build itself are run for each saving.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.measurement import windows
from fleetpgo.measurement.checking import defects, unpaired
from fleetpgo.measurement.elasticity import elasticity
from fleetpgo.measurement.estimate import Estimate, NotPossibleError
from fleetpgo.measurement.estimators import level
from fleetpgo.measurement.estimators.estimator import Inputs
from fleetpgo.measurement.estimators.registry import ESTIMATORS
from fleetpgo.measurement.verdict import judge
from fleetpgo.prometheus import from_timestamp
from fleetpgo.run.proposed import Rollout
from studies.measurement import fleet
from studies.measurement.effects import EFFECTS, WEEKLY_ROLLOUTS, Effect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fleetpgo.measurement.usage import Usage

TRUTHS = (0.0, 0.02, 0.035)
MATERIAL = 0.005
BLOCK = 50
"""Fleets in a block."""

SIZES = {6: fleet.SMALL, 48: fleet.MIDDLE, 500: fleet.LARGE, 2_000: fleet.HUGE}

ROLLOUT = Rollout("", from_timestamp(fleet.ROLL_START), from_timestamp(fleet.ROLL_END), 1.0)
_KNOWN = tuple((from_timestamp(start), from_timestamp(end)) for start, end in WEEKLY_ROLLOUTS)
_BY_LETTER = {each.letter: each for each in ESTIMATORS}


def around(length: timedelta, *, refreshed: bool = False) -> windows.Windows:
    """Return the windows of that length around the simulated rollout."""
    return windows.around(
        ROLLOUT,
        settle=timedelta(seconds=fleet.SETTLE),
        length=length,
        step=fleet.STEP,
        rollouts=_KNOWN if refreshed else (),
    )


HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)


@dataclass(frozen=True)
class Answer:
    """What one estimator said of one fleet; NaN where it gave no estimate."""

    estimator: str
    instances: int
    effect: str
    wanted: float
    truth: float
    call: str
    saving: float = np.nan
    low: float = np.nan
    high: float = np.nan


def shifted(found: Estimate, share: float) -> Estimate:
    """Return the estimate of the same fleet if the build had saved that share."""

    def moved(saving: float) -> float:
        return 1 - (1 - saving) * (1 - share)

    return replace(
        found,
        saving=moved(found.saving),
        low=moved(found.low + found.allowance) - found.allowance,
        high=moved(found.high),
    )


def asked(letter: str, inputs: Inputs) -> Estimate | None:
    """Return what an estimator says; None if it refuses."""
    try:
        return _BY_LETTER[letter].run(inputs)
    except NotPossibleError:
        return None


def block(instances: int, seeds: range) -> list[Answer]:
    """Return every estimator's answers on the fleets of these seeds, under every effect."""
    size = SIZES[instances]
    answers: list[Answer] = []
    for seed in seeds:
        drawn = fleet.draw(np.random.default_rng(seed), size)
        panel = fleet.staggered(np.random.default_rng(seed + 1), 0.0, size)
        standing = fleet.standing(np.random.default_rng(seed + 2), 0.0, size)
        for name, effect in EFFECTS.items():
            told = (effect.told,) if effect.told else ()
            if effect.of_groups is not None:
                usage = effect.of_groups(drawn.usage, np.random.default_rng(seed + 3))
                for letter, found, wrong in _of_groups(usage, effect, told):
                    answers += _at_all(letter, instances, name, found, wrong)
            if effect.of_build is not None:
                for share in TRUTHS:
                    usage, truth = effect.of_build(drawn.usage, np.random.default_rng(seed + 3), share)
                    for letter, found, wrong in _of_groups(usage, effect, told):
                        answers.append(_answer(letter, instances, name, (share, truth), found, wrong))
            slope = fleet.ELASTICITY
            if effect.of_panel is not None:
                changed = effect.of_panel(panel, np.random.default_rng(seed + 3))
                inputs = Inputs(drawn.usage, around(HOUR), slope, changed, fleet.SETTLE)
                answers += _at_all("S", instances, name, asked("S", inputs), ())
            answers += _of_standing(standing, effect, instances, name, seed)
    return answers


def _of_standing(
    standing: level.Standing, effect: Effect, instances: int, name: str, seed: int
) -> Iterator[Answer]:
    """Yield L's answers."""
    slope = fleet.ELASTICITY
    if effect.of_standing is not None:
        stood = effect.of_standing(standing, np.random.default_rng(seed + 3))
        yield from _at_all("L", instances, name, _level(stood, slope), ())
    if effect.of_build_in_standing is not None:
        for share in TRUTHS:
            stood, truth = effect.of_build_in_standing(standing, share)
            yield _answer("L", instances, name, (share, truth), _level(stood, slope), ())


def _level(standing: level.Standing, slope: float) -> Estimate | None:
    try:
        return level.estimate(standing, elasticity=slope, settle=fleet.SETTLE)
    except NotPossibleError:
        return None


def _of_groups(
    usage: Usage, effect: Effect, told: tuple[str, ...]
) -> Iterator[tuple[str, Estimate | None, tuple[str, ...]]]:
    """Yield letter, estimate and defects of A, B and, if the effect is there for hours, E."""
    slope = elasticity(usage, until=fleet.ROLL_START)
    week = around(WEEK, refreshed=effect.refreshed)
    inputs = Inputs(usage, week, slope, panel=None, settle=fleet.SETTLE)
    wrong = (*told, *defects(usage, week), *unpaired(usage, week, material=MATERIAL))
    yield "A", asked("A", inputs), wrong
    if effect.only_control:
        return
    alone = replace(inputs, usage=fleet.without_control(usage))
    wrong = (*told, *defects(alone.usage, week), *unpaired(alone.usage, week, material=MATERIAL))
    yield "B", asked("B", alone), wrong
    if effect.hourly:
        hour = around(HOUR, refreshed=effect.refreshed)
        wrong = (*told, *defects(alone.usage, hour), *unpaired(alone.usage, hour, material=MATERIAL))
        yield "E", asked("E", replace(alone, windows=hour)), wrong


def _at_all(
    letter: str, instances: int, name: str, found: Estimate | None, wrong: tuple[str, ...]
) -> Iterator[Answer]:
    for share in TRUTHS:
        moved = None if found is None else shifted(found, share)
        yield _answer(letter, instances, name, (share, share), moved, wrong)


def _answer(
    letter: str,
    instances: int,
    name: str,
    shares: tuple[float, float],
    found: Estimate | None,
    wrong: tuple[str, ...],
) -> Answer:
    if letter == "L":
        call = "inconclusive" if found is None or found.low <= 0 or found.saving < MATERIAL else "saved"
        if found is not None and found.high < 0 and found.saving <= -MATERIAL:
            call = "regression"
    else:
        call, _ = judge(found, (), wrong, material=MATERIAL)
    if found is None:
        return Answer(letter, instances, name, *shares, call)
    return Answer(letter, instances, name, *shares, call, found.saving, found.low, found.high)


@dataclass(frozen=True)
class Seen:
    """The smallest saving that one fleet's measurement would have called; infinite: refused."""

    instances: int
    held_back: bool
    after: str
    estimator: str
    smallest: float


_TIMES = {"1 hour": HOUR, "1 day": DAY, "7 days": WEEK}


def power(instances: int, seeds: range) -> list[Seen]:
    """Return the smallest saving that the leading estimator would call, with and without a hold-back."""
    size = SIZES[instances]
    found: list[Seen] = []
    for seed in seeds:
        usage = fleet.draw(np.random.default_rng(seed), size).usage
        panel = fleet.staggered(np.random.default_rng(seed + 1), 0.0, size)
        slope = elasticity(usage, until=fleet.ROLL_START)
        for after, length in _TIMES.items():
            inputs = Inputs(usage, around(length), slope, panel, fleet.SETTLE)
            alone = replace(inputs, usage=fleet.without_control(usage))
            for held_back, each in ((True, inputs), (False, alone)):
                wanted = "A" if held_back else ("S" if length == HOUR else "B")
                estimate = asked(wanted, each)
                if estimate is None and wanted == "S":
                    wanted, estimate = "E", asked("E", each)
                found.append(Seen(instances, held_back, after, wanted, smallest(estimate)))
    return found


def smallest(found: Estimate | None) -> float:
    """Return the smallest saving at which an estimate made at none would have been called *saved*."""
    if found is None:
        return np.inf
    above = 1 - (1 - found.allowance) / (1 - found.low - found.allowance)
    return max(above, 1 - (1 - MATERIAL) / (1 - found.saving))
