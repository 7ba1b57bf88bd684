"""Find which of the compiler's choices costs: halve the suspects until one is left.

At each step both halves of the suspects are denied in turn: one binary without the first half's choices, one
without the second's, and the one with all of them, run round by round. The half whose absence makes the
benchmark faster holds the culprit. All other choices stay made, so the code around the culprit is what
production runs.

A step has three ends:

- One half's absence helps, and more than the other's: it holds the culprit.
- Both help, and it cannot be told which helps more: there are several culprits, or one was inlined into
  another. The search goes on in the half that seems to cost more.
- Neither helps for certain after the last round: each half alone costs as much as both, or too little to be
  told from chance. The search ends with several suspects.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from fleetpgo.golang.pgohash import Choice
    from fleetpgo.golang.timing import Times

_log = logging.getLogger(__name__)

WITH, FIRST, SECOND = "with the profile", "without the first half", "without the second half"
"""The sides of a step."""

_ALIKE = 0.02
"""Two halves whose ratio is certainly this close to 1 cost the same."""


def search(
    choices: Sequence[Choice],
    race: Callable[[dict[str, Collection[Choice]], Callable[[Times], bool]], Times],
) -> list[Choice]:
    """Return the fewest choices found without which the benchmark is faster.

    Those of one called function stay together until it alone is suspect: a large frame, say, costs wherever
    the function is inlined, and the guard that helps names the function.

    Args:
        choices: those that the compiler made; at least one.
        race: takes sides (each with the choices that are denied) and runs them in turn until the given
            question is decided.
    """
    of: dict[str, list[Choice]] = {}
    for each in choices:
        of.setdefault(each.callee, []).append(each)
    suspects = _halve(list(of.values()), race)
    return _flat(_halve([[each] for each in suspects[0]], race) if len(suspects) == 1 else suspects)


def _halve(
    groups: list[list[Choice]],
    race: Callable[[dict[str, Collection[Choice]], Callable[[Times], bool]], Times],
) -> list[list[Choice]]:
    """Return the groups that are left when no half of them helps any more; at best one."""
    while len(groups) > 1:
        half = len(groups) // 2
        first, second = _flat(groups[:half]), _flat(groups[half:])
        _log.info("%d calls are suspect: %d and %d are left out in turn", *_sizes(first, second))
        guilty = guilty_half(race({WITH: (), FIRST: first, SECOND: second}, decided))
        if guilty is None:
            break
        groups = groups[:half] if guilty == FIRST else groups[half:]
    return groups


def _flat(groups: list[list[Choice]]) -> list[Choice]:
    return [each for group in groups for each in group]


def _sizes(first: Sequence[Choice], second: Sequence[Choice]) -> tuple[int, int, int]:
    return len(first) + len(second), len(first), len(second)


def guilty_half(times: Times) -> str | None:
    """Return the half whose absence helps, or helps more; None: neither's does for certain."""
    helps = [side for side in (FIRST, SECOND) if times.faster(side, WITH)]
    return min(helps, key=lambda side: times.median(side).estimate, default=None)


def decided(times: Times) -> bool:
    """Return whether more rounds would not change what a step says."""
    first, second = times.faster(FIRST, WITH), times.faster(SECOND, WITH)
    between = times.ratio(FIRST, SECOND)
    if first and second:
        alike = 1 - _ALIKE < between.low and between.high < 1 + _ALIKE
        return alike or between.high < 1 or between.low > 1
    return (first and between.high < 1) or (second and between.low > 1)
