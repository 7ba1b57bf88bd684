from __future__ import annotations

import gzip
import subprocess
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpgo.errors import ToolchainError
from fleetpgo.golang.preprofile import preprofile
from fleetpgo.pprof import call_edges, decode, minimise, minimise_edges
from fleetpgo.pprof.edges import Edge, Edges
from fleetpgo.pprof.minimising import from_edges
from tests.pprof.messages import contents, unpacked
from tests.pprof.test_callgraph import profiles

names = st.sampled_from(["main.f", "main.g", "main.h", ""])
some_edges = st.dictionaries(
    st.builds(Edge, names, names, st.integers(-3, 40)), st.integers(1, 9), min_size=1
)


def test_the_minimal_profile_of_a_real_one_is_proven(real):
    small = minimise(decode(real), prove=preprofile)
    assert (small.proof, preprofile(small.data)) == ("identical", preprofile(real))


def test_the_minimal_profile_of_the_go_compiler_is_small(default_pgo):
    small = minimise(decode(default_pgo), prove=preprofile)
    assert small.proof == "identical"
    assert small.size_after <= 95_000 < small.size_before


@given(some_edges)
def test_the_minimal_profile_has_exactly_the_edges(weights):
    edges = Edges.of(weights)
    assert call_edges(decode(from_edges(edges))) == edges


@given(some_edges)
def test_the_order_of_edges_makes_no_difference(weights):
    backwards = Edges(dict(reversed(list(Edges.of(weights).weights.items()))))
    assert from_edges(backwards) == from_edges(Edges.of(weights))


@given(profiles)
def test_minimising_twice_changes_nothing(profile):
    edges = call_edges(decode(gzip.compress(profile.SerializeToString())))
    if edges.weights:
        small = from_edges(edges)
        assert from_edges(call_edges(decode(small))) == small


def test_go_reads_recursion_exactly():
    edges = Edges.of({Edge("main.f", "main.f", 0): 4, Edge("main.f", "main.f", -1): 2})
    assert preprofile(from_edges(edges)) == edges.preprofile()


def test_nothing_but_edges_is_in_it(real):
    said = contents(unpacked(minimise(decode(real), prove=preprofile).data))
    assert (said["mappings"], said["time"], said["duration"], said["types"]) == (
        [],
        0,
        0,
        [("samples", "count")],
    )
    assert {(filename, start) for _, _, filename, start in said["functions"]} == {("", 1)}


def test_every_sample_has_two_locations(real):
    assert {
        len(sample.location_id) for sample in unpacked(minimise(decode(real), prove=preprofile).data).sample
    } == {2}


def test_without_go_the_full_profile_is_kept(real):
    small = minimise(decode(real), prove=None)
    assert (small.data, small.proof) == (real, "not proven: no Go toolchain was given")


def test_with_a_go_that_is_not_there_the_full_profile_is_kept(real):
    small = minimise(decode(real), prove=partial(preprofile, go="/no/such/go"))
    assert (small.data, small.proven) == (real, False)


def test_a_go_that_reads_something_else_is_no_proof(real):
    small = minimise(decode(real), prove=lambda data: b"%d" % len(data))
    assert (small.data, small.proof) == (real, "not identical for the compiler")


def test_merged_edges_are_not_given_back_unproven():
    with pytest.raises(ToolchainError, match="other edges"):
        minimise_edges(Edges.of({Edge("a", "b", 1): 1}), prove=lambda _: b"GO PREPROFILE V1\n", size_before=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_go_compiler_builds_the_same_bytes_with_either_profile(default_pgo, tmp_path):
    """`cmd/compile`, built with the full profile and with the minimal one: many minutes on two cores."""
    binaries = []
    for name, data in (
        ("full", default_pgo),
        ("minimal", minimise(decode(default_pgo), prove=preprofile).data),
    ):
        # With -trimpath only the profile's file name is in the binary, so both have the same.
        profile = tmp_path / name / "default.pgo"
        profile.parent.mkdir()
        profile.write_bytes(data)
        command = ["go", "build", "-trimpath", f"-pgo={profile}", "-o", f"{name}/compile", "cmd/compile"]
        subprocess.run(command, cwd=tmp_path, check=True)
        binaries.append((tmp_path / name / "compile").read_bytes())
    assert binaries[0] == binaries[1]
