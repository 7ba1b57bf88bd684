"""What is kept in memory of runs: what is read again, what object storage is asked, and how much is kept."""

from __future__ import annotations

import shutil
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from upath import UPath

from fleetpgo.errors import StoreError
from fleetpgo.overview import summaries
from fleetpgo.overview.summaries import Memory
from fleetpgo.run.measured import LEVEL_RUN
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.proposed import Merge
from fleetpgo.run.store import RunStore
from tests.pages import fleet
from tests.s3 import BUCKET, KEYS


@pytest.fixture
def store(fleet_root, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(fleet_root / "store", tmp_path / "store")


@pytest.fixture
def read(monkeypatch):
    """The directories whose files were read, in order; each as often as it has files."""
    found, of_path = [], Path.read_bytes

    def read_bytes(path):
        found.append(path.parent.name)
        return of_path(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    return found


def test_only_the_run_that_has_changed_is_read_again(store, read):
    memory = Memory()
    memory.look(store, "edge")
    second = RunStore(store, "edge", fleet.SECOND)
    second.write(replace(second.read(Manifest), samples=1))
    read.clear()
    profiles = [run.profile for run in memory.look(store, "edge").summaries if run.profile]
    assert (min(profile.samples for profile in profiles), set(read)) == (1, {second.directory.name})


@pytest.mark.parametrize(("fresh", "seen"), [(3_600, []), (0, ["manual__2026-02-02T00_00_00+00_00"])])
def test_a_run_that_has_ended_is_looked_at_once_a_minute(store, read, fresh, seen):
    memory = Memory(fresh=fresh)
    memory.look(store, "edge")
    first = RunStore(store, "edge", fleet.FIRST)
    first.write(first.read(Merge))
    read.clear()
    memory.look(store, "edge")
    assert sorted(set(read)) == seen


def test_a_service_without_a_change_is_the_same_object(store):
    memory = Memory()
    assert memory.look(store, "edge") is memory.look(store, "edge")


def test_a_run_that_was_removed_is_forgotten(store):
    memory = Memory()
    before = len(memory.look(store, "edge").known)
    shutil.rmtree(RunStore(store, "edge", fleet.SECOND).directory)
    assert len(memory.look(store, "edge").known) == before - 1


def test_a_link_to_nowhere_hides_no_run(store):
    before = Memory().look(store, "edge").summaries
    (store / "edge" / "nowhere").symlink_to(store / "gone")
    assert Memory().look(store, "edge").summaries == before


def test_beyond_its_bound_the_service_that_nobody_looked_at_for_longest_is_forgotten(store, read):
    for name in ("b", "c"):
        shutil.copytree(store / "edge", store / name)
    runs = len(list((store / "edge").iterdir()))
    memory = Memory(most=2 * runs)
    for name in ("edge", "b", "edge", "c"):
        memory.look(store, name)
    read.clear()
    memory.look(store, "edge")
    assert (len(memory), read) == (2 * runs, [])
    memory.look(store, "b")
    assert len(memory) == 2 * runs
    assert read != []


@pytest.fixture(scope="module")
def root(s3_server):
    # A client of S3 takes half a second to make: all tests share one.
    return UPath(
        f"s3://{BUCKET}/store",
        key=KEYS["aws_access_key_id"],
        secret=KEYS["aws_secret_access_key"],
        endpoint_url=s3_server.url,
        client_kwargs={"region_name": KEYS["region_name"]},
        use_listings_cache=False,
    )


@pytest.fixture
def objects(s3, fleet_root, root):
    """The store's objects, put just now."""
    store = fleet_root / "store"
    for file in store.rglob("*"):
        if file.is_file():
            key = f"store/{file.relative_to(store)}"
            s3.objects[key], s3.changed[key] = file.read_bytes(), time.time()
    return s3


def requests(s3, memory, root):
    """How many requests a look takes."""
    before = len(s3.asked)
    memory.look(root, "edge")
    return len(s3.asked) - before


def test_object_storage_tells_the_same_as_a_directory(objects, root, fleet_root):
    of_objects, of_files = (
        {name: each.summary for name, each in Memory().look(store, "edge").known.items()}
        for store in (root, fleet_root / "store")
    )
    assert of_objects == of_files


def test_a_second_look_within_a_minute_asks_object_storage_nothing(objects, root):
    memory = Memory()
    memory.look(root, "edge")
    assert requests(objects, memory, root) == 0


def test_later_one_request_lists_the_runs_and_one_each_run_that_waits(objects, root):
    memory = Memory(fresh=0)
    memory.look(root, "edge")
    # Of three runs one is measured over the week, one measured the level, and one waits for its merge.
    assert requests(objects, memory, root) == 2


def test_a_run_in_object_storage_that_changed_is_seen(objects, root):
    memory = Memory(fresh=0)
    memory.look(root, "edge")
    RunStore(root, "edge", fleet.SECOND).write(Merge("skipped", reason="closed"))
    states = {run.pull_request.state for run in memory.look(root, "edge").summaries if run.pull_request}
    assert states == {"merged", "skipped"}


def test_nothing_is_asked_for_that_a_listing_does_not_have(objects, root):
    for key in [key for key in objects.objects if "level__" in key or fleet.FIRST[:18] in key]:
        del objects.objects[key]
    # Two listings, the manifest and the proposal: the run has no merge and no measurement.
    assert requests(objects, Memory(), root) == 4


def asked_again(root, s3, *, days):
    """How many requests a second look takes if nothing was changed for so many days."""
    memory = Memory(fresh=0)
    s3.changed |= dict.fromkeys(s3.objects, time.time() - days * 86_400)
    memory.look(root, "edge")
    return requests(s3, memory, root)


def test_a_run_that_ended_a_week_ago_is_not_asked_for_again(objects, root):
    RunStore(root, "edge", fleet.SECOND).write(Merge("skipped", reason="closed"))
    assert [asked_again(root, objects, days=days) for days in (6, 8)] == [2, 1]


def test_a_run_that_waits_is_asked_for_as_long_as_runs_may_wait(objects, root):
    assert [asked_again(root, objects, days=days) for days in (199, 201)] == [2, 1]


def test_a_damaged_run_is_asked_for_until_it_is_mended(objects, root):
    RunStore(root, "edge", fleet.SECOND).path(Merge).write_text("{")
    assert asked_again(root, objects, days=201) == 2


@pytest.mark.parametrize(("ended", "samples"), [(3_600, {0}), (0, {0, 1})])
def test_a_run_that_has_ended_is_asked_for_once_an_hour(objects, root, ended, samples):
    first = RunStore(root, "edge", fleet.FIRST)
    first.write(replace(first.read(Manifest), samples=0))
    memory, seen = Memory(fresh=0, ended=ended), set()
    for number in range(2):
        looked = memory.look(root, "edge").summaries
        seen |= {run.profile.samples for run in looked if run.profile and run.profile.run == fleet.FIRST}
        first.write(replace(first.read(Manifest), samples=number + 1))
    assert seen == samples


def test_of_the_runs_that_have_ended_a_few_are_asked_for_at_a_time(objects, root, monkeypatch):
    # Two of three have ended: at each look one of them, and the one that waits.
    monkeypatch.setattr(summaries, "_ENDED_AT_ONCE", 1)
    memory = Memory(fresh=0, ended=0)
    memory.look(root, "edge")
    assert [requests(objects, memory, root) for _ in range(3)] == [3, 3, 3]


def test_nobody_queues_behind_one_who_waits_for_a_store_that_hangs(objects, root, monkeypatch):
    monkeypatch.setattr(summaries, "_BUSY_S", 0.01)
    memory = Memory(fresh=0)
    memory.look(root, "edge")
    objects.illness, before = "never", len(objects.asked)

    def look():
        with suppress(StoreError):
            memory.look(root, "edge")

    waiting = threading.Thread(target=look)
    waiting.start()
    while len(objects.asked) == before:
        time.sleep(0.01)
    with pytest.raises(StoreError, match="are still being read for someone else"):
        memory.look(root, "edge")
    objects.heal()
    waiting.join()


def test_the_members_of_a_baseline_are_not_kept(store):
    run = RunStore(store, "edge", f"{LEVEL_RUN}1")
    run.write(replace(fleet.LEVEL, members=("a:1", "b:1")))
    levels = [run.level for run in Memory().look(store, "edge").summaries if run.level]
    assert [level.members for level in levels] == [(), ()]
