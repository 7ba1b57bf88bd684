"""The instances and their CPU as a store of profiles knows them, from answers in the published form."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import pytest

from fleetpgo.collection.fleets import ask_fleet, labels_needed, narrowed
from fleetpgo.errors import SelectionError
from fleetpgo.service.profiling import SelectionRules
from tests.collection.instances import http, port_of, rules, serving

QUERY = 'process_cpu:cpu:nanoseconds:cpu:nanoseconds{service_name="api"}'
END = datetime(2026, 1, 1, 12, tzinfo=UTC)
PYROSCOPE = {
    "series": [
        {
            "labels": [{"name": "pod", "value": "api-0"}, {"name": "datacenter", "value": "ams"}],
            "points": [{"value": 1800e9, "timestamp": "1"}, {"value": 1800e9, "timestamp": "2"}],
        },
        {"labels": [{"name": "pod", "value": "api-1"}], "points": [{"value": 900e9, "timestamp": "1"}]},
    ]
}
PARCA = {
    "series": [
        {
            "labelset": {
                "labels": [{"name": "pod", "value": "api-0"}, {"name": "datacenter", "value": "ams"}]
            },
            "samples": [{"value": "3600000000000", "valuePerSecond": 1, "duration": "10000000000"}],
        },
        {
            "labelset": {"labels": [{"name": "pod", "value": "api-1"}]},
            "samples": [{"value": "900000000000"}],
        },
    ]
}


def store(server, source):
    return rules(
        source=source,
        url=f"http://127.0.0.1:{port_of(server)}",
        query=QUERY.replace('"}', '", pod="$pod"}'),
        window="1h",
        ports=None,
    )


@pytest.mark.parametrize(("source", "answer"), [("pyroscope", PYROSCOPE), ("parca", PARCA)])
async def test_each_instance_is_a_series_of_its_cores(source, answer):
    async with serving(http(json.dumps(answer).encode())) as server:
        found = await ask_fleet(QUERY, ["pod", "datacenter"], store(server, source), end=END)
    assert [(dict(each.labels), each.value) for each in found.series] == [
        ({"pod": "api-0", "datacenter": "ams"}, 1.0),
        ({"pod": "api-1"}, 0.25),
    ]


async def test_parca_is_asked_about_the_window_by_instance():
    async with serving(http(b'{"series": []}')) as server:
        await ask_fleet(QUERY, ["pod", "datacenter"], store(server, "parca"), end=END)
    line = server.heard[0].split()[1].decode()
    assert parse_qsl(line.partition("?")[2]) == [
        ("query", QUERY),
        ("start", "2026-01-01T11:00:00+00:00"),
        ("end", "2026-01-01T12:00:00+00:00"),
        ("step", "3600s"),
        ("sumBy", "pod"),
        ("sumBy", "datacenter"),
    ]


def series_of(value: str) -> bytes:
    """A series with one value, as either store writes it."""
    values = f'[{{"value": {value}}}]'
    text = f'"labels": [], "points": {values}, "labelset": {{"labels": []}}, "samples": {values}'
    return f'{{"series": [{{{text}}}]}}'.encode()


@pytest.mark.parametrize("source", ["pyroscope", "parca"])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http(b"<!doctype html>"), "answers with a web page, not with series"),
        (http(b'{"series": [{}]}'), "answers with something else, not with series"),
        (http(b"[]"), "answers with something else"),
        *(
            (http(series_of(value)), "answers with something else")
            for value in ("NaN", "1e999", "-1", "9" * 400)
        ),
        (
            http(b"no org id", "401 Unauthorized"),
            "cannot list its instances: HTTP 401 Unauthorized: no org id",
        ),
    ],
)
async def test_what_else_a_store_answers_is_one_sentence_with_the_query(source, answer, said):
    async with serving(answer) as server:
        with pytest.raises(SelectionError) as raised:
            await ask_fleet(QUERY, ["pod"], store(server, source), end=END)
    assert said in str(raised.value)
    assert QUERY in str(raised.value)


def test_the_labels_are_those_that_the_service_file_needs():
    selection = SelectionRules(
        source="store", cpu=QUERY, instance_label="pod", strategy="stratified", strata=["role"]
    )
    collection = rules(
        source="parca", url="http://p", query='a:b:c:d:e{pod="$pod", zone="$zone"}', ports=None
    )
    assert labels_needed(selection, collection) == ["datacenter", "pod", "role", "zone"]


def test_matchers_of_a_release_are_part_of_the_query():
    assert narrowed(QUERY, 'revision="4f2a"') == QUERY[:-1] + ', revision="4f2a"}'
    assert narrowed(QUERY, "") == QUERY
