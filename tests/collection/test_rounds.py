"""What a round does with instances that answer, and with those that do at the second try."""

from __future__ import annotations

import asyncio
import hashlib
import json
from base64 import b64encode
from contextlib import contextmanager
from dataclasses import replace

import pytest

from fleetpgo.collection import Access, collect, rounds
from fleetpgo.collection.spool import Spool
from fleetpgo.errors import ServiceFileError
from fleetpgo.run.artifacts import FetchedProfile, key_of
from fleetpgo.run.profiled import Record
from tests.collection.instances import (
    BUSY,
    OK,
    PROFILE,
    SECONDS,
    cpu_profile,
    http,
    port_of,
    rules,
    serving,
    target_at,
)


async def test_a_profile_ends_in_the_store_with_its_record(fetch, store):
    async with serving(OK) as ams:
        records = await fetch(ams)
    sha256 = hashlib.sha256(PROFILE).hexdigest()
    expected = Record(
        instance=ams.target.instance,
        datacenter="ams",
        cores=1.0,
        state="fetched",
        artifact=f"profiles/{sha256}.pb.gz",
        size=len(PROFILE),
        sha256=sha256,
        samples=80,
        kind="samples/count, cpu/nanoseconds each cpu/nanoseconds",
        outside=80,
        main_functions={"main.work": 80},
    )
    assert records == [expected]
    assert store.read(FetchedProfile, sha256) == PROFILE
    assert store.read(Record, key_of(ams.target.instance)) == expected
    assert ams.heard[0].startswith(b"GET /debug/pprof/profile?seconds=1 HTTP/1.1\r\n")
    assert b"\r\nConnection: close\r\n" in ams.heard[0]


async def test_an_instance_that_is_being_profiled_is_asked_again(fetch):
    async with serving(BUSY, OK) as ams:
        (record,) = await fetch(ams)
    assert (record.state, len(ams.heard)) == ("fetched", 2)


async def test_records_come_in_the_order_of_the_targets(fetch):
    async with serving(BUSY, OK) as slow, serving(OK) as quick:
        records = await fetch(slow, quick)
    assert [record.instance for record in records] == [slow.target.instance, quick.target.instance]


async def test_a_repeated_collection_fetches_only_what_is_missing(fetch):
    async with serving(OK) as ams, serving(BUSY, BUSY, http(cpu_profile(5))) as lhr:
        first = await fetch(ams, lhr)
        second = await fetch(ams, lhr)
    assert [record.state for record in first + second] == ["fetched", "missing", "fetched", "fetched"]
    assert (len(ams.heard), len(lhr.heard)) == (1, 3)


async def test_a_store_that_cannot_be_written_ends_the_round_for_all(fetch, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    async def stall(writer):
        await asyncio.sleep(60)

    monkeypatch.setattr(rounds, "keep", full)
    before = asyncio.all_tasks()
    async with serving(OK) as ams, serving(stall) as lhr:
        with pytest.raises(OSError, match="No space left"):
            await asyncio.wait_for(fetch(ams, lhr, grace="60s"), 10)
        ours = {task for task in asyncio.all_tasks() - before if "record" in str(task.get_coro())}
    assert ours == set()


async def test_an_answer_takes_a_place_on_the_disk_only_when_it_is_its_turn(fetch, monkeypatch):
    class Counted(Spool):
        now, most = 0, 0

        @contextmanager
        def body(self):
            Counted.now += 1
            Counted.most = max(Counted.most, Counted.now)
            with super().body() as body:
                yield body
            Counted.now -= 1

    async def slow(writer):
        await asyncio.sleep(0.1)
        writer.write(OK)

    monkeypatch.setattr(rounds, "Spool", Counted)
    async with serving(slow) as ams:
        targets = [replace(ams.target, instance=f"api-{number}") for number in range(10)]
        await fetch(*targets, concurrency=1, url=f"http://127.0.0.1:{port_of(ams)}/")
    assert 1 <= Counted.most < 5


async def test_whoever_watches_is_told_each_step(store):
    told = []
    async with serving(BUSY, OK) as ams:
        await collect(
            [ams.target],
            rules(),
            store,
            seconds=SECONDS,
            limits={},
            watch=lambda instance, state: told.append((instance, state)),
        )
    size = f"{len(PROFILE):,} bytes"
    assert {instance for instance, _ in told} == {ams.target.instance}
    assert [state.partition(":")[0] for _, state in told] == [
        *("waiting", "asked", "to be asked again"),
        *("waiting", "asked", size, f"80 samples in {size}"),
    ]


async def test_headers_of_the_connection_are_sent(fetch):
    access = Access({"CF-Access-Client-Id": "id", "CF-Access-Client-Secret": "s3cr3t"})
    async with serving(OK) as ams:
        await fetch(ams, access=access, plain_http=True)
    assert b"\r\nCF-Access-Client-Secret: s3cr3t\r\n" in ams.heard[0]


async def test_credentials_do_not_go_over_plain_http_unless_that_is_allowed(fetch):
    async with serving(OK) as ams:
        with pytest.raises(ServiceFileError, match="over plain http") as raised:
            await fetch(ams, access=Access({"Authorization": "Bearer s3cr3t"}))
    assert ams.heard == []
    assert "s3cr3t" not in str(raised.value)


async def test_credentials_need_to_be_told_where_they_may_go(fetch):
    with pytest.raises(ServiceFileError, match="wherever a metric"):
        await fetch(target_at("127.0.0.1:80"), access=Access({"Authorization": "x"}), allow=())


async def test_an_ipv6_instance_is_asked(fetch):
    async with serving(OK, host="::1", name="[::1]") as ams:
        (record,) = await fetch(ams, allow=("::1",))
    assert record.state == "fetched"


async def test_equal_requests_are_made_once_and_the_record_names_the_other_instance(fetch):
    async with serving(OK) as host:
        ports = [replace(host.target, instance=f"127.0.0.1:{port}") for port in (9101, 9102, 9103)]
        records = await fetch(*ports, url=f"http://$host:{port_of(host)}/profile")
    assert [(each.state, each.same_as) for each in records] == [
        ("fetched", ""),
        ("refused", "127.0.0.1:9101"),
        ("refused", "127.0.0.1:9101"),
    ]
    assert len(host.heard) == 1
    assert records[1].reason == (
        "duplicate: it and 127.0.0.1:9101 make the same request, so it was made once: collection.url needs "
        "a label that tells them apart"
    )


@pytest.mark.parametrize("source", ["pyroscope", "parca"])
async def test_equal_queries_to_a_store_are_made_once_whenever_they_are(fetch, source):
    kind = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
    body = PROFILE if source == "pyroscope" else json.dumps({"pprof": b64encode(PROFILE).decode()}).encode()
    async with serving(http(body)) as store:
        pods = [target_at(f"{name}:80", "ams", dc="ams") for name in "ab"] + [target_at("c:80", dc="lhr")]
        records = await fetch(
            *pods,
            source=source,
            url=f"http://127.0.0.1:{port_of(store)}",
            query=f'{kind}{{dc="$dc"}}',
            ports=None,
        )
    assert [(each.state, each.same_as) for each in records] == [
        ("fetched", ""),
        ("refused", "a:80"),
        ("fetched", ""),
    ]
    assert len(store.heard) == 2
    assert "collection.query needs a label" in records[1].reason


async def test_another_task_has_asked_instead(store):
    async with serving(OK) as host:
        one, other = (replace(host.target, instance=f"127.0.0.1:{port}") for port in (9101, 9102))
        described = rules(url=f"http://$host:{port_of(host)}/profile")
        (record,) = await collect([other], described, store, seconds=SECONDS, limits={}, fleet=[one, other])
    assert (record.same_as, host.heard) == (one.instance, [])


async def test_an_instance_of_which_nothing_can_be_asked_is_nobodys_twin(fetch):
    async with serving(OK):
        records = await fetch(*(target_at(f"127.0.0.1:{port}") for port in (1, 2)), url="http://$host:1/$pod")
    assert {each.same_as for each in records} == {""}
    assert all("needs the label 'pod'" in each.reason for each in records)
