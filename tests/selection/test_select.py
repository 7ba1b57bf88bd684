"""The query, against a real Prometheus, and what becomes of its answer."""

from __future__ import annotations

import time

import pytest

from fleetpgo.errors import SelectionError
from fleetpgo.selection import select
from tests.selection.fleets import Answering, rules

FLEET = [
    ({"instance": "10.0.0.1:80", "datacenter": "ams", "tier": "1"}, 0.5),
    ({"instance": "10.0.0.2:80", "datacenter": "lhr", "tier": "1"}, 2.5),
    ({"instance": "[2001:db8::3]:80", "datacenter": "sjc", "tier": "1"}, 1.5),
    ({"instance": "10.0.0.4:80", "datacenter": "sjc", "tier": "2"}, 9.0),
    ({"instance": "10.0.0.5:80", "tier": "1"}, float("nan")),
]
STALE = ({"instance": "10.0.0.6:80", "datacenter": "ams", "tier": "1"}, 99.0)


@pytest.fixture(scope="module")
def prometheus(start_prometheus):
    now = int(time.time())
    builds = [
        {"instance": labels["instance"], "revision": revision}
        for (labels, _), revision in zip(FLEET, ["old", "new", "new", "new", "old"], strict=True)
    ]
    return start_prometheus(
        [
            *(("cpu", labels, [(now, value), (now + 60, value)]) for labels, value in FLEET),
            ("cpu", STALE[0], [(now - 3600, STALE[1])]),
            *(("build_info", labels, [(now, 1), (now + 60, 1)]) for labels in builds),
        ]
    )


def instances(selection) -> list[str]:
    return [target.instance for target in selection.targets]


def test_the_busiest_instances_that_match_are_chosen_busiest_first(prometheus):
    chosen = select(prometheus, rules(cpu='cpu{tier="1"}', instances=2, max_rounds=1), seed="")
    assert chosen.query == 'topk(2, cpu{tier="1"})'
    assert [(target.instance, target.datacenter, target.cores) for target in chosen.targets] == [
        ("10.0.0.2:80", "lhr", 2.5),
        ("[2001:db8::3]:80", "sjc", 1.5),
    ]


def test_the_size_of_each_datacenter_is_that_of_the_whole_fleet(prometheus):
    chosen = select(prometheus, rules(instances=1, max_rounds=1), seed="")
    assert chosen.datacenters == {"ams": 1, "lhr": 1, "sjc": 2}


def test_an_instance_with_two_series_does_not_make_its_datacenter_larger(prometheus):
    chosen = select(
        prometheus,
        rules(cpu='label_replace(cpu, "x", "", "", "") or label_replace(cpu, "x", "2", "", "")'),
        seed="",
    )
    assert chosen.datacenters == {"ams": 1, "lhr": 1, "sjc": 2}


def test_a_datacenter_can_be_a_target_as_a_whole(prometheus):
    summed = rules(cpu='sum by (datacenter) (cpu{datacenter!=""})', instance_label="datacenter")
    chosen = select(prometheus, summed, seed="")
    assert [(each.instance, each.cores) for each in chosen.targets] == [
        ("sjc", 10.5),
        ("lhr", 2.5),
        ("ams", 0.5),
    ]


def test_the_whole_fleet_is_asked_for_where_the_rest_counts(prometheus):
    chosen = select(prometheus, rules(strategy="weighted", instances=1, max_rounds=1), seed="")
    assert (chosen.query, chosen.strata) == ("cpu", {"the fleet": 13.5})


def test_a_build_can_be_profiled_on_its_own(prometheus):
    chosen = select(prometheus, rules(builds="build_info", matchers='revision="new"'), seed="")
    assert chosen.query == 'topk(120, (cpu) and on (instance) build_info{revision="new"})'
    assert instances(chosen) == ["10.0.0.4:80", "10.0.0.2:80", "[2001:db8::3]:80"]


@pytest.mark.parametrize("strategy", ["topk", "stratified", "weighted"])
def test_every_strategy_chooses_from_what_can_be_profiled(prometheus, strategy):
    chosen = select(prometheus, rules(strategy=strategy), seed="run")
    assert sorted(instances(chosen)) == ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.4:80", "[2001:db8::3]:80"]
    assert all(target.why for target in chosen.targets)


def test_a_stale_instance_is_not_there(prometheus):
    assert STALE[0]["instance"] not in instances(select(prometheus, rules(), seed=""))


def test_a_nan_is_left_out_and_said_so(prometheus):
    chosen = select(prometheus, rules(), seed="")
    assert chosen.warnings == ("left out: 10.0.0.5:80 uses nan cores, which cannot be",)


def test_nothing_found_prints_the_query(prometheus):
    with pytest.raises(SelectionError, match=r'query: topk\(120, cpu\{tier="3"\}\)'):
        select(prometheus, rules(cpu='cpu{tier="3"}'), seed="")


def test_prometheus_warnings_are_kept():
    fleet = Answering(({"instance": "a:80"}, 1.0), warnings=("store lhr is down",))
    assert select(fleet, rules(), seed="").warnings == ("store lhr is down",)


def test_a_partial_answer_may_be_refused():
    fleet = Answering(({"instance": "a:80"}, 1.0), warnings=("store lhr is down",))
    with pytest.raises(SelectionError, match="the answer is partial: store lhr is down"):
        select(fleet, rules(partial_response=False), seed="")


def test_a_remark_on_the_query_makes_no_partial_answer():
    remark = "PromQL info: metric might not be a counter"
    fleet = Answering(({"instance": "a:80"}, 1.0), warnings=(remark,))
    assert select(fleet, rules(partial_response=False), seed="").warnings == (remark,)


def test_a_series_without_a_number_makes_no_partial_answer():
    said = "left out: a native histogram is no number: {'instance': 'b:80'}"
    fleet = Answering(({"instance": "a:80"}, 1.0), warnings=(said,))
    assert select(fleet, rules(partial_response=False), seed="").warnings == (said,)


def test_a_size_that_is_no_number_does_not_end_the_selection():
    class Odd(Answering):
        def _sizes(self):
            return (*super()._sizes(), *Answering(({"datacenter": "x"}, float("inf"))).series)

    assert select(Odd(({"instance": "a:80"}, 1.0)), rules(), seed="").datacenters == {"": 1}


@pytest.mark.parametrize("strategy", ["topk", "weighted"])
@pytest.mark.parametrize("matchers", ["", 'revision="new"'])
def test_a_comment_at_the_end_of_the_query_takes_nothing_with_it(prometheus, strategy, matchers):
    commented = rules(
        cpu='cpu{tier="1"} # of "one" tier', strategy=strategy, builds="build_info", matchers=matchers
    )
    plain = rules(cpu='cpu{tier="1"}', strategy=strategy, builds="build_info", matchers=matchers)
    assert instances(select(prometheus, commented, seed="")) == instances(select(prometheus, plain, seed=""))
