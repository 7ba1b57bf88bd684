"""A comparison as a terminal shows it: the same sentence and tables as the comment, without Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from fleetpgo.measurement.report import amounts, estimates, guardrails, headline, remarks, times, title

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from fleetpgo.measurement import report
    from fleetpgo.measurement.comparison import Comparison

_COLOURS = {"saved": "bold green", "regression": "bold red", "invalid": "bold red"}


def render(comparison: Comparison) -> RenderableType:
    """Return what rich prints. Text from outside is plain text: markup in it stays as it is written."""
    return Group(*_parts(comparison))


def _parts(comparison: Comparison) -> Iterator[RenderableType]:
    yield Text(title(comparison))
    yield Text()
    yield Text(headline(comparison), style=_COLOURS.get(comparison.verdict.call, "bold"))
    yield Text()
    for table in (estimates(comparison), amounts(comparison), guardrails(comparison)):
        if table.rows:
            yield _table(table)
            yield Text()
    for remark in remarks(comparison):
        yield Text(f"- {remark}")
    yield Text()
    for line in times(comparison):
        yield Text(line)
    yield Text("Raw figures compare two times: traffic, its mix and other releases are in them.")
    yield Text("The PromQL of each figure is in the JSON (--json) and in the Markdown file (--out).")


def _table(table: report.Table) -> Table:
    shown = Table(box=box.SIMPLE, pad_edge=False)
    for name in table.columns:
        shown.add_column(Text(name), justify="left" if name in table.words else "right")
    for row in table.rows:
        shown.add_row(*map(Text, row))
    return shown
