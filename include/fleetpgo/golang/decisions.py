"""The compiler's decisions because of the profile: hot calls that it inlined or devirtualised.

With debug flags the compiler prints them (:mod:`fleetpgo.golang.asking`).

Source of the format: Go 1.27's cmd/compile/internal/inline/inl.go (``inlineCostOK``, ``mkinlcall``) and
cmd/compile/internal/devirtualize/pgo.go. If another version words the lines differently, no decision is found
and the result is "none".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleetpgo.pprof import Edges

# Names of generic functions hold blanks: F[go.shape.struct { X int }].
HOT = re.compile(r"hot-budget check allows inlining for call (.+) \(cost \d+\) at (.+?) in function (.+)")
"""Callee, place, caller of a call that the profile lets the compiler inline."""
_INLINED = re.compile(r"(\S+): inlining call to (.+)")
HOTTEST = re.compile(r"(\S+): call (.+):-?\d+: hottest callee (.+) \(weight (\d+)\)")
"""Place, caller, hottest callee and its weight, of a call through an interface or a function value."""
_DEVIRTUALISED = re.compile(r"(\S+): PGO devirtualizing (?:interface|function) call ")

_NAMED = 10

MOST_DECISIONS = 200_000
"""Most decisions that are kept: far more than a real build prints."""

Change = Literal["inlined", "devirtualised"]


@dataclass(frozen=True)
class OptimisedCall:
    """A call that is faster because of the profile.

    Attributes:
        change: what the compiler did to it.
        caller: the calling function.
        callee: the called one.
        share: weight of the call edges from caller to callee, as a share of all edge weight (0 … 1).
    """

    change: Change
    caller: str
    callee: str
    share: float


@dataclass(frozen=True)
class Optimised:
    """The compiler's decisions because of the profile.

    Attributes:
        inlined: number of hot call sites that were inlined beyond the usual budget.
        devirtualised: number of indirect call sites that now try their hottest callee directly first.
        hottest: the calls with the most weight, at most ten; one for each pair of functions.
    """

    inlined: int
    devirtualised: int
    hottest: Sequence[OptimisedCall]


class Decisions:
    """Collects the compiler's decisions from the output of a build, line by line, in limited memory."""

    def __init__(self) -> None:
        self._allowed: set[tuple[str, str, str]] = set()
        self._inlined: dict[str, set[str]] = {}
        self._hottest: dict[str, tuple[str, str, int]] = {}
        self._devirtualised: set[str] = set()
        self._callees = 0

    @property
    def too_many(self) -> bool:
        """Whether the build printed more decisions than are kept; then the result is incomplete."""
        kept = len(self._allowed) + self._callees + len(self._hottest) + len(self._devirtualised)
        return kept > MOST_DECISIONS

    def read(self, line: str) -> None:
        """Read one line of output. Most lines say nothing about the profile."""
        if self.too_many:
            return
        if match := HOT.match(line):
            callee, place, caller = match.groups()
            self._allowed.add((place, caller, callee))
            self._inlined.setdefault(place, set())
        elif match := _INLINED.match(line):
            place, callee = match.groups()
            # Most inlined calls are small, not hot. A hot one has been allowed before.
            if place in self._inlined and callee not in self._inlined[place]:
                self._inlined[place].add(callee)
                self._callees += 1
        elif match := HOTTEST.match(line):
            place, caller, callee, weight = match.groups()
            self._hottest[place] = (caller, callee, int(weight))
        elif match := _DEVIRTUALISED.match(line):
            self._devirtualised.add(match[1])

    def optimised(self, edges: Edges) -> Optimised:
        """Return the decisions, ranked by the weights of the profile's edges."""
        weights: dict[tuple[str, str], int] = {}
        for edge, weight in edges.weights.items():
            pair = _plain(edge.caller), _plain(edge.callee)
            weights[pair] = weights.get(pair, 0) + weight
        # Allowed is not done: the compiler stops at recursion.
        done = {
            (place, caller, callee)
            for place, caller, callee in self._allowed
            if any(_is(shown, callee) for shown in self._inlined.get(place, ()))
        }
        inlined = {(caller, callee) for _, caller, callee in done}
        virtual = {self._hottest[place][:2] for place in self._devirtualised if place in self._hottest}
        total = edges.total or 1
        changes: tuple[tuple[Change, set[tuple[str, str]]], ...] = (
            ("inlined", inlined),
            ("devirtualised", virtual),
        )
        calls = [
            OptimisedCall(change, caller, callee, weights.get((_plain(caller), _plain(callee)), 0) / total)
            for change, pairs in changes
            for caller, callee in pairs
        ]
        calls.sort(key=lambda call: (-call.share, call.change, call.caller, call.callee))
        return Optimised(
            inlined=len({place for place, *_ in done}),
            devirtualised=len(self._devirtualised),
            hottest=tuple(calls[:_NAMED]),
        )


def _plain(name: str) -> str:
    """Return a name that is the same in compiler output and profile: dots unescaped, no type arguments."""
    return re.sub(r"\[.*\]", "[]", unquote(name))


def _is(shown: str, name: str) -> bool:
    """Whether a name in ``-m``'s output is this function. The output has no package, or only its name."""
    return name.endswith((f".{shown}", f".{shown.partition('.')[2] or shown}"))
