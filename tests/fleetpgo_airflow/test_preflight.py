"""The DAG's first task, as a worker calls it: what cannot work fails at once, and is named by its key."""

from __future__ import annotations

import json
import time

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from fleetpgo.run.proposed import Failed
from fleetpgo.run.store import RunStore
from fleetpgo_airflow.operators import PreflightOperator
from tests.fleetpgo_airflow.test_operators import context
from tests.services import NAME, load


@pytest.fixture(autouse=True)
def service(tmp_path, monkeypatch):
    monkeypatch.setenv("FLEETPGO_STORE", str(tmp_path / "store"))
    (tmp_path / "services").mkdir()
    return load(tmp_path / "services", monkeypatch)


@pytest.fixture
def prometheus(start_prometheus, monkeypatch):
    labels = {"instance": "127.0.0.1:9000", "datacenter": "ams"}
    address = start_prometheus([("cpu", labels, [(int(time.time()), 1.0)])]).address
    monkeypatch.setenv("AIRFLOW_CONN_PROMETHEUS", address)


@pytest.fixture
def forge(monkeypatch, origin):
    (origin / "tiny.git").rename(origin / "api.git")
    connection = {"conn_type": "generic", "extra": {"path": str(origin)}}
    monkeypatch.setenv("AIRFLOW_CONN_FORGE", json.dumps(connection))


def run(**params):
    return PreflightOperator(task_id="preflight", service=NAME).execute(context(**params))


def test_a_sound_service_passes_with_a_line_for_each_check(prometheus, forge):
    said = run()
    assert said[0].startswith("selection.cpu: ok: 1 instances in 1 datacenter(s)")


def test_a_variant_that_the_service_file_lacks_fails_before_production_is_touched(prometheus, forge):
    with pytest.raises(AirflowFailException, match=r"build\.variants.* has no v9; it has none"):
        run(variants=["v9"])


@pytest.mark.parametrize(
    ("given", "section", "connection", "kind", "line"),
    [
        ("prometheus", "repository", "forge", "Forge (fleetpgo)", 12),
        ("forge", "prometheus", "prometheus", "http", 1),
    ],
)
def test_a_connection_that_is_missing_is_named_by_its_key_and_not_tried_again(
    request, given, section, connection, kind, line
):
    request.getfixturevalue(given)
    with pytest.raises(AirflowFailException) as failure:
        run()
    key = f"{section}.connection (api.yaml:{line})"
    assert str(failure.value) == (
        f"{key}: failure: {key} names the Airflow connection '{connection}', which does not exist → "
        f"create it in Airflow with the type {kind}, or correct {key}"
    )


def test_a_prometheus_that_is_down_is_tried_again(forge, monkeypatch, free_port):
    monkeypatch.setenv("AIRFLOW_CONN_PROMETHEUS", f"http://127.0.0.1:{free_port}")
    with pytest.raises(AirflowException) as failure:
        run()
    assert not isinstance(failure.value, AirflowFailException)


def test_matchers_that_no_instance_has_fail_with_the_reason(prometheus, forge):
    with pytest.raises(AirflowFailException, match="none that uses CPU has a series api_build_info"):
        run(matchers='revision="gone"')


def test_why_a_task_failed_is_kept_until_a_later_try_succeeds(tmp_path):
    task = PreflightOperator(task_id="preflight", service=NAME)
    given = {**context(try_number=2), "task": task, "exception": AirflowFailException("no connection")}
    store = RunStore(tmp_path / "store", NAME, given["run_id"])

    for call in task.on_failure_callback:
        call(given)
    assert store.read(Failed, "preflight") == Failed("no connection")

    for call in task.on_success_callback:
        call(given)
    assert store.find(Failed, "preflight") is None
