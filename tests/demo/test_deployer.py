"""The order in which the demo's deployer restarts instances, on a fleet that only notes it."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest

from demo import deployer
from demo.deployer import Builds, Rotation, deploy, start_baseline
from demo.fleet import DATACENTERS
from fleetpgo.service.rules import MeasurementRules

BUILDS = Builds("old", "new", "baseline")
RULES = MeasurementRules(week=timedelta(seconds=95), settle=timedelta(seconds=25))


class Fleet:
    """What each instance runs."""

    def __init__(self):
        self.instances = [SimpleNamespace(datacenter=DATACENTERS[i % 3]) for i in range(9)]
        self.runs = ["old"] * 9
        self.rolled = []

    def roll(self, indices, binary):
        for i in indices:
            self.runs[i] = binary
            self.rolled.append((i, binary))


@pytest.fixture
def fleet():
    fleet = Fleet()
    deploy(fleet, BUILDS.old, BUILDS.new)
    start_baseline(fleet, BUILDS)
    return fleet


def test_each_datacenter_has_a_treated_and_a_held_back_instance_and_one_that_takes_turns(fleet):
    assert fleet.runs == ["new"] * 3 + ["old"] * 3 + ["new", "baseline", "baseline"]


def test_the_instance_that_completes_the_rollout_is_the_last_to_be_restarted(fleet):
    assert fleet.rolled[-1] == (6, "new")


def test_the_baseline_has_three_memberships_within_the_week_after_the_rollout(fleet, monkeypatch):
    clock = SimpleNamespace(now=1_000.0)
    monkeypatch.setattr(deployer.time, "monotonic", lambda: clock.now)
    rotation = Rotation(fleet, BUILDS, RULES)
    seen, said = [], []
    for _ in range(60):
        said += filter(None, [rotation.turn()])
        seen.append(tuple(fleet.runs[6:]))
        clock.now += 2
    assert list(dict.fromkeys(seen)) == [
        ("new", "baseline", "baseline"),
        ("baseline", "new", "baseline"),
        ("baseline", "baseline", "new"),
    ]
    assert said == ["rotated the baseline: ams in, lhr out", "rotated the baseline: lhr in, sjc out"]
    assert [seen.count(each) for each in dict.fromkeys(seen)] == [20, 20, 20]
