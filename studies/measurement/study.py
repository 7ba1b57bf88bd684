"""How far the estimators can be believed: simulated fleets, known savings, counted answers.

    python -m studies.measurement.study --runs 1000 --write docs/measurement.md

Each run draws one fleet from its own seed and asks every estimator about it, without and with each scenario.
The tables are written between the marks in docs/measurement.md. A row that misses its bound says so.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import re
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fleetpgo.measurement import windows
from fleetpgo.measurement.checking import defects
from fleetpgo.measurement.elasticity import elasticity
from fleetpgo.measurement.estimate import NotPossibleError
from fleetpgo.measurement.estimators import holdback, weekly
from fleetpgo.measurement.estimators.estimator import Inputs
from fleetpgo.measurement.estimators.registry import ESTIMATORS
from fleetpgo.measurement.verdict import judge
from fleetpgo.prometheus import from_timestamp
from fleetpgo.run.proposed import Rollout
from studies.measurement import fleet, scenarios, tables

if TYPE_CHECKING:
    from collections.abc import Iterator

TRUTHS = (0.0, 0.01, 0.02, 0.035, -0.01)
STRESS_TRUTHS = (0.0, 0.02, -0.01)
MATERIAL = 0.005

SEEDS, CALIBRATION_SEEDS = 70_000_000, 90_000_000

ROLLOUT = Rollout("", from_timestamp(fleet.ROLL_START), from_timestamp(fleet.ROLL_END), 1.0)


def _around(length: timedelta) -> windows.Windows:
    return windows.around(ROLLOUT, settle=timedelta(seconds=fleet.SETTLE), length=length, step=fleet.STEP)


WEEK, HOUR = _around(timedelta(days=7)), _around(timedelta(hours=1))


@dataclass(frozen=True)
class Answer:
    """What one estimator said of one fleet."""

    estimator: str
    scenario: str
    truth: float
    call: str
    saving: float = np.nan
    low: float = np.nan
    high: float = np.nan


_BY_LETTER = {each.letter: each for each in ESTIMATORS}


def _answer(
    estimator: str,
    scenario: str,
    truth: float,
    inputs: Inputs,
    wrong: tuple[str, ...] = (),
    *,
    watched: bool = True,
) -> Answer:
    try:
        found = _BY_LETTER[estimator].run(inputs)
    except NotPossibleError:
        found = None
    call, _ = judge(found, (), wrong, material=MATERIAL, watched=watched)
    if found is None:
        return Answer(estimator, scenario, truth, call)
    return Answer(estimator, scenario, truth, call, found.saving, found.low, found.high)


def run(seed: int, stress: bool) -> list[Answer]:  # noqa: FBT001  # mapped over seeds
    """Every estimator's answer about the fleet of that seed."""
    drawn = fleet.draw(np.random.default_rng(seed))
    slope = elasticity(drawn.usage, until=fleet.ROLL_START)
    return [*_of_groups(drawn, seed, stress), *_of_instances(drawn, seed, stress, slope)]


def _of_groups(drawn: fleet.Draw, seed: int, stress: bool) -> Iterator[Answer]:  # noqa: FBT001
    """A, B and E."""
    named = {tables.NO_SCENARIO: scenarios.nothing, **(scenarios.WEEKLY if stress else {})}
    for name, scenario in named.items():
        slope = None
        for truth in TRUTHS if name == tables.NO_SCENARIO else STRESS_TRUTHS:
            usage = scenario(fleet.saved(drawn, truth), np.random.default_rng(seed + 1))
            if slope is None:  # what lies before the rollout knows no saving
                found = elasticity(usage, until=fleet.ROLL_START)
                slope = 1.0 if found is None else found
            watched = name != "second deploy, unseen"
            told = [scenarios.SEEN[name]] if name in scenarios.SEEN else []
            wrong = (*told, *defects(usage, WEEK))
            inputs = Inputs(usage, WEEK, slope, panel=None, settle=fleet.SETTLE)
            yield _answer("A", name, truth, inputs, wrong, watched=watched)
            treated = replace(inputs, usage=fleet.without_control(usage))
            yield _answer("B", name, truth, treated, wrong, watched=watched)
            if name == tables.NO_SCENARIO or name in scenarios.HOURLY:
                wrong = tuple(defects(treated.usage, HOUR))
                yield _answer("E", name, truth, replace(treated, windows=HOUR), wrong)


def _of_instances(
    drawn: fleet.Draw,
    seed: int,
    stress: bool,  # noqa: FBT001
    slope: float | None,
) -> Iterator[Answer]:
    """S."""
    named = {tables.NO_SCENARIO: scenarios.panel_nothing, **(scenarios.STAGGERED if stress else {})}
    for (name, scenario), truth in itertools.product(named.items(), TRUTHS):
        if name != tables.NO_SCENARIO and truth not in STRESS_TRUTHS:
            continue
        panel = fleet.staggered(np.random.default_rng(seed), truth)
        panel = scenario(panel, np.random.default_rng(seed + 1))
        yield _answer("S", name, truth, Inputs(drawn.usage, HOUR, slope, panel, fleet.SETTLE))


def calibrate(runs: int, processes: int) -> None:
    """Print the standard deviation of A and B where nothing changes, in percentage points."""
    seeds = (CALIBRATION_SEEDS + 1_000 * s for s in range(runs))
    with ProcessPoolExecutor(processes) as pool:
        savings = pd.DataFrame(pool.map(_unchanged, seeds, chunksize=4))
    print((100 * savings.std()).round(3).to_string())


def _unchanged(seed: int) -> dict[str, float]:
    drawn = fleet.draw(np.random.default_rng(seed))
    usage = fleet.saved(drawn, 0.0)
    slope = elasticity(usage, until=fleet.ROLL_START)
    slope = 1.0 if slope is None else slope
    # Of two weeks alone: without history all days weigh alike, as they did where 0.21 was found.
    held_back = holdback.estimate(fleet.since(usage, WEEK.before[0]), WEEK, elasticity=slope)
    week = weekly.estimate(fleet.without_control(usage), WEEK, elasticity=slope)
    return {"A": held_back.saving, "B": week.saving}


def main() -> None:
    """Run the study and write its tables."""
    parser = argparse.ArgumentParser(prog="python -m studies.measurement.study", description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000, help="fleets without a scenario")
    parser.add_argument("--stress-runs", type=int, default=200, help="those of them that meet the scenarios")
    parser.add_argument(
        "--calibrate",
        type=int,
        metavar="RUNS",
        help="print the SD of A and B over other fleets than the study's: what the noise in fleet.py "
        "is set by",
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--write", type=Path, help="Markdown file whose marked part is replaced")
    arguments = parser.parse_args()

    if arguments.calibrate:
        calibrate(arguments.calibrate, arguments.processes)
        return
    began = time.monotonic()
    seeds = range(arguments.runs)
    stress = [seed < arguments.stress_runs for seed in seeds]
    with ProcessPoolExecutor(arguments.processes) as pool:
        answers = [
            answer
            for each in pool.map(run, (SEEDS + 1_000 * s for s in seeds), stress, chunksize=4)
            for answer in each
        ]
    table = tables.tabulate(pd.DataFrame(answers))
    minutes = (time.monotonic() - began) / 60
    made = (
        f"Made by `make study-measurement` on {datetime.now(UTC):%Y-%m-%d}, {platform.machine()} "
        f"{platform.system()}, Python {platform.python_version()}, {arguments.processes} processes, "
        f"{minutes:.0f} minutes. Bias, SD and width in percentage points."
    )
    text = "\n".join([made, "", *tables.base(table), "", *tables.stress(table)])
    print(text)
    if arguments.write:
        old = arguments.write.read_text(encoding="utf-8")
        marked = re.compile(r"(<!-- study:begin -->\n).*(<!-- study:end -->)", re.DOTALL)
        new = marked.sub(lambda match: f"{match[1]}\n{text}\n\n{match[2]}", old)
        arguments.write.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
