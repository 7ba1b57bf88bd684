"""The compiler's choices because of the profile, one by one: ``-d=pgohash``.

The compiler gives each call that it inlines or devirtualises because of the profile a hash of 64 bits, made
of its place in the source. A pattern says which of them it shall leave as they are without a profile. All the
rest of the profile (budgets, alignment) stays.

Source: Go 1.27's cmd/compile/internal/base/hashdebug.go and internal/bisect (the patterns and the match
markers, which golang.org/x/tools/cmd/bisect uses, too); inline/inl.go and devirtualize/pgo.go print beside a
marker which call it is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fleetpgo import foreign
from fleetpgo.golang.decisions import HOT, HOTTEST

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

_SHOW = "pgodebug=2,pgohash=vy"
"""Let the compiler make all choices, and print each."""

_PACKAGE = re.compile(r"# (\S+)")
_CHOICE = re.compile(r"(\S.*) \((inline|devirt)\) \[bisect-match 0x([0-9a-f]{16})\]")
_UNKNOWN_KEY = re.compile(r"unknown debug key pgohash")

_DIGITS = 10
"""Hex digits of a hash that a pattern holds: its last ones."""

_LONGEST = 500
"""Characters of a name or a place that are kept."""

MOST_CHOICES = 200_000
"""Most choices that are kept: far more than a real build prints. Further ones are no suspects."""


@dataclass(frozen=True, order=True)
class Choice:
    """One call that the compiler treats otherwise because of the profile.

    Attributes:
        package: import path of the package that is compiled, the caller's.
        place: ``file:line:column`` of the call; within an inlined body first those of the calls around it.
        change: what the compiler does: ``inline`` or ``devirt``.
        caller: the function that the call ends up in.
        callee: the called one.
        hash: 16 hex digits.
    """

    package: str
    place: str
    change: Literal["inline", "devirt"]
    caller: str
    callee: str
    hash: str

    @property
    def line(self) -> str:
        """``file:line`` of the call itself."""
        return self.place.rpartition("; ")[2].rpartition(":")[0]


class Choices:
    """Collects the compiler's choices from the output of a build that was made with :func:`showing`."""

    def __init__(self) -> None:
        # The hash is of the file's name and line: two packages may have the same.
        self._found: dict[tuple[str, str], Choice] = {}
        self._package = ""
        self._hottest = ("", "")
        self._inlined: tuple[str, str] | None = None
        self.unknown = False
        """Whether the compiler does not know ``pgohash``: Go is older than 1.22."""

    def read(self, line: str) -> None:
        """Read one line of output; a choice is told by two that follow each other."""
        if match := _PACKAGE.match(line):
            self._package, self._hottest, self._inlined = _cut(match[1]), ("", ""), None
        elif match := HOTTEST.match(line):
            self._hottest = match[2], match[3]
        elif match := _CHOICE.match(line):
            place, change, number = match.groups()
            if change == "devirt":
                caller, callee = self._hottest
                self._hottest = "", ""
                self._add(
                    number, place, "devirt", caller or self._package, callee or f"the callee at {place}"
                )
            else:
                self._inlined = place, number
        elif self._inlined and (match := HOT.match(line)):
            place, number = self._inlined
            self._inlined = None
            self._add(number, place, "inline", match[3], match[1])
        elif _UNKNOWN_KEY.search(line):
            self.unknown = True

    def _add(
        self, number: str, place: str, change: Literal["inline", "devirt"], caller: str, callee: str
    ) -> None:
        if len(self._found) < MOST_CHOICES:
            choice = Choice(self._package, _cut(place), change, _cut(caller), _cut(callee), number)
            self._found.setdefault((self._package, number), choice)

    @property
    def found(self) -> list[Choice]:
        """All choices: those of one package beside each other, the standard library's last."""
        return sorted(self._found.values(), key=lambda each: ("." not in each.package.split("/")[0], each))


def _cut(text: str) -> str:
    return foreign.line(text, _LONGEST)


def showing(packages: Iterable[str]) -> list[str]:
    """Return flags of ``go test`` and ``go build`` with which the compiler prints its choices.

    Args:
        packages: import paths of the packages with hot calls.
    """
    return [f"-gcflags={package}=-d={_SHOW}" for package in packages]


def denying(packages: Sequence[str], denied: Collection[Choice]) -> list[str]:
    """Return the flags of :func:`showing`, but so that some choices are not made.

    A package without a denied choice keeps its flags, so Go takes it from its build cache.

    Args:
        packages: as for :func:`showing`.
        denied: the choices that the compiler shall not make.
    """
    of: dict[str, list[str]] = defaultdict(list)
    for each in denied:
        of[each.package].append(f"x{each.hash[-_DIGITS:]}")
    # Of several patterns that match a package, Go takes the last.
    return [
        *showing(packages),
        *(
            f"-gcflags={package}=-d=pgodebug=2,pgohash=v!{'+'.join(sorted(numbers))}"
            for package, numbers in sorted(of.items())
        ),
    ]
