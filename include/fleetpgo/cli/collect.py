"""``fleetpgo collect``: from the fleet to the merged profile."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from fleetpgo.cli.options import (
    access_of,
    json_option,
    new_run,
    profiling_options,
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

    from fleetpgo.run.profiled import Manifest
    from fleetpgo.run.store import RunStore
    from fleetpgo.service.rules import ServiceRules


@click.command()
@service_argument
@prometheus_option(required=False)
@store_option()
@run_option("a new run. The id of a run that stopped continues it")
@profiling_options
@json_option
def collect(
    service: str,
    prometheus_address: str | None,
    store: Path | UPath,
    run: str | None,
    *,
    as_json: bool,
    **profiling: Any,  # noqa: ANN401  # see collect_run
) -> None:
    """Profile instances, and merge the profiles into one.

    The last line of the output is the profile to commit.

    Headers for the instances, such as a token, are read from $FLEETPGO_HEADERS: one `Name: value` a line.
    The exit code is 1 if fewer instances than the service's quorum gave a profile.
    """
    from fleetpgo.run.artifacts import ProposedProfile
    from fleetpgo.run.store import RunStore
    from fleetpgo.service.files import load_named

    run_store = RunStore(store, service, run or new_run())
    manifest = collect_run(load_named(service), run_store, prometheus_address, **profiling)
    if as_json:
        say(json.dumps(asdict(manifest), default=str))
        return
    say(f"{manifest.used} of {manifest.selected} instances, {manifest.samples:,} samples")
    for name, figure in manifest.figures.items():
        say(f"{name}: {figure}")
    for warning in manifest.warnings:
        say(f"warning: {warning}", err=True)
    say(run_store.path(ProposedProfile))


def collect_run(
    described: ServiceRules,
    run_store: RunStore,
    prometheus_address: str | None,
    *,
    instances: int | None,
    seconds: int | None,
    window: str | None,
    matchers: str | None,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
) -> Manifest:
    """Select (unless the run has), profile and merge; say on standard error how far it is.

    Args:
        described: the service.
        run_store: of a new run, or of one to continue.
        prometheus_address: its URL; None: the store of profiles knows the instances.
        instances: how many to profile in a round; None: the service file's, likewise the next two.
        seconds: length of each profile.
        window: how far back a store of profiles is asked.
        matchers: of the builds to profile.
        ca: certificate authorities to trust; None: the system's.
        cert: our own certificate.
        key: the key of it, if it is not in it.
    """
    from fleetpgo.cli.progress import watching
    from fleetpgo.run.selected import Selection
    from fleetpgo.run.stop import forget_stop
    from fleetpgo.selection import read_selection
    from fleetpgo.steps.collect import collect_profiles, top_up
    from fleetpgo.steps.merge import merge_profiles
    from fleetpgo.steps.select import select_instances

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
    return merge_profiles(described, run_store)
