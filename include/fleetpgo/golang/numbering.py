"""How Go numbers closures, and which toolchains' numbers a list of functions holds.

A closure is named by its place. Go 1.27 changed how, so a name of before may now be another closure's, or
nobody's (``closureName`` in cmd/compile/internal/ir/func.go; ``inlClosureFunc`` in …/noder/reader.go):

- A closure of a function that was inlined was named after both, ``caller.inlined.func3``. Now it is named by
  where it was written: ``inlined.func1``.
- A closure in the body of a loop over an iterator was counted with those of the function around it,
  ``f.func3``, and a loop in a loop was ``f-range2``. Now they are counted within the body:
  ``f-range1.func1``, ``f-range1-range1``.
- Both took numbers from the closures that follow them, and from those of package variables
  (``init.func7``).

Names of the first two kinds tell how a toolchain numbers, but for ``a.b.func1``, which may also be a closure
of a method. So do functions of Go's own packages that came or went with Go 1.27.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from fleetpgo.golang.symbols import without_type_arguments

if TYPE_CHECKING:
    from collections.abc import Iterable

Numbering = Literal["before Go 1.27", "from Go 1.27 on"]

BEFORE: Numbering = "before Go 1.27"
SINCE: Numbering = "from Go 1.27 on"

CLOSURE = re.compile(r"(?:func|gowrap|deferwrap|range)?\d+|")
"""An element of a closure's name that is no function's."""

_FIRST = (1, 27)

_GONE = re.compile(
    r"net/http\.\(\*http2(?:serverConn|Framer|responseWriter)\)\."
    r"|runtime\.(?:mallocgcTiny|memhashFallback|memhash(?:32|64)Fallback|strhashFallback)\Z"
)
_NEW = re.compile(
    r"net/http/internal/http2\."
    r"|runtime\.mallocgc(?:Tiny|SmallNoScan|SmallScanNoHeader)(?:SC\d+|SlowPath)\Z"
    r"|internal/runtime/maps\.[mM]emHash"
)
"""What servers' profiles are seldom without, by the symbols of programs of Go 1.24 to 1.27."""

_IN_LOOP = re.compile(r"-range\d+(?:-range|\.(?:func)?\d)")


def numbering_of(version: str) -> Numbering | None:
    """Return how a toolchain numbers closures, by its version such as ``go1.27.3``; None if it is none."""
    found = re.match(r"go(\d+)\.(\d+)", version)
    return None if found is None else SINCE if (int(found[1]), int(found[2])) >= _FIRST else BEFORE


def numberings(functions: Iterable[str]) -> set[Numbering]:
    """Return how the closures among these functions may be numbered: both ways, if two toolchains made them.

    Args:
        functions: linker symbols. Where none of them tells, the result is empty.
    """
    found: set[Numbering] = set()
    for name in functions:
        if _GONE.match(name) or is_of_inlined(name):
            found.add(BEFORE)
        elif _NEW.match(name) or is_in_loop(name):
            found.add(SINCE)
    return found


def is_of_inlined(name: str) -> bool:
    """Return whether a closure is named after a function that was inlined and its caller: before Go 1.27."""
    elements = _elements(name)
    if not CLOSURE.fullmatch(elements[-1]):
        return False
    if elements[0].startswith("("):
        elements = elements[2:]
    elif elements[0] in ("init", "glob"):
        elements = elements[1:]
    else:  # a function, or a method of a type: T.M.func1
        elements = elements[1 if CLOSURE.fullmatch(elements[1:2][0] if elements[1:] else "") else 2 :]
    return not all(CLOSURE.fullmatch(each) for each in elements)


def is_in_loop(name: str) -> bool:
    """Return whether a closure is named after the body of the loop that it is in, as from Go 1.27 on."""
    return _IN_LOOP.search(without_type_arguments(name)) is not None and not is_of_inlined(name)


def _elements(name: str) -> list[str]:
    """What follows the package in a symbol: ``(*T)``, ``M``, ``func1``."""
    plain = without_type_arguments(name)
    dot = plain.find(".", plain.rfind("/") + 1)
    return plain[dot + 1 :].removesuffix("-fm").replace("-range", ".range").split(".")
