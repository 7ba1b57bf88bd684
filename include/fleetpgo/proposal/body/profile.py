"""The table of the current and the new profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetpgo.markdown import code
from fleetpgo.proposal.body.figures import matched
from fleetpgo.proposal.body.section import Section

if TYPE_CHECKING:
    from fleetpgo.proposal.body.values import Proposal


def profile(proposal: Proposal) -> Section:
    """Return both profiles, their overlap and their source match."""
    verified = proposal.verified
    rows = ["| profile | SHA-256 begins with | bytes | source match |", "|---|---|---:|---:|"]
    if proposal.current is not None and proposal.current_size is not None:
        stale = matched(verified.current_match)
        rows.append(f"| current | `{proposal.current}` | {proposal.current_size:,} | {stale} |")
    rows.append(
        f"| proposed | `{proposal.profile}` | {proposal.size:,} | {matched(verified.match)} |",
    )
    told = [f"It is committed as {code(proposal.path)}."]
    if proposal.change is not None:
        told.append(
            f"Overlap of the two {proposal.change.overlap:.2f}; hot call edges gained "
            f"{proposal.change.gained:,}, lost {proposal.change.lost:,}."
        )
    told.append(
        "Source match is the share of call weight whose caller, callee and line the base branch still has."
    )
    return Section("Profile", " ".join(told) + "\n\n" + "\n".join(rows))
