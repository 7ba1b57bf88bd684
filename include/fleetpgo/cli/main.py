"""The ``fleetpgo`` command: every step of a refresh by hand, and the tools around it.

For people without Airflow, for reviewers, and for finding out what went wrong. What Airflow takes from its
connections is an option here, with an environment variable; a token is taken from the environment only.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import rich
from rich.logging import RichHandler
from rich.table import Table

from fleetpgo.cli.measure import history, measure
from fleetpgo.cli.options import json_option, service_argument, store_option
from fleetpgo.cli.pr import pr
from fleetpgo.cli.profile import profile
from fleetpgo.cli.progress import watching
from fleetpgo.collection import Access, forget_stop
from fleetpgo.errors import FleetPGOError, ServiceFileError
from fleetpgo.prometheus import Prometheus
from fleetpgo.proposal import forges
from fleetpgo.run.store import RunStore
from fleetpgo.service import rules
from fleetpgo.service.files import load_named, load_service, override, service_files
from fleetpgo.service.reference import page
from fleetpgo.steps import refresh

if TYPE_CHECKING:
    from upath import UPath

_file = click.Path(exists=True, dir_okay=False, path_type=Path)
prometheus_option = click.option(
    "--prometheus",
    "prometheus_address",
    metavar="URL",
    envvar="FLEETPGO_PROMETHEUS",
    show_envvar=True,
    required=True,
    help="Prometheus or Thanos that knows the service.",
)
run_option = click.option("--run", metavar="ID", help="Id of the run. Default: the latest in the store.")


matchers_option = click.option(
    "--matchers",
    metavar="PROMQL",
    help="""Only builds whose labels match, such as 'revision="4f2a"'. Default: the service file's.""",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fleetpgo")
def cli() -> None:
    """Profile-guided optimisation of a fleet of Go services.

    \b
    A refresh by hand, from the fleet to the pull request:
      fleetpgo select  wshim --prometheus http://localhost:9090
      fleetpgo collect wshim --prometheus http://localhost:9090 --store ./store
      fleetpgo propose wshim --store ./store --forge https://github.com --dry-run

    Services are described in files: `fleetpgo services schema` explains each key.
    """  # noqa: D301  # \b is click's mark for "do not wrap", not an escape gone wrong


@cli.group()
def services() -> None:
    """The service files: list, check, explain.

    They are read from $FLEETPGO_SERVICES, else from include/services.
    """


@services.command("list")
@json_option
def list_services(*, as_json: bool) -> None:
    """List the services that have a file."""
    found = [load_service(file) for file in service_files()]
    if as_json:
        click.echo(json.dumps([each.model_dump(mode="json") | {"name": each.name} for each in found]))
        return
    table = Table("service", "schedule", "forge", "project", "description", box=None)
    for each in found:
        repository = each.repository
        table.add_row(each.name, each.schedule or "–", repository.forge, repository.project, each.description)
    rich.print(table)


@services.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check(files: tuple[Path, ...]) -> None:
    """Check service files (default: all); name every mistake with its line. Exit code 1 if there is any."""
    mistakes = 0
    for file in files or service_files():
        try:
            load_service(file)
        except ServiceFileError as error:
            mistakes += 1
            click.echo(str(error), err=True)
        else:
            click.echo(f"{file}: ok")
    if mistakes:
        raise SystemExit(1)


@services.command()
@click.option("--markdown", is_flag=True, help="Print the manual's page of all keys instead.")
def schema(*, markdown: bool) -> None:
    """Print the JSON Schema of a service file; editors complete and check with it."""
    if markdown:
        click.echo(page(), nl=False)
    else:
        click.echo(json.dumps(rules.ServiceRules.model_json_schema(), indent=2))


@cli.command()
@service_argument
@prometheus_option
@click.option("--instances", type=click.IntRange(1), help="How many to choose. Default: the service file's.")
@matchers_option
@json_option
def select(
    service: str, prometheus_address: str, instances: int | None, matchers: str | None, *, as_json: bool
) -> None:
    """Show which instances would be profiled and why, and profile nothing.

    Instances of a round after the first are asked only if the earlier rounds gave too few samples.
    """
    from fleetpgo.selection import select as choose  # noqa: PLC0415  # the command has the step's name

    described = load_named(service)
    rules = override(described.selection, instances=instances, matchers=matchers)
    chosen = choose(Prometheus(prometheus_address), rules, seed=_new_run())
    if as_json:
        click.echo(json.dumps(asdict(chosen)))
        return
    table = Table("round", "instance", "datacenter", "cores", "why", box=None)
    for target in chosen.targets:
        table.add_row(
            str(target.round), target.instance, target.datacenter, f"{target.cores:.3f}", target.why
        )
    rich.print(table)
    click.echo(f"\nquery: {chosen.query}")
    for name, limit in sorted(chosen.at_once(described.collection.max_share).items()):
        known = name or "without a datacenter"
        click.echo(f"{known}: {chosen.datacenters[name]:,} instances, at most {limit} profiled at once")
    for warning in chosen.warnings:
        click.echo(f"warning: {warning}", err=True)


@cli.command()
@service_argument
@prometheus_option
@store_option
@click.option("--run", metavar="ID", help="Id of the run; an id used before goes on where that run stopped.")
@click.option("--instances", type=click.IntRange(1), help="How many to profile. Default: the service file's.")
@click.option("--seconds", type=click.IntRange(1, 600), help="Length of each. Default: the service file's.")
@matchers_option
@click.option("--ca", type=_file, help="Certificate authorities to trust, in PEM. Default: the system's.")
@click.option("--cert", type=_file, help="Our own certificate, in PEM, its key with it or in --key.")
@click.option("--key", type=_file, help="The key of --cert.")
@json_option
def collect(
    service: str,
    prometheus_address: str,
    store: Path | UPath,
    run: str | None,
    instances: int | None,
    seconds: int | None,
    matchers: str | None,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    *,
    as_json: bool,
) -> None:
    """Select, fetch and merge: from the fleet to the profile to commit.

    Headers for the instances, such as a token, are taken from $FLEETPGO_HEADERS: one `Name: value` a line.
    Exit code 1 if fewer instances than the service's quorum gave a profile.
    """
    described = load_named(service)
    run_store = RunStore(store, service, run or _new_run())
    # Whoever starts a stopped run again has mended what stopped it.
    forget_stop(run_store)
    if not run_store.exists("selection.json"):
        refresh.select_instances(
            described,
            run_store,
            Prometheus(prometheus_address),
            instances=instances,
            seconds=seconds,
            matchers=matchers,
        )
    chosen, length = refresh.read_selection(run_store)
    click.echo(f"profiling {len(chosen.of_round(1))} instances for {length} s …", err=True)
    access = Access(_headers(os.environ.get("FLEETPGO_HEADERS", "")), ca, cert, key)
    with watching(chosen.targets) as watch:
        asyncio.run(
            refresh.collect_profiles(described, run_store, chosen.of_round(1), access=access, watch=watch)
        )
        said = asyncio.run(refresh.top_up(described, run_store, access=access, watch=watch))
    for verdict in said:
        click.echo(verdict, err=True)
    manifest = refresh.merge_profiles(described, run_store)
    if as_json:
        click.echo(json.dumps(asdict(manifest), default=str))
        return
    click.echo(f"{manifest.used} of {manifest.selected} instances, {manifest.samples:,} samples")
    for name, figure in manifest.figures.items():
        click.echo(f"{name}: {figure}")
    for warning in manifest.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(run_store.path("profile.pprof"))


@cli.command()
@service_argument
@store_option
@run_option
@click.option(
    "--forge",
    "address",
    metavar="ADDRESS",
    envvar="FLEETPGO_FORGE",
    show_envvar=True,
    required=True,
    help="Address of the service's forge; its token is taken from $FLEETPGO_TOKEN.",
)
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="FLEETPGO_CACHE",
    show_envvar=True,
    default=Path(click.get_app_dir("fleetpgo")) / "cache",
    show_default=True,
    help="Where Go's caches are kept between runs.",
)
@click.option("--dry-run", is_flag=True, help="Build, but neither push nor open a pull request.")
@json_option
def propose(
    service: str,
    store: Path | UPath,
    run: str | None,
    address: str,
    cache: Path,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Build with a collected profile, and open or update the pull request."""
    described = load_named(service)
    run_store = RunStore(store, service, run or _latest(store, service))
    forge = forges.connect(
        described.repository.forge,
        described.repository.project,
        address=address,
        token=os.environ.get("FLEETPGO_TOKEN"),
    )
    proposed = refresh.propose_profile(
        described,
        run_store,
        forge,
        dry_run=dry_run,
        cache=cache,
    )
    click.echo(
        json.dumps(asdict(proposed))
        if as_json
        else proposed.url or proposed.reason or "dry run: nothing was pushed"
    )


cli.add_command(profile)
cli.add_command(pr)
cli.add_command(measure)
cli.add_command(history)


def _new_run() -> str:
    """An id for a run that has none."""
    return f"cli-{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}"


def _headers(text: str) -> dict[str, str]:
    """Headers from lines of ``Name: value``."""
    pairs = [line.partition(":") for line in text.splitlines() if line.strip()]
    if any(not (colon and name.strip() and value.strip()) for name, colon, value in pairs):
        raise click.UsageError("$FLEETPGO_HEADERS holds a line that is not `Name: value`")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _latest(store: Path | UPath, service: str) -> str:
    """The run of that service that merged last."""
    from fleetpgo.overview.fleet import profiles_made, summaries  # noqa: PLC0415  # for this command alone

    made = profiles_made(summaries(store, service))
    if not made:
        raise click.UsageError(f"{store / service} holds no merged run; make one with `fleetpgo collect`")
    return made[-1][0].run


def main() -> Any:  # noqa: ANN401  # click's own
    """Run the command; errors that a user can act on are printed without a traceback."""
    handler = RichHandler(show_path=False, console=rich.console.Console(stderr=True))
    logging.basicConfig(level=logging.INFO, format="%(message)s", datefmt="%X", handlers=[handler])
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its retries end in our own error
    logging.getLogger("aiobotocore").setLevel(logging.WARNING)  # it says where it found credentials
    logging.getLogger("botocore").setLevel(logging.WARNING)  # likewise
    try:
        return cli()
    except FleetPGOError as error:
        raise SystemExit(f"fleetpgo: {error}") from error
