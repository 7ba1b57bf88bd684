"""The manual's recipe for the Kubernetes API server, against a server over TLS that passes requests on."""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from ruamel.yaml import YAML

from fleetpgo.collection import Access
from tests.collection.instances import cpu_profile, make_certificates, target_at

MANUAL = (Path(__file__).parents[2] / "docs/collection.md").read_text()
TOKEN = "s3cr3t-of-the-account"  # noqa: S105  # of nobody
PODS = {"api-0": 80, "api-1": 90, "api-2": 100}
"""Pods, and the samples of their profiles."""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("tls"))


class Busiest:
    """How many requests were under way at once."""

    now = most = 0

    async def hold(self):
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.05)
        self.now -= 1


@asynccontextmanager
async def api_server(certificates, *, refuse=None):
    """An API server over TLS that knows one token; its address, and how busy it was."""
    busy = Busiest()

    async def proxy(request):
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"message": "Unauthorized"}, status=401)
        if refuse:
            status, said = refuse
            return web.json_response({"kind": "Status", "message": said}, status=status)
        if request.match_info["pod"] not in PODS:
            return web.json_response({"message": "pods not found"}, status=404)
        await busy.hold()
        return web.Response(body=cpu_profile(PODS[request.match_info["pod"]]))

    app = web.Application()
    path = "/api/v1/namespaces/shop/pods/{pod}:6060/proxy/debug/pprof/profile"
    app.router.add_get(path, proxy)
    runner = web.AppRunner(app)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.both)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}", busy
    finally:
        await runner.cleanup()


def recipe(address):
    """The manual's keys, with the test's server in the place of the cluster's."""
    (block,) = re.findall(r"```yaml\n(selection:.*?proxy.*?)```", MANUAL, re.DOTALL)
    keys = dict(YAML(typ="safe").load(block)["collection"])
    keys["url"] = keys["url"].replace("kubernetes.default.svc", address)
    return {**keys, "allow": ["127.0.0.1"], "ports": None, "per_host": 1}


def pod(name, datacenter="ams"):
    return replace(target_at(name, datacenter, pod=name, namespace="shop"), cores=0)


@pytest.fixture
def ask(fetch, certificates):
    async def ask_pods(address, *pods, token=TOKEN, ca=certificates.authority, **options):
        access = Access({"Authorization": f"Bearer {token}"}, ca=ca)
        return await fetch(*map(pod, pods), access=access, **{**recipe(address), **options})

    return ask_pods


async def test_each_pod_gives_its_own_profile(ask, certificates):
    async with api_server(certificates) as (address, _):
        records = await ask(address, *PODS)
    assert [(each.state, each.samples) for each in records] == [("fetched", n) for n in PODS.values()]


async def test_the_one_host_is_not_what_per_host_counts(ask, certificates):
    async with api_server(certificates) as (address, busy):
        await ask(address, *PODS, per_host=1)
    assert busy.most > 1


async def test_max_share_goes_by_datacenter(ask, certificates):
    async with api_server(certificates) as (address, busy):
        records = await ask(address, *PODS, limits={"ams": 1})
    assert (busy.most, {each.state for each in records}) == (1, {"fetched"})


async def test_pods_that_the_url_does_not_tell_apart_are_asked_once(ask, certificates):
    async with api_server(certificates) as (address, _):
        url = recipe(address)["url"].replace("$pod", "api-0")
        first, second, _ = await ask(address, *PODS, url=url)
    assert (first.state, second.state, second.same_as) == ("fetched", "refused", "api-0")
    assert "collection.url needs a label that tells them apart" in second.reason


async def test_a_pod_that_is_gone_costs_itself(ask, certificates):
    async with api_server(certificates) as (address, _):
        records = await ask(address, "api-0", "api-9")
    assert [each.state for each in records] == ["fetched", "missing"]
    assert records[1].reason.startswith("HTTP 404 Not Found")


async def test_a_token_that_the_server_does_not_know_stops_the_round(ask, certificates):
    async with api_server(certificates) as (address, _):
        records = await ask(address, *PODS, token=TOKEN[::-1], concurrency=1)
    assert min(each.reason for each in records).startswith("HTTP 401 Unauthorized")
    assert sum("the round was stopped" in each.reason for each in records) == 2


@pytest.mark.parametrize(
    ("status", "said", "reason"),
    [
        (403, 'pods "api-0" is forbidden: User "fleetpgo" cannot get resource "pods/proxy"', "HTTP 403"),
        (503, "error trying to reach service: dial tcp 10.0.0.1:6060: connect: refused", "HTTP 503"),
        (429, "too many requests", "HTTP 429"),
        (500, "Could not enable CPU profiling: cpu profiling already in use", "busy: HTTP 500"),
    ],
)
async def test_what_the_server_says_is_told(ask, certificates, status, said, reason):
    async with api_server(certificates, refuse=(status, said)) as (address, _):
        (record,) = await ask(address, "api-0")
    assert record.state == "missing"
    assert record.reason.startswith(reason)
    assert said[:30].replace('"', '\\"') in record.reason


async def test_another_authority_gets_no_token(ask, certificates, tmp_path):
    async with api_server(certificates) as (address, busy):
        (record,) = await ask(address, "api-0", ca=make_certificates(tmp_path).authority)
    assert record.reason.startswith("TLS: ")
    assert busy.most == 0
