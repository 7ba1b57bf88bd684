"""The functions with the most weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetpgo.golang.symbols import short
from fleetpgo.markdown import cell, table
from fleetpgo.proposal.body.figures import percent
from fleetpgo.proposal.body.section import Section

if TYPE_CHECKING:
    from fleetpgo.proposal.body.values import Proposal


def functions(proposal: Proposal) -> Section | None:
    """Return the top functions; None if there are none."""
    if not proposal.functions:
        return None
    rows = [
        f"| {cell(short(each.function))} | {percent(each.share, sign='')} |"
        + ("" if each.before is None else f" {100 * (each.share - each.before):+.1f} |")
        for each in proposal.functions
    ]
    head, line = "| function | weight of calls to it |", "|---|---:|"
    if proposal.functions[0].before is not None:
        head, line = f"{head} change, points |", f"{line}---:|"
    return Section("Top functions", table(head, line, rows))
