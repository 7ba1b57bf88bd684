"""``fleetpgo store``: look after the artifact store."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleetpgo.cli.options import json_option, store_option
from fleetpgo.cli.printing import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from upath import UPath

    from fleetpgo.run.retention import Pruned


@click.group()
def store() -> None:
    """Look after the artifact store: check it, remove what is old."""


def _duration(_: click.Context, __: click.Parameter, value: str) -> timedelta:
    from fleetpgo.service.values import duration

    try:
        return duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _services(root: Path | UPath, only: Sequence[str]) -> list[str]:
    from fleetpgo.errors import StoreError
    from fleetpgo.run.contents import services_of

    if isinstance(root, Path) and not root.is_dir():
        raise StoreError(f"there is no store at {root}", hint="set --store or FLEETPGO_STORE")
    return services_of(root, only)


services_argument = click.argument("services", metavar="[SERVICE]…", nargs=-1)


@store.command()
@services_argument
@store_option()
@click.option(
    "--profiles-after",
    metavar="DURATION",
    default="30d",
    show_default=True,
    callback=_duration,
    help="Age at which the profiles of single instances go; 8d at least.",
)
@click.option(
    "--runs-after",
    metavar="DURATION",
    default="400d",
    show_default=True,
    callback=_duration,
    help="Age at which all of a run goes but what the history needs; 200d at least.",
)
@click.option("--dry-run", is_flag=True, help="Remove nothing; say what would go.")
@json_option
def prune(
    services: tuple[str, ...],
    store: Path | UPath,
    profiles_after: timedelta,
    runs_after: timedelta,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove what is old from the store, of all services or of these.

    What the history and the fleet's page read stays for ever, and so does all that the next run needs. Ends
    with status 1 if something could not be removed.
    """
    from fleetpgo.run.retention import prune

    done = [
        prune(
            store,
            service,
            now=datetime.now(UTC),
            profiles_after=profiles_after,
            runs_after=runs_after,
            dry_run=dry_run,
        )
        for service in _services(store, services)
    ]
    if as_json:
        say(json.dumps([asdict(each) for each in done]))
    else:
        for each in done:
            say(told(each, dry_run=dry_run))
    if any(each.faults for each in done):
        raise SystemExit(1)


def told(pruned: Pruned, *, dry_run: bool) -> str:
    """Return what was removed of a service, in a line and a line a kind."""
    what = f"{sum(pruned.bytes.values()):,} bytes in {sum(pruned.files.values()):,} files"
    line = (
        f"{pruned.service}: {'would free' if dry_run else 'freed'} {what} of {pruned.runs:,} of "
        f"{pruned.of:,} runs; {pruned.kept:,} bytes stay"
    )
    kinds = sorted(pruned.files.items())
    parts = [f"  {pruned.bytes[kind]:>15,}  {n:>6,} {kind}" for kind, n in kinds]
    return "\n".join([line, *parts, *(f"  stays: {each}" for each in pruned.faults)])


@store.command()
@services_argument
@store_option()
@json_option
def check(services: tuple[str, ...], store: Path | UPath, *, as_json: bool) -> None:
    """Read every artifact of the store, and say what is damaged, missing or belongs to nothing.

    Ends with status 1 if something is damaged or missing.
    """
    from fleetpgo.run.contents import files_of
    from fleetpgo.run.soundness import check

    names = _services(store, services)
    findings = [finding for service in names for finding in check(store, service)]
    if as_json:
        say(json.dumps([asdict(each) for each in findings]))
    else:
        for each in findings:
            say(f"{each.state}: {each.path}: {each.why}")
        runs = sum(len(files_of(store, service)) for service in names)
        say(f"{len(names):,} services, {runs:,} runs: {len(findings) or 'no'} findings")
    if any(each.state != "orphan" for each in findings):
        raise SystemExit(1)
