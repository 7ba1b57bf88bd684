"""A real scheduler retries a fetching task that was killed: what is missing is fetched, and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from dataclasses import replace

import psutil
import pytest

from demo.airflow import Airflow
from demo.processes import free_port
from fleetpgo.run.profiled import Manifest, Record
from fleetpgo.run.store import RunStore
from fleetpgo.steps.collect import collect_profiles
from fleetpgo.steps.merge import merge_profiles
from fleetpgo.steps.select import select_instances
from tests import services
from tests.collection.instances import cpu_profile, http, port_of
from tests.dags.instances import served

DAG_ID = "pgo_refresh__api"

pytestmark = pytest.mark.slow


def who_asks(instance) -> int | None:
    """Process id of the task that has a connection to an instance."""
    port = port_of(instance)
    return next(
        (
            each.pid
            for each in psutil.net_connections("tcp4")
            if each.raddr and each.raddr.port == port and each.pid != os.getpid()
        ),
        None,
    )


async def hold(_writer):
    await asyncio.sleep(3600)


def wait_until(condition, airflow, seconds=300):
    end = time.monotonic() + seconds
    while not (found := condition()):
        airflow.check()
        assert time.monotonic() < end, "what was waited for has not come"
        time.sleep(0.1)
    return found


def test_a_killed_task_fetches_only_the_rest_when_it_is_retried(
    start_prometheus, tmp_path, monkeypatch, origin
):
    (origin / "tiny.git").rename(origin / "api.git")
    (tmp_path / "services").mkdir()
    described = services.load(tmp_path / "services", monkeypatch, max_tasks=1, grace="10m")
    answers = [http(cpu_profile(50 + number)) for number in range(4)]
    with served((answers[0],), (answers[1],), (hold, answers[2]), (hold, answers[3])) as instances:
        now = int(time.time())
        labels = [{"instance": each.target.instance, "datacenter": "ams"} for each in instances]
        # The first is the busiest: the preflight asks it, and it alone.
        series = [
            ("cpu", each, [(now + 60 * minute, 4.0 - place) for minute in range(20)])
            for place, each in enumerate(labels)
        ]
        prometheus = start_prometheus(series)
        variables = {
            "FLEETPGO_SERVICES": str(tmp_path / "services"),
            "FLEETPGO_STORE": str(tmp_path / "store"),
            "AIRFLOW_CONN_PROMETHEUS": prometheus.address,
            "AIRFLOW_CONN_FORGE": json.dumps({"conn_type": "generic", "extra": {"path": str(origin)}}),
        }
        with Airflow(tmp_path, free_port(), variables) as airflow:
            airflow.wait_ready(DAG_ID)
            run = airflow.trigger(DAG_ID, {"instances": 4})
            store = RunStore(tmp_path / "store", services.NAME, run)
            wait_until(lambda: len(store.keys(Record)) == 2, airflow)
            wait_until(lambda: all(each.heard for each in instances), airflow)
            os.kill(who_asks(instances[-1]), signal.SIGKILL)
            wait_until(lambda: store.exists(Manifest), airflow)
            tries = {each["task_id"]: each["try_number"] for each in airflow.task_instances(DAG_ID, run)}
        assert tries["fetch_profile"] == 2
        assert [len(each.heard) for each in instances] == [2, 1, 2, 2]

        undisturbed = RunStore(tmp_path / "undisturbed", services.NAME, run)
        chosen, _ = select_instances(described, undisturbed, prometheus, instances=4)
        asyncio.run(collect_profiles(described, undisturbed, chosen.targets))
        merge_profiles(described, undisturbed)
    ours, theirs = (each.read(Manifest) for each in (store, undisturbed))
    assert ours == replace(theirs, made_at=ours.made_at)
    assert ours.used == 4
