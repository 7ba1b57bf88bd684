"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
service_argument = click.argument("service", metavar="SERVICE")
store_option = click.option(
    "--store",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="FLEETPGO_STORE",
    show_envvar=True,
    required=True,
    help="Where artifacts are kept: <store>/<service>/<run>/.",
)
