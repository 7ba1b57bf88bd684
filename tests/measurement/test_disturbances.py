from __future__ import annotations

from types import SimpleNamespace

from fleetpgo.measurement.asking import Asker
from fleetpgo.measurement.disturbances import restarts
from fleetpgo.measurement.windows import Windows
from fleetpgo.service.rules import MeasurementRules, RolloutRules

DEPLOY = 1_772_452_800
SETTLED = DEPLOY + 900


def test_nothing_is_asked_of_before_a_window_that_is_shorter_than_the_settling_time(start_prometheus):
    # The metrics of a new fleet are younger than the settling time.
    points = [(at, DEPLOY - 10_000) for at in range(DEPLOY - 300, SETTLED + 180, 15)]
    prometheus = start_prometheus([("started", {"instance": "a:80"}, points)])
    service = SimpleNamespace(rollout=RolloutRules(started="started"), measurement=MeasurementRules())
    windows = Windows(after=(SETTLED, SETTLED + 120), shift=1_020, rolling=(DEPLOY, SETTLED))
    queries: dict[str, str] = {}

    assert list(restarts(Asker(prometheus), service, windows, queries)) == []
