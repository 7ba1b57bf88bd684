"""What a run has come to, read from where it left it: the artifact store and the origin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from demo.fleet import GIT_ENV
from demo.processes import DemoError, run
from fleetpgo.measurement.estimators.registry import label
from fleetpgo.measurement.figures import saving, signed
from fleetpgo.measurement.standing import headline
from fleetpgo.run.measured import PERIODS, Measurement
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.proposed import Proposed

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from fleetpgo.run.measured import Level, Period
    from fleetpgo.run.store import RunStore


def check_origin(origin: Path) -> None:
    """Raise DemoError unless the origin's main holds the profile and a Makefile that passes it to Go."""
    run(["git", "cat-file", "-e", "main:pgo/profile.pprof"], origin, GIT_ENV)
    makefile = run(["git", "show", "main:Makefile"], origin, GIT_ENV)
    if "-pgo=$(or $(PGO),pgo/profile.pprof)" not in makefile:
        raise DemoError(f"The Makefile on main of {origin} does not pass -pgo to go build:\n{makefile}")


def check_level(level: Level) -> None:
    """Raise DemoError unless it is known what PGO saves now."""
    if level.saving is None:
        raise DemoError(headline(level))


def show(console: Console, store: RunStore, elapsed_s: float, level: Level | None = None) -> None:
    """Print the figures of a finished run, and what PGO saves now if that was measured."""
    manifest = store.read(Manifest)
    proposed = store.read(Proposed)
    console.print()
    facts = Table(show_header=False, box=None, title="What was done", title_justify="left")
    facts.add_row("instances fetched", f"{manifest.used} of {manifest.selected}")
    facts.add_row("samples", f"{manifest.samples:,}")
    facts.add_row(
        "profile",
        f"{manifest.profile}: {manifest.profile_size:,} bytes of {manifest.merged_size:,} merged",
    )
    facts.add_row("pull request", f"#{proposed.pull_request} {proposed.url}")
    facts.add_row("binary", f"{proposed.size_without:,} → {proposed.size_with:,} bytes with the profile")
    facts.add_row("time", f"{elapsed_s / 60:.1f} minutes")
    console.print(facts)
    for period in PERIODS:
        console.print()
        console.print(_measurement(period, store.read(Measurement, period)))
    if level is not None:
        about = f" (95 % interval), against a baseline without it: {level.basis}" if level.basis else ""
        console.print(f"\n[bold]{escape(headline(level))}[/bold]{about}", highlight=False)


def _measurement(period: Period, measured: Measurement) -> Table:
    table = Table(title=f"CPU per request over the {period}", title_justify="left", caption=_saving(measured))
    table.caption_justify = "left"
    for column in ("group", "instances", "before", "after", "change"):
        table.add_column(column, justify="left" if column == "group" else "right")
    for name, group in {"all": measured.raw, **measured.groups}.items():
        if group is None or group.cpu_per_request_before is None:
            continue
        table.add_row(
            name,
            str(group.instances),
            f"{1e3 * group.cpu_per_request_before:.3f} ms",
            f"{1e3 * (group.cpu_per_request_after or 0):.3f} ms",
            signed(-(group.saved_share_per_request or 0)),
        )
    return table


def _saving(measured: Measurement) -> str:
    estimate, verdict = measured.estimate, measured.verdict
    why = "".join(f"; {reason}" for reason in verdict.reasons)
    if estimate is None:
        return f"{verdict.call}{why}"
    figures = saving(estimate.saving, estimate.low, estimate.high)
    return f"{verdict.call}: {figures} of the CPU (95 % interval) {label(estimate.method)}{why}"
