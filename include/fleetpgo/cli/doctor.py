"""``fleetpgo doctor``: what of a service will work, before anything is profiled."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from fleetpgo.cli.options import (
    access_of,
    ca_option,
    forge_option,
    json_option,
    open_prometheus,
    prometheus_option,
    service_argument,
    store_option,
    trusted_ca,
)
from fleetpgo.cli.printing import plain, say

if TYPE_CHECKING:
    from pathlib import Path

    from upath import UPath


@click.command()
@service_argument
@prometheus_option(required=True)
@store_option(required=False)
@forge_option(required=False)
@ca_option
@json_option
def doctor(
    service: str, prometheus_address: str, store: Path | UPath | None, address: str | None, *, as_json: bool
) -> None:
    """Check what a run of the service needs, and say what to change.

    Every query of the service file is run, one instance is asked for the list of its profiles, and the store,
    the forge and this machine's programs are looked at. Nothing is profiled or pushed. The DAG's first task,
    preflight, does the same. The exit code is 1 if a check failed; warnings do not count.
    """
    from rich.console import Console
    from rich.table import Table

    from fleetpgo.cli.propose import connect_forge
    from fleetpgo.service.files import load_named, located
    from fleetpgo.steps.doctor import Parties, examine

    described = load_named(service)
    checks = examine(
        described,
        Parties(
            prometheus=lambda: open_prometheus(prometheus_address),
            access=lambda: access_of(trusted_ca(), None, None),
            forge=None if address is None else lambda: connect_forge(described, address),
            store=None if store is None else lambda: store,
        ),
    )
    failed = sum(check.outcome == "failure" for check in checks)
    if as_json:
        say(json.dumps({"service": service, "checks": [asdict(check) for check in checks]}))
    elif not (console := Console()).is_terminal:
        for check in checks:
            say(located(check.line, service))
    else:
        table = Table("", "check", "what was found", box=None)
        styles = {"ok": "green", "warning": "yellow", "failure": "bold red"}
        for check in checks:
            said = located(
                " ".join(check.said.split()) + (f"\n→ {check.hint}" if check.hint else ""), service
            )
            table.add_row(plain(check.outcome, styles[check.outcome]), plain(check.name), plain(said))
        console.print(table)
    if failed:
        raise SystemExit(1)
