"""``fleetpgo run``: a whole refresh from a shell, from the fleet to the pull request."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from fleetpgo.cli.options import (
    cache_option,
    forge_option,
    json_option,
    new_run,
    profiling_options,
    prometheus_option,
    run_option,
    service_argument,
    store_option,
    variants_option,
)
from fleetpgo.cli.printing import say

if TYPE_CHECKING:
    from pathlib import Path

    from upath import UPath


@click.command()
@service_argument
@prometheus_option(required=False)
@store_option()
@forge_option()
@run_option("a new run. The id of a run that stopped continues it")
@profiling_options
@cache_option
@variants_option
@click.option(
    "--dry-run", is_flag=True, help="Do everything but push; print the pull request's text and its diff."
)
@json_option
def run(
    service: str,
    prometheus_address: str | None,
    store: Path | UPath,
    address: str,
    run: str | None,
    cache: Path,
    variants: tuple[str, ...],
    *,
    dry_run: bool,
    as_json: bool,
    **profiling: Any,  # noqa: ANN401  # see collect_run
) -> None:
    """Refresh a service's profile: select, profile, merge, build, and open or update the pull request.

    \b
      fleetpgo run api --prometheus http://localhost:9090 --store ./store \\
        --forge https://github.com --dry-run

    Headers for the instances are read from $FLEETPGO_HEADERS, the forge's token from $FLEETPGO_TOKEN. After
    the rollout, `fleetpgo measure SERVICE --run latest` measures what it saved. Where
    `repository.limits` allows no further build or pull request, the command fails and says so.
    """  # noqa: D301  # \b is click's mark for "do not wrap", not an escape gone wrong
    from datetime import UTC, datetime

    from fleetpgo.cli.collect import collect_run
    from fleetpgo.cli.propose import connect_forge
    from fleetpgo.proposal.variants import require_variants
    from fleetpgo.run.artifacts import ProposedDiff, ProposedText
    from fleetpgo.run.store import RunStore
    from fleetpgo.service.files import load_named
    from fleetpgo.steps.propose_run import propose_profile
    from fleetpgo.steps.rights import require_rights
    from fleetpgo.steps.turns import require_room, require_turn

    described = load_named(service)
    require_variants(described.build, variants)
    # What is wrong with its address is said before anybody is profiled.
    forge = connect_forge(described, address)
    if dry_run:
        forge.check(described.repository.base)
    else:
        require_rights(described, forge)
    run_store = RunStore(store, service, run or new_run())
    require_room(described, run_store, lambda: forge, opens=not dry_run, now=datetime.now(UTC))
    manifest = collect_run(described, run_store, prometheus_address, **profiling)
    say(
        f"run {run_store.run}: {manifest.used} of {manifest.selected} instances, "
        f"{manifest.samples:,} samples",
        err=True,
    )
    for warning in manifest.warnings:
        say(f"warning: {warning}", err=True)
    require_turn(described, run_store, lambda: forge, opens=not dry_run, now=datetime.now(UTC))
    proposed = propose_profile(described, run_store, forge, dry_run=dry_run, cache=cache, variants=variants)
    text, diff = (
        found.decode(errors="replace") if (found := run_store.find(kind)) is not None else None
        for kind in (ProposedText, ProposedDiff)
    )
    if as_json:
        record = {"run": run_store.run, **asdict(proposed), "text": text, "diff": diff}
        say(json.dumps({**record, "manifest": asdict(manifest)}, default=str))
    elif dry_run and text and diff:
        say(f"{text}\n{diff}", nl=False)
        say("dry run: nothing was pushed", err=True)
    else:
        say(proposed.url or proposed.reason)
