"""What a triggerer with many waiting runs costs: python -m bench.waits [--runs 1000] [--poll 60].

The triggers are the real ones, on one event loop as in a triggerer, and so are what they ask: a Prometheus, a
store of as many runs, a service file for each, and a `local` forge, whose git is not counted. All begin at
once, as after a triggerer's restart. Each kind of wait has a process of its own, which is watched for one
poll. The table scales the CPU of a look to a poll of five minutes, `rollout.poll`'s default, and of ten
for a turn; Airflow's own work for a trigger comes on top.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import requests

from bench.machine import described

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from airflow.sdk.execution_time.context import AssetStateStoreAccessors
    from airflow.triggers.base import TriggerEvent

    from fleetpgo_airflow.waits import What

FOLDER = Path(".local/bench/waits").resolve()
PROFILE = "0123456789ab"
MINUTES = {"turn": 10.0, "merge": 5.0, "rollout": 5.0, "week": 5.0, "release": 5.0}
"""Kinds of waits, and the minutes between two looks."""

TOGETHER = 10
"""Services of one repository."""

SERVICE = """\
description: One of many
prometheus: {{connection: bench_prometheus}}
selection: {{cpu: process_cpu_seconds_total, builds: up}}
repository:
  forge: local
  connection: bench_forge
  project: api-{repository}
  limits: {{builds_per_hour: 1}}
build: {{binary: bin/api}}
rollout:
  fraction: (count(up{{pgo="$profile"}}) or vector(0)) / count(up)
  revision: count by (revision) (label_replace(up, "revision", "v1", "", ""))
  poll: {poll}s
release: {{}}
"""


@dataclass(frozen=True)
class Watched:
    """What was seen of one kind of wait over one poll.

    Attributes:
        looks: how many looks ended.
        cpu: CPU seconds of the process, its start and its imports left out.
        queries: of Prometheus.
        most: most looks that began within one second.
        memory: the process' peak, in MB.
    """

    looks: int
    cpu: float
    queries: int
    most: int
    memory: float


def main() -> None:
    """Make the runs, watch each kind of wait in turn, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--poll", type=int, default=60, help="seconds that each kind is watched for")
    parser.add_argument("--kinds", nargs="*", choices=MINUTES, default=list(MINUTES))
    parser.add_argument("--watch", choices=MINUTES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.watch:
        print(json.dumps(asdict(asyncio.run(watch(options.watch, options.runs, options.poll)))))
        return
    address = make(options.runs, options.poll)
    server = prometheus(address)
    print(described())
    print(f"{options.runs:,} runs that wait; watched for {options.poll} s each\n")
    print(
        "| they wait for | CPU ms a look | CPU s a minute | queries a minute | most looks in a second | MB |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    try:
        for kind in options.kinds:
            seen = in_a_process(kind, options.runs, options.poll, address)
            a_minute = options.runs / MINUTES[kind]
            print(
                f"| {kind} | {1000 * seen.cpu / seen.looks:.1f} | {seen.cpu / seen.looks * a_minute:.1f} | "
                f"{seen.queries / seen.looks * a_minute:.0f} | "
                f"{seen.most} of {options.runs} in {options.poll} s | {seen.memory:.0f} |",
                flush=True,
            )
    finally:
        server.terminate()
        server.wait()


def make(runs: int, poll: int) -> str:
    """Make the service files, the forge, and the store of the waiting runs; return Prometheus' address."""
    from fleetpgo.run.proposed import Merge, Proposed, Rollout, Turn  # noqa: PLC0415  # it is not timed
    from fleetpgo.run.store import RunStore  # noqa: PLC0415

    shutil.rmtree(FOLDER, ignore_errors=True)
    (FOLDER / "services").mkdir(parents=True)
    now = datetime.now(UTC)
    first_repository()
    for number in range(runs):
        name, repository = service_of(number), number // TOGETHER
        text = SERVICE.format(repository=repository, poll=poll)
        (FOLDER / "services" / f"{name}.yaml").write_text(text)
        if number % TOGETHER == 0 and repository:
            like_the_first(repository)
        for kind in MINUTES:
            store = RunStore(FOLDER / "store" / kind, name, RUN)
            store.write(
                Proposed(
                    branch=f"fleetpgo/{name}",
                    base="main",
                    profile=PROFILE,
                    unchanged=False,
                    dry_run=False,
                    pull_request=number % TOGETHER + 1,
                )
            )
            if kind == "rollout":
                store.write(Merge("merged", now))
            if kind == "week":
                store.write(Rollout(PROFILE, now, now, 1.0))
            if kind == "turn":
                store.remove(Proposed)
                store.write(Turn(waits_for="its turn"))
        if number % TOGETHER == 0:
            # It has built, and so the others wait.
            RunStore(FOLDER / "store" / "turn", name, "manual__earlier").write(Turn(builds=(now,)))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


RUN = "manual__2026-03-02T09:00:00+00:00"


def service_of(number: int) -> str:
    """Return the name of a service."""
    return f"service-{number:04}"


def first_repository() -> None:
    """Make a repository in which each of its services has an open pull request."""
    from fleetpgo.proposal.forges.local import LocalForge  # noqa: PLC0415  # it is not timed

    path = FOLDER / "forge" / "api-0.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", path], check=True)
    tree = git(path, "mktree", text="")
    commit = git(path, *("-c", "user.name=t", "-c", "user.email=t@t", "commit-tree", "-m", "first", tree))
    branches = [f"fleetpgo/{service_of(number)}" for number in range(TOGETHER)]
    for branch in ("main", *branches):
        git(path, "update-ref", f"refs/heads/{branch}", commit)
    forge = LocalForge(str(path.parent), "api-0")
    marker = json.dumps({"run": RUN, "profile": PROFILE})
    for branch in branches:
        forge.create(branch, "main", "Refresh", f"text\n<!-- fleetpgo {marker} -->\n")
    git(path, "pack-refs", "--all")


def like_the_first(repository: int) -> None:
    """Make another repository with its pull requests: git would take minutes for a hundred."""
    forge = FOLDER / "forge"
    for kind in ("git", "pulls"):
        shutil.copytree(forge / f"api-0.{kind}", forge / f"api-{repository}.{kind}")
    named = [forge / f"api-{repository}.git" / "packed-refs", *(forge / f"api-{repository}.pulls").iterdir()]
    for file in named:
        text = file.read_text().replace("api-0", f"api-{repository}")
        file.write_text(
            re.sub(r"service-(\d{4})", lambda found: service_of(repository * TOGETHER + int(found[1])), text)
        )


def git(path: Path, *arguments: str, text: str | None = None) -> str:
    """Run git in a repository; return what it prints."""
    command = ["git", "-C", str(path), *arguments]
    done = subprocess.run(command, check=True, input=text, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def prometheus(address: str) -> subprocess.Popen[bytes]:
    """Start a Prometheus that watches itself."""
    (FOLDER / "prometheus.yml").write_text(
        "scrape_configs:\n"
        f"- {{job_name: bench, scrape_interval: 1s, static_configs: [{{targets: ['{address}']}}]}}\n"
    )
    server = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={FOLDER / 'prometheus.yml'}",
            f"--storage.tsdb.path={FOLDER / 'data'}",
            f"--web.listen-address={address}",
            "--log.level=error",
        ]
    )
    while not asked(address, "count(up) == bool 1"):
        time.sleep(0.2)
    return server


def asked(address: str, query: str) -> bool:
    """Return whether Prometheus gives an answer that is not empty."""
    try:
        answer = requests.get(f"http://{address}/api/v1/query", params={"query": query}, timeout=5)
    except requests.ConnectionError:
        return False
    return answer.ok and bool(answer.json()["data"]["result"])


def queries(address: str) -> int:
    """Return how many queries Prometheus has answered."""
    lines = requests.get(f"http://{address}/metrics", timeout=5).text.splitlines()
    counters = [each for each in lines if each.startswith("prometheus_http_requests_total{")]
    return sum(int(float(each.split()[-1])) for each in counters if '"/api/v1/query' in each)


def in_a_process(kind: str, runs: int, poll: int, address: str) -> Watched:
    """Watch one kind of wait."""
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(FOLDER / "airflow"),
        "AIRFLOW_CONN_BENCH_PROMETHEUS": f"http://{address}",
        "AIRFLOW_CONN_BENCH_FORGE": json.dumps(
            {"conn_type": "generic", "extra": {"path": str(FOLDER / "forge")}}
        ),
        "FLEETPGO_SERVICES": str(FOLDER / "services"),
        "FLEETPGO_STORE": str(FOLDER / "store" / kind),
        "BENCH_PROMETHEUS": address,
    }
    command = [sys.executable, "-m", "bench.waits", *("--watch", kind), *(f"--runs={runs}", f"--poll={poll}")]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return Watched(**json.loads(done.stdout.splitlines()[-1]))


async def watch(kind: str, runs: int, poll: int) -> Watched:
    """Begin all waits of a kind at once; watch them for one poll."""
    looks = Looks()
    begin = releases(looks, runs, poll) if kind == "release" else waits(looks, cast("What", kind), runs, poll)
    address = os.environ["BENCH_PROMETHEUS"]
    before, used = queries(address), time.process_time()
    tasks = [asyncio.create_task(each) for each in begin]
    await asyncio.sleep(poll)
    cpu, answered, ended = time.process_time() - used, queries(address) - before, looks.ended
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    if wrong := [end for end in ends if not isinstance(end, asyncio.CancelledError)]:
        raise SystemExit(f"{len(wrong)} waits have ended, for example with {wrong[0]!r}")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Watched(ended, cpu, answered, max(looks.begun.values(), default=0), memory)


class Looks:
    """Counts the looks: those that have ended, and those that begin in each second."""

    def __init__(self) -> None:
        self.begun: Counter[int] = Counter()
        self.ended = 0

    def counted(self, look: Callable[..., Any]) -> Callable[..., Any]:
        """Return a look that is counted."""

        def counting(*arguments: object) -> object:
            self.begun[int(time.monotonic())] += 1
            found = look(*arguments)
            self.ended += 1
            return found

        return counting


def waits(looks: Looks, kind: What, runs: int, poll: int) -> list[Coroutine[Any, Any, Any]]:
    """Return the waits of runs."""
    from fleetpgo_airflow import fleet  # noqa: PLC0415  # imports Airflow
    from fleetpgo_airflow import waits as real  # noqa: PLC0415  # imports Airflow

    real.look = looks.counted(real.look)
    # As many looks share a reading of the service files as at their usual poll.
    fleet.SHARED_S *= poll / 60 / MINUTES[kind]
    triggers = [
        real.LookTrigger(what=kind, service=service_of(number), run=RUN, poll=poll) for number in range(runs)
    ]
    return [first_event(each.run()) for each in triggers]


async def first_event(events: AsyncIterator[TriggerEvent]) -> TriggerEvent:
    """Wait until a wait ends, which none here does."""
    return await anext(events)


def releases(looks: Looks, runs: int, poll: int) -> list[Coroutine[Any, Any, Any]]:
    """Return the waits for releases, which share a stream as in a triggerer."""
    from airflow.triggers.shared_stream import SharedStreamManager  # noqa: PLC0415

    from fleetpgo_airflow import releases as real  # noqa: PLC0415  # imports Airflow

    real.judge = looks.counted(real.judge)
    shared = SharedStreamManager()

    def stream(number: int) -> AsyncIterator[TriggerEvent]:
        trigger = real.ReleaseTrigger(service=service_of(number), connection="bench_prometheus", poll=poll)
        trigger.asset_state_store = cast("AssetStateStoreAccessors", State())
        key = trigger.shared_stream_key()
        return trigger.filter_shared_stream(shared.subscribe(trigger_id=number, trigger=trigger, key=key))

    return [first_event(stream(number)) for number in range(runs)]


class State(dict[str, object]):
    """The state of an asset, which Airflow keeps in its database."""

    async def aget(self, key: str, default: object = None) -> object:
        """Return a value."""
        return self.get(key, default)

    async def aset(self, key: str, value: object) -> None:
        """Keep a value."""
        self[key] = value


if __name__ == "__main__":
    main()
