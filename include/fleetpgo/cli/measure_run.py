"""``fleetpgo measure --run``: from a run's pull request to its measurements."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fleetpgo.cli.options import open_prometheus
from fleetpgo.cli.printing import TOO_EARLY, say
from fleetpgo.cli.propose import connect_forge
from fleetpgo.errors import ArtifactError
from fleetpgo.overview.summaries import profiles_made, summaries
from fleetpgo.run.artifacts import Report
from fleetpgo.run.measured import PERIODS, Measurement
from fleetpgo.run.store import RunStore
from fleetpgo.steps.follow import follow

if TYPE_CHECKING:
    from pathlib import Path

    from upath import UPath

    from fleetpgo.service.rules import ServiceRules


def measure_run(
    described: ServiceRules,
    store: Path | UPath,
    run: str,
    prometheus_address: str,
    forge_address: str,
    *,
    wait: bool,
    as_json: bool,
) -> None:
    """Measure what can be measured, print the longest measurement, and say what is still to come.

    Args:
        described: the service.
        store: root of the store.
        run: its id; ``latest``: the latest that opened a pull request.
        prometheus_address: its URL.
        forge_address: that of the forge.
        wait: look again every ``rollout.poll`` until the week is measured or the run has ended.
        as_json: print the measurement's record.

    Raises:
        SystemExit: nothing can be measured yet (:data:`fleetpgo.cli.printing.TOO_EARLY`) or ever (1).
    """
    run_store = RunStore(store, described.name, _latest(store, described.name) if run == "latest" else run)
    prometheus = open_prometheus(prometheus_address)
    forge = connect_forge(described, forge_address)
    said = ""
    while True:
        outcome = follow(described, run_store, prometheus, forge, now=datetime.now(UTC))
        if not wait or outcome.state != "waiting":
            break
        if outcome.message != said:
            say(outcome.message, err=True)
            said = outcome.message
        time.sleep(described.rollout.poll.total_seconds())
    say(f"run {run_store.run}: {outcome.message}", err=True)
    measured = [period for period in PERIODS if run_store.exists(Measurement, period)]
    if not measured:
        raise SystemExit(TOO_EARLY if outcome.state == "waiting" else 1)
    longest = measured[-1]
    if as_json:
        say(json.dumps(run_store.read(Measurement, longest).whole))
    else:
        say(run_store.read(Report, longest).decode(), nl=False)


def _latest(store: Path | UPath, service: str) -> str:
    """Return the service's latest run that opened or updated a pull request."""
    made = [profile.run for profile, run in profiles_made(summaries(store, service)) if run.pull_request]
    if not made:
        raise ArtifactError(
            f"no run of {service} in {store} has opened a pull request, so there is nothing to measure",
            hint=f"`fleetpgo run {service}` opens one; a deploy of another kind is measured with "
            "--rollout-start and --rollout-end",
        )
    return made[-1]
