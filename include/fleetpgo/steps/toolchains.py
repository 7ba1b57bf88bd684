"""Check that one Go version built all profiled programs.

During an upgrade of Go a fleet runs two versions. Functions of the standard library then start at different
lines, so the merged profile holds such a function twice. The two versions may also give the same name to
different closures; then the merge adds up the weights of different closures
(:mod:`fleetpgo.golang.numbering`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.golang.numbering import numberings

if TYPE_CHECKING:
    from fleetpgo.pprof import Profile

NAMED = 3
"""Most functions named in the warning."""


def toolchains(merged: Profile) -> list[str]:
    """Return one warning if several Go versions built the profiled programs, else an empty list."""
    moved = pprof.moved(merged).std
    edges = pprof.call_edges(merged)
    numbered = numberings({name for edge in edges.weights for name in (edge.caller, edge.callee)})
    if not moved and len(numbered) <= 1:
        return []
    said = "the instances ran programs that were built by several versions of Go"
    if moved:
        named = ", ".join(moved[:NAMED])
        said += f": {len(moved):,} standard library functions start at different lines, such as {named}"
    if len(numbered) > 1:
        said += ". Go 1.27 numbers closures differently from earlier versions, so closures may be mixed up"
    return [f"{said}. Run again when one version of Go has built all running programs"]
