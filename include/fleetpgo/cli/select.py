"""``fleetpgo select``: which instances a run would profile, and why."""

from __future__ import annotations

import json
from dataclasses import asdict
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
)
from fleetpgo.cli.printing import plain, say

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@service_argument
@prometheus_option(required=False)
@click.option("--instances", type=click.IntRange(1), help="How many to choose. Default: the service file's.")
@matchers_option
@access_options
@json_option
def select(
    service: str,
    prometheus_address: str | None,
    instances: int | None,
    matchers: str | None,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    *,
    as_json: bool,
) -> None:
    """Show which instances would be profiled, and why.

    Nothing is profiled. Instances of a round after the first are asked only if the earlier rounds gave too
    few samples.
    """
    import rich
    from rich.table import Table

    from fleetpgo.service.files import load_named, override
    from fleetpgo.steps.select import choose

    described = load_named(service)
    rules = override(described.selection, instances=instances, matchers=matchers)
    prometheus = prometheus_of(described, prometheus_address)
    chosen = choose(
        described.collection,
        rules,
        prometheus,
        seed=new_run(),
        end=datetime.now(UTC),
        access=access_of(ca, cert, key),
    )
    if as_json:
        say(json.dumps(asdict(chosen)))
        return
    table = Table("round", "instance", "datacenter", "cores", "why", box=None)
    for target in chosen.targets:
        texts = (target.round, target.instance, target.datacenter, f"{target.cores:.3f}", target.why)
        table.add_row(*map(plain, texts))
    rich.print(table)
    say(f"\nquery: {chosen.query}")
    for name, limit in sorted(chosen.at_once(described.collection.max_share).items()):
        known = name or "without a datacenter"
        say(f"{known}: {chosen.datacenters[name]:,} instances, at most {limit} profiled at once")
    for warning in chosen.warnings:
        say(f"warning: {warning}", err=True)
