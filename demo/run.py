"""The whole loop on this machine: a Go fleet is profiled, rebuilt, reviewed, rolled out and measured.

    make demo                 leaves everything up until Ctrl-C
    make demo DEMO_EXIT=1     ends by itself; exit code 0 only if every stage did its work
    make demo DEMO_AA=1       rolls out the old binary as if it were the new one: measures the noise
    make demo DEMO_AA=10      does so ten times; fails if a change is called of any
    make demo DEMO_TWO_STEP=1 deploys a release, and then its profile: the run begins by itself

Everything lies under .local/demo and is made anew each time; only Go's build cache stays.
"""

from __future__ import annotations

import argparse
import fcntl
import itertools
import json
import os
import shutil
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from demo import aa, processes, summary, two_step
from demo.airflow import PROJECT, USER, Airflow
from demo.deployer import GROUPS, Builds, Rotation, deploy, start_baseline
from demo.fleet import Fleet
from demo.processes import DemoError
from demo.progress import Progress
from fleetpgo.golang.environment import repository_cache
from fleetpgo.run.measured import LEVEL_RUN, Level, Measurement
from fleetpgo.run.proposed import Proposed
from fleetpgo.run.store import RunStore
from fleetpgo.service.files import load_named

if TYPE_CHECKING:
    from collections.abc import Iterator

DAG_ID = "pgo_refresh__wshim"
LEVEL_DAG_ID = "pgo_level__wshim"
ROOT = PROJECT / ".local" / "demo"
GO_CACHES = PROJECT / ".local" / "demo-go"

# A profile must hold enough samples, and an instance uses a fiftieth of a core: 30 s of fifteen are some 900.
PARAMS = {"instances": 15, "seconds": 30}

DATACENTERS = ("ams", "atl", "fra", "lhr", "mad", "nrt", "ord", "sin", "sjc")
"""Many small instances tell more than few large ones: the 97.5 % quantile of t is 4.3 for three datacenters
and 2.3 for nine, and no two processes of one build use the same CPU."""

# To each instance: all of them leave half of two processors to the builds. A rate over 20 s, which with
# scrapes every two seconds is one over 18 s, then holds six whole cycles of the load generator's batches.
REQUESTS_PER_SECOND = 5

console = Console(soft_wrap=True)  # addresses stay in one piece


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(prog="python -m demo.run", description=__doc__)
    parser.add_argument("--exit", action="store_true", help="end after the summary")
    parser.add_argument("--port", type=int, default=8080, help="port of Airflow's web interface")
    parser.add_argument(
        "--aa",
        type=int,
        default=0,
        metavar="ROLLOUTS",
        help="number of rollouts that change nothing, to see the noise",
    )
    parser.add_argument(
        "--two-step", action="store_true", help="deploy a release, which is noticed, and then its profile"
    )
    args = parser.parse_args()
    if args.aa and args.two_step:
        parser.error("--aa changes nothing, and --two-step deploys a release: give one of them")
    processes.exit_on_sigterm()
    try:
        demo(port=args.port, leave=args.exit, aa_rollouts=args.aa, two_steps=args.two_step)
    except KeyboardInterrupt as error:
        console.print("Stopped before the end.")
        raise SystemExit(130) from error
    except DemoError as error:
        console.print(f"[bold red]The demo failed.[/bold red] {escape(str(error))}", highlight=False)
        console.print(f"The logs are in {ROOT / 'logs'}.")
        raise SystemExit(1) from error


def demo(*, port: int, leave: bool, aa_rollouts: int, two_steps: bool = False) -> None:
    """Start everything, play the loop through, and stay until Ctrl-C unless told to leave.

    Args:
        port: of Airflow's web interface.
        leave: end after the summary.
        aa_rollouts: how often to roll out a build that changes nothing; 0: roll out the real one.
        two_steps: deploy a release first, for which a run begins by itself.
    """
    start = time.monotonic()
    processes.claim_port(port, "Airflow's web interface")
    with _fresh_root():
        fleet = Fleet(
            ROOT,
            instances=GROUPS * len(DATACENTERS),
            requests_per_second=REQUESTS_PER_SECOND,
            datacenters=DATACENTERS,
        )
        variables = {
            "AIRFLOW_CONN_WSHIM_PROMETHEUS": fleet.prometheus_url,
            "AIRFLOW_CONN_WSHIM_FORGE": json.dumps(
                {"conn_type": "generic", "extra": {"path": str(ROOT / "forge")}}
            ),
            "FLEETPGO_STORE": str(ROOT / "store"),
            "FLEETPGO_CACHE": str(GO_CACHES),
            **(two_step.write_service(ROOT / "services", PARAMS) if two_steps else {}),
        }
        console.print("Starting Airflow, building the service …")
        # Airflow first: it starts while Go builds.
        with Airflow(ROOT, port, variables) as airflow, fleet:
            fleet.wait_ready()
            console.print(f"Fleet       {len(fleet.instances)} instances in {', '.join(DATACENTERS)}")
            console.print(f"Prometheus  {fleet.prometheus_url}")
            airflow.wait_ready(DAG_ID)
            console.print(f"Airflow     {airflow.url}  login: {USER}  password: {airflow.password}")
            run_id = (
                two_step.release(console, fleet, airflow, DAG_ID)
                if two_steps
                else airflow.trigger(DAG_ID, PARAMS)
            )
            level_id, builds = play(fleet, airflow, run_id, changed=not aa_rollouts)
            store = RunStore(ROOT / "store", "wshim", run_id)
            level = RunStore(ROOT / "store", "wshim", f"{LEVEL_RUN}{level_id}").read(Level)
            summary.show(console, store, time.monotonic() - start, level)
            summary.check_level(level)
            if two_steps:
                two_step.check(store, fleet)
            if aa_rollouts:
                answers = [aa.Answer.of(dict(store.read(Measurement, "week").whole))]
                for number in range(2, aa_rollouts + 1):
                    console.print(f"A/A rollout {number} of {aa_rollouts} …")
                    answers.append(aa.again(fleet, load_named("wshim"), builds, number=number))
                console.print(aa.table(answers))
                aa.check(answers)
            if not leave:
                console.print(
                    f"\n{airflow.url}/plugin/fleetpgo shows the fleet ({USER}, {airflow.password}). "
                    "It stays up; Ctrl-C ends everything."
                )
                with suppress(KeyboardInterrupt):
                    for _ in itertools.count():
                        time.sleep(60)


def play(fleet: Fleet, airflow: Airflow, run_id: str, *, changed: bool) -> tuple[str, Builds]:
    """One run of the DAG, with us as the reviewer and the deployer, and then one that measures the level.

    Args:
        fleet: what is profiled and deployed to.
        airflow: where the DAGs run.
        run_id: the run, which has begun.
        changed: deploy the build with the profile; else the old one, which says that it is the new one.

    Returns:
        the id of the run that measures the level, and what is deployed.
    """
    console.print(f"Run         {airflow.url}/dags/{DAG_ID}/runs/{run_id}\n")
    progress = Progress(console, airflow, fleet, DAG_ID, run_id)

    progress.follow_until("wait_for_merge", {"running", "deferred", "success"})
    # The builds have kept the machine busy; the longest window before the rollout must not hold that.
    rules = load_named("wshim").measurement
    quiet_until = time.monotonic() + (rules.week + rules.settle).total_seconds()
    review_s = rules.week.total_seconds()
    progress.say(f"[bold]reviewer[/bold]  reads the pull request for {review_s:.0f} seconds")
    time.sleep(review_s)
    review = {**os.environ, "FLEETPGO_FORGE": str(ROOT / "forge")}
    merged = processes.run(["fleetpgo", "pr", "merge", "wshim"], PROJECT, review)
    progress.say(f"[bold]reviewer[/bold]  {escape(merged.strip())}")
    summary.check_origin(fleet.origin)

    old = fleet.instances[0].binary
    digest = RunStore(ROOT / "store", "wshim", run_id).read(Proposed).profile
    new = fleet.build() if changed else aa.build(fleet, digest)
    builds = Builds(old, new, fleet.build(digest="off", pgo="off"))
    progress.say(f"[bold]deployer[/bold]  built {new.name} from main, and {builds.baseline.name}")
    time.sleep(max(0.0, quiet_until - time.monotonic()))
    deploy(fleet, old, new)
    start_baseline(fleet, builds)
    progress.say(
        "[bold]deployer[/bold]  rolled it through one instance per datacenter; one is control, "
        "and one is for the baseline, which is rotated"
    )
    rotation = Rotation(fleet, builds, rules)

    def rotate() -> None:
        if said := rotation.turn():
            progress.say(f"[bold]deployer[/bold]  {said}")

    progress.follow_until("wait_for_week", {"success"}, rotate)
    level_id = airflow.trigger(LEVEL_DAG_ID, {})
    progress.follow_until("measure_week", {"success"})
    airflow.finish(LEVEL_DAG_ID, level_id)
    return level_id, builds


@contextmanager
def _fresh_root() -> Iterator[None]:
    """An empty ROOT, held by this demo only."""
    ROOT.parent.mkdir(exist_ok=True)
    with (ROOT.parent / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DemoError(f"A demo is running in {ROOT} already. End it first.") from error
        shutil.rmtree(ROOT, ignore_errors=True)
        # One cache for the deployer's builds and the DAG's: whoever builds second finds the work done.
        own = repository_cache(GO_CACHES, load_named("wshim").repository.identity)
        os.environ["GOCACHE"] = str(own / "go-build")
        yield


if __name__ == "__main__":
    main()
