"""``fleetpgo services …``: list, check and explain the service files."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fleetpgo.cli.options import (
    ca_option,
    json_option,
    open_prometheus,
    prometheus_option,
    service_argument,
)
from fleetpgo.cli.printing import plain, say, show_table


@click.group()
def services() -> None:
    """List, check and explain the service files.

    They are read from $FLEETPGO_SERVICES; else from include/services of a checkout, or from ./services.
    """


@services.command("list")
@json_option
def list_services(*, as_json: bool) -> None:
    """List the services that have a file."""
    from rich.table import Table

    from fleetpgo.service.files import load_service

    found = [load_service(file) for file in _files()]
    if as_json:
        say(json.dumps([each.model_dump(mode="json") | {"name": each.name} for each in found]))
        return
    table = Table("service", "schedule", "forge", "project", "description", box=None)
    for each in found:
        repository = each.repository
        texts = (each.name, each.schedule or "–", repository.forge, repository.project, each.description)
        table.add_row(*map(plain, texts))
    show_table(table)


@services.command()
@click.argument("paths", metavar="[FILE|DIR]...", nargs=-1, type=click.Path(exists=True, path_type=Path))
def check(paths: tuple[Path, ...]) -> None:
    """Check service files and name every mistake with its line.

    Without FILE or DIR all files of the services' directory are checked. Two services of one repository that
    would write the same profile are a mistake, too. The exit code is 1 if there is a mistake, or nothing to
    check.
    """
    from fleetpgo.errors import ServiceFileError
    from fleetpgo.service.files import clashes, load_service

    mistakes = 0
    sound = []
    for file in [file for path in paths for file in ([path] if path.is_file() else _files(path))] or _files():
        try:
            load_service(file)
        except ServiceFileError as error:
            mistakes += 1
            say(str(error), err=True)
        else:
            say(f"{file}: ok")
            sound.append(file)
    for clash in clashes(sound):
        mistakes += 1
        say(clash.said, err=True)
    if mistakes:
        raise SystemExit(1)


@services.command()
@service_argument
@prometheus_option(required=True)
@ca_option
@json_option
def rotation(service: str, prometheus_address: str, *, as_json: bool) -> None:
    """Say which instances should run the baseline next, without the profile.

    In each datacenter as many as do now: those that never did first, then those whose turn is longest ago.
    Rotate them every week: what PGO saves cannot be told from a baseline that always has the same machines.
    """
    from datetime import UTC, datetime

    from fleetpgo.measurement.standing import next_members, read_standing
    from fleetpgo.service.files import load_named

    standing, _ = read_standing(
        open_prometheus(prometheus_address), load_named(service), now=datetime.now(UTC)
    )
    turns = next_members(standing)
    if as_json:
        say(json.dumps({"service": service, "next": [{"in": new, "out": old} for new, old in turns.items()]}))
    elif not turns:
        say("every instance is in the baseline: add instances")
    for new, old in turns.items() if not as_json else ():
        say(f"{new} in, {old} out")


@services.command()
@click.option("--markdown", is_flag=True, help="Print the manual's page of all keys instead.")
def schema(*, markdown: bool) -> None:
    """Print the JSON Schema of a service file; editors complete and check with it."""
    from fleetpgo.service import reference, rules

    if markdown:
        say(reference.page(), nl=False)
    else:
        say(json.dumps(rules.ServiceRules.model_json_schema(), indent=2))


def _files(directory: Path | None = None) -> list[Path]:
    """Return the service files of a directory, by default of the services' own; there must be one."""
    from fleetpgo.errors import ServiceFileError
    from fleetpgo.service.files import service_files, services_directory

    directory = directory or services_directory()
    if not directory.is_dir():
        raise ServiceFileError(
            f"the directory of service files, {directory}, does not exist", hint="set FLEETPGO_SERVICES"
        )
    if not (found := service_files(directory)):
        raise ServiceFileError(
            f"{directory} holds no service file",
            hint="`fleetpgo init SERVICE` writes one; or set FLEETPGO_SERVICES",
        )
    return found
