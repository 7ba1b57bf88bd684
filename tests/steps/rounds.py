"""A service whose instances are servers of a test, and the step that selects them."""

from __future__ import annotations

from fleetpgo.service.rules import ServiceRules
from fleetpgo.steps.select import select_instances
from tests.selection.fleets import Answering

SECONDS = 1


def service(**selection) -> ServiceRules:
    return ServiceRules.model_validate(
        {
            "name": "wshim",
            "prometheus": {"connection": "prometheus"},
            "selection": {"cpu": "cpu", **selection},
            "collection": {
                "url": "http://$instance/debug/pprof/profile?seconds=$seconds",
                "ports": (1024, 65535),
                "allow": ("127.0.0.1",),
                "per_host": 100,
                "max_share": 1,
                "max_tasks": 1,
                "attempts": 1,
            },
            "repository": {"forge": "local", "connection": "forge", "project": "wshim"},
            "build": {"binary": "bin/wshim"},
            "rollout": {"fraction": "vector(1)"},
            "measurement": {"cpu": "cpu"},
        }
    )


def select(described, store, *instances):
    fleet = [
        ({"instance": each.target.instance, "datacenter": "ams"}, 10.0 - place)
        for place, each in enumerate(instances)
    ]
    _, (pack,) = select_instances(described, store, Answering(*fleet), seconds=SECONDS)
    return pack.targets
