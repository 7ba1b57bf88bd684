from __future__ import annotations

import threading
from pathlib import Path

import pytest
from upath import UPath

from fleetpgo.errors import ArtifactError
from fleetpgo.run.store import RunStore

RUN = "manual__2026-01-02T03:04:05+00:00"


@pytest.fixture(params=["local", "object storage"])
def store(request, tmp_path):
    root = tmp_path if request.param == "local" else UPath(f"memory://{tmp_path.name}")
    return RunStore(root, "wshim", RUN)


def test_what_is_written_is_read(store):
    store.write("profiles/a.pb.gz", b"1")
    store.write("profiles/b.pb.gz", b"2")
    store.write_json("manifest.json", {"samples": 3})
    assert (
        store.read("profiles/a.pb.gz"),
        store.read("profiles/b.pb.gz"),
        store.read_json("manifest.json"),
        store.exists("manifest.json"),
        store.exists("merged.pb.gz"),
    ) == (b"1", b"2", {"samples": 3}, True, False)


def test_what_is_being_written_has_no_name_yet(tmp_path):
    store = RunStore(tmp_path, "wshim", RUN)
    store.write("in_trouble/a", b"1")
    store.path("in_trouble/.b.0a1b2c3d.part").write_bytes(b"")
    assert list(store.names("in_trouble", "")) == ["in_trouble/a"]


def test_writing_again_replaces(store):
    store.write("manifest.json", b"old")
    store.write("manifest.json", b"new")
    assert store.read("manifest.json") == b"new"


def test_what_is_removed_is_gone_and_may_be_removed_again(store):
    store.write("stop.json", b"1")
    store.remove("stop.json")
    store.remove("stop.json")
    assert not store.exists("stop.json")


def test_a_run_id_becomes_one_folder(tmp_path):
    directory = RunStore(tmp_path, "wshim", "../manual/2026:01").directory
    assert directory == tmp_path / "wshim" / ".._manual_2026_01"


def test_a_missing_artifact_says_which_and_what_to_do(store):
    with pytest.raises(ArtifactError, match=r"(?s)merged\.pb\.gz.*clear the task that makes it"):
        store.read("merged.pb.gz")


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    store = RunStore(tmp_path, "wshim", RUN)

    def interrupted(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.write("profiles/a.pb.gz", b"1")
    assert list(store.path("profiles").iterdir()) == []


def test_a_reader_never_sees_half_an_artifact(tmp_path):
    store = RunStore(tmp_path, "wshim", RUN)
    contents = [bytes([value]) * 1_000_000 for value in range(8)]
    store.write("x", contents[0])
    writer = threading.Thread(target=lambda: [store.write("x", each) for each in contents])
    writer.start()
    seen = []
    while writer.is_alive():
        seen.append(store.read("x"))
    writer.join()
    assert set(seen) <= set(contents)
