"""Query a profile store for the instances of a service, and the CPU of each.

This is for services whose instances are not in Prometheus (``selection.source: store``). Pyroscope answers
``SelectSeries`` (api/querier/v1/querier.proto of https://github.com/grafana/pyroscope at commit
3fe6a457a320), here in the Connect protocol's JSON; Parca answers ``GET /api/profiles/query_range`` with
``sumBy`` (parca/query/v1alpha1/query.proto of https://github.com/parca-dev/parca at commit 3b5647cd9e2a).
Both return nanoseconds of CPU per step. Their sum over the window, divided by its length, is in cores. A
store that profiles only a part of the time shows the same part for each instance, so the proportions are
right.
"""

from __future__ import annotations

import json
import math
import tempfile
from datetime import UTC, datetime
from string import Template
from typing import TYPE_CHECKING, Any

from aiohttp import ThreadedResolver
from yarl import URL

from fleetpgo import foreign
from fleetpgo.collection.access import Access, open_session
from fleetpgo.collection.faults import NoProfileError
from fleetpgo.collection.fetching import Limits, receive
from fleetpgo.collection.looking_back import PART
from fleetpgo.collection.sources import Request
from fleetpgo.collection.spool import Spool
from fleetpgo.errors import SelectionError
from fleetpgo.network.addresses import parse_allow
from fleetpgo.prometheus import Answer, Series

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiohttp.abc import AbstractResolver

    from fleetpgo.service.profiling import CollectionRules, SelectionRules

_OURS = {"instance", "host", "seconds"}
"""Placeholders of a query that are no labels of a store."""

_LONGEST = 200
"""Characters of a label that are read."""


def labels_needed(selection: SelectionRules, collection: CollectionRules) -> list[str]:
    """Return the labels by which instances are told apart, chosen, and asked for."""
    placeholders = set(Template(collection.query).get_identifiers()) - _OURS
    strata = selection.strata if selection.strategy == "stratified" else ()
    return sorted({selection.instance_label, selection.datacenter_label, *strata, *placeholders})


def narrowed(query: str, matchers: str) -> str:
    """Return a query with further label matchers, such as those of one release; "": none."""
    if not matchers:
        return query
    return f"{query.rstrip().removesuffix('}')}, {matchers}}}"


async def ask_fleet(
    query: str,
    labels: Iterable[str],
    collection: CollectionRules,
    *,
    end: datetime,
    access: Access = Access(),  # noqa: B008  # frozen
    resolver: AbstractResolver | None = None,
) -> Answer:
    """Return one series for each combination of values of the labels: the mean of its CPU, in cores.

    Args:
        query: profile type and label matchers.
        labels: to tell series apart by.
        collection: names the store, and how far back it is asked; a day at most.
        end: up to when.
        access: credentials and TLS.
        resolver: asks the DNS; default: the system's.

    Raises:
        SelectionError: the store does not answer, or not as it should.
    """
    seconds = min(float(collection.length), PART)
    make, read = (_of_pyroscope, _pyroscopes) if collection.source == "pyroscope" else (_of_parca, _parcas)
    request = make(URL(collection.url), query, list(labels), end.timestamp(), seconds)
    limits = Limits.of(collection, seconds=0)
    async with open_session(collection, access, resolver or ThreadedResolver()) as session:
        with (
            tempfile.TemporaryFile(buffering=0) as file,
            Spool(file, most=limits.packed_bytes).body() as body,
        ):
            try:
                await receive(
                    session,
                    request,
                    body,
                    limits=limits,
                    allow=parse_allow(collection.allow),
                    received=lambda _: None,
                )
            except NoProfileError as error:
                raise SelectionError(
                    f"{collection.source} at collection.url cannot list its instances: {error}\n"
                    f"query: {query}",
                    hint="check collection.url, collection.connection and selection.cpu",
                ) from error
            answered = body.read()
    try:
        found = [
            (labels_, _cores(nanoseconds, seconds)) for labels_, nanoseconds in read(json.loads(answered))
        ]
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        kind = "a web page" if answered.lstrip().startswith(b"<") else "something else"
        raise SelectionError(
            f"{collection.source} at collection.url answers with {kind}, not with series\nquery: {query}",
            hint="collection.url must be the server's base address",
        ) from error
    when = end.timestamp()
    return Answer(query, tuple(Series(labels_, ((when, cores),)) for labels_, cores in found))


def _cores(nanoseconds: float, seconds: float) -> float:
    if not 0 <= nanoseconds < math.inf:
        raise ValueError("CPU time is neither negative nor endless")
    return nanoseconds / 1e9 / seconds


def _of_pyroscope(address: URL, query: str, labels: list[str], end: float, seconds: float) -> Request:
    kind, brace, matchers = query.partition("{")
    asked = {
        "profileTypeID": kind,
        "labelSelector": brace + matchers,
        "start": int((end - seconds) * 1000),
        "end": int(end * 1000),
        "groupBy": labels,
        "step": seconds,
    }
    headers = {"Content-Type": "application/json", "Connect-Protocol-Version": "1"}
    url = address / "querier.v1.QuerierService/SelectSeries"
    return Request(url, "POST", json.dumps(asked).encode(), headers)


def _pyroscopes(answer: Any) -> list[tuple[Mapping[str, str], float]]:  # noqa: ANN401  # JSON
    return [
        (_labels(each["labels"]), sum(float(point.get("value", 0)) for point in each.get("points", [])))
        for each in answer.get("series", [])
    ]


def _of_parca(address: URL, query: str, labels: list[str], end: float, seconds: float) -> Request:
    parameters = [
        ("query", query),
        ("start", datetime.fromtimestamp(end - seconds, UTC).isoformat()),
        ("end", datetime.fromtimestamp(end, UTC).isoformat()),
        ("step", f"{seconds:g}s"),
        *(("sumBy", label) for label in labels),
    ]
    return Request((address / "api/profiles/query_range").with_query(parameters))


def _parcas(answer: Any) -> list[tuple[Mapping[str, str], float]]:  # noqa: ANN401  # JSON
    return [
        (
            _labels(each["labelset"]["labels"]),
            sum(float(sample.get("value", 0)) for sample in each.get("samples", [])),
        )
        for each in answer.get("series", [])
    ]


def _labels(pairs: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return the labels of a series; one without a value is none."""
    return {
        foreign.line(pair["name"], _LONGEST): foreign.line(pair["value"], _LONGEST)
        for pair in pairs
        if pair.get("value")
    }
