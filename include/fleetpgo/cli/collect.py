"""``fleetpgo collect``: from the fleet to the merged profile."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from fleetpgo.cli.options import (
    access_of,
    access_options,
    json_option,
    length_option,
    matchers_option,
    new_run,
    prometheus_of,
    prometheus_option,
    run_option,
    service_argument,
    store_option,
)
from fleetpgo.cli.printing import say

if TYPE_CHECKING:
    from pathlib import Path

    from upath import UPath


@click.command()
@service_argument
@prometheus_option(required=False)
@store_option
@run_option("a new run. The id of a run that stopped continues it")
@click.option("--instances", type=click.IntRange(1), help="How many to profile. Default: the service file's.")
@click.option(
    "--seconds", type=click.IntRange(1, 600), help="Length of each profile. Default: the service file's."
)
@length_option
@matchers_option
@access_options
@json_option
def collect(
    service: str,
    prometheus_address: str | None,
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
    access = access_of(ca, cert, key)
    # Somebody who starts a stopped run again has mended what stopped it.
    forget_stop(run_store)
    if not run_store.exists(Selection):
        select_instances(
            described,
            run_store,
            prometheus_of(described, prometheus_address),
            instances=instances,
            seconds=seconds,
            matchers=matchers,
            length=window,
            access=access,
        )
    chosen = read_selection(run_store)
    how = "reading profiles of" if described.collection.past else "profiling"
    say(f"{how} {len(chosen.of_round(1))} instances for {chosen.seconds:,} s …", err=True)
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
