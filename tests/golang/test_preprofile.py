"""Go's own reading of a profile."""

from __future__ import annotations

import pytest

from fleetpgo.errors import ToolchainError
from fleetpgo.golang.preprofile import preprofile
from fleetpgo.pprof.edges import Edge, Edges
from fleetpgo.pprof.minimising import from_edges
from tests.pprof.messages import unpacked

EDGES = Edges.of({Edge("a", "b", 1): 1})


def test_go_reads_the_edges():
    assert preprofile(from_edges(EDGES)) == EDGES.preprofile()


def test_preprofile_says_what_go_said():
    with pytest.raises(ToolchainError, match="start_line"):
        preprofile(unpacked_without_start_lines())


def unpacked_without_start_lines() -> bytes:
    profile = unpacked(from_edges(EDGES))
    for function in profile.function:
        function.start_line = 0
    return profile.SerializeToString()


def test_a_go_that_is_not_there_is_named():
    with pytest.raises(ToolchainError, match="/no/such/go"):
        preprofile(b"", go="/no/such/go")
