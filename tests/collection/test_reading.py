"""Files that lie in a directory or a bucket: what comes of each, and of those that are ill."""

from __future__ import annotations

import gzip
import os
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from upath import UPath

from fleetpgo.collection import Access
from fleetpgo.errors import ServiceFileError
from fleetpgo.pprof import facts
from fleetpgo.run import storage
from tests.collection.instances import PROFILE, cpu_profile, target_at
from tests.s3 import BUCKET, KEYS

BUILDS = [
    each.read_bytes() for each in sorted((Path(__file__).parents[1] / "testdata/profiles").glob("*.pb.gz"))
]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
HOUR = 3600


def at(hours):
    """The time of a path so many hours before the end of the window."""
    return f"{datetime.fromtimestamp(NOW - hours * HOUR, UTC):%Y-%m-%dT%H-%M-%S}"


@pytest.fixture
def put(tmp_path):
    """Leave files of the instance a, by the hours before the window's end."""

    def leave(*files, pod="a"):
        for hours, data in files:
            file = tmp_path / pod / f"{at(hours)}.pb.gz"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(data)
        return tmp_path

    return leave


@pytest.fixture
def read(fetch, tmp_path):
    """Read the files of instances, of the day up to NOW."""

    async def read_them(
        *pods, files=f"{tmp_path}/$pod/%Y-%m-%dT%H-%M-%S.pb.gz", cores=0.0, labels=None, **changes
    ):
        targets = [
            replace(target_at(f"{pod}:80"), labels={"pod": pod, **(labels or {})}, until=NOW, cores=cores)
            for pod in pods or "a"
        ]
        keys = {"source": "files", "files": files, "allow": (), "attempts": 1}
        return await fetch(*targets, seconds=24 * HOUR, **{**keys, **changes})

    return read_them


async def test_a_days_files_are_one_profile(read, put):
    put((1, cpu_profile(80)), (2, cpu_profile(90)), (23, cpu_profile(100)))
    (record,) = await read()
    assert (record.state, record.samples, record.reason) == ("fetched", 270, "")


async def test_files_of_other_times_and_instances_are_not_read(read, put):
    put((1, cpu_profile(80)), (25, cpu_profile(90)), (-1, cpu_profile(100)))
    put((1, cpu_profile(500)), pod="b")
    (record,) = await read()
    assert record.samples == 80


async def test_without_a_time_in_the_path_that_of_the_last_change_counts(read, put, tmp_path):
    put((1, cpu_profile(80)), (2, cpu_profile(90)))
    for file, hours in zip(sorted((tmp_path / "a").iterdir()), (25, 3), strict=True):
        os.utime(file, (NOW - hours * HOUR, NOW - hours * HOUR))
    (record,) = await read(files=f"{tmp_path}/$pod/*.pb.gz")
    assert record.samples == 80


async def test_a_file_that_was_uploaded_twice_counts_once(read, put):
    put((1, PROFILE), (2, PROFILE))
    (record,) = await read()
    assert record.samples == 80


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"", "empty"),
        (b"<html>", "html"),
        (PROFILE[:50], "truncated"),
        (gzip.compress(bytes(1 << 20)), "too-large"),
        (b"x" * 2_000_000, "larger than 1,000,000 bytes (collection.max_bytes)"),
    ],
)
async def test_a_bad_file_costs_itself_and_is_named(read, put, bad, reason):
    put((1, bad), (2, cpu_profile(90)))
    (record,) = await read(max_bytes=1_000_000, max_unpacked_bytes=1 << 19)
    assert (record.state, record.samples) == ("fetched", 90)
    assert record.reason.startswith(f"1 of 2 files cannot be used: {at(1)}.pb.gz: {reason}")


async def test_a_file_that_is_removed_meanwhile_costs_itself(read, put, monkeypatch):
    gone = put((1, cpu_profile(80)), (2, cpu_profile(90))) / "a" / f"{at(1)}.pb.gz"
    listed = storage.matching

    def list_and_remove(root, pattern):
        found = listed(root, pattern)
        if found:
            gone.unlink()
        return found

    monkeypatch.setattr(storage, "matching", list_and_remove)
    (record,) = await read(files=f"{gone.parents[1]}/$pod/%Y-%m-%d*")
    assert (record.state, record.samples) == ("fetched", 90)
    assert record.reason == f"1 of 2 files cannot be used: {gone.name}: it was removed while files were read"


async def test_only_bad_files_are_no_profile(read, put):
    put((1, b"<html>"), (2, b""))
    (record,) = await read()
    assert record.state == "refused"
    assert record.reason.startswith(f"none of 2 files can be used: {at(1)}.pb.gz: html")


async def test_no_file_names_the_pattern_and_the_window(read, tmp_path):
    (record,) = await read()
    assert record.state == "refused"
    assert record.reason == (
        f"no-samples: no file matches collection.files: {tmp_path}/a/%Y-%m-%dT%H-%M-%S.pb.gz "
        "from 2026-02-28 12:00:00 UTC to 2026-03-01 12:00:00 UTC"
    )


async def test_files_of_the_build_before_are_not_used(read, put):
    old, new = BUILDS[0], BUILDS[-1]
    put((1, new), (2, BUILDS[-2]), (3, old), (4, new))
    (record,) = await read()
    assert record.build_id == facts(new).build_id
    assert record.samples == facts(new).samples + facts(BUILDS[-2]).samples
    assert record.reason.startswith(f"cut: a deploy lies in the window; used is build {record.build_id[:12]}")


async def test_more_than_may_be_read_is_said(read, put):
    put(*((hours, cpu_profile(80, comment=os.urandom(400).hex())) for hours in (1, 2, 3)))
    (record,) = await read(max_bytes=2_000)
    assert (record.state, record.samples) == ("fetched", 160)
    assert record.reason == "the newest 2 of 3 files are used (collection.max_bytes)"


async def test_more_files_than_are_read_is_said(read, put, monkeypatch):
    monkeypatch.setattr("fleetpgo.collection.reading.MOST", 2)
    put(*((hours, cpu_profile(80 + hours)) for hours in (1, 2, 3)))
    (record,) = await read()
    assert record.reason == "the newest 2 of 3 files are used (no more are read of an instance)"


async def test_a_file_that_cannot_be_read_costs_itself(read, put, tmp_path, monkeypatch):
    put((1, cpu_profile(80)), (2, cpu_profile(90)))
    read_bytes = Path.read_bytes

    def refuse(file):
        if file.name.startswith(at(1)):
            raise PermissionError(13, "Permission denied")
        return read_bytes(file)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    (record,) = await read()
    assert (record.state, record.samples) == ("fetched", 90)
    assert record.reason == f"1 of 2 files cannot be used: {at(1)}.pb.gz: Permission denied"


async def test_a_link_in_a_circle_is_no_file(read, put, tmp_path):
    put((1, cpu_profile(80)))
    (tmp_path / "a" / f"{at(2)}.pb.gz").symlink_to(f"{at(2)}.pb.gz")
    (record,) = await read()
    assert (record.state, record.samples) == ("fetched", 80)


async def test_a_name_is_told_on_one_line_without_control_characters(read, put, tmp_path):
    put((1, b"<html>"), (2, cpu_profile(90)))
    hours_ago = NOW - HOUR
    file = (tmp_path / "a" / f"{at(1)}.pb.gz").rename(tmp_path / "a" / "a\n\x1b[31mb.pb.gz")
    for each in file.parent.iterdir():
        os.utime(each, (hours_ago, hours_ago))
    (record,) = await read(files=f"{tmp_path}/$pod/*.pb.gz")
    assert record.samples == 90
    assert record.reason.startswith("1 of 2 files cannot be used: a b.pb.gz: html")


async def test_a_path_with_an_impossible_time_is_told(read, put, tmp_path):
    put((1, cpu_profile(80)))
    wrong = tmp_path / "a" / "2026-03-01T25-00-00.pb.gz"
    wrong.write_bytes(PROFILE)
    (record,) = await read()
    assert record.samples == 80
    assert record.reason == f"the paths of 1 files tell no time, such as {wrong.name}"


@pytest.mark.parametrize(("samples", "state"), [(80, "refused"), (3_000, "fetched")])
async def test_files_are_held_against_prometheus_by_their_own_length(read, put, samples, state):
    put((1, cpu_profile(samples)), (2, cpu_profile(samples + 1)))
    (record,) = await read(cores=30.0)
    assert record.state == state


async def test_a_pipe_is_not_waited_for(read, put, tmp_path):
    put((1, PROFILE))
    os.mkfifo(tmp_path / "a" / f"{at(2)}.pb.gz")
    (record,) = await read()
    assert record.samples == 80


async def test_two_instances_with_the_same_files_are_read_once(read, put, tmp_path):
    put((1, PROFILE))
    pattern = f"{tmp_path}/$datacenter/%Y-%m-%dT%H-%M-%S.pb.gz"
    (tmp_path / "a").rename(tmp_path / "ams")
    first, second = await read("a", "b", files=pattern, labels={"datacenter": "ams"})
    assert first.state == "fetched"
    assert "collection.files needs a label that tells them apart" in second.reason


def bucket(server, text):
    return UPath(
        text,
        key=KEYS["aws_access_key_id"],
        secret=KEYS["aws_secret_access_key"],
        endpoint_url=server.url,
        client_kwargs={"region_name": KEYS["region_name"]},
        config_kwargs={"retries": {"max_attempts": 0}},
        use_listings_cache=False,
    )


PATTERN = f"s3://{BUCKET}/p/$pod/%Y-%m-%d/%H%M.pb.gz"


async def test_a_bucket_is_read_like_a_directory(read, s3):
    s3.objects["p/a/2026-03-01/0900.pb.gz"] = cpu_profile(80)
    s3.objects["p/a/2026-02-28/1300.pb.gz"] = cpu_profile(90)
    s3.objects["p/a/2026-02-28/0900.pb.gz"] = cpu_profile(500)
    s3.objects["p/b/2026-03-01/0900.pb.gz"] = cpu_profile(500)
    (record,) = await read(files=PATTERN, access=Access(open_root=partial(bucket, s3)))
    assert (record.state, record.samples) == ("fetched", 170)


async def test_a_bucket_in_trouble_ends_the_round(read, s3):
    s3.illness = "503"
    access = Access(open_root=partial(bucket, s3))
    records = await read("a", "b", files=PATTERN, access=access, concurrency=1)
    reasons = sorted(each.reason for each in records)
    assert reasons[0].startswith("collection.files: the store cannot list")
    assert reasons[1].startswith("not asked: the round was stopped: the storage does not answer")


async def test_a_storage_that_nothing_here_reaches_is_told_with_the_key(read):
    with pytest.raises(ServiceFileError, match=r"collection\.files: gs://profiles needs the package gcsfs"):
        await read(files="gs://profiles/$pod/*.pb.gz")
