"""``fleetpgo bisect``: find the call whose inlining because of the profile costs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from fleetpgo.cli.options import (
    ca_option,
    cache_option,
    forge_option,
    json_option,
    run_option,
    service_argument,
    store_option,
)
from fleetpgo.cli.printing import plain, say, show_table

if TYPE_CHECKING:
    from pathlib import Path

    from upath import UPath

    from fleetpgo.golang.bisection import Bisected
    from fleetpgo.golang.timing import Interval

_EXIT = {"found": 0, "no worse": 3, "uncertain": 4, "no single call": 5, "not the calls": 5, "guard costs": 5}
"""Exit codes. 1 is an error, and 2 is click's: a wrong command line."""


@click.command()
@service_argument
@forge_option()
@click.option(
    "--benchmark",
    metavar="PATTERN",
    default="",
    help="Benchmarks, as `go test -bench` takes them. Default: build.benchmark.",
)
@store_option(required=False)
@run_option("the profile that the base branch holds is used")
@cache_option
@ca_option
@json_option
def bisect(
    service: str,
    address: str,
    benchmark: str,
    store: Path | UPath | None,
    run: str | None,
    cache: Path,
    *,
    as_json: bool,
) -> None:
    """Find the call whose inlining because of the profile makes a benchmark slower.

    Runs the benchmarks of `build.benchmark` without and with the profile. Takes the one that is slower with
    it, and halves the calls that the compiler inlines or devirtualises because of the profile until one is
    left (`-d=pgohash`, Go 1.22 or newer). Each step times its builds in turn until the difference is
    certain, for at most 40 rounds. At the end it builds with the culprit in `profile.guards`, measures that
    beside all else, and prints the lines for the service file. It pushes nothing.

    \b
      fleetpgo bisect wshim --forge https://github.com
      fleetpgo bisect wshim --forge https://github.com --benchmark '^BenchmarkParse$'

    It takes minutes, or an hour for a large program: run it on a quiet machine, and let --benchmark name few
    benchmarks.

    Exit codes: 0, the culprit is found and the guard helps; 1, an error; 3, no benchmark is worse with the
    profile; 4, it is not certain after 40 rounds; 5, no single call that a guard could help.
    """  # noqa: D301  # \b is click's mark for "do not wrap", not an escape gone wrong
    from fleetpgo.cli.propose import connect_forge
    from fleetpgo.run.artifacts import ProposedProfile
    from fleetpgo.run.store import RunStore
    from fleetpgo.service.files import load_named
    from fleetpgo.steps.bisect import bisect as find

    described = load_named(service)
    profile = None
    if run:
        if store is None:
            raise click.UsageError("--run needs --store (env var: 'FLEETPGO_STORE')")
        profile = RunStore(store, service, run).read(ProposedProfile)
    forge = connect_forge(described, address)
    found = find(described, forge, cache=cache, profile=profile, benchmark=benchmark)
    if as_json:
        say(json.dumps(asdict(found)))
    else:
        _show(found)
    raise SystemExit(_EXIT[found.outcome])


def _show(found: Bisected) -> None:
    from rich.table import Table

    from fleetpgo.golang.bisection import OFF, shown

    say(f"{found.said}.\n")
    table = Table(found.benchmark, "time per operation", "× no profile", box=None)
    base = found.times[OFF].estimate
    for side, time in found.times.items():
        table.add_row(*map(plain, (side, shown(time), f"{time.estimate / base:.3g}")))
    show_table(table)
    say(f"\nMedians of {found.rounds} rounds in turn, with 99 % intervals. Package {found.package}.")
    if found.outcome == "no single call":
        say("\nThe calls that are left:")
        for each in found.suspects:
            say(f"  {each.caller} → {each.callee} ({each.line})")
    if found.guard and found.cost:
        say(f"\nFor the service file:\n\n{guard_lines(found.guard, found.benchmark, found.cost)}")


def guard_lines(function: str, benchmark: str, cost: Interval) -> str:
    """Return the lines of the service file that guard a function."""
    issue = f"fleetpgo bisect: {benchmark} takes {cost.estimate:.3g} times as long because of it"
    return (
        "profile:\n  guards:\n"
        f"    - function: {json.dumps(function, ensure_ascii=False)}\n"
        f"      issue: {json.dumps(issue)}  # better: the link of your report at https://go.dev/issue\n"
    )
