"""What a store's answer means for the round, with bytes that real stores answered (tests/testdata/stores)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.collection.instances import http, port_of, serving, target_at

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
    assert record.reason.endswith(f': {KIND}{{pod="api-a"}} in the last 1 s')


async def test_parcas_own_page_for_a_wrong_path_is_named(fetch):
    async with serving(http(b"<!doctype html><html></html>")) as store:
        (record,) = await fetch(PODS[0], **asked(store, "parca"))
    assert record.reason == "html: a web page came: is collection.url the server's base address?"


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
