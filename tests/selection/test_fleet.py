from __future__ import annotations

import pytest

from fleetpgo.selection.fleet import read_fleet
from tests.selection.fleets import Answering, rules


def read(*series):
    return read_fleet(Answering(*series).instant("cpu", partial_response=False), rules())


@pytest.mark.parametrize(
    "instance",
    [
        "http://10.0.0.1",
        "a:80/../../etc",
        "user@host:80",
        "a b",
        "a%2fb:80",
        "a:80\r\nHost: evil",
        "a:80?x",
        "a:80#x",
        "",
        "a:123456",
        "-a",
    ],
)
def test_a_label_that_is_no_address_is_never_a_target(instance):
    fleet, warnings = read(({"instance": instance}, 1.0), ({"instance": "good:80"}, 1.0))
    assert [target.instance for target in fleet] == ["good:80"]
    assert len(warnings) == 1


@pytest.mark.parametrize("instance", ["a", "a:80", "a.example.com:80", "10.0.0.1:80", "[::1]:80", "[::1]"])
def test_addresses_of_every_form_are_targets(instance):
    fleet, warnings = read(({"instance": instance}, 1.0))
    assert ([target.instance for target in fleet], warnings) == ([instance], [])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_what_cannot_be_cores_is_left_out(value):
    fleet, warnings = read(({"instance": "a:80"}, value))
    assert (fleet, warnings) == ([], [f"left out: a:80 uses {value} cores, which cannot be"])


def test_an_instance_without_load_is_left_out():
    assert read(({"instance": "a:80"}, 0.0)) == (
        [],
        ["left out: a:80 uses no CPU, so it has nothing to show"],
    )


def test_an_instance_with_several_series_counts_once_with_its_busiest():
    fleet, warnings = read(
        ({"instance": "a:80"}, 1.0), ({"instance": "a:80"}, 3.0), ({"instance": "a:80"}, 2.0)
    )
    assert [target.cores for target in fleet] == [3.0]
    assert warnings == ["a:80 has several series; the busiest counts (and 1 more like it)"]


def test_a_series_without_the_instance_label_is_left_out_and_said_so():
    _, warnings = read(({"pod": "a"}, 1.0), ({"instance": "a:80"}, 1.0))
    assert warnings == ["left out: a series without the label instance: {'pod': 'a'}"]


def test_many_series_of_the_same_fault_make_one_warning():
    _, warnings = read(*(({"instance": f"a{n}:80"}, -1.0) for n in range(1000)))
    assert warnings == ["left out: a0:80 uses -1.0 cores, which cannot be (and 999 more like it)"]


def test_a_series_with_labels_of_a_megabyte_is_left_out_and_not_repeated():
    fleet, warnings = read(({"instance": "a:80", "note": "x" * 1_000_000}, 1.0))
    assert (fleet, warnings) == ([], ["left out: a series whose labels have 1,000,016 characters"])
