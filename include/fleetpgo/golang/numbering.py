"""How Go names closures, and which Go versions' names are in a list of functions.

Go numbers the closures of a function: ``f.func1``, ``f.func2``. Go 1.27 changed the rules, so an older name
may now belong to another closure, or to none (``closureName`` in cmd/compile/internal/ir/func.go;
``inlClosureFunc`` in cmd/compile/internal/noder/reader.go):

- Closures of an inlined function. Before: named after the caller and the inlined function,
  ``caller.inlined.func3``. From Go 1.27 on: named after the function they are written in, ``inlined.func1``.
- Closures in the body of a loop over an iterator. Before: numbered with those of the enclosing function,
  ``f.func3``; a nested loop is ``f-range2``. From Go 1.27 on: numbered within the body, ``f-range1.func1``
  and ``f-range1-range1``.
- Before, both also shifted the numbers of the closures after them, and of closures in package variables
  (``init.func7``).

Names of the first two kinds show which rules a toolchain follows. The exception is ``a.b.func1``, which may
also be a closure of a method. Functions of the standard library that were added or removed in Go 1.27 show
it, too.
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
"""An element of a closure's name that is not the name of a function: ``func1``, ``range2``, ``1``."""

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
"""Functions in most servers' profiles: gone since Go 1.27, and new in it. From symbols of Go 1.24–1.27."""

_IN_LOOP = re.compile(r"-range\d+(?:-range|\.(?:func)?\d)")


def numbering_of(version: str) -> Numbering | None:
    """Return how a Go version such as ``go1.27.3`` numbers closures; None if the text is not a Go version."""
    found = re.match(r"go(\d+)\.(\d+)", version)
    return None if found is None else SINCE if (int(found[1]), int(found[2])) >= _FIRST else BEFORE


def numberings(functions: Iterable[str]) -> set[Numbering]:
    """Return which numberings the names of these functions show.

    Args:
        functions: linker symbols.

    Returns:
        Both numberings if the symbols come from two toolchains; an empty set if no symbol shows one.
    """
    found: set[Numbering] = set()
    for name in functions:
        if _GONE.match(name) or is_of_inlined(name):
            found.add(BEFORE)
        elif _NEW.match(name) or is_in_loop(name):
            found.add(SINCE)
    return found


def is_of_inlined(name: str) -> bool:
    """Return whether a closure is named after a caller and an inlined function, as before Go 1.27."""
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
    """Return whether a closure is named after the body of a loop, as from Go 1.27 on."""
    return _IN_LOOP.search(without_type_arguments(name)) is not None and not is_of_inlined(name)


def _elements(name: str) -> list[str]:
    """Return the elements of a symbol after its package: ``(*T)``, ``M``, ``func1``."""
    plain = without_type_arguments(name)
    dot = plain.find(".", plain.rfind("/") + 1)
    return plain[dot + 1 :].removesuffix("-fm").replace("-range", ".range").split(".")
