"""Tell whether one toolchain built all programs that were profiled.

During a bump of Go a fleet runs two. A function of Go's own packages then starts at another line in each, so
the merged profile holds it twice. What both call closures may differ as well, and then the merge gives
closures each other's weight (:mod:`fleetpgo.golang.numbering`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.golang.numbering import numberings

if TYPE_CHECKING:
    from fleetpgo.pprof import Profile

NAMED = 3
"""Functions that the warning names."""


def toolchains(merged: Profile) -> list[str]:
    """Return a warning if several toolchains built the profiled programs."""
    moved = pprof.moved(merged).std
    edges = pprof.call_edges(merged)
    numbered = numberings({name for edge in edges.weights for name in (edge.caller, edge.callee)})
    if not moved and len(numbered) <= 1:
        return []
    said = "the instances ran programs that were built by several versions of Go"
    if moved:
        named = ", ".join(moved[:NAMED])
        said += f": {len(moved):,} functions of Go's own packages differ in their line, such as {named}"
    if len(numbered) > 1:
        said += ". Go 1.27 numbers closures otherwise than versions before, so one may have another's weight"
    return [f"{said}. Run again once all instances run a program of one version"]
