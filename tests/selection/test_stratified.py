from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpgo.errors import SelectionError
from fleetpgo.selection import stratified
from fleetpgo.selection.stratified import allocate
from tests.selection.fleets import rules, target

FLEET = [
    target(number, datacenter, cores, generation=str(number % 2))
    for number, (datacenter, cores) in enumerate(
        [("ams", 6.0)] * 10 + [("lhr", 3.0)] * 10 + [("sjc", 1.0)] * 10
    )
]


def choose(**changes):
    return stratified.choose(FLEET, rules(**{"instances": 10, "max_rounds": 1, **changes}), seed="run")


def counts(selection):
    return Counter(each.stratum for each in selection.targets)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"ams": 6, "lhr": 3, "sjc": 1}),
        ({"allocation": "equal"}, {"ams": 4, "lhr": 3, "sjc": 3}),
        ({"allocation": {"ams": 2, "sjc": 20}}, {"ams": 2, "lhr": 1, "sjc": 10}),
        ({"instances": 1}, {"ams": 1, "lhr": 1, "sjc": 1}),
        ({"strata": ["generation"]}, {"0": 5, "1": 5}),
    ],
    ids=["proportional to CPU", "equal", "own numbers", "one of each at least", "another label"],
)
def test_instances_are_spread_over_the_strata(changes, expected):
    assert counts(choose(**changes)) == expected


def test_strata_may_be_made_of_several_labels():
    chosen = choose(strata=["datacenter", "rack"], instances=3)
    assert counts(chosen) == {"ams/no rack": 1, "lhr/no rack": 1, "sjc/no rack": 1}


def test_each_stratums_cpu_is_recorded():
    assert choose().strata == {"ams": 60.0, "lhr": 30.0, "sjc": 10.0}


def test_a_number_for_a_stratum_that_is_not_there_is_said():
    assert choose(allocation={"fra": 2}).warnings == (
        "selection.allocation names fra, of which there is no instance",
    )


def test_more_than_asked_for_is_said():
    assert choose(instances=2).warnings == ("3 instances instead of 2: one of each stratum",)


def test_labels_that_no_instance_has_make_no_strata():
    with pytest.raises(
        SelectionError, match=r"selection\.strata names dc, zone, and no instance has"
    ) as raised:
        choose(strata=["dc", "zone"])
    assert "datacenter" in raised.value.hint


def test_one_label_that_no_instance_has_is_warned_of():
    assert (
        "selection.strata names dc, and no instance has that label"
        in choose(strata=["datacenter", "dc"]).warnings
    )


def test_a_label_that_tells_every_instance_apart_makes_no_strata():
    fleet = [target(number, pod=str(number)) for number in range(101)]
    with pytest.raises(SelectionError, match="makes 101 strata of the labels pod"):
        stratified.choose(fleet, rules(strata=["pod"], instances=10), seed="run")
    assert len(stratified.choose(fleet[:100], rules(strata=["pod"], instances=10), seed="run").targets) == 100


def test_each_round_is_spread_alike():
    rounds = choose(max_rounds=2)
    assert Counter((each.round, each.stratum) for each in rounds.targets) == {
        (1, "ams"): 6,
        (1, "lhr"): 3,
        (1, "sjc"): 1,
        (2, "ams"): 4,
        (2, "lhr"): 3,
        (2, "sjc"): 1,
    }


strata = st.dictionaries(
    st.text(max_size=3), st.tuples(st.floats(0.001, 1e6), st.integers(1, 50)), min_size=1, max_size=20
)


@given(strata, st.integers(1, 300))
def test_an_allocation_gives_out_all_and_never_more_than_there_is(given_strata, total):
    shares = {name: share for name, (share, _) in given_strata.items()}
    sizes = {name: size for name, (_, size) in given_strata.items()}
    found = allocate(total, shares, sizes)
    assert all(1 <= found[name] <= sizes[name] for name in sizes)
    assert sum(found.values()) == max(len(sizes), min(total, sum(sizes.values())))
