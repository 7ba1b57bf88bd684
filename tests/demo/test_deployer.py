"""The order in which the demo's deployer restarts instances, on a fleet that only notes it."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest

from demo import deployer
from demo.deployer import Builds, Rotation, deploy, start_baseline
from fleetpgo.service.rules import MeasurementRules

BUILDS = Builds("old", "new", "baseline")
RULES = MeasurementRules(week=timedelta(seconds=95), settle=timedelta(seconds=25))


class Fleet:
    """What each instance runs."""

    def __init__(self, datacenters):
        self.datacenters = datacenters
        self.instances = [SimpleNamespace(datacenter=each) for _ in range(3) for each in datacenters]
        self.runs = ["old"] * len(self.instances)
        self.rolled = []

    def roll(self, indices, binary):
        for i in indices:
            self.runs[i] = binary
            self.rolled.append((i, binary))


@pytest.fixture
def fleet():
    fleet = Fleet(["ams", "fra", "lhr", "nrt", "sjc"])
    deploy(fleet, BUILDS.old, BUILDS.new)
    start_baseline(fleet, BUILDS)
    return fleet


def test_each_datacenter_has_a_treated_and_a_held_back_instance_and_one_that_takes_turns(fleet):
    turning = ["new", "baseline", "baseline", "new", "baseline"]
    assert fleet.runs == ["new"] * 5 + ["old"] * 5 + turning


def test_instances_that_get_the_new_build_complete_the_rollout(fleet):
    assert fleet.rolled[-2:] == [(10, "new"), (13, "new")]


def test_each_instance_of_the_baseline_has_a_turn_within_the_week_after_the_rollout(fleet, monkeypatch):
    clock = SimpleNamespace(now=1_000.0)
    monkeypatch.setattr(deployer.time, "monotonic", lambda: clock.now)
    rotation = Rotation(fleet, BUILDS, RULES)
    seen, said = [], []
    for _ in range(60):
        said += filter(None, [rotation.turn()])
        with_profile = [i for i in range(10, 15) if fleet.runs[i] == "new"]
        seen.append(" ".join(fleet.instances[i].datacenter for i in with_profile))
        clock.now += 2
    assert list(dict.fromkeys(seen)) == ["ams nrt", "fra sjc", "lhr"]
    assert said == [
        "rotated the baseline: ams, nrt in, fra, sjc out",
        "rotated the baseline: fra, sjc in, lhr out",
    ]
    assert [seen.count(each) for each in dict.fromkeys(seen)] == [20, 20, 20]
