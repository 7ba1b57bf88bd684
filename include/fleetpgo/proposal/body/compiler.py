"""What the profile made the compiler do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetpgo.golang.symbols import short
from fleetpgo.markdown import cell, details, table
from fleetpgo.proposal.body.figures import percent
from fleetpgo.proposal.body.section import Section

if TYPE_CHECKING:
    from fleetpgo.proposal.body.values import Proposal


def compiler(proposal: Proposal) -> Section | None:
    """Return the calls that were inlined or devirtualised; None if that is not known."""
    did = proposal.verified.optimised
    if did is None:
        return None
    rows = [
        f"| {call.change} | {cell(short(call.caller))} → {cell(short(call.callee))} | "
        f"{percent(call.share, sign='')} |"
        for call in did.hottest
    ]
    counted = (
        f"Because of the profile the compiler inlined hot calls in {did.inlined:,} places, and devirtualised "
        f"{did.devirtualised:,} indirect calls. Only the packages that hold hot calls were asked."
    )
    calls = table("| change | call | weight |", "|---|---|---:|", rows)
    text = f"{counted}\n\n{details('Those with the most weight', calls)}" if rows else counted
    return Section("What the compiler did with it", text)
