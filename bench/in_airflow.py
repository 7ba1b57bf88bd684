"""Collecting as mapped tasks of a real Airflow: all its components, LocalExecutor with 8 slots, on SQLite.

The time is that from the start of the first mapped task to the end of the last. The CPU is that of all of
Airflow's processes while the run lasts, less the same for a run whose tasks only wait (`bench/dags`).
"""

from __future__ import annotations

import os
import socket
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from demo.airflow import Airflow
from fleetpgo.run.profiled import Record
from fleetpgo.run.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Mapping

PROJECT = Path(__file__).resolve().parents[1]
SLOTS = 8

SERVICE = """\
prometheus: {{connection: none}}
selection: {{cpu: cpu}}
collection:
  url: http://$host:{port}/debug/pprof/profile?seconds=$seconds
  allow: [127.0.0.0/8]
  max_share: 1
  attempts: 1
repository: {{forge: local, connection: none, project: bench}}
build: {{binary: bench}}
rollout: {{fraction: vector(1)}}
measurement: {{cpu: cpu}}
"""


def collecting(port: int, seconds: int, instances: int, folder: Path) -> tuple[float, float, str]:
    """Collect from so many instances in Airflow: seconds of mapped span and of CPU, and what came of it."""
    store = folder / "store"
    with _airflow(folder, store, port) as airflow:
        airflow.wait_ready("bench_idle")
        _run(airflow, "bench_idle", {"seconds": 1})  # the first run finds cold caches
        _, idle, _ = _run(airflow, "bench_idle", {"seconds": seconds})
        tasks, busy, run = _run(airflow, "bench_collect", {"seconds": seconds, "instances": instances})
    mapped = [each for each in tasks if each["task_id"] == "mapped"]
    starts, ends = (
        [datetime.fromisoformat(each[date]) for each in mapped] for date in ("start_date", "end_date")
    )
    profiles = RunStore(store, "bench", run)
    got = [profiles.read(Record, key).state for key in profiles.keys(Record)]
    said = f"{got.count('fetched')} profiles; CPU beyond an idle run's {idle:.1f} s"
    return (max(ends) - min(starts)).total_seconds(), busy - idle, said


def merging(arrived: Path, folder: Path) -> tuple[dict[str, float], float, float]:
    """Run what follows the fetching tasks: wall seconds by task, CPU seconds beyond an idle run, its own."""
    params = {"arrived": str(arrived)}
    with _airflow(folder, folder / "airflow-store", port=1) as airflow:
        airflow.wait_ready("bench_run_idle")
        _run(airflow, "bench_run_idle", params)  # the first run finds cold caches
        _, idle, _ = _run(airflow, "bench_run_idle", params)
        tasks, busy, _ = _run(airflow, "bench_run", params)
    return {each["task_id"]: each["duration"] for each in tasks}, busy - idle, idle


def _airflow(folder: Path, store: Path, port: int) -> Airflow:
    """An Airflow with the DAGs of the benchmarks, and the service that they are of."""
    services = folder / "services"
    services.mkdir(exist_ok=True)
    (services / "bench.yaml").write_text(SERVICE.format(port=port))
    variables = {
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "bench" / "dags"),
        "AIRFLOW__CORE__PARALLELISM": str(SLOTS),
        "PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")]),
        "FLEETPGO_SERVICES": str(services),
        "FLEETPGO_STORE": str(store),
    }
    return Airflow(folder, _free_port(), variables)


def _run(airflow: Airflow, dag: str, params: Mapping[str, object]) -> tuple[list[dict[str, Any]], float, str]:
    """Run a DAG: its task instances, seconds of CPU, and the run's id."""
    before = _cpu()
    run = airflow.trigger(dag, params)
    while (state := airflow.run_state(dag, run)) in ("queued", "running"):
        airflow.check()
        time.sleep(1)
    cpu = _cpu() - before
    tasks = airflow.task_instances(dag, run)
    if state != "success":
        logs = [airflow.task_log(each) for each in tasks if each["state"] == "failed"]
        raise SystemExit("\n".join([f"{dag}: {state}", *logs]))
    return tasks, cpu, run


def _cpu() -> float:
    """CPU seconds, user and system, of all processes below this one, the ended ones included."""
    times = [process.cpu_times() for process in psutil.Process(os.getpid()).children(recursive=True)]
    return sum(each.user + each.system + each.children_user + each.children_system for each in times)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
