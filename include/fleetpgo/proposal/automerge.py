"""Merge a pull request without a person, as the service file's rule says, and say what it waits for.

A forge that is asked to merge "once the checks succeed" may wait for ever where the base requires none, or
merge at once. So it is asked only after a look at what is still missing; where nothing is, it merges now.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetpgo.errors import UndecidedError
from fleetpgo.markdown import code, listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fleetpgo.proposal.forges import Forge, PullRequest, Standing
    from fleetpgo.service.review import AutoMergeRules, WhenRules

_log = logging.getLogger(__name__)

_LOOKS, _PAUSE_S = 5, 2.0
"""Right after a push, a forge works out for some seconds whether a pull request can be merged."""

_UNDECIDED = "is not merged yet: the forge is still working out whether it can be"

AUTO_MERGE = "auto-merge"
"""The comment on what is waited for, or what stands against it."""


@dataclass(frozen=True)
class Figures:
    """What a rule may ask of a profile.

    Attributes:
        overlap: with the profile on the base, 0 … 1; None: there is none.
        source_match: share of its weight that the source still has, 0 … 1; None: nothing was compared.
    """

    overlap: float | None = None
    source_match: float | None = None


def merge_by_rule(
    forge: Forge, pull_request: PullRequest, rule: AutoMergeRules, figures: Figures, *, head: str
) -> tuple[bool, str]:
    """Merge now, have the forge merge later, or say on the pull request why a person has to.

    Args:
        forge: where it is.
        pull_request: an open one.
        rule: how and when.
        figures: of the profile that it proposes.
        head: full SHA of our commit; another one is never merged.

    Returns:
        Whether that is all that can be done about this commit, and what was done, in a sentence.

    Raises:
        ForgeError: the forge cannot be reached, or refuses to merge in that way.
    """
    number = pull_request.number
    done = None
    for look in range(_LOOKS):
        if look:
            time.sleep(_PAUSE_S)
        with suppress(UndecidedError):
            done = _merge(forge, number, rule, figures, head)
        if done is not None:
            break
    said = f"pull request {number} {done or _UNDECIDED}"
    _log.info("%s", said)
    return done is not None, said


def _merge(forge: Forge, number: int, rule: AutoMergeRules, figures: Figures, head: str) -> str | None:
    """Do what can be done now, and return it in words; None while the forge has not decided."""
    standing = forge.standing(number)
    if standing.head != head:
        forge.stop_merging(number)
        return f"is left alone: its newest commit is {standing.head}, and not ours"
    if against := list(objections(rule.when, figures, standing)):
        forge.stop_merging(number)
        _say(forge, number, "does not merge this by itself, as `review.auto_merge` says", against)
        return f"is not merged: {'; '.join(against)}"
    if not standing.settled:
        return None
    if standing.waiting:
        forge.merge_once_ready(number, rule.method, head)
        _say(forge, number, f"has the forge merge this ({rule.method}). It waits for", standing.waiting)
        return f"waits for {', '.join(standing.waiting)}; then the forge merges it"
    forge.merge(number, rule.method, head)
    return "is merged: the base waits for nothing"


def objections(when: WhenRules, figures: Figures, standing: Standing) -> Iterator[str]:
    """Yield what does not hold, each in a sentence."""
    for name, least, value in (
        ("overlap", when.overlap_above, figures.overlap),
        ("source match", when.source_match_above, figures.source_match),
    ):
        if least is not None and (value is None or value < least):
            shown = "not known" if value is None else f"{value:.3f}"
            yield f"its {name} is {shown}; the rule asks for {least:g}"
    if when.checks == "required" and not standing.checks:
        yield "the base requires no check, and the rule asks for one that has passed"


def _say(forge: Forge, number: int, what: str, why: tuple[str, ...] | list[str]) -> None:
    """Write the one comment about it; the same words at each refresh where nothing changed."""
    points = listed([f"- {code(each)}" for each in why])
    forge.comment(number, f"fleetpgo {what}:\n\n{points}", AUTO_MERGE)
