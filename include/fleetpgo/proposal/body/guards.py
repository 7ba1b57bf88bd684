"""The functions that the compiler must not inline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetpgo.markdown import cell, prose, table
from fleetpgo.proposal.body.section import Section

if TYPE_CHECKING:
    from fleetpgo.proposal.body.values import Proposal


def guards(proposal: Proposal) -> Section | None:
    """Return the guarded functions; None if there are none."""
    guarded = proposal.provenance.guarded
    if not guarded:
        return None
    rows = [f"| {cell(function)} | {prose(why)} |" for function, why in guarded.items()]
    return Section(
        "Kept from inlining",
        "These functions are renamed in the profile, so that the compiler does not inline them.\n\n"
        + table("| function | why |", "|---|---|", rows),
    )
