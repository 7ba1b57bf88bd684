"""Against a server that answers as Parca's published API says.

parca/query/v1alpha1/query.proto, gen/proto/swagger/parca/query/v1alpha1/query.swagger.json and
pkg/server/server.go of https://github.com/parca-dev/parca at commit 3b5647cd9e2a.
"""

from __future__ import annotations

import base64
import gzip
import json
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from fleetpgo import pprof
from fleetpgo.collection.sources.parca import Parca
from fleetpgo.pprof import profile_pb2
from fleetpgo.run.artifacts import FetchedProfile
from tests.collection.instances import SECONDS, cpu_profile, target_at

CALL = "/api/profiles/query"
PARAMETERS = {"mode", "reportType", "merge.query", "merge.start", "merge.end"}
"""Those of the gateway's that belong to a merge."""

QUERY = 'process_cpu:samples:count:cpu:nanoseconds:delta{job="api", instance="$instance"}'


def stored() -> bytes:
    """What Parca makes of a profile that counts samples: CPU time, and no word of period and duration."""
    profile = profile_pb2.Profile.FromString(gzip.decompress(cpu_profile(80)))
    del profile.sample_type[0]
    for sample in profile.sample:
        del sample.value[0]
    profile.period = profile.duration_nanos = 0
    return gzip.compress(profile.SerializeToString())


def report(profile: bytes) -> bytes:
    """A QueryResponse as the gateway writes it: bytes in base64, 64-bit numbers as strings."""
    answer = {"pprof": base64.b64encode(profile).decode(), "total": "0", "filtered": "0"}
    return json.dumps(answer).encode()


@asynccontextmanager
async def parca(body: bytes, status: int = 200):
    """A server with this one answer; its address, and the parameters that it heard."""
    heard = []

    async def call(request):
        assert set(request.query) == PARAMETERS
        heard.append(dict(request.query))
        return web.Response(body=body, status=status, content_type="application/json")

    app = web.Application()
    app.router.add_get(CALL, call)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", heard
    finally:
        await runner.cleanup()


async def ask(fetch, address, **changes):
    target = target_at("10.0.0.1:80")
    (record,) = await fetch(target, source="parca", url=address, query=QUERY, ports=None, **changes)
    return record


def test_the_request_asks_for_a_merge_over_the_time_up_to_now():
    source = Parca("https://parca/prefix", QUERY)
    request = source.request(target_at("10.0.0.1:80"), seconds=30, until=1_700_000_000)
    assert (request.method, request.url.path, request.body) == ("GET", f"/prefix{CALL}", None)
    assert dict(request.url.query) == {
        "mode": "MODE_MERGE",
        "reportType": "REPORT_TYPE_PPROF",
        "merge.query": QUERY.replace("$instance", "10.0.0.1:80"),
        "merge.start": "2023-11-14T22:12:50+00:00",
        "merge.end": "2023-11-14T22:13:20+00:00",
    }


async def test_what_parca_has_seen_of_an_instance_is_its_profile(fetch, store):
    async with parca(report(stored())) as (address, heard):
        record = await ask(fetch, address)
    assert (record.state, record.samples) == ("fetched", 80)
    assert 'instance="10.0.0.1:80"' in heard[0]["merge.query"]
    facts = pprof.facts(store.read(FetchedProfile, record.sha256))
    assert (facts.weight, facts.duration_seconds, facts.period) == (800_000_000, SECONDS, 10_000_000)


@pytest.mark.parametrize(
    "body",
    [b"profile", b"{}", b"[]", b'{"pprof": 1}', b'{"pprof": "???"}', pytest.param(b"[" * 100_000, id="deep")],
)
async def test_an_answer_without_a_profile_is_refused(fetch, body):
    async with parca(body) as (address, _):
        record = await ask(fetch, address)
    assert (record.state, record.reason) == (
        "refused",
        "not-a-profile: Parca's answer is not JSON with a `pprof` in base64",
    )


async def test_a_bomb_inside_the_answer_is_not_unpacked(fetch):
    async with parca(report(gzip.compress(bytes(1 << 20)))) as (address, _):
        record = await ask(fetch, address, max_unpacked_bytes=1 << 16)
    assert (record.state, record.reason.partition(":")[0]) == ("refused", "too-large")


async def test_an_error_of_the_gateway_is_recorded(fetch):
    said = b'{"code":5,"message":"could not find profile at requested time","details":[]}'
    async with parca(said, status=404) as (address, _):
        record = await ask(fetch, address)
    assert record.state == "missing"
    assert said.decode() in record.reason
