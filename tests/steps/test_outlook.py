from __future__ import annotations

import pytest

from fleetpgo.measurement.power import expected
from fleetpgo.run.selected import Selection
from fleetpgo.service.files import load_service, services_directory
from fleetpgo.steps.outlook import expected_queries
from fleetpgo.steps.propose_run import _power
from tests.measurement.conftest import NOON


@pytest.fixture
def service():
    return load_service(services_directory() / "wshim.yaml")


def rolled(service, **rules):
    return service.model_copy(update={"rollout": service.rollout.model_copy(update=rules)})


def test_the_pull_request_quotes_the_line_of_the_fleet(service, store):
    store.write(Selection((), datacenters={"ams": 30, "lhr": 30}))
    assert _power(rolled(service, treated="up"), store) == expected(60, held_back=True)
    assert _power(rolled(service, treated=None), store) == expected(60, held_back=False)


def test_a_run_that_recorded_no_fleet_quotes_nothing(service, store):
    assert _power(service, store) == ""


def test_a_baseline_is_asked_for_and_must_name_instances(service):
    asked = {each.key: each for each in expected_queries(rolled(service, baseline="up"), now=NOON)}
    assert asked["rollout.baseline"].instances
