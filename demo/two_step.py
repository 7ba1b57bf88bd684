"""Two-step deployment on the demo's fleet: a release with new hot code is noticed, profiled, deployed again.

The release is a commit of the service, kept as ``release.patch``. Nobody triggers a run: the DAG's watcher
sees in Prometheus that the fleet has come to run another revision.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from demo import processes
from demo.fleet import GIT_ENV
from demo.processes import DemoError
from fleetpgo import pprof
from fleetpgo.run.artifacts import ProposedProfile
from fleetpgo.run.measured import Measurement
from fleetpgo.run.released import Begun
from fleetpgo.service.files import services_directory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from demo.airflow import Airflow
    from demo.fleet import Fleet
    from fleetpgo.run.store import RunStore

PATCH = Path(__file__).with_name("release.patch")

NEW = "internal/relabel.fingerprint"
"""Ends the name of the function that the release spends most of its new CPU in."""

RULES = """
# A demo of minutes cannot wait half an hour; in production leave `settle` out.
release:
  share: 0.5
  settle: 20s
"""

VARIABLES = {
    # Without it no run begins for an event. The DAG's own times are weekly: none falls into the demo.
    "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "True",
    # The watcher comes with the first parse after the DAG was unpaused.
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "15",
}

_NOTICED_S = 180.0
"""Most time from the last restart to the run: the share must be kept for 20 s, and shows 20 s later."""


def write_service(directory: Path, params: Mapping[str, int]) -> dict[str, str]:
    """Write the service file with ``release``; return the variables under which all find it.

    Args:
        directory: where to.
        params: how many instances to profile, and for how many seconds.
    """
    text = (services_directory() / "wshim.yaml").read_text()
    directory.mkdir(parents=True)
    # Nobody fills in a form: what it would say is in the file.
    for before, after in (
        ("selection:\n", "selection:\n  builds: wshim_build_info\n"),
        ("instances: 6\n", f"instances: {params['instances']}\n"),
        ("seconds: 10 ", f"seconds: {params['seconds']} "),
    ):
        if before not in text:
            raise DemoError(f"{services_directory() / 'wshim.yaml'} has no {before.strip()!r}.")
        text = text.replace(before, after, 1)
    (directory / "wshim.yaml").write_text(text + RULES)
    os.environ["FLEETPGO_SERVICES"] = str(directory)
    return {"FLEETPGO_SERVICES": str(directory), **VARIABLES}


def release(console: Console, fleet: Fleet, airflow: Airflow, dag_id: str) -> str:
    """Deploy the release, and wait until a run has begun for it; return the run's id.

    Raises:
        DemoError: none began.
    """
    airflow.unpause(dag_id)
    processes.wait_until(
        lambda: airflow.asset_state("wshim release", "revisions") is not None,
        "the watcher has looked at Prometheus",
        [],
        timeout_s=120,
    )
    commit = _commit(fleet)
    binary = fleet.build()
    console.print(f"Release     {commit[:12]}, with another relabelling rule, is rolled through the fleet")
    fleet.roll(range(len(fleet.instances)), binary)
    rolled = time.monotonic()
    processes.wait_until(
        lambda: bool(airflow.runs(dag_id)), "a run has begun for the release", [], timeout_s=_NOTICED_S
    )
    run: str = airflow.runs(dag_id)[0]
    console.print(f"Noticed     by the watcher, {time.monotonic() - rolled:.0f} s after the last restart")
    return run


def check(store: RunStore, fleet: Fleet) -> None:
    """Check what two-step deployment promises.

    Raises:
        DemoError: the run was for another release, the profile does not know the new code, or what was
            measured is not PGO's alone.
    """
    begun = store.read(Begun)
    parent = processes.run(["git", "rev-parse", "--short=12", "main~1"], fleet.origin, GIT_ENV).strip()
    if begun.revision != parent:
        raise DemoError(f"The run was for release {begun.revision or '(none)'}, not for {parent}.")
    profile = pprof.decode(store.read(ProposedProfile))
    if not any(name.endswith(NEW) for edge in pprof.call_edges(profile).weights for name in edge[:2]):
        raise DemoError(f"The profile does not hold {NEW}, which the release has brought.")
    verdict = store.read(Measurement, "week").verdict
    if verdict.call == "invalid" or verdict.attribution != "PGO":
        why = "; ".join(verdict.reasons)
        raise DemoError(f"The second deployment is {verdict.call}, by {verdict.attribution}: {why}")


def _commit(fleet: Fleet) -> str:
    """Commit the patch to the origin's main; return the full SHA."""
    work = fleet.root / "src" / "wshim"
    for arguments in (
        ("fetch", "--quiet", "origin"),
        ("checkout", "--quiet", "--detach", "origin/main"),
        ("apply", "--index", str(PATCH)),
        ("commit", "--quiet", "-m", "Replace account names with fingerprints"),
        ("push", "--quiet", "origin", "HEAD:main"),
    ):
        processes.run(["git", *arguments], work, GIT_ENV)
    return processes.run(["git", "rev-parse", "HEAD"], work, GIT_ENV).strip()
