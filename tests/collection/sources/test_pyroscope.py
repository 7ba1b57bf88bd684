"""Against a server that answers as Pyroscope's published API says.

api/querier/v1/querier.proto of https://github.com/grafana/pyroscope at commit 0003648bc72d, and the Connect
protocol's unary calls (https://connectrpc.com/docs/protocol/).
"""

from __future__ import annotations

import gzip
import re
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from google.protobuf import empty_pb2
from google.protobuf.unknown_fields import UnknownFieldSet

from fleetpgo import pprof
from fleetpgo.collection.faults import NeverError
from fleetpgo.collection.sources.pyroscope import Pyroscope
from fleetpgo.pprof import profile_pb2
from fleetpgo.run.artifacts import FetchedProfile
from tests.collection.instances import SECONDS, cpu_profile, target_at

CALL = "/querier.v1.QuerierService/SelectMergeProfile"
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
VARINT, LENGTH = 0, 2  # wire types
PUBLISHED = {
    (1, LENGTH): "profile_typeID",
    (2, LENGTH): "label_selector",
    (3, VARINT): "start",
    (4, VARINT): "end",
    (5, VARINT): "max_nodes",
}
"""SelectMergeProfileRequest, by field number and wire type, as far as a fake needs it."""

KIND = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
QUERY = KIND + '{service_name="api", pod="$pod"}'


def read_request(body: bytes) -> dict:
    """The fields of a request, by their published numbers; a field of another number is a KeyError."""
    message = empty_pb2.Empty.FromString(body)
    return {PUBLISHED[each.field_number, each.wire_type]: each.data for each in UnknownFieldSet(message)}


def stored() -> bytes:
    """What Pyroscope makes of a profile: one sample type, a period of a second, no duration."""
    profile = profile_pb2.Profile.FromString(gzip.decompress(cpu_profile(80)))
    del profile.sample_type[0]
    for sample in profile.sample:
        del sample.value[0]
    profile.period, profile.duration_nanos = 10**9, 0
    return profile.SerializeToString()


@asynccontextmanager
async def pyroscope(body: bytes = b"", *, status: int = 200, kind: str = "application/proto"):
    """A server with this one answer; its address, and the requests that it heard."""
    heard = []

    async def call(request):
        assert request.content_type == "application/proto"
        assert request.headers["Connect-Protocol-Version"] == "1"
        heard.append(read_request(await request.read()))
        return web.Response(body=body, status=status, content_type=kind)

    app = web.Application()
    app.router.add_post(CALL, call)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", heard
    finally:
        await runner.cleanup()


async def ask(fetch, address, **changes):
    target = target_at("10.0.0.1:80", pod="api-0")
    (record,) = await fetch(target, source="pyroscope", url=address, query=QUERY, ports=None, **changes)
    return record


def test_the_request_names_type_selector_and_the_time_up_to_now():
    source = Pyroscope("https://pyroscope/prefix/", QUERY)
    request = source.request(target_at("10.0.0.1:80", pod="api-0"), seconds=30, until=1_700_000_000.5)
    assert (request.method, str(request.url)) == ("POST", f"https://pyroscope/prefix{CALL}")
    assert read_request(request.body) == {
        "profile_typeID": KIND.encode(),
        "label_selector": b'{service_name="api", pod="api-0"}',
        "start": 1_699_999_970_500,
        "end": 1_700_000_000_500,
        "max_nodes": 1_048_576,
    }


def test_a_forged_label_never_reaches_the_selector():
    with pytest.raises(NeverError, match="may not be part of a request"):
        Pyroscope("http://p", QUERY).request(target_at("10.0.0.1:80", pod='x"} or {a="'), seconds=30, until=1)


async def test_what_pyroscope_has_seen_of_an_instance_is_its_profile(fetch, store):
    async with pyroscope(stored()) as (address, heard):
        record = await ask(fetch, address)
    assert (record.instance, record.state, record.samples) == ("10.0.0.1:80", "fetched", 80)
    assert heard[0]["label_selector"] == b'{service_name="api", pod="api-0"}'
    facts = pprof.facts(store.read(FetchedProfile, record.sha256))
    assert (facts.sample_types, facts.weight, facts.duration_seconds, facts.period) == (
        (("cpu", "nanoseconds"),),
        800_000_000,
        SECONDS,
        10_000_000,
    )


async def test_an_answer_without_any_profile_is_no_profile(fetch):
    async with pyroscope() as (address, _):
        record = await ask(fetch, address)
    assert record.state == "refused"
    assert re.fullmatch(
        "no-samples: .* has no profile for collection.query in that time: "
        + re.escape(f'{KIND}{{service_name="api", pod="api-0"}}')
        + rf" from {TIME} to {TIME}",
        record.reason,
    )


@pytest.mark.parametrize(
    ("status", "code", "asked"),
    # The protocol's HTTP status of each code.
    [(400, "invalid_argument", 1), (401, "unauthenticated", 1), (429, "resource_exhausted", 2)],
)
async def test_an_error_of_the_protocol_is_recorded_and_asked_again_only_if_it_may_pass(
    fetch, status, code, asked
):
    said = b'{"code":"%s","message":"no"}' % code.encode()
    async with pyroscope(said, status=status, kind="application/json") as (address, heard):
        record = await ask(fetch, address)
    assert (record.state, len(heard)) == ("missing", asked)
    assert record.reason.startswith(f"HTTP {status} ")
    assert record.reason.endswith(said.decode())
