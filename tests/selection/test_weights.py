from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpgo.selection import Selection, merge_weights
from fleetpgo.selection.weights import unrepresented
from tests.selection.fleets import target


def drawn(number: int, stratum: str, cores: float):
    return replace(target(number, cores=cores), stratum=stratum)


TWO = Selection(
    (drawn(1, "ams", 1.0), drawn(2, "ams", 2.0), drawn(3, "lhr", 1.0)), strata={"ams": 60.0, "lhr": 10.0}
)
NAMES = [each.instance for each in TWO.targets]


def test_instances_that_stand_for_themselves_are_added_up_as_they_are():
    selection = Selection((target(1), target(2)))
    assert merge_weights(selection, {"10.0.0.1:80": 5, "10.0.0.2:80": 9}) == {
        "10.0.0.1:80": 1.0,
        "10.0.0.2:80": 1.0,
    }


def test_each_stratum_gets_the_share_that_it_has_of_the_cpu():
    samples = dict(zip(NAMES, [100, 300, 50], strict=True))
    weights = merge_weights(TWO, samples)
    parts = [weights[name] * samples[name] for name in NAMES]
    assert [part / sum(parts) for part in parts] == pytest.approx([3 / 7, 3 / 7, 1 / 7])


def test_the_sum_has_as_many_samples_as_it_is_worth():
    weights = merge_weights(TWO, dict(zip(NAMES, [100, 100, 100], strict=True)))
    # 3 : 3 : 1, each a hundred times: 700² ÷ (9 + 9 + 1) · 100 by Kish.
    assert sum(weights.values()) * 100 == pytest.approx(700**2 / 1_900)


def test_equal_instances_are_added_up_as_they_are():
    selection = Selection((drawn(1, "ams", 1.0), drawn(2, "ams", 1.0)), strata={"ams": 60.0})
    assert merge_weights(selection, {"10.0.0.1:80": 50, "10.0.0.2:80": 50}) == {
        "10.0.0.1:80": pytest.approx(1.0),
        "10.0.0.2:80": pytest.approx(1.0),
    }


def test_the_others_of_a_stratum_stand_for_one_that_gave_nothing():
    samples = {NAMES[1]: 300, NAMES[2]: 50}
    weights = merge_weights(TWO, samples)
    assert weights[NAMES[1]] * 300 / (weights[NAMES[2]] * 50) == pytest.approx(6.0)


def test_an_instance_larger_than_its_part_stands_for_itself_only():
    selection = Selection((drawn(1, "ams", 50.0), drawn(2, "ams", 1.0)), strata={"ams": 60.0})
    weights = merge_weights(selection, dict.fromkeys(["10.0.0.1:80", "10.0.0.2:80"], 10))
    assert weights["10.0.0.1:80"] / weights["10.0.0.2:80"] == pytest.approx(5.0)


def test_a_stratum_that_gave_nothing_is_named_with_its_share():
    assert unrepresented(TWO, {NAMES[0]: 5}) == {"lhr": pytest.approx(1 / 7)}


@given(st.lists(st.tuples(st.floats(0.01, 100), st.integers(1, 10_000)), min_size=1, max_size=20))
def test_together_they_stand_for_the_stratum(instances):
    targets = tuple(drawn(number, "all", cores) for number, (cores, _) in enumerate(instances))
    cores = 1.5 * sum(each.cores for each in targets)
    samples = {each.instance: count for each, (_, count) in zip(targets, instances, strict=True)}
    weights = merge_weights(Selection(targets, strata={"all": cores}), samples)
    parts = {name: weights[name] * samples[name] for name in samples}
    scale = cores / sum(parts.values())
    # Nobody stands for less than itself.
    assert all(parts[each.instance] * scale >= each.cores * 0.999 for each in targets)
