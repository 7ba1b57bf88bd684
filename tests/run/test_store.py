from __future__ import annotations

import threading
from pathlib import Path

import pytest
from upath import UPath

from fleetpgo.errors import ArtifactError
from fleetpgo.run import storage
from fleetpgo.run.artifacts import FetchedProfile, MergedProfile, Trouble
from fleetpgo.run.profiled import Stop
from fleetpgo.run.store import RunStore

RUN = "manual__2026-01-02T03:04:05+00:00"


@pytest.fixture(params=["local", "object storage"])
def store(request, tmp_path):
    root = tmp_path if request.param == "local" else UPath(f"memory://{tmp_path.name}")
    return RunStore(root, "wshim", RUN)


def test_what_is_written_is_read(store):
    store.write(FetchedProfile(b"1"), "a")
    store.write(FetchedProfile(b"2"), "b")
    store.write(Stop("HTTP 401"))
    assert (
        store.read(FetchedProfile, "a"),
        store.read(FetchedProfile, "b"),
        store.keys(FetchedProfile),
        store.read(Stop),
        store.exists(Stop),
        store.exists(MergedProfile),
        store.find(MergedProfile),
    ) == (b"1", b"2", ["a", "b"], Stop("HTTP 401"), True, False, None)


def test_the_files_of_a_run_are_listed_without_those_in_its_folders(store):
    assert storage.files(store.directory) == []
    store.write(FetchedProfile(b"1"), "a")
    store.write(MergedProfile(b"12"))
    assert [(each.name, each.size) for each in storage.files(store.directory)] == [("merged.pb.gz", 2)]


def test_what_is_being_written_has_no_name_yet(tmp_path):
    store = RunStore(tmp_path, "wshim", RUN)
    store.write(Trouble(b"1"), "a")
    store.path(Trouble, ".b.0a1b2c3d.part").write_bytes(b"")
    assert store.keys(Trouble) == ["a"]


def test_writing_again_replaces(store):
    store.write(MergedProfile(b"old"))
    store.write(MergedProfile(b"new"))
    assert store.read(MergedProfile) == b"new"


def test_what_is_removed_is_gone_and_may_be_removed_again(store):
    store.write(Stop("HTTP 401"))
    store.remove(Stop)
    store.remove(Stop)
    assert not store.exists(Stop)


def test_a_run_id_becomes_one_folder(tmp_path):
    directory = RunStore(tmp_path, "wshim", "../manual/2026:01").directory
    assert directory == tmp_path / "wshim" / ".._manual_2026_01"


def test_a_missing_artifact_says_which_and_what_to_do(store):
    with pytest.raises(ArtifactError, match=r"(?s)merged\.pb\.gz.*clear the task that writes it"):
        store.read(MergedProfile)


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    store = RunStore(tmp_path, "wshim", RUN)

    def interrupted(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.write(FetchedProfile(b"1"), "a")
    assert list(store.path(FetchedProfile, "a").parent.iterdir()) == []


def test_a_reader_never_sees_half_an_artifact(tmp_path):
    store = RunStore(tmp_path, "wshim", RUN)
    contents = [bytes([value]) * 1_000_000 for value in range(8)]
    store.write(MergedProfile(contents[0]))
    writer = threading.Thread(target=lambda: [store.write(MergedProfile(each)) for each in contents])
    writer.start()
    seen = []
    while writer.is_alive():
        seen.append(store.read(MergedProfile))
    writer.join()
    assert set(seen) <= set(contents)
