"""The smallest profile that builds the same bytes, and the proof of it.

The compiler reads call edges only (:mod:`fleetpgo.pprof.edges`). So the minimal profile holds one sample for each
edge, of two locations: the called function, and the line that called it. Every function starts at line 1; a call
site stands at its offset below that. Nothing else is in it: no path, label, address of the build, or time.

Proof: ``go tool preprofile`` prints exactly what the compiler will see. Where it prints the same for both
profiles, both build the same binary. Without that proof the full profile is given back.
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fleetpgo.errors import ToolchainError
from fleetpgo.pprof import profile_pb2
from fleetpgo.pprof.callgraph import call_edges
from fleetpgo.pprof.edges import Edge, Edges, go_bytes
from fleetpgo.pprof.writing import gzipped

PREPROFILE_SECONDS = 120
START_LINE = 1
CALL_SITE_ADDRESS = 1
"""Any address but 0: it keeps a call site apart from the function it calls where both are on one line."""

IDENTICAL = "identical"


@dataclass(frozen=True)
class Minimised:
    """A profile made small, or the full one where that could not be proven harmless.

    Args:
        data: the profile to commit, gzipped.
        proof: ``identical``, or why the full profile was kept.
        edges: number of call edges in it.
        hot_edges: how many of them are hot by Go's rule.
        size_before: bytes of the full profile, as given.
        size_after: bytes of ``data``.
    """

    data: bytes
    proof: str
    edges: int
    hot_edges: int
    size_before: int
    size_after: int


def minimise(data: bytes, *, go: str | None = "go") -> Minimised:
    """The smallest profile that the compiler cannot tell from ``data``.

    Args:
        data: a CPU profile, gzipped or not.
        go: the ``go`` command (1.23 or newer) for the proof; None: none is at hand, so nothing is proven.

    Raises:
        ProfileError: ``data`` cannot be read.
    """
    edges = call_edges(data)
    small = from_edges(edges)
    proof = _proof(data, small, go)
    kept = small if proof == IDENTICAL else data
    return Minimised(
        data=kept,
        proof=proof,
        edges=len(edges),
        hot_edges=len(edges.hot),
        size_before=len(data),
        size_after=len(kept),
    )


def preprofile(data: bytes, *, go: str = "go") -> bytes:
    """What ``go tool preprofile`` prints: the edges as the compiler sees them, heaviest first.

    Raises:
        ToolchainError: there is no such ``go``, it is older than 1.23, or it refuses the profile.
    """
    with tempfile.TemporaryDirectory(prefix="fleetpgo-") as folder:
        profile = Path(folder, "in.pprof")
        profile.write_bytes(data)
        try:
            done = subprocess.run(
                [go, "tool", "preprofile", "-i", profile.name],
                cwd=folder,
                capture_output=True,
                check=True,
                timeout=PREPROFILE_SECONDS,
            )
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip()
            raise ToolchainError(
                f"`{go} tool preprofile` failed: {said}",
                hint="It needs Go 1.23 or newer, and a profile with start_line (from a program of Go 1.20 or newer).",
            ) from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ToolchainError(
                f"`{go} tool preprofile` could not be run: {error}",
                hint="Install Go 1.23 or newer, or name its command.",
            ) from error
    return done.stdout


def from_edges(edges: Edges) -> bytes:
    """A gzipped profile from which Go's compiler reads exactly ``edges``. Equal edges give equal bytes."""
    names = sorted({go_bytes(name) for edge in edges.weights for name in (edge.caller, edge.callee)} - {b""})
    strings = [b"", b"samples", b"count", *names]
    # One function for each name, with the name's place in the string table as its id.
    place = {name: index for index, name in enumerate(strings)}
    function_of = {name: place[name] for name in names} | {b"": 1}
    profile = profile_pb2.Profile(string_table=strings)
    profile.sample_type.add(type=1, unit=2)

    callees = sorted({go_bytes(edge.callee) for edge in edges.weights})
    call_sites = sorted({(go_bytes(edge.caller), edge.offset) for edge in edges.weights})
    callee_id = {name: index for index, name in enumerate(callees, start=1)}
    call_site_id = {site: index for index, site in enumerate(call_sites, start=len(callees) + 1)}

    def by_call_site(item: tuple[Edge, int]) -> tuple[bytes, int, bytes]:
        edge = item[0]
        return go_bytes(edge.caller), edge.offset, go_bytes(edge.callee)

    for edge, weight in sorted(edges.weights.items(), key=by_call_site):
        stack = (callee_id[go_bytes(edge.callee)], call_site_id[go_bytes(edge.caller), edge.offset])
        profile.sample.add(location_id=stack, value=(weight,))
    for name, location in callee_id.items():
        profile.location.add(id=location).line.add(function_id=function_of[name])
    for (name, offset), location in call_site_id.items():
        line = profile.location.add(id=location, address=CALL_SITE_ADDRESS).line.add()
        line.function_id, line.line = function_of[name], START_LINE + offset
    for name, function in sorted(function_of.items(), key=lambda item: item[1]):
        profile.function.add(id=function, name=place[name], start_line=START_LINE)
    return gzipped(profile.SerializeToString(deterministic=True))


def _proof(full: bytes, small: bytes, go: str | None) -> str:
    if go is None:
        return "not proven: no Go toolchain was given"
    try:
        return IDENTICAL if preprofile(full, go=go) == preprofile(small, go=go) else "not identical for the compiler"
    except ToolchainError as error:
        return f"not proven: {error.message}"
