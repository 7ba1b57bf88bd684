"""What is kept of profiles are their call edges, those of each and those of any together."""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpgo import pprof
from fleetpgo.errors import ArtifactError, ProfileError
from fleetpgo.pprof import edgetable
from fleetpgo.pprof.edges import Edge, Edges
from tests.pprof import oracle
from tests.pprof.corpus import CALLER, LEAF, corpus, good
from tests.pprof.messages import message, packed
from tests.pprof.test_callgraph import profiles

FILES = st.lists(profiles, min_size=1, max_size=5)


def table_of(*packs: dict[str, pprof.OwnEdges]) -> pprof.EdgeTable:
    table = pprof.EdgeTable()
    for each in packs:
        table.add(pprof.pack(list(each.items())))
    return table


def read(bodies: list[bytes]) -> dict[str, pprof.OwnEdges]:
    return {str(number): edges for number, edges in enumerate(pprof.edges_of_each(bodies))}


def named(every: dict[str, pprof.OwnEdges], name: str) -> dict[str, pprof.OwnEdges]:
    return {f"{name}{key}": edges for key, edges in every.items()}


@given(FILES)
def test_each_profile_has_the_edges_that_the_rules_give(files):
    table = table_of(read([packed(each) for each in files]))
    assert [table.edges([str(number)]) for number in range(len(files))] == list(map(oracle.call_edges, files))


@given(FILES)
def test_those_together_have_the_edges_of_their_merge(files):
    bodies = [packed(each) for each in files]
    assert table_of(read(bodies)).edges(map(str, range(len(files)))) == pprof.call_edges(pprof.merge(bodies))


@given(FILES, FILES)
def test_packs_of_different_readers_are_one_table(ones, others):
    first, second = ([packed(each) for each in files] for files in (ones, others))
    table = table_of(named(read(first), "a"), named(read(second), "b"))
    keys = [*named(read(first), "a"), *named(read(second), "b")]
    assert table.edges(keys) == pprof.call_edges(pprof.merge([*first, *second]))


def test_real_profiles_have_the_edges_that_they_have_by_themselves(reals, default_pgo):
    bodies = [*reals, default_pgo]
    table = table_of(read(bodies))
    for number, data in enumerate(bodies):
        assert table.edges([str(number)]) == pprof.call_edges(pprof.decode(data))


@pytest.mark.parametrize("name", sorted(name for name, (reason, _) in corpus().items() if "start" in reason))
def test_a_profile_that_may_be_repaired_is_read_as_it_is(name):
    data = corpus()[name][1]
    assert table_of(read([data])).edges(["0"]) == pprof.call_edges(pprof.decode(data))


@pytest.mark.parametrize("weight", [1, 255, 256, 1 << 16, 1 << 33, 1 << 56])
@pytest.mark.parametrize("line", [-(1 << 31) + 1, -40_000, 0, 200, 70_000, (1 << 31) - 1])
def test_numbers_of_any_size_are_kept(weight, line):
    callers = ([("main.caller", 1, line)], [("main.caller", -(1 << 31) + 1, line)])
    files = [message([([LEAF, caller], weight)], types=(("samples", "count"),)) for caller in callers]
    table = table_of(read([packed(each) for each in files]))
    assert [table.edges([str(number)]) for number in (0, 1)] == list(map(oracle.call_edges, files))


def test_a_name_that_is_not_utf_8_is_kept():
    data = corpus()["name-that-is-not-utf-8"][1]
    assert table_of(read([data])).edges(["0"]) == pprof.call_edges(pprof.decode(data))


def test_a_profile_without_edges_has_none():
    assert table_of(read([packed(message([([CALLER], 5)])), packed(good())])).edges(["0"]) == Edges.of({})


def test_only_the_wanted_profiles_are_added():
    table = pprof.EdgeTable()
    table.add(pprof.pack(list(read([packed(good()), packed(message([([LEAF, LEAF], 1)]))]).items())), {"0"})
    assert (table.profiles, "0" in table, "1" in table) == (1, True, False)
    assert table.edges(["0"]) == Edges.of({Edge("main.caller", "main.leaf", 7): 900})


PACK = pprof.pack(list(read([packed(good())] * 3).items()))


def changed(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    with np.load(io.BytesIO(PACK)) as read_back:
        np.savez(out, **{**read_back, **arrays})
    return out.getvalue()


def huge(shape: tuple[int]) -> bytes:
    """A pack whose weights are more than any machine holds, as their header says."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(io.BytesIO(PACK)) as old, zipfile.ZipFile(out := io.BytesIO(), "w") as new:
        for name in old.namelist():
            new.writestr(name, header.getvalue() if name == "weights.npy" else old.read(name))
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x1f\x8b",
        PACK[:-1],
        PACK[: len(PACK) // 2],
        changed(version=np.array(edgetable.VERSION + 1)),
        changed(callers=np.array([99], np.uint8)),
        changed(callees=np.array([-1], np.int8)),
        changed(offsets=np.array([1, 2], np.uint8)),
        changed(edges=np.array([0, 0, 1], np.uint8)),
        changed(edges=np.array([0], np.uint8)),
        changed(weights=np.array([1], np.uint8)),
        changed(counts=np.array([1, 1, 2])),
        changed(counts=np.array([2, -1, 2])),
        changed(counts=np.array([3])),
        changed(name_sizes=np.array([(1 << 63) - 1, (1 << 63) - 1, len("main.callermain.leaf") + 2])),
        changed(names=np.zeros(1, np.uint8)),
        changed(keys=np.array(["0", "1", "2"])),
        changed(edges=np.zeros(3)),
        changed(weights=np.ones(3)),
        changed(weights=np.ones(3, np.uint64)),
        changed(weights=np.ones((3, 1), np.uint8)),
        changed(callers=np.zeros(1)),
        changed(names=np.zeros(len("main.callermain.leaf"))),
        huge(shape=(1 << 50,)),
        huge(shape=(1 << 70,)),
    ],
)
def test_what_is_no_whole_pack_of_this_version_is_refused(data):
    with pytest.raises(ArtifactError, match="the table of call edges cannot be read: "):
        pprof.EdgeTable().add(data)


@given(st.integers(0, len(PACK) - 1), st.integers(1, 255))
def test_a_changed_octet_is_noticed_or_changes_nothing(place, change):
    data = bytearray(PACK)
    data[place] ^= change
    table = pprof.EdgeTable()
    with suppress(ArtifactError):
        table.add(bytes(data))
        assert [table.profile(key)[1].tolist() for key in "012" if key in table] == [[900]] * table.profiles


def test_a_profile_that_cannot_be_read_has_its_number():
    with pytest.raises(ProfileError) as caught:
        list(pprof.edges_of_each([packed(good()), b"<html>"]))
    assert (caught.value.reason, caught.value.profile) == ("html", 1)
