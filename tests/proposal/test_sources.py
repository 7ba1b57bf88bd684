"""From the choice of instances to a dry run of the proposal, by each way that needs no port of theirs."""

from __future__ import annotations

import gzip
import os
import shlex
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from fleetpgo import pprof
from fleetpgo.collection import Access
from fleetpgo.pprof import profile_pb2
from fleetpgo.proposal.git import git
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.store import RunStore
from fleetpgo.steps.collect import collect_profiles, top_up
from fleetpgo.steps.merge import merge_profiles
from fleetpgo.steps.propose_run import propose_profile
from fleetpgo.steps.select import select_instances
from tests.collection.instances import make_certificates
from tests.selection.fleets import Answering
from tests.tiny import tiny

pytestmark = pytest.mark.usefixtures("built_once")

PODS = ("api-0", "api-1")
SECONDS = 3
TOKEN = "s3cr3t-of-the-account"  # noqa: S105  # of nobody


@pytest.fixture(scope="module")
def profiles(go_profile):
    """The profile of each pod: halves of what other tests build with, so that nothing is built anew."""
    found = {}
    for number, pod in enumerate(PODS):
        part = profile_pb2.Profile.FromString(gzip.decompress(go_profile))
        rows = list(part.sample)[number :: len(PODS)]
        del part.sample[:]
        part.sample.extend(rows)
        part.duration_nanos = SECONDS * 10**9
        found[pod] = gzip.compress(part.SerializeToString(), mtime=0)
    return found


@pytest.fixture
def go_through(forge, bare, go_cache, tmp_path, profiles):
    """Select, collect, merge and propose as a dry run; what came of it."""

    samples = {pod: pprof.facts(data).samples for pod, data in profiles.items()}
    fleet = Answering(
        *(
            ({"pod": pod, "namespace": "shop", "datacenter": "ams"}, samples[pod] / 100 / SECONDS)
            for pod in PODS
        )
    )

    async def steps(access=None, **collection):
        service = tiny(
            selection={"cpu": "cpu", "instance_label": "pod", "target_samples": 200},
            collection={"max_share": 1, "attempts": 1, "seconds": SECONDS, **collection},
        )
        store = RunStore(tmp_path / "store", "tiny", "run")
        _, packs = select_instances(service, store, fleet)
        for pack in packs:
            await collect_profiles(service, store, pack.targets, access=access)
        said = await top_up(service, store, access=access)
        merge_profiles(service, store)
        proposed = propose_profile(service, store, forge, dry_run=True, cache=go_cache)
        return said, store.read(Manifest), proposed

    def check(found):
        said, manifest, proposed = found
        assert said[0].startswith(
            f"{sum(samples.values()):,} samples from 2 instances, as many as are wanted"
        )
        assert sorted((each.instance, each.state, each.reason) for each in manifest.instances) == [
            (pod, "used", "") for pod in PODS
        ]
        assert (proposed.reason, proposed.dry_run, proposed.pull_request) == ("", True, None)
        assert (proposed.path, proposed.profile) == ("pgo/profile.pprof", manifest.profile)
        assert proposed.size_with not in (0, proposed.size_without)
        assert git(bare, "branch", "--list", "fleetpgo/*") == ""

    async def whole(access=None, **collection):
        check(await steps(access, **collection))

    return whole


async def test_by_a_command(go_through, tmp_path, monkeypatch, profiles):
    program = tmp_path / "bin/fetch-pprof"
    program.parent.mkdir()
    for pod, data in profiles.items():
        (program.parent / pod).write_bytes(data)
    program.write_text(
        f'#!/bin/sh\n[ "$2" = {SECONDS} ] && exec cat {shlex.quote(str(program.parent))}/"$1"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    await go_through(source="command", command="fetch-pprof $pod $seconds")


async def test_from_files(go_through, tmp_path, profiles):
    taken = datetime.now(UTC) - timedelta(hours=1)
    for pod, data in profiles.items():
        path = tmp_path / f"uploads/{pod}/{taken:%Y-%m-%d}/{taken:%H%M}.pb.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    pattern = f"{tmp_path}/uploads/$pod/%Y-%m-%d/%H%M.pb.gz"
    await go_through(source="files", files=pattern, window="24h")


@asynccontextmanager
async def api_server(certificates, profiles):
    """An API server of Kubernetes that passes requests on to the pods, over TLS; its address."""

    async def proxy(request):
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        assert request.query == {"seconds": str(SECONDS)}
        return web.Response(body=profiles[request.match_info["pod"]])

    app = web.Application()
    app.router.add_get("/api/v1/namespaces/shop/pods/{pod}:6060/proxy/debug/pprof/profile", proxy)
    runner = web.AppRunner(app)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.both)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_through_the_pod_proxy_of_kubernetes(go_through, tmp_path, profiles):
    certificates = make_certificates(tmp_path)
    path = "api/v1/namespaces/$namespace/pods/$pod:6060/proxy/debug/pprof/profile?seconds=$seconds"
    async with api_server(certificates, profiles) as address:
        await go_through(
            Access({"Authorization": f"Bearer {TOKEN}"}, ca=certificates.authority),
            url=f"https://{address}/{path}",
            allow=["127.0.0.1"],
        )
