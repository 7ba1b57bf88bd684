"""How far the profile fits the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetpgo.markdown import MOST_LISTED, cell, details, table
from fleetpgo.proposal.body.figures import percent
from fleetpgo.proposal.body.section import Section

if TYPE_CHECKING:
    from fleetpgo.proposal.body.values import Proposal


def source(proposal: Proposal) -> Section | None:
    """Return the source match; None if nothing was compared."""
    match = proposal.verified.match
    if match is None:
        return None
    told = [f"Compared is {percent(match.compared, sign='')} of the call weight."]
    if match.excluded:
        left_out = ", ".join(f"{why} {percent(share, sign='')}" for why, share in match.excluded.items())
        told.append(f"Left out: {left_out}.")
    text = " ".join(told)
    if match.lost:
        rows = [
            f"| {cell(each.edge.caller)} | {each.edge.offset} | {cell(each.edge.callee)} | {each.why} | "
            f"{percent(each.share, sign='')} |"
            for each in match.lost[:MOST_LISTED]
        ]
        calls = table(
            "| caller | line in it | callee | gone is | of the compared weight |",
            "|---|---:|---|---|---:|",
            rows,
            of=len(match.lost),
        )
        text += "\n\n" + details(f"Calls that the source does not have: {len(match.lost):,}", calls)
    return Section("Source match", text)
