"""``fleetpgo discover``: the Go services that a Prometheus knows, those that use most CPU first."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from fleetpgo.cli.options import json_option, prometheus_option
from fleetpgo.cli.printing import plain, say

if TYPE_CHECKING:
    from fleetpgo.selection.discovery import GoService

SHARE = 0.02
"""Of a service's CPU: the low end of what PGO is known to save (https://go.dev/doc/pgo: 2–14 %)."""


@click.command()
@prometheus_option(required=True)
@click.option("--probe/--no-probe", default=True, help="Ask one instance of each service for /debug/pprof/.")
@json_option
def discover(prometheus_address: str, *, probe: bool, as_json: bool) -> None:
    """List the Go services that a Prometheus knows, those that use most CPU first.

    Services are told apart by the label `job`. Shown are the CPU that they use, what 2 % of it would be,
    their Go versions, whether one instance serves net/http/pprof at the address that Prometheus scrapes, and
    which service file there is. Nothing is profiled.
    """
    import rich
    from rich.table import Table

    from fleetpgo.collection.probing import probe as ask
    from fleetpgo.prometheus import Prometheus
    from fleetpgo.selection.discovery import discover as find

    found = find(Prometheus(prometheus_address))
    files = _service_files()
    rows = [
        {
            **asdict(service),
            "two_percent": None if service.cores is None else SHARE * service.cores,
            "pprof": ask(service.instance) if probe and service.instance else None,
            "service_file": _file_of(service, files),
        }
        for service in found.services
    ]
    if as_json:
        say(json.dumps({"services": rows, "warnings": found.warnings}))
        return
    table = Table("job", "instances", "cores", "2 %", "Go", "pprof", "service file", box=None)
    for row in rows:
        cells = (
            row["job"],
            f"{row['instances']:,}",
            *("–" if row[name] is None else f"{row[name]:,.2f}" for name in ("cores", "two_percent")),
            ", ".join(row["versions"]),
            row["pprof"] or "not asked",
            row["service_file"] or "none",
        )
        table.add_row(*map(plain, cells))
    rich.print(table)
    for warning in found.warnings:
        say(f"warning: {warning}", err=True)


def _service_files() -> dict[str, str]:
    """Return the query for CPU of each service file, by the file's name. Broken files have none."""
    from fleetpgo.errors import ServiceFileError
    from fleetpgo.service.files import load_service, service_files

    queries = {}
    for file in service_files():
        try:
            queries[file.name] = load_service(file).selection.cpu
        except ServiceFileError:
            queries[file.name] = ""
    return queries


def _file_of(service: GoService, files: dict[str, str]) -> str | None:
    """Return the service file that selects a job, or is named after it; None if there is none."""
    selects = re.compile(rf'\bjob\s*=\s*"{re.escape(service.job)}"')
    named = (
        name for name, cpu in files.items() if selects.search(cpu) or name.partition(".")[0] == service.job
    )
    return next(named, None)
