"""Every fault is played by a real server on a real socket."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager
from dataclasses import asdict

import pytest

from fleetpgo import collection
from fleetpgo.collection import Record, collect, profile_name, profile_url, record_name
from fleetpgo.config import Collection as Rules
from fleetpgo.errors import ServiceFileError
from fleetpgo.selection import Target
from fleetpgo.store import RunStore

PROFILE = b"\x1f\x8b" + b"a CPU profile " * 10_000
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(PROFILE), PROFILE)
BUSY = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 44\r\n\r\n"
    b"Could not enable CPU profiling: already in use"[:106]
)


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path, "wshim", "run")


@asynccontextmanager
async def instance(*answers: bytes):
    """A server that gives each connection the next answer, the last one for ever; and what it heard."""
    heard: list[bytes] = []

    async def serve(reader, writer):
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answers[min(len(heard), len(answers)) - 1])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield target(f"127.0.0.1:{server.sockets[0].getsockname()[1]}"), heard


def target(address: str) -> Target:
    return Target(address, "ams", 1.0, {"instance": address, "port": "6060"})


def rules(**changes) -> Rules:
    return Rules(**{"attempts": 2, **changes})


async def test_a_profile_ends_in_the_store_with_its_record(store):
    async with instance(OK) as (ams, heard):
        records = await collect([ams], rules(), store, seconds=1)
    expected = Record(
        instance=ams.instance,
        datacenter="ams",
        cores=1.0,
        state="fetched",
        artifact=profile_name(ams.instance),
        size=len(PROFILE),
        sha256=hashlib.sha256(PROFILE).hexdigest(),
    )
    assert records == [expected]
    assert store.read(expected.artifact) == PROFILE
    assert store.read_json(record_name(ams.instance)) == asdict(expected)
    assert heard[0].startswith(b"GET /debug/pprof/profile?seconds=1 HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("answer", "reason", "asked"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 8\r\n\r\nno pprof", "HTTP 404 Not Found: no pprof", 1),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "HTTP 403 Forbidden", 1),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
            "HTTP 302",
            1,
        ),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "HTTP 503 Busy", 2),
        (OK[:-1], "the connection broke off in the middle of the profile", 2),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "unreachable: 400", 2),
    ],
    ids=["404", "403", "redirect", "503", "truncated", "not HTTP"],
)
async def test_a_fault_is_recorded_with_its_reason(store, answer, reason, asked):
    async with instance(answer) as (ams, heard):
        (record,) = await collect([ams], rules(), store, seconds=1)
    assert (record.state, len(heard), store.exists(profile_name(ams.instance))) == ("missing", asked, False)
    assert record.reason.startswith(reason)


async def test_a_connection_that_is_closed_without_a_word_is_recorded(store):
    async with instance(b"") as (ams, _):
        (record,) = await collect([ams], rules(), store, seconds=1)
    assert (record.state, record.reason) == ("missing", "unreachable: Server disconnected")


async def test_nobody_there_is_recorded_with_the_reason(store, free_port):
    (record,) = await collect([target(f"127.0.0.1:{free_port}")], rules(), store, seconds=1)
    assert record.state == "missing"
    assert "unreachable: Cannot connect to host" in record.reason


async def test_an_instance_that_is_being_profiled_is_asked_again(store):
    async with instance(BUSY, OK) as (ams, heard):
        (record,) = await collect([ams], rules(), store, seconds=1)
    assert (record.state, len(heard)) == ("fetched", 2)


async def test_an_endless_body_is_cut_off(store):
    async with instance(OK) as (ams, heard):
        (record,) = await collect([ams], rules(max_bytes=1000), store, seconds=1)
    assert (record.reason, len(heard)) == ("larger than 1,000 bytes (collection.max_bytes)", 1)


async def test_one_that_fails_does_not_touch_the_others(store, free_port):
    async with instance(OK) as (ams, _):
        records = await collect([target(f"127.0.0.1:{free_port}"), ams], rules(), store, seconds=1)
    assert [record.state for record in records] == ["missing", "fetched"]


async def test_a_repeated_collection_fetches_only_what_is_missing(store):
    async with instance(OK) as (ams, ams_heard), instance(BUSY, BUSY, OK) as (lhr, lhr_heard):
        first = await collect([ams, lhr], rules(), store, seconds=1)
        second = await collect([ams, lhr], rules(), store, seconds=1)
    assert [record.state for record in first + second] == ["fetched", "missing", "fetched", "fetched"]
    assert (len(ams_heard), len(lhr_heard)) == (1, 3)


def test_two_instances_never_share_a_file():
    names = ["a:80", "a_80", "a/80", "A:80"]
    assert len({collection.name_of(name) for name in names}) == len(names)


def test_a_task_that_died_before_its_record_leaves_one_that_says_so(store):
    record = collection.read_record(store, target("a:80"))
    assert (record.state, record.reason) == ("missing", "its task ended before it answered")


def test_the_url_is_filled_in_from_the_labels():
    described = rules(url="https://$instance:$port/pprof?seconds=$seconds")
    assert profile_url(described, target("a"), seconds=5) == "https://a:6060/pprof?seconds=5"


def test_a_url_that_needs_a_label_nobody_has_is_explained():
    with pytest.raises(ServiceFileError, match=r"needs 'pod'[\s\S]*labels of this instance: instance, port"):
        profile_url(rules(url="http://$pod/"), target("a"), seconds=5)
