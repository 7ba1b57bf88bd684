"""Arguments and options that several commands have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleetpgo.errors import StoreError
from fleetpgo.run import address as store_address

if TYPE_CHECKING:
    from upath import UPath


def _open_store(_: click.Context, __: click.Parameter, value: str) -> Path | UPath:
    try:
        root = store_address.open_root(value, os.environ)
    except StoreError as error:
        raise click.BadParameter(str(error)) from error
    if isinstance(root, Path) and root.is_file():
        raise click.BadParameter(f"{value} is a file; a local store is a directory")
    return root


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
service_argument = click.argument("service", metavar="SERVICE")
store_option = click.option(
    "--store",
    metavar="DIR|URL",
    callback=_open_store,
    envvar="FLEETPGO_STORE",
    show_envvar=True,
    required=True,
    help="Where artifacts are kept, as <store>/<service>/<run>/: a directory, s3://bucket/prefix (with AWS_… "
    "variables), or s3://ID@bucket/prefix (with the connection AIRFLOW_CONN_<ID>).",
)
