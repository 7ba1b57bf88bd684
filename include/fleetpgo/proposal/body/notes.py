"""What the reviewer must read before merging."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetpgo.markdown import listed, prose
from fleetpgo.proposal.body.figures import percent, share

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleetpgo.proposal.body.values import Proposal

_MOST_FILES = 5
"""Files that a note names."""


def notes(proposal: Proposal) -> list[str]:
    """Return the heading and the notes; nothing if there are none."""
    said = [*proposal.provenance.notes, *_doubts(proposal)]
    if not said:
        return []
    return ["### Please note", listed([f"- {prose(note)}" for note in said])]


def _doubts(proposal: Proposal) -> Iterable[str]:
    """Return findings in the clone that the reviewer may have to act on, as sentences."""
    # Said once: who merges this knows where production is built.
    if proposal.unaware and proposal.current is None:
        files, more = proposal.unaware[:_MOST_FILES], len(proposal.unaware) - _MOST_FILES
        yield (
            f"what production runs may get no profile: Go is also built, without -pgo={proposal.path}, in "
            + ", ".join([*files, *([f"and {more:,} more files"] if more > 0 else [])])
        )
    if proposal.current is None:
        yield from proposal.images
    for sentence in proposal.verified.differs or ():
        yield f"the build that was verified is not the one that production runs: {sentence}"
    match = proposal.verified.match
    if match is None:
        yield "the profile was not compared with the source: the task's log says why"
    elif match.share is not None and match.share < proposal.match_below:
        yield (
            f"the profile speaks of another source than this: {share(match.share)} of its weight is found, "
            f"below {proposal.match_below:g}. Were other releases profiled than the base branch holds?"
        )
    matches = (("proposed", match), ("committed", proposal.verified.current_match))
    for which, found in matches:
        if found and found.other_go:
            yield f"of the {which} profile: {found.other_go}"
    yield from _slower(proposal)


def _slower(proposal: Proposal) -> Iterable[str]:
    """Return the benchmarks that the profile makes slower, and how to find out why."""
    changes = [(each, each.change or 0) for each in proposal.verified.benchmarks]
    slower = [(each, change) for each, change in changes if change > 0]
    for each, change in slower:
        yield f"{each.name} ({each.package}) is slower with the profile: {percent(change)}"
    if slower:
        yield (
            f"fleetpgo bisect {proposal.service} --run {proposal.provenance.run} finds the call that makes a "
            "benchmark slower, and a guard for it"
        )
