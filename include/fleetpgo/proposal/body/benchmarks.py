"""The table of the benchmarks, without and with the profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetpgo.markdown import cell, table
from fleetpgo.proposal.body.figures import percent
from fleetpgo.proposal.body.section import Section

if TYPE_CHECKING:
    from fleetpgo.proposal.body.values import Proposal


def benchmarks(proposal: Proposal) -> Section | None:
    """Return the benchmarks; None if none ran."""
    found = proposal.verified.benchmarks
    if not found:
        return None
    rows = [
        f"| {cell(each.package)} | {cell(each.name)} | {each.without:,.1f} | {each.with_profile:,.1f} | "
        f"{'~' if each.change is None else percent(each.change)} | {each.p:.3f} |"
        for each in found
    ]
    return Section(
        "Benchmarks",
        table(
            "| package | benchmark | without, ns | with, ns | change | p |",
            "|---|---|---:|---:|---:|---:|",
            rows,
        )
        + "\n\nMedians of an operation, both sides in turn; p by the Mann-Whitney U test, `~` where it is "
        "0.05 or more. They say what the profile does to this code on one machine, not what the fleet saves.",
    )
