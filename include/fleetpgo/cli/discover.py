"""``fleetpgo discover``: list the services in Prometheus or a profile store, highest CPU use first."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from fleetpgo.cli.options import (
    access_of,
    ca_option,
    json_option,
    open_prometheus,
    prometheus_option,
    trusted_ca,
)
from fleetpgo.cli.printing import plain, say, show_table

if TYPE_CHECKING:
    from fleetpgo.selection.discovery import Discovered, GoService

SHARE = 0.02
"""Share of a service's CPU that PGO saves at least: the low end of 2–14 % in https://go.dev/doc/pgo."""

WHO_GAINS = """\
2 % is the low end of what Go's documentation reports. Services that call through interfaces and call small
functions most of the time gain more. Those that spend it in system calls, or in assembly such as hashes and
encryption, gain nothing: a profile shows which (fleetpgo run SERVICE --dry-run, then docs/beyond-pgo.md)."""
"""What no metric tells about a service; docs/beyond-pgo.md has what was measured."""

_AT_ONCE = 16
"""Instances that are asked at the same time whether they list their profiles."""

STORES = {
    "pyroscope": ("process_cpu:cpu:nanoseconds:cpu:nanoseconds{}", "service_name"),
    "parca": ("process_cpu:samples:count:cpu:nanoseconds:delta{}", "job"),
}
"""Profile store → profile type of Go's CPU profiler there, and the label that names the service."""


@click.command()
@prometheus_option(required=False)
@click.option("--pyroscope", metavar="URL", help="Query Pyroscope instead, for the last hour.")
@click.option("--parca", metavar="URL", help="Query Parca instead, for the last hour.")
@click.option("--probe/--no-probe", default=True, help="Test /debug/pprof/ on one instance of each service.")
@ca_option
@json_option
def discover(
    prometheus_address: str | None, pyroscope: str | None, parca: str | None, *, probe: bool, as_json: bool
) -> None:
    """List the Go services in Prometheus, highest CPU use first.

    A service is one value of the label `job` (in Pyroscope, of `service_name`). The table shows its CPU use,
    2 % of that, its Go versions, whether one instance serves net/http/pprof at the address that Prometheus
    scrapes, and its service file. Nothing is profiled.

    Pyroscope and Parca list services in all languages, and no Go versions. HTTP headers for them, such as a
    token, are read from $FLEETPGO_HEADERS.
    """
    from concurrent.futures import ThreadPoolExecutor

    from rich.table import Table

    from fleetpgo.collection.probing import probe as ask
    from fleetpgo.selection.discovery import discover as find

    if pyroscope or parca:
        found = _seen("pyroscope" if pyroscope else "parca", pyroscope or parca or "")
    elif prometheus_address:
        found = find(open_prometheus(prometheus_address))
    else:
        raise click.UsageError("name a server: --prometheus, --pyroscope or --parca")
    files = _service_files()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        asked = [service.instance if probe else "" for service in found.services]
        answers = list(pool.map(lambda instance: ask(instance) if instance else None, asked))
    rows = [
        {
            **asdict(service),
            "two_percent": None if service.cores is None else SHARE * service.cores,
            "pprof": answer,
            "service_file": _file_of(service, files),
        }
        for service, answer in zip(found.services, answers, strict=True)
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
    show_table(table)
    say(WHO_GAINS)
    for warning in found.warnings:
        say(f"warning: {warning}", err=True)


def _seen(kind: str, address: str) -> Discovered:
    """Return the services in a profile store."""
    import asyncio
    from datetime import UTC, datetime

    from pydantic import ValidationError
    from yarl import URL

    from fleetpgo.collection.fleets import ask_fleet
    from fleetpgo.selection.discovery import discover_seen
    from fleetpgo.service.profiling import CollectionRules

    query, label = STORES[kind]
    each = query.replace("{}", '{instance="$instance"}')
    try:
        rules = CollectionRules.model_validate(
            {"source": kind, "url": address, "query": each, "window": "1h", "allow": [URL(address).host]}
        )
    except (ValidationError, ValueError) as error:
        raise click.UsageError(f"{address} is not the URL of a server") from error
    labels = sorted({label, "instance", "pod", "namespace"})
    answer = asyncio.run(
        ask_fleet(query, labels, rules, end=datetime.now(UTC), access=access_of(trusted_ca(), None, None))
    )
    return discover_seen(answer, label)


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
