from __future__ import annotations

import math
from functools import partial

import numpy as np
import pandas as pd
import pytest

from fleetpgo.measurement.elasticity import elasticity
from fleetpgo.measurement.estimators.estimator import Inputs
from fleetpgo.measurement.usage import CONTROL, TREATED
from studies.measurement import cells, effects, fleet, scenarios, study, tables, year
from studies.measurement.cells import Answer


@pytest.fixture(scope="module")
def drawn():
    return fleet.draw(np.random.default_rng(1), fleet.MIDDLE)


def test_the_same_seed_draws_the_same_fleet(drawn):
    again = fleet.draw(np.random.default_rng(1), fleet.MIDDLE)
    assert np.array_equal(drawn.usage.cpu, again.usage.cpu)


@pytest.mark.parametrize(("instances", "size"), cells.SIZES.items())
def test_a_fleet_has_the_size_that_is_said(instances, size):
    assert size.total == instances


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


@pytest.mark.parametrize("letter", ["A", "B", "E"])
def test_an_answer_that_is_shifted_is_the_estimators_own_at_that_saving(drawn, letter):
    length = cells.HOUR if letter == "E" else cells.WEEK
    slope = elasticity(drawn.usage, until=fleet.ROLL_START)

    def ask(share):
        usage = fleet.saved(drawn, share)
        if letter != "A":
            usage = fleet.without_control(usage)
        return cells.asked(letter, Inputs(usage, cells.around(length), slope, None, fleet.SETTLE))

    own, shifted = ask(0.03), cells.shifted(ask(0.0), 0.03)
    expected = [shifted.saving, shifted.low, shifted.high]
    assert [own.saving, own.low, own.high] == pytest.approx(expected, abs=1e-9)


def test_the_smallest_saving_is_the_one_from_which_on_it_is_called(drawn):
    found = cells.asked("A", Inputs(drawn.usage, cells.around(cells.WEEK), 0.85, None, fleet.SETTLE))
    least = cells.smallest(found)
    for share, saved in ((least - 1e-6, False), (least + 1e-6, True)):
        moved = cells.shifted(found, share)
        assert (moved.low > 0 and moved.saving >= cells.MATERIAL) == saved


def test_every_estimator_is_asked_under_every_effect_that_it_meets():
    answers = pd.DataFrame(cells.block(6, range(50_000_000, 50_000_001)))
    asked = answers.groupby("estimator")["effect"].nunique()
    grouped = [each for each in effects.EFFECTS.values() if each.of_groups or each.of_build]
    assert asked["A"] == len(grouped)
    assert asked["B"] == sum(not each.only_control for each in grouped)
    assert asked["S"] == sum(each.of_panel is not None for each in effects.EFFECTS.values())
    stood = [each for each in effects.EFFECTS.values() if each.of_standing or each.of_build_in_standing]
    assert asked["L"] == len(stood)
    assert (answers.groupby(["estimator", "effect"]).size() == len(cells.TRUTHS)).all()


def test_no_two_fleets_of_the_table_have_a_seed_in_common(tmp_path):
    seeds = [seed for _, work in study.jobs(tmp_path) if work.func is cells.block for seed in work.args[1]]
    assert len(set(seeds)) == len(seeds) == sum(study.RUNS.values())
    assert min(seeds) >= study.TABLE > study.TUNING


def _make(log, name):
    with log.open("a") as made:
        made.write(f"{name}\n")
    return [Answer("A", 6, "base", 0.0, 0.0, "saved")]


def test_a_finished_block_is_not_made_again(tmp_path, monkeypatch):
    log, names = tmp_path / "made", ["table-6-00000.csv", "table-6-00050.csv"]
    monkeypatch.setattr(
        study, "jobs", lambda into: ((into / name, partial(_make, log, name)) for name in names)
    )
    study.run(tmp_path, processes=2)
    study.run(tmp_path, processes=2)
    assert sorted(log.read_text().split()) == names
    assert len(study.read(tmp_path, "table")) == 2


def answers(low, high, call, *, runs=100, effect="base"):
    return [
        Answer("A", 48, effect, wanted, wanted, call, wanted, wanted + low, wanted + high)
        for wanted in cells.TRUTHS
        for _ in range(runs)
    ]


def test_a_row_that_misses_its_bounds_says_so():
    (row,) = tables.tabulate(pd.DataFrame(answers(0.01, 0.02, "saved"))).to_dict("records")
    assert list(tables.remarks(row)) == ["covers too little", "false calls"]


def test_an_interval_that_always_covers_is_too_wide():
    (row,) = tables.tabulate(pd.DataFrame(answers(-0.1, 0.1, "inconclusive", runs=300))).to_dict("records")
    assert list(tables.remarks(row)) == ["too wide"]


def test_what_is_refused_is_no_miss_but_in_the_base_case():
    refused = [Answer("A", 48, name, t, t, "invalid") for name in ("base", "lost") for t in cells.TRUTHS] * 50
    rows = tables.tabulate(pd.DataFrame(refused)).to_dict("records")
    remarks = {row["effect"]: list(tables.remarks(row)) for row in rows}
    assert remarks == {"base": ["refused too often"], "lost": []}


def test_the_error_of_a_share_is_never_zero():
    assert tables.error(1.0, 100) == pytest.approx(math.sqrt(0.01 * 0.99 / 100))


def test_a_year_counts_what_was_reverted_and_what_was_summed():
    def row(week, truth, saving, half):
        shares = saving - half, saving + half
        call = "regression" if shares[1] < 0 else "inconclusive"
        return year.Refreshed("x", 1, 0, week, truth, 100.0, call, saving, *shares, 100 * saving, 12)

    rows = pd.DataFrame([row(0, 0.0, 0.0, 0.01), row(1, 0.0, -0.1, 0.01), row(2, -0.03, -0.03, 0.001)])
    *_, line = tables.years(rows)
    assert line.startswith("| x | 1 | 1.0 (1–1) | 1 of 1 |")
