"""The profile format: read and checked, merged, reduced to what Go's compiler reads, and compared.

Bytes are at the edges. :func:`check` and :func:`merge` take them, as they take many profiles at once;
:func:`decode` makes a :class:`Profile` of them. That goes from step to step; its ``data`` are bytes again.

Nothing here touches a network or a file, starts a process, or looks at the environment. Who imports it first
sets OPENBLAS_NUM_THREADS (docs/decisions/0101).

- :func:`check`: is it a CPU profile that can be used? Its :class:`Facts`, or an error with a named reason;
  :func:`check_each`: some at once, in less time.
- :func:`merge`: many profiles to one, as google/pprof's ``profile.Merge`` does.
- :class:`EdgeTable`: the call edges of many profiles, each derived once (by :func:`check_each`, or later by
  :func:`edges_of_each`) and kept (:func:`pack`).
- :func:`call_edges`: the compiler's view; from the Go toolchain itself: :mod:`fleetpgo.golang.preprofile`.
- :func:`minimise`: the smallest profile that builds the same bytes, with proof.
- :func:`guard`: neutralise functions that are known to go wrong when inlined by a profile.
- :func:`repair`: give it back what it has lost on its way, from the binary that was profiled.
- :func:`moved`: the functions of several builds or toolchains in one profile.
- :func:`compare`, :func:`sufficiency`, :func:`top`: what changed, whether it is enough, where the time goes;
  :func:`stack_difference`: what changed, for a flame graph.

A profile of the wrong kind, damaged or hostile raises :class:`fleetpgo.errors.ProfileError` and nothing else.
"""

from fleetpgo.pprof.builds import Moved, moved
from fleetpgo.pprof.checking import check, check_each, facts
from fleetpgo.pprof.codec.kernel import is_native
from fleetpgo.pprof.codec.reading import Limits
from fleetpgo.pprof.comparing import Comparison, compare
from fleetpgo.pprof.describing import Checked, Facts
from fleetpgo.pprof.edges import Edge, Edges
from fleetpgo.pprof.edgetable import EdgeTable, OwnEdges, pack
from fleetpgo.pprof.guarding import GUARDS, Guard, guard
from fleetpgo.pprof.merging import edges_of_each, merge
from fleetpgo.pprof.minimising import Minimised, minimise, minimise_edges
from fleetpgo.pprof.profile import MERGED_LIMITS, Profile, call_edges, decode
from fleetpgo.pprof.programs import KnownNames
from fleetpgo.pprof.ranking import Rank, top
from fleetpgo.pprof.repairing import Left, Repaired, repair
from fleetpgo.pprof.stacks import stack_difference
from fleetpgo.pprof.sufficiency import Sufficiency, sufficiency

__all__ = [
    "GUARDS",
    "MERGED_LIMITS",
    "Checked",
    "Comparison",
    "Edge",
    "EdgeTable",
    "Edges",
    "Facts",
    "Guard",
    "KnownNames",
    "Left",
    "Limits",
    "Minimised",
    "Moved",
    "OwnEdges",
    "Profile",
    "Rank",
    "Repaired",
    "Sufficiency",
    "call_edges",
    "check",
    "check_each",
    "compare",
    "decode",
    "edges_of_each",
    "facts",
    "guard",
    "is_native",
    "merge",
    "minimise",
    "minimise_edges",
    "moved",
    "pack",
    "repair",
    "stack_difference",
    "sufficiency",
    "top",
]
