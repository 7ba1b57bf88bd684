"""A fleet in a real Prometheus, with a rollout at 12:00 to 12:10 whose saving is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fleetpgo.run.proposed import Rollout
from fleetpgo.service.rules import ServiceRules

NOON = datetime(2026, 1, 7, 12, tzinfo=UTC)
PROFILE = "0123456789ab"
STEP = 30
# instance → (datacenter, whether it goes over, its own deviation from the fleet's saving)
FLEET = {
    "a1:80": ("ams", True, 0.010),
    "a2:80": ("ams", False, 0.0),
    "l1:80": ("lhr", True, -0.010),
    "l2:80": ("lhr", False, 0.0),
    "s1:80": ("sjc", True, 0.0),
    "s2:80": ("sjc", False, 0.0),
}
SAVING = 0.05
GROWTH = 1.2  # traffic after noon; it must not look like a loss


@pytest.fixture(scope="session")
def fleet(start_prometheus):
    data = []
    start, end = NOON - timedelta(hours=2), NOON + timedelta(hours=2)
    times = range(int(start.timestamp()), int(end.timestamp()), STEP)
    for number, (instance, (datacenter, goes, own)) in enumerate(FLEET.items()):
        labels = {"instance": instance, "datacenter": datacenter}
        switch = NOON.timestamp() + 100 * (number + 1)

        def after(at, switch=switch, goes=goes):
            return goes and at > switch

        requests = [(at, 100 * (GROWTH if at > NOON.timestamp() else 1)) for at in times]
        cpu = [(at, 0.01 * q * (1 - SAVING - own if after(at) else 1)) for at, q in requests]
        data += [("cpu", labels, cpu), ("requests", labels, requests)]
        for pgo in ("off", PROFILE):
            points = [(at, 1) for at in times if after(at) == (pgo == PROFILE)]
            data.append(("build_info", {**labels, "pgo": pgo}, points))
    return start_prometheus(data)


@pytest.fixture
def service():
    return ServiceRules.model_validate(
        {
            "name": "api",
            "prometheus": {"connection": "prometheus"},
            "selection": {"cpu": "cpu"},
            "repository": {"forge": "local", "connection": "forge", "project": "api"},
            "build": {"binary": "bin/api"},
            "rollout": {
                "fraction": '(count(last_over_time(build_info{pgo="$profile"}[31s])) or vector(0)) '
                "/ count(count by (instance) (build_info))",
                "treated": 'build_info{pgo="$profile"}',
                "complete": 0.5,
            },
            "measurement": {
                "cpu": "cpu",
                "requests": "requests",
                "step": "30s",
                "settle": "5m",
                "window": "30m",
                "week": "1h",
            },
        }
    )


@pytest.fixture
def rollout():
    return Rollout(PROFILE, NOON, NOON + timedelta(minutes=10), 0.5)
