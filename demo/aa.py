"""A/A: rollouts of a "new" binary that is the old one. What is then measured is the noise, and nothing else.

The binary is built from the commit before the profile, and told to expose the profile's digest: to the
metrics it is the new build, to the processor the old one.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table

from demo.airflow import PROJECT
from demo.deployer import deploy, start_baseline
from demo.processes import DemoError, run
from fleetpgo.measurement.figures import saving

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from demo.deployer import Builds
    from demo.fleet import Fleet
    from fleetpgo.service.rules import ServiceRules

CALLS = {"saved", "regression"}
"""What must not be said of them."""


@dataclass(frozen=True)
class Answer:
    """What was said of one A/A rollout; the saving and its 95 % interval as shares, None without one."""

    call: str
    saving: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, measured: dict[str, Any]) -> Answer:
        """The answer in a measurement.json."""
        estimate = measured["estimate"]
        figures = [estimate[name] for name in ("saving", "low", "high")] if estimate else [None] * 3
        return cls(measured["verdict"]["call"], *figures)


def build(fleet: Fleet, profile: str) -> Path:
    """The binary from before the profile, which says that it was built with it."""
    return fleet.build("origin/main~1", digest=profile)


def again(fleet: Fleet, service: ServiceRules, builds: Builds, *, number: int) -> Answer:
    """Roll the old binary out once more as a new build, wait for the window after it, and measure."""
    label = f"aa{number}"
    start = datetime.now(UTC)
    new = build(fleet, label)
    deploy(fleet, builds.old, new)
    start_baseline(fleet, replace(builds, new=new))
    end = datetime.now(UTC)
    rules = service.measurement
    # Prometheus scrapes every two seconds, and a rate's last point needs the scrape after it.
    time.sleep((rules.settle + rules.week).total_seconds() + 10)
    options = {
        "prometheus": fleet.prometheus_url,
        "profile": label,
        "rollout-start": start.isoformat(),
        "rollout-end": end.isoformat(),
    }
    command = ["fleetpgo", "measure", service.name, "--json"]
    command += [f"--{name}={value}" for name, value in options.items()]
    return Answer.of(json.loads(run(command, PROJECT)))


def table(answers: Sequence[Answer]) -> Table:
    """The answers, one row each."""
    shown = Table(title="A/A rollouts: nothing changed", title_justify="left")
    for column in ("rollout", "saving (95 % interval)", "verdict"):
        shown.add_column(column, justify="left" if column == "verdict" else "right")
    for number, each in enumerate(answers, start=1):
        figures = "–"
        if each.saving is not None and each.low is not None and each.high is not None:
            figures = saving(each.saving, each.low, each.high)
        shown.add_row(str(number), figures, each.call)
    return shown


def check(answers: Sequence[Answer]) -> None:
    """Raise DemoError if anything was called where nothing had changed."""
    called = [number for number, each in enumerate(answers, start=1) if each.call in CALLS]
    if called:
        raise DemoError(
            f"Nothing had changed, and yet rollout {', '.join(map(str, called))} was called a change."
        )
