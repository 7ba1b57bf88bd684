"""The table of the two builds, without and with the profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetpgo.markdown import code
from fleetpgo.proposal.body.figures import change
from fleetpgo.proposal.body.section import Section

if TYPE_CHECKING:
    from fleetpgo.proposal.body.values import Proposal


def build(proposal: Proposal) -> Section:
    """Return the two builds, without and with the profile."""
    without, built = proposal.verified.without, proposal.verified.with_profile
    rows = [
        "| build | binary, bytes | time, s |",
        "|---|---:|---:|",
        f"| without a profile | {without.size:,} | {without.seconds:.1f} |",
        f"| with the profile | {built.size:,} | {built.seconds:.1f} |",
        f"| change | {change(without.size, built.size)} | {built.seconds - without.seconds:+.1f} |",
    ]
    told = (
        f"Both by {code(proposal.command)} with {code(proposal.verified.toolchain)}: only what the file "
        "of the profile held differed, and the two binaries differ. Go's build cache is kept between runs, "
        "so the times say little."
    )
    if proposal.verified.remembered:
        told += " An earlier run on the same commit made the build without a profile."
    if proposal.verified.flags:
        told += f" `go version -m` says of them: {', '.join(map(code, proposal.verified.flags))}."
    if proposal.verified.differs == []:
        told += " The reference binary has the same."
    return Section("Build", "\n".join(rows) + f"\n\n{told}")
