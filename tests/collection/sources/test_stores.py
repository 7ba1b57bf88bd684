"""What a store's answer means for the round, with bytes that real stores answered (tests/testdata/stores)."""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64encode
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from fleetpgo.pprof import facts, merge
from tests.collection.instances import cpu_profile, http, port_of, serving, target_at

BUILDS = sorted((Path(__file__).parents[2] / "testdata/profiles").glob("*.pb.gz"))
DEPLOY = 1_700_000_000
RECORDED = Path(__file__).parents[2] / "testdata/stores"
KIND = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
PODS = [target_at(f"{name}:80", pod=f"api-{name}") for name in "abc"]


def asked(store, source):
    return {
        "source": source,
        "url": f"http://127.0.0.1:{port_of(store)}",
        "query": KIND + '{pod="$pod"}',
        "ports": None,
        "attempts": 1,
        "per_host": 1,
    }


@pytest.mark.parametrize(
    ("source", "body"),
    [
        ("pyroscope", b""),
        ("pyroscope", (RECORDED / "pyroscope-known-service-unknown-instance.pb").read_bytes()),
        ("parca", (RECORDED / "parca-none.json").read_bytes()),
    ],
    ids=["no such service", "no such instance", "Parca"],
)
async def test_nothing_found_names_what_was_asked_and_of_which_time(fetch, source, body):
    async with serving(http(body)) as store:
        (record,) = await fetch(PODS[0], **asked(store, source))
    assert record.state == "refused"
    assert record.reason.startswith("no-samples: ")
    assert re.search(rf': {KIND}{{pod="api-a"}} from [-\d]+ [:\d]+ UTC to [-\d]+ [:\d]+ UTC$', record.reason)


async def test_parcas_own_page_for_a_wrong_path_is_named(fetch):
    async with serving(http(b"<!doctype html><html></html>")) as store:
        (record,) = await fetch(PODS[0], **asked(store, "parca"))
    assert record.reason == "html: Parca sent a web page: is collection.url the server's base address?"


@pytest.mark.parametrize("source", ["pyroscope", "parca"])
async def test_what_a_real_store_answered_is_a_profile_of_its_build(fetch, source):
    file = {"pyroscope": "pyroscope-profile.pb", "parca": "parca-profile.json"}[source]
    async with serving(http((RECORDED / file).read_bytes())) as store:
        (record,) = await fetch(replace(PODS[0], cores=0), **asked(store, source))
    samples = {"pyroscope": 281, "parca": 1_483}[source]
    build = "450b55b73641bb1b7fe345344d038608abd99271"
    assert (record.state, record.build_id, record.samples) == ("fetched", build, samples)


@pytest.mark.parametrize(
    ("source", "file", "status"),
    [
        ("pyroscope", "pyroscope-bad-type.json", 400),
        ("pyroscope", "pyroscope-bad-selector.json", 400),
        ("pyroscope", "pyroscope-no-tenant.json", 401),
        ("parca", "parca-bad-type.json", 400),
        ("parca", "parca-bad-selector.json", 400),
    ],
)
async def test_what_a_real_store_refused_is_told_in_its_words(fetch, source, file, status):
    said = (RECORDED / file).read_bytes()
    async with serving(http(said, f"{status} No")) as store:
        (record,) = await fetch(PODS[0], **asked(store, source))
    assert record.state == "missing"
    assert record.reason.startswith(f"HTTP {status} No: {said.decode()[:80]}"[:80])


@pytest.mark.parametrize("source", ["pyroscope", "parca"])
async def test_a_profile_that_the_store_cut_off_is_refused_by_that_name(fetch, source):
    profile = cpu_profile(work=b"other")
    body = profile if source == "pyroscope" else json.dumps({"pprof": b64encode(profile).decode()}).encode()
    async with serving(http(body)) as store:
        (record,) = await fetch(PODS[0], **asked(store, source))
    assert record.state == "refused"
    assert record.reason.startswith("cut-off: the store has collapsed rare functions into 'other'")


async def test_a_window_in_the_past_is_asked_about_in_parts_of_a_day(fetch, store):
    until = 1_700_000_000
    parts = [json.dumps({"pprof": b64encode(cpu_profile(n)).decode()}).encode() for n in (80, 90)]
    async with serving(*map(http, parts)) as server:
        (record,) = await fetch(replace(PODS[0], until=until), **asked(server, "parca"), seconds=172_800)
    spans = [dict(parse_qsl(heard.split()[1].decode().partition("?")[2])) for heard in server.heard]
    assert [(each["merge.start"], each["merge.end"]) for each in spans] == [
        ("2023-11-13T22:13:20+00:00", "2023-11-14T22:13:20+00:00"),
        ("2023-11-12T22:13:20+00:00", "2023-11-13T22:13:20+00:00"),
    ]
    assert (record.state, record.samples) == ("fetched", 170)


async def test_of_two_builds_in_the_window_the_one_that_runs_at_its_end_is_used(fetch):
    old, new = (file.read_bytes() for file in BUILDS[:2])
    asked_about = []

    async def answer(writer):
        heard = store.heard[-1].split()[1].decode()
        start = dict(parse_qsl(heard.partition("?")[2]))["merge.start"]
        seen = [new] if datetime.fromisoformat(start).timestamp() >= DEPLOY else [old, new]
        asked_about.append(start)
        writer.write(http(json.dumps({"pprof": b64encode(merge(seen).data).decode()}).encode()))

    target = replace(PODS[0], until=DEPLOY + 100, cores=0)
    async with serving(answer) as store:
        (record,) = await fetch(target, **asked(store, "parca"), seconds=600)
    assert (record.build_id, record.other_builds) == (facts(new).build_id, ())
    assert record.samples == facts(new).samples
    assert record.reason.startswith(f"cut: a deploy lies in the window; used is build {record.build_id[:12]}")
    assert len(asked_about) <= 9


@pytest.mark.parametrize("source", ["pyroscope", "parca"])
async def test_a_store_in_trouble_ends_the_round(fetch, source):
    async with serving(http(b"", "504 Gateway Timeout")) as store:
        records = await fetch(*PODS, **asked(store, source))
    assert len(store.heard) == 1
    said = f"{source} does not answer: HTTP 504 Gateway Timeout"
    assert sorted(each.reason for each in records) == [
        "HTTP 504 Gateway Timeout",
        *[f"not asked: the round was stopped: {said}"] * 2,
    ]


async def test_a_store_that_hangs_is_left_after_the_grace_however_long_the_window(fetch):
    async def hang(_):
        await asyncio.sleep(60)

    async with serving(hang) as store:
        records = await asyncio.wait_for(fetch(*PODS, **asked(store, "pyroscope")), 30)
    assert len(store.heard) == 1
    assert sum("no complete answer within 1 s" in each.reason for each in records) == 3


async def test_while_a_store_is_tried_again_nobody_else_asks_it(fetch):
    async def hang(_):
        await asyncio.sleep(60)

    async with serving(hang) as store:
        records = await fetch(*PODS, **{**asked(store, "parca"), "attempts": 2})
    assert len(store.heard) == 2
    assert sorted("the round was stopped" in each.reason for each in records) == [False, True, True]


async def test_a_store_is_asked_about_a_whole_datacenter_at_once(fetch):
    together, free = [], asyncio.Event()

    async def answer(writer):
        together.append(writer)
        if len(together) == len(PODS):
            free.set()
        await free.wait()
        writer.write(http(b""))

    async with serving(answer) as store:
        records = await fetch(
            *PODS, **{**asked(store, "pyroscope"), "per_host": 3, "grace": "30s"}, limits={"ams": 1}
        )
    assert {each.state for each in records} == {"refused"}
