"""The tables of the build variants that the run was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetpgo.markdown import cell, prose, table
from fleetpgo.proposal.body.figures import percent
from fleetpgo.proposal.body.section import Section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleetpgo.proposal.body.values import Proposal
    from fleetpgo.run.proposed import Variant, VariantTime

_TIMED = (
    "Medians of rounds in turn, with 99 % intervals; `~` where the interval holds 1. They say what the "
    "variant does to this code on one machine, not what the fleet saves."
)


def variants(proposal: Proposal) -> Section | None:
    """Return what the variants give; None if the run was asked for none."""
    found = proposal.verified.variants
    if not found:
        return None
    said = "The profile is in place in each, and nothing of them is in this pull request."
    tables = variant_tables(found, proposal.verified.with_profile.size)
    return Section("Build variants", f"{tables}\n\n{said}")


def variant_tables(found: Sequence[Variant], size: int) -> str:
    """Return the tables of variants, in Markdown: how each was built, and its benchmarks.

    Args:
        found: the variants.
        size: bytes of the binary with the profile, which theirs are compared with.
    """
    rows = [f"| {cell(each.name)} | {cell(each.sets)} | {_built(each, size)} |" for each in found]
    parts = [table("| variant | sets | build |", "|---|---|---|", rows)]
    timed = [
        f"| {cell(each.name)} | {cell(time.package)} | {cell(time.benchmark)} | {_time(time)} |"
        for each in found
        for time in each.benchmarks
    ]
    if timed:
        parts += [
            table(
                "| variant | package | benchmark | time, × the build with the profile |",
                "|---|---|---|---:|",
                timed,
            ),
            _TIMED,
        ]
    return "\n\n".join(parts)


def _built(variant: Variant, size: int) -> str:
    said = []
    if variant.toolchain is not None and variant.size is not None:
        said.append(f"{cell(variant.toolchain)}, {variant.size:,} bytes ({percent(variant.size / size - 1)})")
    if variant.same:
        said.append("the same bytes as without it: the build sets this itself, or nothing uses it")
    if variant.failed:
        said.append(prose(variant.failed))
    return "; ".join(said)


def _time(time: VariantTime) -> str:
    alike = "~ " if time.low <= 1 <= time.high else ""
    return f"{alike}{time.ratio:.3f} [{time.low:.3f}, {time.high:.3f}]"
