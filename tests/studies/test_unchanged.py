"""The study of what is unchanged, with few fleets of few samples; its table is made by hand (`make`)."""

from __future__ import annotations

import numpy as np
import pytest

from studies.unchanged import study


def test_a_share_of_the_weight_moves_to_functions_that_were_not_there():
    random = np.random.default_rng(1)
    program = study.shares(random)
    after = study.moved(program, 0.25, random)
    assert after.sum() == pytest.approx(1)
    assert after[study.STACKS :].sum() == pytest.approx(0.25)
    assert np.minimum(program, after).sum() == pytest.approx(0.75)


def test_a_small_fleet_proposes_nothing_by_chance_and_half_of_the_weight_at_once():
    row = study.run(500, fleets=1)
    assert row.holds
    assert row.samples == 500


def test_the_smallest_change_is_the_one_from_which_on_all_are_noticed():
    row = study.Row(500, 0.4, 0.4, [0], {0.1: 0.95, 0.2: 0.5, 0.3: 1.0, 0.5: 1.0})
    assert row.smallest == 0.3
