"""The compose file in containers: a run to its pull request and through its waits, and parts taken away.

    make test-containers

Needs root, podman and debootstrap. Prints a table of what was done, when, and what became of it, and ends
with exit code 0 only if nothing was lost. It takes about half an hour. All that it makes is below
.local/containers and in podman's containers and volumes whose names begin with `fleetpgo-containers`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import requests
from rich.console import Console

from demo.airflow import PROJECT
from tests.containers import images
from tests.containers.compose import PREFIX, Stack
from tests.containers.images import podman

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = PROJECT / ".local" / "containers"
DAG_ID, RUN = "pgo_refresh__wshim", "manual__containers"
FORGE = "/opt/airflow/forge"
AWAY_S = 600
console = Console(soft_wrap=True, highlight=False)

AIRFLOW = ("worker", "triggerer", "api-server", "scheduler", "dag-processor")


@dataclass
class Table:
    """What was done, when since the begin, on how busy a machine, and what became of it."""

    began: float = field(default_factory=time.monotonic)
    rows: list[tuple[float, str, str]] = field(default_factory=list)

    def add(self, what: str, became: str) -> None:
        """Add a row, and print it."""
        if not self.rows:
            console.print(
                "| after | load | what was done | what became of it |\n|---:|---:|---|---|", markup=False
            )
        at, load = time.monotonic() - self.began, os.getloadavg()[0]
        self.rows.append((at, what, became))
        console.print(f"| {at / 60:.1f} min | {load:.0f} | {what} | {became} |", markup=False)


class Airflow:
    """Airflow's API, at the address of its container."""

    def __init__(self, password: str) -> None:
        self._password, self._session = password, requests.Session()

    def call(self, method: str, path: str, **body: object) -> Any:  # what the API answers
        """Ask; log in if that is due."""
        address = podman(
            *("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"),
            f"{PREFIX}api-server-1",
        )
        url = f"http://{address}:8080"
        for _ in range(2):
            answer = self._session.request(method, f"{url}/api/v2/{path}", json=body or None, timeout=60)
            if answer.status_code != 401:
                answer.raise_for_status()
                return answer.json()
            login = {"username": "admin", "password": self._password}
            token = self._session.post(f"{url}/auth/token", json=login, timeout=60)
            token.raise_for_status()
            self._session.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
        raise SystemExit("Airflow does not let the admin in")

    def tasks(self) -> list[dict[str, Any]]:
        """Return the run's task instances; none while the API does not answer."""
        try:
            found: list[dict[str, Any]] = self.call("GET", f"dags/{DAG_ID}/dagRuns/{RUN}/taskInstances")[
                "task_instances"
            ]
        except requests.RequestException:
            return []
        return found

    def states(self, task: str) -> list[str]:
        """Return the states of a task, one for each that it is mapped to."""
        return [str(each["state"]) for each in self.tasks() if each["task_id"] == task]


def wait_for(what: str, happened: Callable[[], Any], seconds: float) -> Any:  # what it returns
    """Wait until something happened, and return what it returned."""
    deadline = time.monotonic() + seconds
    while not (found := happened()):
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within {seconds:g} s")
        time.sleep(2)
    return found


def prepare() -> dict[str, str]:
    """Write secrets, connections, the service file and the forge; return the variables of `.env`."""
    place = ROOT / "project"
    shutil.rmtree(place, ignore_errors=True)
    (place / "services").mkdir(parents=True)
    subprocess.run([PROJECT / "tools/make-env", place], check=True, stdout=subprocess.DEVNULL)
    env = dict(line.split("=", 1) for line in (place / ".env").read_text().splitlines())
    text = (PROJECT / "demo/compose/services/wshim.yaml").read_text()
    text = text.replace("forge: gitea", "forge: local").replace("project: fleet/wshim", "project: wshim")
    (place / "services" / "wshim.yaml").write_text(text)
    forge = json.dumps({"conn_type": "generic", "extra": {"path": FORGE}})
    (place / "connections.env").write_text(
        f"AIRFLOW_CONN_WSHIM_PROMETHEUS=http://prometheus:9090\nAIRFLOW_CONN_WSHIM_FORGE={forge}\n"
    )
    source, bare = place / "source", place / "forge" / "wshim.git"
    shutil.copytree(PROJECT / "demo/wshim", source)
    who = {**os.environ, "GIT_AUTHOR_NAME": "wshim", "GIT_AUTHOR_EMAIL": "wshim@example.com"}
    who |= {"GIT_COMMITTER_NAME": "wshim", "GIT_COMMITTER_EMAIL": "wshim@example.com"}
    for arguments in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "."],
        ["commit", "--quiet", "--message", "Add the push gateway"],
        ["clone", "--quiet", "--bare", str(source), str(bare)],
    ):
        subprocess.run(["git", *arguments], cwd=source, env=who, check=True)
    subprocess.run(["chown", "-R", "50000:0", place / "forge"], check=True)
    return {**env, "SERVICES": str(place / "services"), "CONNECTIONS": str(place / "connections.env")}


def main() -> None:
    """Run the test."""
    images.build(ROOT)
    env = prepare()
    forge = [f"{ROOT / 'project' / 'forge'}:{FORGE}"]
    stack = Stack(env, ["store", "demo"], dict.fromkeys(AIRFLOW, forge))
    for name in list(stack.services):
        if name.startswith(("gitea", "thanos", "certificate", "demo-init")):
            del stack.services[name]
    stack.destroy()
    table = Table()
    try:
        play(stack, Airflow(env["ADMIN_PASSWORD"]), table)
    finally:
        if "--keep" not in sys.argv:
            stack.destroy()
    console.print(f"PASSED on {time.strftime('%F')}, {os.cpu_count()} cores")


def play(stack: Stack, airflow: Airflow, table: Table) -> None:
    """Bring the stack up, run the DAG, take parts away."""
    stack.up()
    table.add("`up`: every container", "all are healthy")
    wait_for("the DAG is there", lambda: _known(airflow), 180)
    airflow.call("PATCH", f"dags/{DAG_ID}", is_paused=False)
    # The counters of the instances need two minutes before a rate of them can be taken.
    time.sleep(max(0, 180 - (time.monotonic() - table.began)))
    airflow.call("POST", f"dags/{DAG_ID}/dagRuns", dag_run_id=RUN, logical_date=None, conf={"seconds": 20})
    _lose_worker(stack, airflow, table)
    _restart_redis(airflow, table)
    began = time.monotonic()
    wait_for("the pull request", lambda: "deferred" in airflow.states("wait_for_merge"), 1_500)
    table.add("the run goes on", f"its pull request is open, {time.monotonic() - began:.0f} s later")
    _restart_postgres(stack, airflow, table)
    _take_store_away(stack, airflow, table)
    stack.down()
    table.add("`down` while the run waits", "no container is left; volumes stay")
    stack.up()
    wait_for("it waits", lambda: "deferred" in airflow.states("wait_for_merge"), 180)
    table.add("`up` again", "all are healthy, and the run still waits")
    said = _fleetpgo("pr", "merge", "wshim")
    began = time.monotonic()
    wait_for("the wait ends", lambda: "success" in airflow.states("wait_for_merge"), 300)
    table.add("the pull request is merged", f"the wait ended {time.monotonic() - began:.0f} s later: {said}")
    wait_for("it waits for the rollout", lambda: "deferred" in airflow.states("wait_for_rollout"), 300)
    findings = _fleetpgo("store", "check")
    table.add("`fleetpgo store check`", findings)
    commits = podman(
        *("exec", f"{PREFIX}worker-1", "git", "-C", f"{FORGE}/wshim.git", "rev-list", "--count", "main")
    )
    table.add("commits on main", f"{commits}: the first, the profile's, the merge")
    if commits != "3" or "no findings" not in findings:
        raise SystemExit("something was lost, or made twice")
    for name in (images.AIRFLOW, images.BASE):
        table.add(f"size of {name}", f"{images.size(name) / 1e6:,.0f} MB")


def _known(airflow: Airflow) -> bool:
    try:
        return bool(airflow.call("GET", f"dags/{DAG_ID}"))
    except requests.RequestException:
        return False


def _fleetpgo(*arguments: str) -> str:
    """Run a command of fleetpgo in a worker, as its store and its forge are known there."""
    more = ["--env", f"FLEETPGO_FORGE={FORGE}"]
    return podman("exec", *more, f"{PREFIX}worker-1", "fleetpgo", *arguments).splitlines()[-1]


def _lose_worker(stack: Stack, airflow: Airflow, table: Table) -> None:
    def fetching() -> Mapping[str, Any] | None:
        found = (each for each in airflow.tasks() if each["task_id"] == "fetch_profile")
        return next((each for each in found if each["state"] == "running" and each["hostname"]), None)

    task = wait_for("a task fetches", fetching, 400)
    by_host = {podman("exec", name, "hostname"): name for name in stack.names("worker")}
    victim = by_host[str(task["hostname"])]
    time.sleep(3)
    podman("kill", "--signal", "KILL", victim)
    began = time.monotonic()
    podman("start", victim, check=False)
    table.add("SIGKILL to the worker that fetches", f"{victim.removeprefix(PREFIX)} is restarted")
    wait_for(
        "the fetch is done",
        lambda: (found := airflow.states("fetch_profile")) and set(found) <= {"success", "skipped"},
        900,
    )
    tries = max(each["try_number"] for each in airflow.tasks() if each["task_id"] == "fetch_profile")
    table.add("the lost task", f"its try {tries} succeeded {(time.monotonic() - began) / 60:.1f} min later")


def _restart_redis(airflow: Airflow, table: Table) -> None:
    wait_for("the build runs", lambda: "running" in airflow.states("build_and_open_pr"), 600)
    podman("restart", "--time", "5", f"{PREFIX}redis-1")
    table.add("Redis restarted while a build runs", "its queue is empty")


def _restart_postgres(stack: Stack, airflow: Airflow, table: Table) -> None:
    podman("restart", "--time", "20", f"{PREFIX}postgres-1")
    stack.wait_healthy("postgres")
    began = time.monotonic()
    for name in ("scheduler", "triggerer", "dag-processor"):
        for container in stack.names(name):
            podman("start", container, check=False)  # without systemd, nobody else does
    for name in ("api-server", "scheduler", "triggerer"):
        stack.wait_healthy(name)
    wait_for("it waits", lambda: "deferred" in airflow.states("wait_for_merge"), 180)
    table.add(
        "PostgreSQL restarted while the run waits",
        f"all are healthy {time.monotonic() - began:.0f} s later, and the run still waits",
    )


def _take_store_away(stack: Stack, airflow: Airflow, table: Table) -> None:
    podman("stop", "--time", "5", f"{PREFIX}store-1")
    table.add("the store is taken away while the run waits", "")
    time.sleep(AWAY_S)
    if "deferred" not in airflow.states("wait_for_merge"):
        raise SystemExit(f"without its store the wait is {airflow.states('wait_for_merge')}")
    podman("start", f"{PREFIX}store-1")
    stack.wait_healthy("store")
    table.add(f"the store is back after {AWAY_S // 60} minutes", "the run still waits")


if __name__ == "__main__":
    main()
