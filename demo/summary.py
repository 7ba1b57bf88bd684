"""What a run has come to, read from where it left it: the artifact store and the origin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from demo.fleet import GIT_ENV
from demo.processes import DemoError, run
from fleetpgo.measurement.estimators.registry import label
from fleetpgo.measurement.figures import saving, signed

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from fleetpgo.run.store import RunStore


def check_origin(origin: Path) -> None:
    """Raise DemoError unless the origin's main holds the profile and a Makefile that passes it to Go."""
    run(["git", "cat-file", "-e", "main:pgo/profile.pprof"], origin, GIT_ENV)
    makefile = run(["git", "show", "main:Makefile"], origin, GIT_ENV)
    if "-pgo=pgo/profile.pprof" not in makefile:
        raise DemoError(f"The Makefile on main of {origin} does not pass -pgo to go build:\n{makefile}")


def show(console: Console, store: RunStore, elapsed_s: float) -> None:
    """Print the figures of a finished run."""
    manifest = store.read_json("manifest.json")
    pull_request = store.read_json("pull_request.json")
    console.print()
    facts = Table(show_header=False, box=None, title="What was done", title_justify="left")
    facts.add_row("instances fetched", f"{manifest['used']} of {manifest['selected']}")
    facts.add_row("samples", f"{manifest['samples']:,}")
    facts.add_row(
        "profile",
        f"{manifest['profile']}: {manifest['profile_size']:,} bytes of {manifest['merged_size']:,} merged",
    )
    facts.add_row("pull request", f"#{pull_request['pull_request']} {pull_request['url']}")
    facts.add_row(
        "binary", f"{pull_request['size_without']:,} → {pull_request['size_with']:,} bytes with the profile"
    )
    facts.add_row("time", f"{elapsed_s / 60:.1f} minutes")
    console.print(facts)
    for period in ("rollout", "week"):
        console.print()
        console.print(_measurement(period, store.read_json(f"measure_{period}.json")))


def _measurement(period: str, measured: dict[str, Any]) -> Table:
    table = Table(title=f"CPU per request, measure_{period}", title_justify="left", caption=_saving(measured))
    table.caption_justify = "left"
    for column in ("group", "instances", "before", "after", "change"):
        table.add_column(column, justify="left" if column == "group" else "right")
    for name, group in {"all": measured["raw"], **measured["groups"]}.items():
        table.add_row(
            name,
            str(group["instances"]),
            f"{1e3 * group['cpu_per_request_before']:.3f} ms",
            f"{1e3 * group['cpu_per_request_after']:.3f} ms",
            signed(-group["saved_share_per_request"]),
        )
    return table


def _saving(measured: dict[str, Any]) -> str:
    estimate, verdict = measured["estimate"], measured["verdict"]
    why = "".join(f"; {reason}" for reason in verdict["reasons"])
    if estimate is None:
        return f"{verdict['call']}{why}"
    figures = saving(*(estimate[name] for name in ("saving", "low", "high")))
    return f"{verdict['call']}: {figures} of the CPU (95 % interval) {label(estimate['method'])}{why}"
