"""``fleetpgo propose``: from a merged profile to the pull request."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict
from pathlib import Path
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
    trusted_ca,
    variants_option,
)
from fleetpgo.cli.printing import say
from fleetpgo.errors import ArtifactError, ForgeError

if TYPE_CHECKING:
    from upath import UPath

    from fleetpgo.proposal.forges import Forge
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)


@click.command()
@service_argument
@store_option()
@run_option("the latest merged run in the store")
@forge_option()
@cache_option
@variants_option
@click.option("--dry-run", is_flag=True, help="Build, but neither push nor open a pull request.")
@ca_option
@json_option
def propose(
    service: str,
    store: Path | UPath,
    run: str | None,
    address: str,
    cache: Path,
    variants: tuple[str, ...],
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Build with the profile, and open or update the pull request."""
    from datetime import UTC, datetime

    from fleetpgo.proposal.body.variants import variant_tables
    from fleetpgo.proposal.variants import require_variants
    from fleetpgo.run.store import RunStore
    from fleetpgo.service.files import load_named
    from fleetpgo.steps.propose_run import propose_profile
    from fleetpgo.steps.turns import require_turn

    described = load_named(service)
    require_variants(described.build, variants)
    run_store = RunStore(store, service, run or _latest(store, service))
    forge = connect_forge(described, address)
    require_turn(described, run_store, lambda: forge, opens=not dry_run, now=datetime.now(UTC))
    proposed = propose_profile(described, run_store, forge, dry_run=dry_run, cache=cache, variants=variants)
    if as_json:
        say(json.dumps(asdict(proposed)))
        return
    if dry_run and proposed.variants and proposed.size_with:
        say(f"{variant_tables(proposed.variants, proposed.size_with)}\n")
    say(proposed.url or proposed.reason or "dry run: nothing was pushed")


def connect_forge(described: ServiceRules, address: str) -> Forge:
    """Return the service's forge at an address, with the token in $FLEETPGO_TOKEN."""
    from fleetpgo.proposal import forges

    repository = described.repository
    return forges.connect(
        repository.forge,
        repository.project,
        address=address,
        token=os.environ.get("FLEETPGO_TOKEN"),
        ca=trusted_ca(),
        signing_key=_signing_key(),
    )


def _signing_key() -> str | None:
    """Return what is in the file that $FLEETPGO_SIGNING_KEY names."""
    name = os.environ.get("FLEETPGO_SIGNING_KEY")
    try:
        return Path(name).read_text(encoding="utf-8") if name else None
    except (OSError, ValueError) as error:
        raise ForgeError(
            f"the signing key {name} cannot be read: {error}", hint="correct FLEETPGO_SIGNING_KEY"
        ) from error


def _latest(store: Path | UPath, service: str) -> str:
    """Return the service's latest run that has a merged profile."""
    from fleetpgo.overview.summaries import profiles_made, summaries

    runs = summaries(store, service)
    made = profiles_made(runs)
    damaged = "; ".join(run.problem for run in runs if run.problem and not run.profile)
    if damaged and not made:
        raise ArtifactError(damaged, hint="name the run to propose with --run, or collect anew")
    if damaged:
        _log.warning("left out: %s", damaged)
    if not made:
        raise click.UsageError(f"{store / service} holds no merged run; make one with `fleetpgo collect`")
    return made[-1][0].run
