"""Selecting in windows, and what the merge makes of it."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote_plus

import pytest

from fleetpgo.errors import SelectionError, ServiceFileError
from fleetpgo.selection import read_selection
from fleetpgo.steps.collect import collect_profiles
from fleetpgo.steps.merge import merge_profiles
from fleetpgo.steps.select import select_instances
from tests.collection.instances import OK, OTHER, http, port_of, serving
from tests.selection.fleets import Answering
from tests.steps.rounds import SECONDS, service

QUERY = 'process_cpu:cpu:nanoseconds:cpu:nanoseconds{pod="$host"}'
WINDOWS = [{"name": "peak", "at": "14:00", "share": 0.5}, {"name": "night", "at": "03:00", "share": 0.5}]


def select_window(described, store, window, *instances):
    fleet = [({"instance": each.target.instance, "datacenter": "ams"}, 1.0) for each in instances]
    _, (pack,) = select_instances(described, store, Answering(*fleet), seconds=SECONDS, window=window)
    return pack.targets


async def test_windows_take_different_instances_and_are_merged_together(store):
    described = service(instances=2, max_rounds=1, windows=WINDOWS)
    async with serving(OK) as one, serving(OTHER) as other:
        for window in ("peak", "night"):
            targets = select_window(described, store, window, one, other)
            await collect_profiles(described, store, targets)
    assert (len(one.heard), len(other.heard)) == (1, 1)
    manifest = merge_profiles(described, store, go=None)
    assert (manifest.selected, manifest.used) == (2, 2)
    assert not any("window" in warning for warning in manifest.warnings)


async def test_a_window_in_which_nothing_was_selected_is_named_in_the_manifest(store):
    described = service(instances=2, max_rounds=1, windows=WINDOWS)
    async with serving(OK) as one, serving(OTHER) as other:
        targets = select_window(described, store, "peak", one, other)
        await collect_profiles(described, store, targets)
    manifest = merge_profiles(described, store, go=None)
    assert "nothing was profiled in the window night" in manifest.warnings


async def test_a_run_that_takes_all_instances_now_knows_of_no_window(store):
    described = service(instances=2, max_rounds=1, windows=WINDOWS)
    async with serving(OK) as one, serving(OTHER) as other:
        assert len(select_window(described, store, None, one, other)) == 2
    chosen = read_selection(store)
    assert chosen.warnings == ()


def of_a_store(window=None, **selection):
    described = service(**selection)
    keys = {"source": "parca", "url": "http://parca", "query": QUERY, "window": window}
    return described.model_copy(
        update={"collection": type(described.collection).model_validate({**keys, "seconds": 60})}
    )


class Dated(Answering):
    """Notes about which time it was asked."""

    asked_at = None

    def instant(self, query, *, partial_response, at=None):
        self.asked_at = at
        return super().instant(query, partial_response=partial_response)


FLEET = Dated(({"instance": "a:80", "datacenter": "ams"}, 1.0))


@pytest.mark.parametrize(
    ("key", "given", "seconds"),
    [
        ("24h", {}, 86_400),
        ("24h", {"length": "7d"}, 604_800),
        ("24h", {"seconds": 300}, 300),
        (None, {}, 60),
    ],
    ids=["the service file's", "the run's", "seconds", "no window"],
)
def test_a_store_is_asked_about_the_window_up_to_the_selection(store, key, given, seconds):
    before = time.time()
    chosen, (pack,) = select_instances(of_a_store(key), store, FLEET, **given)
    assert chosen.seconds == seconds
    assert before <= pack.targets[0].until <= time.time()
    assert read_selection(store) == chosen


@pytest.mark.parametrize("length", ["8d", "0s", "a day"])
def test_a_window_beyond_what_stores_keep_is_refused(store, length):
    with pytest.raises(ServiceFileError, match="collection: window: "):
        select_instances(of_a_store(), store, FLEET, length=length)


def test_instances_have_no_past(store):
    with pytest.raises(
        ServiceFileError, match="`window` is for stored profiles; the source pprof_http takes"
    ):
        select_instances(service(), store, FLEET, length="24h")


def test_the_windows_of_a_store_are_the_last_ones_and_prometheus_is_asked_about_then(store):
    described = of_a_store("1h", instances=1, windows=WINDOWS)
    fleet = Dated(*(({"instance": f"{name}:80", "datacenter": "ams"}, 1.0) for name in "ab"))
    for window, hour in (("peak", 15), ("night", 4)):
        _, (pack,) = select_instances(described, store, fleet, window=window)
        until = datetime.fromtimestamp(pack.targets[0].until, UTC)
        assert (until.hour, until.minute) == (hour, 0)
        assert timedelta(0) <= datetime.now(UTC) - until < timedelta(days=1)
        assert fleet.asked_at == until
    whole = read_selection(store)
    assert len({target.until for target in whole.of_round(1)}) == 2


def test_a_window_from_before_what_pyroscope_keeps_is_warned_of(store):
    described = of_a_store("7d", instances=1, windows=[{"name": "day", "at": "00:00", "share": 1}])
    chosen, _ = select_instances(described, store, FLEET, window="day")
    assert any("has it what is older than seven days?" in each for each in chosen.warnings)


def known_to_a_store(server, **selection):
    described = of_a_store("1h")
    keys = {"source": "store", "cpu": 'a:b:c:d:e{job="api"}', "instance_label": "pod", **selection}
    url = {
        "url": f"http://127.0.0.1:{port_of(server)}",
        "query": 'a:b:c:d:e{pod="$pod"}',
        "allow": ["127.0.0.1"],
    }
    collection, chosen = described.collection, described.selection
    return described.model_copy(
        update={
            "selection": type(chosen).model_validate(keys),
            "collection": type(collection).model_validate({**collection.model_dump(), **url}),
        }
    )


SEEN = {
    "series": [
        {
            "labelset": {"labels": [{"name": "pod", "value": name}]},
            "samples": [{"value": f"{cores * 3600}000000000"}],
        }
        for name, cores in (("api-0", 1), ("api-1", 3), ("api-2", 2))
    ]
}


async def test_a_store_tells_who_is_busiest_where_there_is_no_prometheus(store):
    async with serving(http(json.dumps(SEEN).encode())) as server:
        described = known_to_a_store(server, instances=2, max_rounds=1)
        chosen, (pack,) = await asyncio.to_thread(select_instances, described, store, None)
    assert [(each.instance, each.cores) for each in pack.targets] == [("api-1", 3.0), ("api-2", 2.0)]
    assert (chosen.datacenters, chosen.query) == ({"": 3}, 'a:b:c:d:e{job="api"}')


async def test_matchers_narrow_what_a_store_is_asked_for_twice(store):
    async with serving(http(json.dumps(SEEN).encode())) as server:
        described = known_to_a_store(server, instances=1, max_rounds=1)
        _, (pack,) = await asyncio.to_thread(
            select_instances, described, store, None, matchers='revision="4f2a"'
        )
        await collect_profiles(described, store, pack.targets)
    asked = [unquote_plus(heard.split()[1].decode()) for heard in server.heard]
    assert 'query=a:b:c:d:e{job="api", revision="4f2a"}&' in asked[0]
    assert 'merge.query=a:b:c:d:e{pod="api-1", revision="4f2a"}&' in asked[1]


async def test_a_store_that_has_seen_nobody_names_the_keys(store):
    async with serving(http(b"{}")) as server:
        with pytest.raises(SelectionError) as raised:
            await asyncio.to_thread(select_instances, known_to_a_store(server), store, None)
    assert "the profile store has none" in str(raised.value)
    assert "selection.instance_label is pod" in raised.value.hint


def test_without_prometheus_and_without_a_store_the_key_is_named(store):
    with pytest.raises(SelectionError) as raised:
        select_instances(service(), store, None)
    assert "selection.source" in raised.value.hint
