from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpgo.config import Selection as Rules
from fleetpgo.errors import SelectionError
from fleetpgo.prometheus import Answer, Series
from fleetpgo.selection import Pack, Target, pack, select

FLEET = [
    ({"instance": "10.0.0.1:80", "datacenter": "ams", "tier": "1"}, 0.5),
    ({"instance": "10.0.0.2:80", "datacenter": "lhr", "tier": "1"}, 2.5),
    ({"instance": "[2001:db8::3]:80", "datacenter": "sjc", "tier": "1"}, 1.5),
    ({"instance": "10.0.0.4:80", "datacenter": "sjc", "tier": "2"}, 9.0),
    ({"instance": "10.0.0.5:80", "tier": "1"}, float("nan")),
]


@pytest.fixture(scope="module")
def prometheus(start_prometheus):
    now = int(time.time())
    return start_prometheus([("cpu", labels, [(now, value), (now + 60, value)]) for labels, value in FLEET])


class Answering:
    """Stands where Prometheus stands, and gives an answer that only a strange one would give."""

    def __init__(self, *series: tuple[dict[str, str], float], warnings: tuple[str, ...] = ()) -> None:
        self.series = tuple(Series(labels, ((0.0, value),)) for labels, value in series)
        self.warnings = warnings

    def instant(self, query, *, partial_response):
        return Answer(query, self.series, self.warnings)


def test_the_busiest_instances_that_match_are_chosen_busiest_first(prometheus):
    chosen = select(prometheus, Rules(cpu='cpu{tier="1"}'), instances=2)
    assert (chosen.query, chosen.warnings) == ('topk(2, cpu{tier="1"})', ())
    assert [(target.instance, target.datacenter, target.cores) for target in chosen.targets] == [
        ("10.0.0.2:80", "lhr", 2.5),
        ("[2001:db8::3]:80", "sjc", 1.5),
    ]


def test_nothing_found_prints_the_query(prometheus):
    with pytest.raises(SelectionError, match=r'query: topk\(2, cpu\{tier="3"\}\)'):
        select(prometheus, Rules(cpu='cpu{tier="3"}'), instances=2)


def test_a_nan_is_left_out_and_said_so(prometheus):
    chosen = select(prometheus, Rules(cpu="cpu"), instances=5)
    assert chosen.warnings == ("left out: 10.0.0.5:80 uses nan cores, which cannot be",)
    assert len(chosen.targets) == 4


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
    fleet = Answering(({"instance": instance}, 1.0), ({"instance": "good:80"}, 1.0))
    chosen = select(fleet, Rules(cpu="cpu"), instances=2)
    assert [target.instance for target in chosen.targets] == ["good:80"]
    assert len(chosen.warnings) == 1


def test_an_instance_with_several_series_counts_once_with_its_busiest():
    fleet = Answering(({"instance": "a:80"}, 1.0), ({"instance": "a:80"}, 3.0), ({"instance": "a:80"}, 2.0))
    chosen = select(fleet, Rules(cpu="cpu"), instances=2)
    assert [target.cores for target in chosen.targets] == [3.0]


def test_a_series_without_the_instance_label_is_left_out_and_said_so():
    fleet = Answering(({"pod": "a"}, 1.0), ({"instance": "a:80"}, 1.0))
    chosen = select(fleet, Rules(cpu="cpu"), instances=2)
    assert chosen.warnings == ("left out: a series without the label instance: {'pod': 'a'}",)


def test_prometheus_warnings_are_kept():
    fleet = Answering(({"instance": "a:80"}, 1.0), warnings=("store lhr is down",))
    assert select(fleet, Rules(cpu="cpu"), instances=2).warnings == ("store lhr is down",)


def target(number: int, datacenter: str) -> Target:
    return Target(f"10.0.0.{number}:80", datacenter, 1.0, {})


def test_few_targets_get_a_task_each_named_by_the_instance():
    targets = [target(1, "ams"), target(2, "")]
    assert pack(targets, max_tasks=2) == [
        Pack("ams · 10.0.0.1:80", (targets[0],)),
        Pack("10.0.0.2:80", (targets[1],)),
    ]


def test_many_targets_are_packed_by_datacenter():
    targets = [target(number, "ams" if number % 3 else "lhr") for number in range(9)]
    assert [each.name for each in pack(targets, max_tasks=4)] == ["ams · 6 instances", "lhr · 3 instances"]


@given(st.lists(st.sampled_from("abcdefghij"), max_size=60), st.integers(1, 8))
def test_packing_loses_nothing_and_keeps_datacenters_together(datacenters, max_tasks):
    targets = [target(number, datacenter) for number, datacenter in enumerate(datacenters)]
    packs = pack(targets, max_tasks=max_tasks)
    assert len(packs) <= max_tasks
    assert sorted((t for p in packs for t in p.targets), key=targets.index) == targets
    if len(targets) > max_tasks:
        homes = {(t.datacenter, number) for number, p in enumerate(packs) for t in p.targets}
        assert len(homes) == len(set(datacenters))
