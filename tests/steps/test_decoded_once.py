"""After its check, which derives all that compares profiles, a profile is decoded once: to be merged."""

from __future__ import annotations

import gzip
import logging
import shutil
from collections import Counter

import pytest

from fleetpgo import pprof
from fleetpgo.collection import Limits, packs, read_edges
from fleetpgo.errors import ProfileError, StoreError
from fleetpgo.pprof import edgetable
from fleetpgo.pprof.codec import kernel
from fleetpgo.run import storage
from fleetpgo.run.artifacts import EdgePack, FetchedProfile, MergedProfile, ProposedProfile
from fleetpgo.run.profiled import Manifest
from fleetpgo.steps.collect import collect_profiles, top_up
from fleetpgo.steps.merge import merge_profiles
from tests.collection.instances import cpu_profile, http, serving
from tests.steps.rounds import select, service

BODIES = [cpu_profile(80 + number) for number in range(3)]
MESSAGES = {gzip.decompress(body): number for number, body in enumerate(BODIES)}


@pytest.fixture
def decoded(monkeypatch) -> Counter[int]:
    """How often the decoder got each of the profiles' messages."""
    counts: Counter[int] = Counter()

    def counting(read):
        def counted(messages, *given):
            counts.update(MESSAGES[raw] for raw in messages if raw in MESSAGES)
            return read(messages, *given)

        return counted

    class Tables:
        """Those of the kernel, counted."""

        def __init__(self):
            tables = native()
            self.add, self.all = counting(tables.add), tables.all

    native = kernel.KERNEL.Tables
    monkeypatch.setattr(kernel.KERNEL, "decode", counting(kernel.KERNEL.decode))
    monkeypatch.setattr(kernel.KERNEL, "Tables", Tables)
    return counts


@pytest.fixture
async def described(store, decoded):
    """A service, of which all instances' profiles have arrived."""
    described = service(instances=3, target_samples=100)
    async with (
        serving(http(BODIES[0])) as one,
        serving(http(BODIES[1])) as other,
        serving(http(BODIES[2])) as third,
    ):
        await collect_profiles(described, store, select(described, store, one, other, third))
    assert decoded == {0: 1, 1: 1, 2: 1}
    decoded.clear()
    return described


async def refreshed(described, store) -> tuple[object, ...]:
    """What the steps after the fetching ones say and write."""
    said = await top_up(described, store)
    merge_profiles(described, store)
    manifest = store.read(Manifest)
    return said, manifest.sufficiency, store.read(MergedProfile), store.read(ProposedProfile)


async def test_top_up_and_the_judgement_of_a_merge_read_what_the_check_has_kept(described, store, decoded):
    await top_up(described, store)
    assert decoded == {}
    merge_profiles(described, store)
    assert decoded == {0: 1, 1: 1, 2: 1}


async def test_what_is_kept_are_the_edges_of_the_profiles(described, store):
    limits = Limits.of(described.collection, seconds=0).of_profiles
    digests = store.keys(FetchedProfile)
    read_edges(store, digests, limits=limits)
    table = read_edges(store, digests, limits=limits)
    for each in digests:
        assert table.edges([each]) == pprof.call_edges(pprof.decode(store.read(FetchedProfile, each)))


async def test_a_merge_without_anything_kept_derives_and_keeps_it(described, store, decoded):
    expected = await refreshed(described, store)
    (key,) = store.keys(EdgePack)
    store.remove(EdgePack, key)
    decoded.clear()
    merge_profiles(described, store)
    assert decoded == {0: 2, 1: 2, 2: 2}
    assert len(store.keys(EdgePack)) == 1
    assert await refreshed(described, store) == expected


async def test_only_the_edges_of_what_no_pack_has_are_derived(described, store, decoded, monkeypatch):
    expected = await refreshed(described, store)
    (key,) = store.keys(EdgePack)
    store.remove(EdgePack, key)
    first = store.keys(FetchedProfile)[0]
    limits = Limits.of(described.collection, seconds=0).of_profiles
    read_edges(store, [first], limits=limits)
    decoded.clear()
    monkeypatch.setattr(packs, "PACK", 1)
    assert await refreshed(described, store) == expected
    assert sorted(decoded.values()) == [1, 2, 2]
    assert len(store.keys(EdgePack)) == 3


@pytest.mark.parametrize(
    "damaged",
    [
        lambda data: data[:-9],
        lambda data: data[:200] + bytes(4) + data[204:],
        lambda _: b"",
    ],
)
async def test_a_damaged_pack_is_named_and_made_again(described, store, decoded, caplog, damaged):
    expected = await refreshed(described, store)
    (key,) = store.keys(EdgePack)
    path = store.path(EdgePack, key)
    path.write_bytes(damaged(path.read_bytes()))
    decoded.clear()
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger=packs.__name__):
        assert await refreshed(described, store) == expected
    assert decoded == {0: 2, 1: 2, 2: 2}
    warned = f"{path} is damaged: its SHA-256 is not its name. Its call edges are derived again"
    assert caplog.messages.count(warned) == 1


async def test_a_pack_of_another_version_is_left_alone(described, store, decoded, monkeypatch):
    await refreshed(described, store)
    decoded.clear()
    monkeypatch.setattr(edgetable, "VERSION", edgetable.VERSION + 1)
    await refreshed(described, store)
    assert decoded == {0: 2, 1: 2, 2: 2}
    assert len(store.keys(EdgePack)) == 2


async def test_a_profile_that_cannot_be_read_any_more_is_named_by_its_place(described, store):
    digests = store.keys(FetchedProfile)
    limits = Limits.of(described.collection, seconds=0).of_profiles
    (key,) = store.keys(EdgePack)
    store.remove(EdgePack, key)
    read_edges(store, digests[:1], limits=limits)
    store.write(FetchedProfile(b"<html>"), digests[2])
    with pytest.raises(ProfileError, match="Profile 2: ") as caught:
        read_edges(store, digests, limits=limits)
    assert (caught.value.reason, caught.value.profile) == ("html", 2)


async def test_a_store_that_takes_no_packs_fails_no_run(described, store, caplog):
    expected = await refreshed(described, store)
    folder = store.path(EdgePack, "0").parent
    shutil.rmtree(folder)
    folder.write_text("no folder")
    caplog.clear()
    assert await refreshed(described, store) == expected
    assert [each.partition(":")[0] for each in caplog.messages].count("Call edges are not kept") == 2


async def test_a_damaged_pack_that_cannot_be_removed_fails_no_run(described, store, monkeypatch, caplog):
    expected = await refreshed(described, store)
    (key,) = store.keys(EdgePack)
    store.write(EdgePack(b"damaged"), key)

    def remove(path, **_):
        raise StoreError(f"the store cannot remove {path}")

    monkeypatch.setattr(storage, "remove", remove)
    # It has the name that the pack gets which is derived instead.
    assert await refreshed(described, store) == expected
    assert f"It stays there: the store cannot remove {store.path(EdgePack, key)}" in caplog.messages


async def test_a_pack_that_is_removed_meanwhile_is_made_again(described, store, monkeypatch):
    limits = Limits.of(described.collection, seconds=0).of_profiles
    digests = store.keys(FetchedProfile)
    monkeypatch.setattr(type(store), "keys", lambda *_: ["f" * 64])
    assert read_edges(store, digests, limits=limits).profiles == len(digests)
