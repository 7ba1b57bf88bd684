"""The first paragraph: what the pull request brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetpgo.markdown import code, prose
from fleetpgo.proposal.body.figures import change, share

if TYPE_CHECKING:
    from fleetpgo.proposal.body.values import Change, Proposal, Provenance


def decision(proposal: Proposal) -> str:
    """Return the decision in one paragraph."""
    where, verified = proposal.provenance, proposal.verified
    verb = "Refreshes" if proposal.current else "Adds"
    used = where.selected - len(where.missing)
    profiled = f"{used:,} of {where.selected:,} instances"
    if where.datacenters:
        count = sum(1 for each in where.datacenters if each.used)
        profiled += f" in {count:,} datacenter{'s' if count != 1 else ''}"
    facts = [profiled, f"{where.samples:,} samples"]
    if proposal.change is not None:
        facts.append(f"overlap with the current profile {proposal.change.overlap:.2f}")
    size = change(verified.without.size, verified.with_profile.size)
    passes = f"and {code(verified.tested)} passes" if verified.tested else "no tests were run"
    sentences = [
        f"{verb} the PGO profile of `{proposal.service}`: {', '.join(facts)}.",
        f"The service builds with it, {passes}; the binary's size changes by {size}.",
    ]
    if verified.match is not None and verified.match.share is not None:
        sentences.append(f"Source match {share(verified.match.share)}.")
    if proposal.wired:
        files = ", ".join(map(code, proposal.wired))
        sentences.append(f"It also makes {files} pass the profile to `go build`.")
    paragraphs = [*_release(where), " ".join(sentences), _expected(proposal)]
    if proposal.since is not None:
        paragraphs.append(
            f"**Since the last update** of this pull request: {gains(proposal.since)}, overlap "
            f"{proposal.since.overlap:.2f}."
        )
    return "\n\n".join(paragraphs)


def _release(where: Provenance) -> list[str]:
    """Return for which release the profile is, and what to do with it; nothing if it is for none."""
    if not where.release:
        return []
    told = (
        f"**Step two of release {code(where.release)}: deploy this alone.** Only instances of that release "
        f"were profiled; {100 * where.release_share:.0f} % of all ran it."
    )
    if where.later_release:
        told += (
            f" Release {code(where.later_release)} has come since. The source match below is with the base "
            "as it is now."
        )
    return [told]


def _expected(proposal: Proposal) -> str:
    """Return what the merge is expected to bring: a saving is positive in every figure."""
    where = proposal.provenance
    if where.expected:
        told = f"a saving of {prose(where.expected)}"
    elif proposal.current is None:
        told = "unknown, as this is the first profile. It is measured after the rollout"
    else:
        told = "unknown, as no refresh has a measured saving yet"
    before = f" The latest: {prose('; '.join(where.savings))}." if where.savings else ""
    power = f" What the measurement can see: {where.power}." if where.power else ""
    return f"**Expected of this merge:** {told}.{before}{power}"


def gains(change: Change) -> str:
    """Return how many calls became hot for the compiler and how many no longer are, in a few words."""
    if not (change.gained or change.lost):
        return "the same hot calls"
    return f"{change.gained:,} hot calls gained, {change.lost:,} lost"
