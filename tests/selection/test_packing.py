from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fleetpgo.selection import Pack, Target, pack
from tests.selection.fleets import target

MANY = dict.fromkeys(["", "ams", "lhr", *"abcdefghij"], 99)


def test_few_targets_get_a_task_each_named_by_the_instance():
    targets = [target(1, "ams"), target(2)]
    assert pack(targets, max_tasks=2, limits=MANY, per_host=1) == [
        Pack("ams · 10.0.0.1:80", (targets[0],)),
        Pack("10.0.0.2:80", (targets[1],)),
    ]


def test_many_targets_are_packed_by_datacenter():
    targets = [target(number, "ams" if number % 3 else "lhr") for number in range(9)]
    packs = pack(targets, max_tasks=4, limits=MANY, per_host=1)
    assert [each.name for each in packs] == ["ams · 6 instances", "lhr · 3 instances"]


def test_instances_that_must_take_turns_stay_in_one_task():
    targets = [target(1, "ams"), target(2, "ams"), target(3, "lhr")]
    packs = pack(targets, max_tasks=4, limits={"ams": 1, "lhr": 1}, per_host=1)
    assert [each.name for each in packs] == ["ams · 2 instances", "lhr · 1 instances"]


def test_instances_of_one_host_stay_in_one_task():
    targets = [Target(f"10.0.0.1:{port}", "ams", 1.0, {}) for port in (80, 81)]
    assert len(pack(targets, max_tasks=4, limits=MANY, per_host=1)) == 1
    assert len(pack(targets, max_tasks=4, limits=MANY, per_host=2)) == 2


@given(st.lists(st.sampled_from("abcdefghij"), max_size=60), st.integers(1, 8))
def test_packing_loses_nothing_and_keeps_datacenters_together(datacenters, max_tasks):
    targets = [target(number, datacenter) for number, datacenter in enumerate(datacenters)]
    packs = pack(targets, max_tasks=max_tasks, limits=MANY, per_host=1)
    assert len(packs) <= max_tasks
    assert sorted((t for p in packs for t in p.targets), key=targets.index) == targets
    if len(targets) > max_tasks:
        homes = {(t.datacenter, number) for number, p in enumerate(packs) for t in p.targets}
        assert len(homes) == len(set(datacenters))
