"""Two runs at once on a real scheduler and triggerer: the second takes the first one's pull request over."""

import json
import time

import pytest

from demo import processes
from demo.airflow import Airflow
from demo.fleet import Fleet
from fleetpgo.proposal.ensure import marker
from fleetpgo.proposal.forges.local import LocalForge
from fleetpgo.run.proposed import Merge
from fleetpgo.run.store import RunStore

DAG_ID = "pgo_refresh__wshim"

pytestmark = pytest.mark.slow


def wait_for(airflow: Airflow, run: str, task: str, states: set[str], timeout_s: float = 900) -> str:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        airflow.check()
        found = {each["task_id"]: each["state"] for each in airflow.task_instances(DAG_ID, run)}
        if found.get(task) in states:
            return found[task]
        assert "failed" not in found.values(), found
        time.sleep(2)
    raise TimeoutError(f"{task} of {run} is {found.get(task)}, not one of {states}")


def test_the_second_run_updates_the_same_pull_request_and_the_first_steps_back(
    tmp_path, go_cache, monkeypatch
):
    monkeypatch.setenv("GOCACHE", str(go_cache / "go-build"))
    fleet = Fleet(tmp_path)
    forge_root = tmp_path / "forge"
    variables = {
        "AIRFLOW_CONN_WSHIM_PROMETHEUS": fleet.prometheus_url,
        "AIRFLOW_CONN_WSHIM_FORGE": json.dumps({"conn_type": "generic", "extra": {"path": str(forge_root)}}),
        "FLEETPGO_STORE": str(tmp_path / "store"),
        "FLEETPGO_CACHE": str(go_cache),
    }
    with Airflow(tmp_path, processes.free_port(), variables) as airflow, fleet:
        fleet.wait_ready()
        airflow.wait_ready(DAG_ID)
        forge = LocalForge(str(forge_root), "wshim")

        first = airflow.trigger(DAG_ID, {"seconds": 10})
        wait_for(airflow, first, "wait_for_merge", {"deferred"})
        (before,) = forge.pull_requests()

        second = airflow.trigger(DAG_ID, {"seconds": 10})
        wait_for(airflow, second, "wait_for_merge", {"deferred"})
        (after,) = forge.pull_requests()

        assert (after.number, after.branch, after.state) == (before.number, before.branch, "open")
        assert after.head != before.head
        assert marker(after.body).run == second
        assert wait_for(airflow, first, "wait_for_merge", {"skipped", "success"}) == "skipped"
        reason = RunStore(tmp_path / "store", "wshim", first).read(Merge).reason
        assert f"superseded by run {second}" in reason
        assert wait_for(airflow, first, "measure_week", {"skipped", "success"}) == "skipped"
        assert forge.comments(after.number) == {}

        forge.close(after.number)
        assert wait_for(airflow, second, "wait_for_merge", {"skipped", "success"}) == "skipped"
