from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fleetpgo.measurement.usage import CONTROL, TREATED
from studies.measurement import fleet, scenarios, study, tables


@pytest.fixture(scope="module")
def drawn():
    return fleet.draw(np.random.default_rng(1))


def test_the_same_seed_draws_the_same_fleet(drawn):
    again = fleet.draw(np.random.default_rng(1))
    assert np.array_equal(drawn.usage.cpu, again.usage.cpu)


def test_the_fleet_has_the_size_that_is_said(drawn):
    cores = drawn.usage.cpu.sum(axis=(0, 1))
    assert 2_000 < cores.mean() < 4_500
    assert drawn.usage.instances[:, :, 0].sum() == 500


def test_a_saving_multiplies_cpu_of_the_treated_after_the_rollout_and_nothing_else(drawn):
    ratio = fleet.saved(drawn, 0.02).cpu / drawn.usage.cpu
    after = drawn.usage.times >= fleet.ROLL_END
    assert ratio[TREATED][:, after] == pytest.approx(0.98)
    assert ratio[CONTROL] == pytest.approx(1.0)
    assert ratio[TREATED][:, drawn.usage.times < fleet.ROLL_START] == pytest.approx(1.0)


def test_a_balancer_moves_requests_and_loses_none(drawn):
    balanced = scenarios.balancer(drawn.usage, np.random.default_rng(1))
    assert balanced.requests.sum(axis=0) == pytest.approx(drawn.usage.requests.sum(axis=0))
    cpu = balanced.cpu / balanced.instances
    assert cpu[TREATED] == pytest.approx(cpu[CONTROL])


def test_every_estimator_answers_every_scenario_it_meets():
    answers = pd.DataFrame(study.run(0, stress=True))
    met = answers.groupby("estimator")["scenario"].nunique()
    assert met["B"] == len(scenarios.WEEKLY) + 1
    assert met["S"] == len(scenarios.STAGGERED) + 1


def test_a_row_that_misses_its_bounds_says_so():
    answers = [
        study.Answer("A", tables.NO_SCENARIO, 0.0, "saved", 0.02, 0.01, 0.03),
        study.Answer("A", tables.NO_SCENARIO, 0.01, "inconclusive", 0.01, -0.01, 0.03),
    ]
    *_, at_zero, at_one = tables.base(tables.tabulate(pd.DataFrame(answers)))
    assert at_zero.endswith("| coverage outside 92 % to 98 %; more than 5 % false calls |")
    assert at_one.endswith("| coverage outside 92 % to 98 %; power below 99 % |")


def test_what_is_not_called_is_held_whatever_its_interval():
    answers = [study.Answer("B", "storm", 0.0, "invalid", 0.02, 0.01, 0.03)] * 3
    *_, row = tables.stress(tables.tabulate(pd.DataFrame(answers)))
    assert row == "| B | storm | +2.00 | 0 % | 100 % | 0.0 % | 100 % | 0.0 % | met |"
