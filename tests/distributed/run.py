"""The whole loop on a distributed Airflow; a worker is lost during the build, the triggerer during a wait.

    make test-distributed

Ends with a line that says whether every promise was kept, and with exit code 0 only then. Everything lies
under .local/distributed and is made anew each time; nothing that was started stays.
"""

from __future__ import annotations

import json
import os
import shutil
import time

from rich.console import Console
from rich.markup import escape

from demo import processes, summary
from demo.airflow import PROJECT
from demo.deployer import deploy
from demo.fleet import DATACENTERS, GIT_ENV, Fleet
from demo.processes import DemoError
from demo.progress import Progress
from demo.run import DAG_ID
from fleetpgo.proposal.forges.local import LocalForge
from fleetpgo.run.artifacts import Report
from fleetpgo.run.measured import PERIODS
from fleetpgo.run.proposed import Proposed
from fleetpgo.run.store import RunStore
from tests.distributed.cluster import WORKERS, Cluster
from tests.distributed.servers import Servers

ROOT = PROJECT / ".local" / "distributed"
BUILD = "build_and_open_pr"

console = Console(soft_wrap=True)


def main() -> None:
    """Run the test."""
    processes.exit_on_sigterm()
    start = time.monotonic()
    try:
        promises = loop(start)
    except KeyboardInterrupt as error:
        console.print("Stopped before the end.")
        raise SystemExit(130) from error
    except DemoError as error:
        console.print(escape(str(error)), highlight=False)
        promises = {"the run completes": False}
    minutes = (time.monotonic() - start) / 60
    console.print()
    for promise, kept in promises.items():
        console.print(f"{'[green]kept[/green]  ' if kept else '[bold red]BROKEN[/bold red]'}  {promise}")
    if not all(promises.values()):
        console.print(f"[bold red]FAILED[/bold red] after {minutes:.1f} minutes; logs: {ROOT / 'logs'}")
        raise SystemExit(1)
    console.print(f"[bold green]PASSED[/bold green] in {minutes:.1f} minutes")


def loop(start: float) -> dict[str, bool]:
    """Start everything, play the loop through, and return each promise and whether it was kept.

    Args:
        start: when it began, by the monotonic clock.
    """
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir(parents=True)
    # The deployer's builds; the workers have caches of their own.
    os.environ["GOCACHE"] = str(PROJECT / ".local" / "demo-go" / "go-build")
    fleet, servers = Fleet(ROOT), Servers(ROOT)
    forge = json.dumps({"conn_type": "generic", "extra": {"path": str(ROOT / "forge")}})
    connections = {
        "AIRFLOW_CONN_WSHIM_PROMETHEUS": fleet.prometheus_url,
        "AIRFLOW_CONN_WSHIM_FORGE": forge,
    }
    console.print("Starting PostgreSQL, Redis, object storage, Airflow; building the service …")
    with servers, Cluster(ROOT, processes.free_port(), servers, connections) as cluster, fleet:
        fleet.wait_ready()
        cluster.wait_ready(DAG_ID)
        console.print(f"{len(fleet.instances)} instances, {len(WORKERS)} workers, {cluster.url}\n")
        # Shorter profiles than the demo's: what is proven here is the way, not the figures.
        run_id = cluster.trigger(DAG_ID, {"seconds": 15})
        progress = Progress(console, cluster, fleet, DAG_ID, run_id)

        progress.follow_until(BUILD, {"running"})
        _lose_worker(cluster, progress, run_id)
        progress.follow_until("wait_for_merge", {"deferred"})
        _lose_triggerer(cluster, progress)
        progress.follow_until("wait_for_merge", {"success"})
        _deploy(fleet, progress)
        progress.follow_until("measure_week", {"success"})
        processes.wait_until(
            lambda: cluster.run_state(DAG_ID, run_id) == "success",
            "the run has succeeded",
            cluster.components(),
            timeout_s=60,
        )
        servers.check()
        store = RunStore(servers.store(), "wshim", run_id)
        summary.show(console, store, time.monotonic() - start)
        return _promises(cluster, fleet, store)


def _lose_worker(cluster: Cluster, progress: Progress, run_id: str) -> None:
    """Kill the worker on which Go compiles the service, as if its machine were gone."""
    seen: list[str] = []

    def compiles() -> bool:
        seen.extend(filter(None, [cluster.compiling()]))  # the next look may fall between two packages
        return bool(seen)

    processes.wait_until(compiles, "a worker compiles", cluster.components(), 120)
    cluster.kill(seen[0])
    [build] = [each for each in cluster.task_instances(DAG_ID, run_id) if each["task_id"] == BUILD]
    if build["state"] != "running":
        raise DemoError(f"The build was over before its worker was killed: {BUILD} is {build['state']}.")
    progress.say(f"[bold]SIGKILL[/bold]   {seen[0]}, which was building; it does not come back")


def _lose_triggerer(cluster: Cluster, progress: Progress) -> None:
    """Kill the triggerer, merge while there is none, and start another."""
    cluster.kill("triggerer")
    progress.say("[bold]SIGKILL[/bold]   triggerer, while it waits for the merge")
    review = {**os.environ, "FLEETPGO_FORGE": str(ROOT / "forge")}
    merged = processes.run(["fleetpgo", "pr", "merge", "wshim"], PROJECT, review)
    progress.say(f"[bold]reviewer[/bold]  {escape(merged.strip())}")
    cluster.start_component("triggerer", "--skip-serve-logs")
    progress.say("[bold]restart[/bold]   another triggerer")


def _deploy(fleet: Fleet, progress: Progress) -> None:
    old, new = fleet.instances[0].binary, fleet.build()
    deploy(fleet, old, new)
    progress.say(
        f"[bold]deployer[/bold]  rolled {new.name} through one instance of each of {len(DATACENTERS)}"
    )


def _promises(cluster: Cluster, fleet: Fleet, store: RunStore) -> dict[str, bool]:
    """What must hold after the two losses, and whether it does."""
    forge = LocalForge(str(ROOT / "forge"), "wshim")
    pull_requests = forge.pull_requests()
    comments = forge.comments(1)
    tries = {each["task_id"]: each["try_number"] for each in cluster.task_instances(DAG_ID, store.run)}
    [first] = _lines(fleet, "rev-list", "--max-parents=0", "main")
    [row] = cluster.fleet()
    return {
        "the build was tried again, on the worker that was left": tries[BUILD] > 1,
        "the run made one pull request, and it is merged": [each.state for each in pull_requests]
        == ["merged"],
        "main has one commit more, and its merge": len(_lines(fleet, "rev-list", f"{first}..main")) == 2,
        "no branch is left": len(_lines(fleet, "branch", "--list")) == 1,
        "one comment tells of both measurements": list(comments) == ["measurement"]
        and all(store.read(Report, each).decode() in comments["measurement"] for each in PERIODS),
        "the asset was updated once": cluster.asset_events() == 1,
        "the Fleet page shows the profile that was merged": row["profile"]["digest"]
        == store.read(Proposed).profile,
    }


def _lines(fleet: Fleet, *arguments: str) -> list[str]:
    """What git says of the origin, line by line."""
    return processes.run(["git", *arguments], fleet.origin, GIT_ENV).splitlines()


if __name__ == "__main__":
    main()
