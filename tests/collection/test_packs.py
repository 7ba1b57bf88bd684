"""The call edges of profiles are kept where they arrive."""

from __future__ import annotations

import pytest

from fleetpgo import pprof
from fleetpgo.collection import packs, read_edges
from fleetpgo.collection.packs import Packer
from fleetpgo.run.artifacts import EdgePack
from tests.collection.instances import cpu_profile

BODIES = [cpu_profile(80 + number) for number in range(5)]


@pytest.fixture
def checked():
    return pprof.check_each(BODIES, known=pprof.KnownNames(), edges=True)


def totals(store, digests):
    table = read_edges(store, digests, limits=pprof.Limits())
    return [table.edges([each]).total for each in digests]


def totals_of(bodies):
    return [pprof.call_edges(pprof.decode(each)).total for each in bodies]


def test_a_pack_is_written_when_it_is_full_and_the_rest_at_the_end(store, checked, monkeypatch):
    monkeypatch.setattr(packs, "PACK", 2)
    packer = Packer(store)
    for place, each in enumerate(checked):
        packer.add(str(place), each.edges)
    assert len(store.keys(EdgePack)) == 2
    packer.write()
    packer.write()
    assert len(store.keys(EdgePack)) == 3
    assert totals(store, ["0", "4"]) == totals_of([BODIES[0], BODIES[4]])


def test_profiles_whose_names_are_numbered_apart_are_in_packs_of_their_own(store, checked):
    (other,) = pprof.check_each(BODIES[:1], known=pprof.KnownNames(), edges=True)
    packer = Packer(store)
    packer.add("0", checked[1].edges)
    packer.add("1", other.edges)
    packer.write()
    assert len(store.keys(EdgePack)) == 2
    assert totals(store, ["0", "1"]) == totals_of([BODIES[1], BODIES[0]])
