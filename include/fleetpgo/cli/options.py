"""Arguments and options that several commands have, and the id of a new run."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleetpgo.errors import StoreError
from fleetpgo.run import address as store_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from upath import UPath

    from fleetpgo.collection import Access
    from fleetpgo.prometheus import Prometheus
    from fleetpgo.service.rules import ServiceRules

CA = "fleetpgo.ca"
"""Key of click's shared ``ctx.meta`` that holds the file of certificate authorities, if one was given."""

JSON = "fleetpgo.json"
"""Key of click's shared ``ctx.meta`` that holds whether ``--json`` was given."""


def _note_json(ctx: click.Context, _: click.Parameter, value: bool) -> bool:  # noqa: FBT001  # as click calls it
    ctx.meta[JSON] = value
    return value


def _note_ca(ctx: click.Context, _: click.Parameter, value: Path | None) -> Path | None:
    ctx.meta[CA] = value
    return value


def trusted_ca() -> Path | None:
    """Return the certificate authorities of --ca or $FLEETPGO_CA; None: the system's."""
    context = click.get_current_context(silent=True)
    return context.meta.get(CA) if context else None


def _open_store(_: click.Context, __: click.Parameter, value: str | None) -> Path | UPath | None:
    if value is None:
        return None
    try:
        root = store_address.open_root(value, os.environ)
    except StoreError as error:
        raise click.BadParameter(str(error)) from error
    if isinstance(root, Path) and root.is_file():
        raise click.BadParameter(f"{value} is a file; a local store is a directory")
    return root


def _http(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None and not value.startswith(("http://", "https://")):
        raise click.BadParameter(f"{value} is no URL; write http://{value} or https://{value}")
    return value


def service_argument(command: Callable[..., None]) -> Callable[..., None]:
    """Add the argument SERVICE to a command.

    What the command raises is told with the lines of the service file that rule it.
    """

    @wraps(command)
    def located(*, service: str, **options: Any) -> None:  # noqa: ANN401  # whatever the command takes
        from fleetpgo.service.files import keys_located

        with keys_located(service):
            command(service=service, **options)

    return click.argument("service", metavar="SERVICE")(located)


def prometheus_option(*, required: bool) -> Callable[[Any], Any]:
    """Return the option of the Prometheus to ask, which the command takes as ``prometheus_address``."""
    return click.option(
        "--prometheus",
        "prometheus_address",
        metavar="URL",
        envvar="FLEETPGO_PROMETHEUS",
        show_envvar=True,
        required=required,
        callback=_http,
        help="Prometheus or Thanos that has the service's metrics. Headers for it, such as a token or a "
        "tenant, are read from $FLEETPGO_PROMETHEUS_HEADERS: lines of `Name: value`.",
    )


def prometheus_of(service: ServiceRules, address: str | None) -> Prometheus | None:
    """Return the Prometheus that lists a service's instances; None if a profile store lists them instead.

    Raises:
        click.UsageError: the service needs a Prometheus, and no address was given.
    """
    if service.selection.source == "store":
        return None
    if address is None:
        raise click.UsageError("Missing option '--prometheus' (env var: 'FLEETPGO_PROMETHEUS')")
    return open_prometheus(address)


def open_prometheus(address: str) -> Prometheus:
    """Return the Prometheus at an address, with the environment's headers and authorities."""
    import requests

    from fleetpgo.prometheus import Prometheus

    session = requests.Session()
    session.headers.update(_headers("FLEETPGO_PROMETHEUS_HEADERS"))
    return Prometheus(address, session, ca=trusted_ca())


def access_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for TLS to a command: its parameters `ca`, `cert` and `key`."""
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    for option in (
        click.option("--key", type=file, help="The key of --cert."),
        click.option("--cert", type=file, help="Our own certificate, in PEM; its key is in it or in --key."),
        _ca_option(expose_value=True),
    ):
        command = option(command)
    return command


def _ca_option(*, expose_value: bool) -> Callable[[Any], Any]:
    return click.option(
        "--ca",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        envvar="FLEETPGO_CA",
        show_envvar=True,
        callback=_note_ca,
        is_eager=True,
        expose_value=expose_value,
        help="Certificate authorities to trust, in PEM: of the instances, Prometheus and the forge. Default: "
        "the system's.",
    )


ca_option = _ca_option(expose_value=False)
"""Gives a command the option --ca, which :func:`trusted_ca` reads."""


def access_of(ca: Path | None, cert: Path | None, key: Path | None) -> Access:
    """Return the credentials for instances or a store: the headers in $FLEETPGO_HEADERS, and files."""
    from fleetpgo.collection import Access

    return Access(_headers("FLEETPGO_HEADERS"), ca, cert, key)


def _headers(variable: str) -> dict[str, str]:
    """Read headers from lines of ``Name: value`` in a variable of the environment."""
    lines = os.environ.get(variable, "").splitlines()
    pairs = [line.partition(":") for line in lines if line.strip()]
    if any(not (colon and name.strip() and value.strip()) for name, colon, value in pairs):
        raise click.UsageError(f"${variable} holds a line that is not `Name: value`")
    return {name.strip(): value.strip() for name, _, value in pairs}


def run_option(default: str) -> Callable[[Any], Any]:
    """Return the option that names a run; ``default`` says which run it is without the option."""
    return click.option("--run", metavar="ID", help=f"Id of the run. Default: {default}.")


def store_option(*, required: bool = True) -> Callable[[Any], Any]:
    """Return the option of the store, which the command takes as ``store``: an opened root."""
    return click.option(
        "--store",
        metavar="DIR|URL",
        callback=_open_store,
        envvar="FLEETPGO_STORE",
        show_envvar=True,
        required=required,
        help="Store of the artifacts, <store>/<service>/<run>/: a directory, s3://bucket/prefix (with AWS_… "
        "variables), or s3://ID@bucket/prefix (with the connection AIRFLOW_CONN_<ID>).",
    )


def forge_option(*, required: bool = True) -> Callable[[Any], Any]:
    """Return the option of the forge's address, which the command takes as ``address``."""
    return click.option(
        "--forge",
        "address",
        metavar="ADDRESS",
        envvar="FLEETPGO_FORGE",
        show_envvar=True,
        required=required,
        help="Address of the service's forge; its token is read from $FLEETPGO_TOKEN.",
    )


cache_option = click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="FLEETPGO_CACHE",
    show_envvar=True,
    default=Path(click.get_app_dir("fleetpgo")) / "cache",
    show_default=True,
    help="Directory of Go's caches, kept between runs.",
)
matchers_option = click.option(
    "--matchers",
    metavar="PROMQL",
    help="""Only builds whose labels match, such as 'revision="4f2a"'. Default: the service file's.""",
)
length_option = click.option(
    "--window",
    metavar="DURATION",
    help="How far back a store of profiles is asked, such as 24h. Default: the service file's.",
)


def profiling_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of what is profiled, and of TLS with the instances."""
    for option in (
        access_options,
        length_option,
        matchers_option,
        click.option(
            "--seconds",
            type=click.IntRange(1, 600),
            help="Length of each profile. Default: the service file's.",
        ),
        click.option(
            "--instances", type=click.IntRange(1), help="How many to profile. Default: the service file's."
        ),
    ):
        command = option(command)
    return command


json_option = click.option(
    "--json", "as_json", is_flag=True, callback=_note_json, help="Print JSON, for programs."
)


variants_option = click.option(
    "--variant",
    "variants",
    multiple=True,
    metavar="NAME",
    help="Build and benchmark this variant of build.variants beside the profile, too; may be repeated.",
)


def new_run() -> str:
    """Return an id for a run that has none."""
    return f"cli-{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}"
