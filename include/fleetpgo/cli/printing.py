"""How commands print. All passes through here: no secret and no control character reaches a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fleetpgo import foreign

if TYPE_CHECKING:
    import logging

    from rich.table import Table
    from rich.text import Text

_WIDEST = 1_000
"""Characters of a line that no terminal shows."""

TOO_EARLY = 3
"""Exit code where nothing can be measured yet."""


def say(text: object, *, err: bool = False, nl: bool = True) -> None:
    """Print a text of any number of lines; `err`: on standard error; `nl`: with a newline after it."""
    click.echo(foreign.safe(str(text)), err=err, nl=nl)


def plain(text: object, style: str = "") -> Text:
    """Return a text for rich to print, in which markup is no markup."""
    from rich.text import Text

    return Text(foreign.safe(str(text)), style=style)


def show_table(table: Table) -> None:
    """Print a table. What is no terminal has no width: a program that reads it needs whole names."""
    from rich.console import Console

    console = Console()
    (console if console.is_terminal else Console(width=_WIDEST)).print(table)


def clean_record(record: logging.LogRecord) -> bool:
    """Clean a log record's message; a filter that keeps all records."""
    record.msg, record.args = foreign.safe(record.getMessage()), None
    return True
