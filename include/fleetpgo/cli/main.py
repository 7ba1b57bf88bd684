"""The ``fleetpgo`` command: every step of a refresh by hand, and the tools around it.

For people without Airflow, for reviewers, and for finding out what went wrong. What Airflow takes from its
connections is an option here, with an environment variable; a token is read from the environment only.

Each command is in a module of its name and is loaded when it is called. The modules import what is slow to
load (numpy, pandas, Airflow's neighbours) in their functions, so that ``--help`` answers at once.
"""

from __future__ import annotations

import logging
import signal
import sys
from importlib import import_module
from typing import Any

import click

from fleetpgo.cli.printing import clean_record
from fleetpgo.errors import FleetPGOError

COMMANDS = (
    "discover",
    "services",
    "init",
    "doctor",
    "run",
    "select",
    "collect",
    "propose",
    "measure",
    "history",
    "store",
    "bisect",
    "pr",
    "verify",
    "profile",
)
"""The commands, in the order in which they are listed."""


class _Lazy(click.Group):
    """A group whose commands are modules of ``fleetpgo.cli``."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"fleetpgo.cli.{name}"), name)
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fleetpgo")
def cli() -> None:
    """Profile-guided optimisation of a fleet of Go services.

    \b
    A refresh by hand, from the fleet to the pull request, and what it saved:
      fleetpgo run wshim --prometheus http://localhost:9090 --store ./store \\
        --forge https://github.com --dry-run
      fleetpgo measure wshim --run latest --prometheus http://localhost:9090 \\
        --store ./store --forge https://github.com

    `select`, `collect` and `propose` are the steps of `run`.

    Services are described in files: `fleetpgo services schema` explains each key.
    """  # noqa: D301  # \b is click's mark for "do not wrap", not an escape gone wrong
    _start_logging()


def main() -> Any:  # noqa: ANN401  # click's own
    """Run the command; print errors that a user can act on without a traceback.

    A command that is terminated ends as by an exception: it ends what it started and removes its clone.
    """
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        return cli()
    except FleetPGOError as error:
        raise SystemExit(f"fleetpgo: {error}") from error


def _start_logging() -> None:
    handler: logging.Handler = logging.StreamHandler()
    form = "%(asctime)s %(levelname)s %(message)s"
    if sys.stderr.isatty():  # a file's lines are never wrapped
        from rich.console import Console
        from rich.logging import RichHandler

        handler, form = RichHandler(show_path=False, console=Console(stderr=True)), "%(message)s"
    handler.addFilter(clean_record)
    logging.basicConfig(level=logging.INFO, format=form, datefmt="%X", handlers=[handler])
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its retries end in our own error
    logging.getLogger("aiobotocore").setLevel(logging.WARNING)  # it says where it found credentials
    logging.getLogger("botocore").setLevel(logging.WARNING)  # likewise
