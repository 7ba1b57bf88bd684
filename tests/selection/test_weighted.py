from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpgo.selection import weighted
from tests.selection.fleets import rules, target

FLEET = [target(number, cores=1.0 + number % 3) for number in range(30)]


def chosen(seed, fleet=FLEET, **changes):
    picked = weighted.choose(fleet, rules(**{"instances": 5, "max_rounds": 1, **changes}), seed=seed)
    return [each.instance for each in picked.targets]


def test_a_retry_chooses_the_same():
    assert chosen("run") == chosen("run", list(reversed(FLEET)))


def test_another_run_chooses_others():
    assert chosen("run") != chosen("next run")


def test_a_small_change_of_cpu_hardly_changes_the_choice():
    changed = [replace(each, cores=each.cores * 1.01**number) for number, each in enumerate(FLEET)]
    assert len(set(chosen("run")) & set(chosen("run", changed))) >= 4


@given(st.integers(1, 40), st.integers(1, 4))
def test_nobody_is_drawn_twice(instances, rounds):
    drawn = chosen("run", instances=instances, max_rounds=rounds)
    assert len(set(drawn)) == len(drawn) == min(30, instances * rounds)


def test_later_rounds_only_add_to_the_first():
    assert chosen("run", max_rounds=3)[:5] == chosen("run")


def test_the_chance_is_in_proportion_to_cpu():
    fleet = [target(number, cores=cores) for number, cores in enumerate([1.0] * 60 + [3.0] * 60)]
    cores = {each.instance: each.cores for each in fleet}
    drawn = Counter(cores[each] for run in range(500) for each in chosen(str(run), fleet, instances=8))
    # Of 4,000 draws 3 of 4 are due to the larger ones; the standard error is 0.7 %.
    assert drawn[3.0] / 4000 == pytest.approx(0.75, abs=0.025)
