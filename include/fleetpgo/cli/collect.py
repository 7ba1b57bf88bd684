"""``fleetpgo collect``: from the fleet to the merged profile."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleetpgo.cli.options import (
    json_option,
    length_option,
    matchers_option,
    new_run,
    prometheus_option,
    run_option,
    service_argument,
    store_option,
)
from fleetpgo.cli.printing import say

if TYPE_CHECKING:
    from upath import UPath

_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@service_argument
@prometheus_option(required=True)
@store_option
@run_option("a new run. The id of a run that stopped continues it")
@click.option("--instances", type=click.IntRange(1), help="How many to profile. Default: the service file's.")
@click.option(
    "--seconds", type=click.IntRange(1, 600), help="Length of each profile. Default: the service file's."
)
@length_option
@matchers_option
@click.option("--ca", type=_file, help="Certificate authorities to trust, in PEM. Default: the system's.")
@click.option("--cert", type=_file, help="Our own certificate, in PEM; its key is in it or in --key.")
@click.option("--key", type=_file, help="The key of --cert.")
@json_option
def collect(
    service: str,
    prometheus_address: str,
    store: Path | UPath,
    run: str | None,
    instances: int | None,
    seconds: int | None,
    window: str | None,
    matchers: str | None,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    *,
    as_json: bool,
) -> None:
    """Profile instances, and merge the profiles into one.

    The last line of the output is the profile to commit.

    Headers for the instances, such as a token, are read from $FLEETPGO_HEADERS: one `Name: value` a line.
    The exit code is 1 if fewer instances than the service's quorum gave a profile.
    """
    from fleetpgo.cli.progress import watching
    from fleetpgo.collection import Access
    from fleetpgo.prometheus import Prometheus
    from fleetpgo.run.artifacts import ProposedProfile
    from fleetpgo.run.selected import Selection
    from fleetpgo.run.stop import forget_stop
    from fleetpgo.run.store import RunStore
    from fleetpgo.selection import read_selection
    from fleetpgo.service.files import load_named
    from fleetpgo.steps.collect import collect_profiles, top_up
    from fleetpgo.steps.merge import merge_profiles
    from fleetpgo.steps.select import select_instances

    described = load_named(service)
    run_store = RunStore(store, service, run or new_run())
    # Somebody who starts a stopped run again has mended what stopped it.
    forget_stop(run_store)
    if not run_store.exists(Selection):
        select_instances(
            described,
            run_store,
            Prometheus(prometheus_address),
            instances=instances,
            seconds=seconds,
            matchers=matchers,
            length=window,
        )
    chosen = read_selection(run_store)
    how = "reading profiles of" if described.collection.past else "profiling"
    say(f"{how} {len(chosen.of_round(1))} instances for {chosen.seconds:,} s …", err=True)
    access = Access(_headers(os.environ.get("FLEETPGO_HEADERS", "")), ca, cert, key)
    with watching(chosen.targets) as watch:
        asyncio.run(collect_profiles(described, run_store, chosen.of_round(1), access=access, watch=watch))
        said = asyncio.run(top_up(described, run_store, access=access, watch=watch))
    for verdict in said:
        say(verdict, err=True)
    manifest = merge_profiles(described, run_store)
    if as_json:
        say(json.dumps(asdict(manifest), default=str))
        return
    say(f"{manifest.used} of {manifest.selected} instances, {manifest.samples:,} samples")
    for name, figure in manifest.figures.items():
        say(f"{name}: {figure}")
    for warning in manifest.warnings:
        say(f"warning: {warning}", err=True)
    say(run_store.path(ProposedProfile))


def _headers(text: str) -> dict[str, str]:
    """Read headers from lines of ``Name: value``."""
    pairs = [line.partition(":") for line in text.splitlines() if line.strip()]
    if any(not (colon and name.strip() and value.strip()) for name, colon, value in pairs):
        raise click.UsageError("$FLEETPGO_HEADERS holds a line that is not `Name: value`")
    return {name.strip(): value.strip() for name, _, value in pairs}
