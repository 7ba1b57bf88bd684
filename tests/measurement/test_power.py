from __future__ import annotations

import json

import pytest

from fleetpgo.measurement import power
from fleetpgo.measurement.power import Line, expected


@pytest.fixture(autouse=True)
def table(monkeypatch):
    lines = (
        Line(6, held_back=True, hour=None, day=0.08, week=0.042),
        Line(48, held_back=False, hour=0.044, day=0.04, week=0.024),
        Line(48, held_back=True, hour=0.119, day=0.05, week=0.028),
        Line(500, held_back=True, hour=0.035, day=0.014, week=0.007),
    )
    monkeypatch.setattr(power, "lines", lambda: lines)


@pytest.mark.parametrize(("instances", "line"), [(3, 6), (47, 6), (48, 48), (499, 48), (9_000, 500)])
def test_the_line_is_of_the_largest_fleet_that_is_not_larger(instances, line):
    assert expected(instances, held_back=True).startswith(f"of {line} simulated instances with a hold-back")


def test_the_sentence_has_all_three_times():
    assert expected(60, held_back=False) == (
        "of 48 simulated instances without a hold-back, 80 % of the rollouts show a saving of 2.4 % "
        "after 7 days, 4.0 % after a day, 4.4 % after an hour"
    )


def test_what_shows_nothing_says_so():
    assert expected(6, held_back=True).endswith("no size after an hour")


def test_the_table_of_the_package_can_be_read():
    packaged = [Line(**each) for each in json.loads(power.TABLE.read_text())]
    assert {each.held_back for each in packaged} == {True, False}
