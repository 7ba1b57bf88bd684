"""``fleetpgo select``: which instances a run would profile, and why."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from fleetpgo.cli.options import (
    access_of,
    access_options,
    json_option,
    matchers_option,
    new_run,
    prometheus_of,
    prometheus_option,
    service_argument,
    store_option,
)
from fleetpgo.cli.printing import plain, say, show_table

if TYPE_CHECKING:
    from pathlib import Path

    from upath import UPath


@click.command()
@service_argument
@prometheus_option(required=False)
@click.option("--instances", type=click.IntRange(1), help="How many to choose. Default: the service file's.")
@matchers_option
@store_option(required=False)
@access_options
@json_option
def select(
    service: str,
    prometheus_address: str | None,
    instances: int | None,
    matchers: str | None,
    store: Path | UPath | None,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    *,
    as_json: bool,
) -> None:
    """Show which instances would be profiled, and why.

    Nothing is profiled. Instances of a round after the first are asked only if the earlier rounds gave too
    few samples. With a store, the fleet is compared with that of the last run.
    """
    from rich.table import Table

    from fleetpgo.run.store import RunStore
    from fleetpgo.selection import absence
    from fleetpgo.service.files import load_named, override
    from fleetpgo.steps.select import choose

    described, run = load_named(service), new_run()
    rules = override(described.selection, instances=instances, matchers=matchers)
    prometheus = prometheus_of(described, prometheus_address)
    chosen = choose(
        described.collection,
        rules,
        prometheus,
        seed=run,
        end=datetime.now(UTC),
        access=access_of(ca, cert, key),
    )
    if store is not None:
        last = absence.last_fleet(RunStore(store, service, run))
        chosen = replace(chosen, warnings=(*absence.compare(chosen, last, rules), *chosen.warnings))
    if as_json:
        say(json.dumps(asdict(chosen)))
        return
    table = Table("round", "instance", "datacenter", "cores", "why", box=None)
    for target in chosen.targets:
        texts = (target.round, target.instance, target.datacenter, f"{target.cores:.3f}", target.why)
        table.add_row(*map(plain, texts))
    show_table(table)
    say(f"\nquery: {chosen.query}")
    for name, limit in sorted(chosen.at_once(described.collection.max_share).items()):
        known = name or "without a datacenter"
        say(f"{known}: {chosen.datacenters[name]:,} instances, at most {limit} profiled at once")
    for warning in chosen.warnings:
        say(f"warning: {warning}", err=True)
