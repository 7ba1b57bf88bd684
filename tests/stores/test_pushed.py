"""What fleetpgo makes of raw profiles that were pushed into a store: of a real one, or of its double.

    make test-stores PYROSCOPE=http://127.0.0.1:4040 PARCA=http://127.0.0.1:7070

Each run pushes under a service name of its own, so a store may have been used before. Profiles are up to half
an hour old, as Pyroscope takes none that are older than an hour.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from fleetpgo import pprof
from fleetpgo.collection import collect
from fleetpgo.run.artifacts import FetchedProfile
from fleetpgo.run.selected import Target
from fleetpgo.run.store import RunStore
from fleetpgo.service.profiling import CollectionRules
from fleetpgo.service.rules import ServiceRules
from fleetpgo.steps.contributions import builds, contributions
from fleetpgo.steps.select import select_instances
from tests.pprof.messages import packed, unpacked
from tests.stores.pushing import NEW, NEW_TOO, OLD, raw

pytestmark = pytest.mark.slow

MINUTE = 60
WINDOW = 30 * MINUTE
PODS = ("api-0", "api-1", "api-2")
STOPPED = 120
"""Seconds after which a round has ended that a stopped store is asked in."""


@pytest.fixture(scope="module")
def pushed(server):
    """The service's name, what was pushed of each pod, and the moment before which it all was."""
    service, now = f"fleetpgo-test-{uuid.uuid4().hex[:12]}", time.time()
    profiles = {
        # Ten moments of half an hour: a store sees a part of the time.
        "api-0": [raw(file, now - ago * MINUTE, times=ago) for ago in range(2, 27, 5) for file in (NEW,)],
        "api-1": [raw(file, now - ago * MINUTE) for ago, file in ((3, NEW), (8, NEW_TOO), (20, NEW))],
        "api-2": [raw(NEW_TOO, now - 4 * MINUTE, times=3)],
        # A deploy ten minutes ago, under the same name.
        "sts-0": [
            *(raw(NEW, now - ago * MINUTE) for ago in (2, 6)),
            *(raw(OLD, now - ago * MINUTE) for ago in (11, 16, 21)),
        ],
    }
    for pod, each in profiles.items():
        labels = {"service_name": service, "pod": pod, "job": service}
        server.push(labels, *each)
    return service, profiles, now


def rules(server, service, **changes):
    return CollectionRules.model_validate(
        {
            "source": server.kind,
            "url": server.address,
            "query": server.query % service,
            "allow": [urlsplit(server.address).hostname, "127.0.0.0/8"],
            "window": f"{WINDOW}s",
            **changes,
        }
    )


def targets(pods, until, cores=0.0):
    return [Target(f"{pod}:80", "ams", cores, {"pod": pod}, until=until) for pod in pods]


@pytest.fixture
def ask(server, pushed, tmp_path):
    """Collect pods; wait until the store shows what was pushed, which may take it a while."""
    service, _, now = pushed
    store = RunStore(tmp_path, "api", "run")

    async def ask_it(*pods, cores=0.0, until=now, seconds=WINDOW, **changes):
        chosen = targets(pods, until, cores)
        described = rules(server, service, **changes)
        return store, await collect(chosen, described, store, seconds=seconds, limits={})

    return ask_it


async def eventually(ask, pods, whole):
    """Collect again and again until the store shows all; what it shows at last."""
    deadline = time.monotonic() + 90
    while True:
        store, records = await ask(*pods)
        if all(map(whole, records)) or time.monotonic() > deadline:
            return store, records
        for record in records:
            store.remove(type(record), _key(record))
        await asyncio.sleep(3)


def _key(record):
    from fleetpgo.run.artifacts import key_of  # noqa: PLC0415  # of this function alone

    return key_of(record.instance)


def samples_of(profiles):
    return sum(pprof.facts(each).samples for each in profiles)


def without_shapes(name):
    """A name as Pyroscope keeps it: [go.shape.…] goes, with all brackets in it."""
    text = name.decode() if isinstance(name, bytes) else name
    while (start := text.find("[go.shape.")) >= 0:
        depth, stop = 0, len(text)
        for place in range(start, len(text)):
            depth += {"[": 1, "]": -1}.get(text[place], 0)
            if depth == 0:
                stop = place + 1
                break
        text = text[:start] + text[stop:]
    return text


def edges_of(profiles, *, names=str):
    """The call edges of a merge, with their share of the weight: the unit differs from store to store."""
    graph = pprof.call_edges(pprof.merge(profiles))
    total = sum(graph.weights.values())
    shares = {}
    for edge, weight in graph.weights.items():
        key = names(_text(edge.caller)), names(_text(edge.callee)), edge.offset
        shares[key] = shares.get(key, 0) + weight / total
    return shares


def _text(name):
    return name.decode() if isinstance(name, bytes) else name


async def test_sums_are_those_of_the_raw_profiles(ask, pushed):
    _, profiles, _ = pushed
    due = {f"{pod}:80": samples_of(profiles[pod]) for pod in PODS}
    _, records = await eventually(ask, PODS, lambda record: record.samples == due[record.instance])
    assert {each.instance: (each.state, each.samples, each.reason) for each in records} == {
        instance: ("fetched", samples, "") for instance, samples in due.items()
    }


async def test_edges_are_those_of_the_raw_profiles(ask, pushed, server):
    _, profiles, _ = pushed
    store, records = await ask(*PODS)
    found = edges_of([store.read(FetchedProfile, each.sha256) for each in records])
    sent = [each for pod in PODS for each in profiles[pod]]
    # Pyroscope loses type arguments on the way in, which repairing names brings back.
    due = edges_of(sent, names=without_shapes if server.kind == "pyroscope" else str)
    assert found.keys() == due.keys()
    assert (found.keys() == edges_of(sent).keys()) == (server.kind == "parca")
    # Both change addresses, so two edges of one recursive function in one stack may count once.
    assert sum(min(found[edge], due[edge]) for edge in due) > 0.99


async def test_names_that_the_store_changed_come_back_from_the_binary(pushed, server, builds, tmp_path):
    service, _, now = pushed
    generic = f"{service}-generic"
    built = builds("stripped")
    profile = unpacked(built.profile)
    profile.time_nanos, profile.duration_nanos = int((now - 5 * MINUTE) * 1e9), 10**9
    sent = packed(profile)
    server.push({"service_name": generic, "pod": "gen-0", "job": generic}, sent)
    own, chosen = RunStore(tmp_path, "api", "run"), rules(server, generic)

    async def ask(*pods):
        return own, await collect(targets(pods, now), chosen, own, seconds=WINDOW, limits={})

    _, (record,) = await eventually(ask, ("gen-0",), lambda each: each.state == "fetched")
    found = pprof.decode(own.read(FetchedProfile, record.sha256))

    assert (edges_of([found.data]).keys() == edges_of([sent]).keys()) == (server.kind == "parca")
    repaired = pprof.repair(found, built.program).profile
    assert edges_of([repaired.data]).keys() == edges_of([sent]).keys()


async def test_a_window_of_which_the_store_has_seen_a_part_is_accepted(ask):
    """Prometheus says half a core for half an hour: 90,000 samples, of which the store has some hundreds."""
    _, (record,) = await ask("api-1", cores=0.5)
    assert (record.state, record.reason) == ("fetched", "")


async def test_of_two_builds_in_the_window_the_last_one_is_used_and_it_is_said(ask, pushed):
    _, profiles, _ = pushed
    _, (record,) = await ask("sts-0")
    new = pprof.facts(profiles["sts-0"][0])
    assert (record.state, record.build_id, record.other_builds) == ("fetched", new.build_id, ())
    assert record.reason.startswith(f"cut: a deploy lies in the window; used is build {new.build_id[:12]}")
    assert record.samples == samples_of(profiles["sts-0"][:2])


async def test_two_builds_among_the_instances_are_said(ask, pushed):
    _, _, now = pushed
    _, (new,) = await ask("api-2")
    _, (old,) = await ask("sts-0", until=now - 10 * MINUTE, seconds=15 * MINUTE)
    (said,) = builds(contributions([new, old]))
    assert said.startswith("the instances ran 2 builds of the program: ")


async def test_before_the_deploy_the_build_is_the_old_one(ask, pushed):
    _, profiles, now = pushed
    _, (record,) = await ask("sts-0", until=now - 10 * MINUTE, seconds=15 * MINUTE)
    assert record.build_id == pprof.facts(profiles["sts-0"][-1]).build_id
    assert record.samples == samples_of(profiles["sts-0"][2:])


@pytest.mark.parametrize("unknown", ["pod", "service"])
async def test_nothing_found_names_the_query_and_the_window(ask, server, unknown):
    query = server.query % "fleetpgo-nobody"
    _, (record,) = await ask("api-9", **({"query": query} if unknown == "service" else {}))
    assert record.state == "refused"
    assert record.reason.startswith("no-samples: ")
    assert 'pod="api-9"} from ' in record.reason
    assert record.reason.count(" UTC") == 2


async def test_a_profile_type_that_is_none_is_told_in_the_stores_words(server, pushed, tmp_path):
    service, _, now = pushed
    described = rules(server, service).model_copy(update={"query": '{pod="$pod"}'})
    store = RunStore(tmp_path, "api", "run")
    (record,) = await collect(targets(["api-0"], now), described, store, seconds=WINDOW, limits={})
    assert record.state == "missing"
    assert record.reason.startswith("HTTP 400 ")


async def test_a_wrong_path_is_told(ask, server):
    _, (record,) = await ask("api-0", url=f"{server.address}/not-there")
    # A Parca that was built without its pages has none to show.
    assert record.reason.startswith(("HTTP 404 ", "HTTP 405 ", "html: "))


async def test_the_store_tells_the_instances_and_their_cpu(server, pushed, tmp_path):
    service, profiles, _ = pushed
    described = ServiceRules.model_validate(
        {
            "name": "api",
            "prometheus": {"connection": "none"},
            "selection": {
                "source": "store",
                "cpu": (server.query % service).replace(', pod="$pod"', ""),
                "instance_label": "pod",
            },
            "collection": rules(server, service).model_dump(),
            "repository": {"forge": "local", "connection": "forge", "project": "api"},
            "build": {"binary": "bin/api"},
            "rollout": {"fraction": "vector(1)"},
            "measurement": {"cpu": "cpu"},
        }
    )
    store = RunStore(tmp_path, "api", "run")
    chosen, _ = await asyncio.to_thread(select_instances, described, store, None)
    found = {each.instance: each.cores for each in chosen.targets}
    due = {pod: samples_of(each) / 100 / WINDOW for pod, each in profiles.items()}
    assert found == pytest.approx(due, rel=0.05)


@asynccontextmanager
async def passing_on(address):
    """A door before the store, which may be shut: its address, and what shuts it, so or so."""
    parts = urlsplit(address)
    passed, hanging, doors = [], asyncio.Event(), []

    async def copy(reader, writer):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader, writer):
        passed.append(writer)
        if hanging.is_set():
            await asyncio.sleep(600)
        there, back = await asyncio.open_connection(parts.hostname, parts.port or 80)
        await asyncio.gather(copy(reader, back), copy(there, writer), return_exceptions=True)

    door = await asyncio.start_server(serve, "127.0.0.1", 0)
    doors.append(door)
    try:
        yield f"http://127.0.0.1:{door.sockets[0].getsockname()[1]}", passed, hanging, door
    finally:
        door.close()


@pytest.mark.parametrize("how", ["stopped", "hanging"])
async def test_a_store_that_stops_ends_the_round(ask, server, is_real, how):
    if urlsplit(server.address).scheme != "http":
        pytest.skip("a store behind TLS is not passed on")
    pods = [f"gone-{number}" for number in range(40)]
    changes = {} if is_real else {"grace": "2s"}  # the double needs no patience
    async with passing_on(server.address) as (address, passed, hanging, door):
        _, (first,) = await ask("api-0", url=address)
        assert first.state == "fetched"
        if how == "stopped":
            door.close()
        else:
            hanging.set()
        heard = len(passed)
        async with asyncio.timeout(STOPPED):
            _, records = await ask(*pods, url=address, **changes)
    assert {each.state for each in records} == {"missing"}
    assert sum("the round was stopped" in each.reason for each in records) >= len(pods) - 1
    assert len(passed) - heard <= 3
