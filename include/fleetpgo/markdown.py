"""Format untrusted values as Markdown, so that they remain plain text.

On every forge, a value becomes neither markup nor HTML, and mentions nobody.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fleetpgo import foreign

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST_VALUE = 300
"""Characters of one name or reason that are shown."""

MOST_LISTED = 20
"""Rows of a table or a list; how many more there are is said."""


def code(value: str) -> str:
    """Return a value as a Markdown code span, so it is never markup and mentions nobody.

    A code span ends at the first run of as many backticks as it began with; so it begins with more than the
    value has anywhere. Not for table cells: those end at a ``|`` even inside a code span.
    """
    line = _line(value)
    quotes = fence(line, 1)
    padding = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{quotes}{padding}{line}{padding}{quotes}"


def prose(value: str, *, longest: int = _LONGEST_VALUE) -> str:
    """Return a sentence as Markdown text. Markup is escaped, and mentions notify nobody.

    People are mentioned with ``@``, issues with ``#``; GitLab knows ``! $ % & ^ ~`` for more kinds of things,
    and GitHub reads what is between two ``$`` as mathematics.
    """
    line = re.sub(r"([\\`*_\[\]<>&~|])", r"\\\1", _line(value, longest))
    return re.sub(r"([@#]|[!$%&^~](?=[\w\"]|\\_))", "\\1\u200b", line)


def cell(value: str) -> str:
    """Return a value for a table's cell: a code span; escaped prose if a ``|`` in it would end it."""
    return prose(value) if "|" in value else code(value)


def table(head: str, line: str, rows: Sequence[str], *, of: int | None = None) -> str:
    """Return a Markdown table of at most 20 rows, with a count of the rows that are left out.

    Args:
        head: the row of titles.
        line: the row below it.
        rows: all rows, or the first 20.
        of: number of all rows; default: those given.
    """
    return "\n".join([head, line, *rows[:MOST_LISTED]]) + _more(len(rows) if of is None else of)


def listed(rows: Sequence[str]) -> str:
    """Return a list of at most 20 lines, with a count of the lines that are left out."""
    return "\n".join(rows[:MOST_LISTED]) + _more(len(rows))


def _more(rows: int) -> str:
    hidden = rows - MOST_LISTED
    return f"\n\nand {hidden:,} more; the run's artifacts have them all" if hidden > 0 else ""


def details(summary: str, text: str) -> str:
    """Return a folded section. Forges render its content as Markdown because of the empty lines."""
    return f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>"


def _line(value: str, longest: int = _LONGEST_VALUE) -> str:
    """Return a value on one line, without secrets and control characters, cut where it is too long."""
    return foreign.line(value, longest) or " "


def promql(text: str, longest: int, *, whole: str) -> str:
    """PromQL as a code block, cut where it is too long; `whole` says where all of it is."""
    shown = foreign.beginning(text, longest)
    if len(text) > longest:
        shown += f"\n# cut; {whole} has all of it"
    quotes = fence(shown, 3)
    return f"{quotes}promql\n{shown}\n{quotes}"


def fence(value: str, least: int) -> str:
    """More backticks than follow each other anywhere in a value."""
    return "`" * max(least, *(len(run) + 1 for run in re.findall("`+", value)), 0)
