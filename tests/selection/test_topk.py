from __future__ import annotations

from fleetpgo.selection import topk
from tests.selection.fleets import rules, target


def test_each_round_takes_the_next_busiest():
    fleet = [target(number, cores=9.0 - number) for number in range(5)]
    chosen = topk.choose(fleet, rules(instances=2, max_rounds=2))
    assert [(each.instance, each.round, each.why) for each in chosen.targets] == [
        ("10.0.0.0:80", 1, "rank 1 by CPU"),
        ("10.0.0.1:80", 1, "rank 2 by CPU"),
        ("10.0.0.2:80", 2, "rank 3 by CPU"),
        ("10.0.0.3:80", 2, "rank 4 by CPU"),
    ]


def test_they_stand_for_themselves_only():
    assert topk.choose([target(1)], rules()).strata == {}
