"""What a store says that is ill: one kind of error, whatever went wrong below."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from upath import UPath

from fleetpgo import overview
from fleetpgo.errors import ArtifactError, StoreError
from fleetpgo.measurement.history import latest_savings
from fleetpgo.run.artifacts import FetchedProfile, MergedProfile
from fleetpgo.run.store import RunStore
from tests.conftest import no_room
from tests.s3 import BUCKET, ILLNESSES, KEYS, S3

OPERATIONS = {
    "read": lambda store: store.read(MergedProfile),
    "write": lambda store: store.write(MergedProfile(b"1")),
    "exists": lambda store: store.exists(MergedProfile),
    "keys": lambda store: store.keys(FetchedProfile),
    "remove": lambda store: store.remove(MergedProfile),
}


def root_at(s3):
    return UPath(
        f"s3://{BUCKET}/store",
        key=KEYS["aws_access_key_id"],
        secret=KEYS["aws_secret_access_key"],
        endpoint_url=s3.url,
        client_kwargs={"region_name": KEYS["region_name"]},
        config_kwargs={"retries": {"max_attempts": 0}},
    )


@pytest.fixture(scope="module")
def root(s3_server):
    # A client of S3 takes half a second to make: all tests share one.
    return root_at(s3_server)


@pytest.fixture
def store(s3, root):
    return RunStore(root, "wshim", "r")


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("illness", ILLNESSES)
def test_whatever_ails_the_store_is_a_store_error_that_names_its_address(s3, store, illness, operation):
    s3.illness = illness
    with pytest.raises(StoreError) as raised:
        OPERATIONS[operation](replace(store, limit=0.3) if illness == "never" else store)
    assert "s3://fleetpgo/store/wshim/r" in raised.value.message
    assert s3.url in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize(
    ("illness", "said"),
    [
        ("slow down", "SlowDown: told"),
        ("403", "(?s)AccessDenied.*s3:ListBucket"),
        ("no bucket", "(?s)NoSuchBucket.*create the bucket"),
    ],
)
def test_the_reason_and_what_to_check_are_told(s3, store, illness, said):
    s3.illness = illness
    with pytest.raises(StoreError, match=said):
        store.read(MergedProfile)


def test_a_store_that_never_answers_is_waited_for_no_longer_than_the_limit(s3, store):
    s3.illness = "never"
    with pytest.raises(StoreError, match=r"no answer within 0\.3 s"):
        replace(store, limit=0.3).read(MergedProfile)


def test_a_server_that_is_not_there_is_a_store_error():
    gone = S3()
    gone.stop()
    with pytest.raises(StoreError, match="EndpointConnectionError: Could not connect"):
        RunStore(root_at(gone), "wshim", "r").read(MergedProfile)


def test_what_is_not_in_the_store_is_no_fault_of_the_store(store):
    assert (store.exists(MergedProfile), store.find(MergedProfile), store.keys(FetchedProfile)) == (
        False,
        None,
        [],
    )
    with pytest.raises(ArtifactError, match=r"merged\.pb\.gz is not in the store"):
        store.read(MergedProfile)


def test_a_read_is_one_request(s3, store):
    store.write(MergedProfile(b"1"))
    s3.asked.clear()
    assert (store.read(MergedProfile), s3.asked) == (b"1", ["GET"])


def test_a_folder_that_somebody_made_by_hand_is_no_artifact(s3, store):
    store.write(FetchedProfile(b"1"), "a")
    s3.objects["store/wshim/r/profiles/"] = b""
    assert store.keys(FetchedProfile) == ["a"]


@pytest.mark.parametrize(
    "look",
    [
        lambda root: overview.look_at_service(root, "wshim", now=None),
        lambda root: overview.look_at_run(RunStore(root, "wshim", "r")),
        lambda root: latest_savings(root, "wshim"),
    ],
    ids=["fleet", "run", "savings"],
)
@pytest.mark.parametrize("illness", ["503", "no bucket"])
def test_a_store_that_is_ill_is_not_taken_for_an_empty_one(s3, root, illness, look):
    s3.illness = illness
    with pytest.raises(StoreError):
        look(root)


def test_an_outage_leaves_no_problem_in_the_fleet(s3, root):
    s3.objects["store/wshim/r/manifest.json"] = b"{}"
    s3.illness = "503"
    with pytest.raises(StoreError):
        overview.look_at_service(root, "wshim", now=None)
    s3.illness = ""
    assert "Field required" in overview.look_at_service(root, "wshim", now=None).problems[0]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_local_store_that_cannot_be_reached_is_a_store_error(tmp_path, operation):
    (tmp_path / "store").symlink_to(tmp_path / "store")
    with pytest.raises(StoreError, match=r"(?s)Too many levels of symbolic links.*check FLEETPGO_STORE"):
        OPERATIONS[operation](RunStore(tmp_path / "store", "wshim", "r"))


def test_a_file_beside_the_runs_of_a_service_is_a_run_that_left_nothing(tmp_path):
    (tmp_path / "wshim").mkdir()
    (tmp_path / "wshim" / "README").write_text("of a person")
    assert overview.look_at_service(tmp_path, "wshim", now=None).problems == ()


def test_a_full_disk_leaves_no_part_of_an_artifact(tmp_path):
    with no_room(), pytest.raises(StoreError, match="the store cannot write"):
        RunStore(tmp_path, "wshim", "r").write(MergedProfile(b"more than has room"))

    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_takes_nothing_is_a_store_error(tmp_path, monkeypatch, number):
    def refuse(self, data):
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(StoreError, match=f"{os.strerror(number)}(?s:.*)mounted and not full"):
        RunStore(tmp_path, "wshim", "r").write(MergedProfile(b"1"))
