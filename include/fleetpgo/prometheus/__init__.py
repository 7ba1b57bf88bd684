"""Instant and range queries against the HTTP API of Prometheus, Thanos or a compatible server.

Knows the API (https://prometheus.io/docs/prometheus/latest/querying/api/) and Thanos' extra parameters
(``dedup``, ``partial_response``, ``max_source_resolution``; Prometheus ignores them). Does not know what the
queries mean.

A partial answer has status 200, too, and carries ``warnings``. They are part of the :class:`Answer`; the
caller decides whether to accept it. A series whose sample is a native histogram has no number. It is left
out, and a warning that begins with LEFT_OUT names it.

Thanos drops a store that does not answer, and then answers without it and without a warning. Only its list of
stores tells (:meth:`Prometheus.lost_stores`), for the five minutes until it forgets the store.

The server is not trusted. Its answers are limited in time and in bytes (after unzipping), and checked against
the API's schema. Anything else raises :class:`~fleetpgo.errors.PrometheusError`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from fleetpgo import foreign
from fleetpgo.errors import MeasurementError, PrometheusError, QueryError
from fleetpgo.network import trust
from fleetpgo.prometheus.exchange import Exchange, Received, within
from fleetpgo.prometheus.replies import (
    LEFT_OUT,
    MatrixData,
    ScalarData,
    Success,
    VectorData,
    clean,
    faults_of_stores,
    first_fault,
    read_reply,
    warnings_of,
    without_number,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["LEFT_OUT", "MAX_POINTS", "Answer", "Prometheus", "Series", "from_timestamp"]

MAX_POINTS = 11_000
"""Prometheus refuses range queries with more points per series."""

_MOST_OF_STORES = 16 << 20  # bytes of the list of Thanos' stores; one has some hundred


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer: its labels, and its points (Unix seconds, value) sorted by time."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def value(self) -> float:
        """The latest value."""
        return self.points[-1][1]


@dataclass(frozen=True)
class Answer:
    """Prometheus' answer to a query, with its warnings."""

    query: str
    series: tuple[Series, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus API.

    Args:
        address: base URL, without ``/api/v1``.
        session: carries authentication, headers and TLS settings.
        seconds: limit of one query, including its retries.
        max_bytes: limit of one answer after unzipping. fleetpgo splits long ranges into queries whose answers
            are far smaller.
        ca: file of the certificate authorities to trust; None: as the session does.
    """

    address: str
    session: requests.Session = field(default_factory=requests.Session, repr=False)
    seconds: float = 300.0
    max_bytes: int = 128 << 20
    ca: Path | None = None

    def __post_init__(self) -> None:
        _remember_credentials(self.session, self.address)
        # Only of what breaks off. Where the status says "later", urllib3 would first read the whole body.
        retry = trust.PromptRetry(
            total=3, backoff_factor=0.5, status=0, allowed_methods=None, respect_retry_after_header=False
        )
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, trust.TrustingAdapter(self.ca, retry))

    def instant(self, query: str, *, at: datetime | None = None, partial_response: bool = False) -> Answer:
        """Evaluate a query at one time (default: now).

        Args:
            query: PromQL that returns a vector or a scalar.
            at: evaluation time.
            partial_response: accept partial answers from Thanos.

        Raises:
            QueryError: the query is invalid.
            PrometheusError: the server is unreachable, refuses the query, or is not a Prometheus API.
        """
        form = {"query": query}
        if at is not None:
            form["time"] = _time(at)
        reply = self._post("query", form, partial_response=partial_response)
        warnings = warnings_of(reply)
        match reply.data:
            case ScalarData(result=point):
                series = [Series({}, (point,))]
            case VectorData(result=samples):
                series = [
                    Series(_labels(each["metric"]), (each["value"],)) for each in samples if "value" in each
                ]
                warnings += without_number(each["metric"] for each in samples if "value" not in each)
            case other:
                raise PrometheusError(
                    f"the query gives a {other.resultType}, not a vector: {query}",
                    hint="a range selector such as metric[5m] needs a function around it",
                )
        return Answer(query, tuple(series), warnings)

    def range(self, query: str, *, start: datetime, end: datetime, step: timedelta) -> Answer:
        """Evaluate a query at start, start + step, …, up to end. Thanos is told not to answer partially.

        Raises:
            PrometheusError: as :meth:`instant`, or the query needs more than 11,000 points per series.
        """
        if (end - start) / step > MAX_POINTS:
            raise PrometheusError(f"{end - start} at {step} is more than {MAX_POINTS} points: {query}")
        form = {"query": query, "start": _time(start), "end": _time(end), "step": str(step.total_seconds())}
        reply = self._post("query_range", form, partial_response=False)
        if not isinstance(reply.data, MatrixData):
            raise PrometheusError(f"a range query gives a {reply.data.resultType}, not a matrix: {query}")
        found = reply.data.result
        series = [
            Series(_labels(each["metric"]), tuple(values)) for each in found if (values := each.get("values"))
        ]
        left_out = without_number(
            each["metric"] for each in found if each.get("histograms") or not each.get("values")
        )
        return Answer(query, tuple(series), warnings_of(reply) + left_out)

    def number(self, query: str, *, at: datetime | None = None) -> tuple[float, tuple[str, ...]]:
        """Evaluate a query that must return one finite number. Return the number and the warnings.

        Raises:
            MeasurementError: the query returns no series, several series, or no finite number.
            PrometheusError: as :meth:`instant`.
        """
        answer = self.instant(query, at=at)
        if len(answer.series) != 1:
            raise MeasurementError(
                f"the query returned {len(answer.series) or 'no'} series, not one: {query}",
                hint="aggregate several series with sum(…); if there is none, check that the metric exists "
                "at that time, and that retention is long enough",
            )
        value = answer.series[0].value
        if not math.isfinite(value):
            raise MeasurementError(f"the query returned {value}; it must return a finite number: {query}")
        return value, answer.warnings

    def lost_stores(self) -> tuple[str, ...]:
        """Return a sentence for each store that Thanos cannot reach; () for any other server.

        Raises:
            PrometheusError: the server is unreachable.
        """
        url = f"{self.address.rstrip('/')}/api/v1/stores"
        received = self._exchange(Exchange(self.session, url, None, max_bytes=_MOST_OF_STORES), "its stores")
        return faults_of_stores(received.body) if received.status == HTTPStatus.OK else ()

    def _post(self, endpoint: str, form: dict[str, str], *, partial_response: bool) -> Success:
        """Send a query and return the data of a successful answer."""
        form |= {"dedup": "true", "partial_response": str(partial_response).lower()}
        # Thanos would answer long ranges from downsampled data: another resolution than that of short ones.
        form["max_source_resolution"] = "0s"
        url = f"{self.address.rstrip('/')}/api/v1/{endpoint}"
        received = self._exchange(Exchange(self.session, url, form, max_bytes=self.max_bytes), form["query"])
        try:
            reply = read_reply(received.body)
        except ValueError as error:
            fault = f"it redirects to {_host(received.location)}" if received.location else first_fault(error)
            raise PrometheusError(
                f"{self.address} answers HTTP {received.status}, and not as a Prometheus API does: {fault}",
                hint="the connection must hold the base URL, without /api/v1/query; "
                "for 401 or 403, check its credentials",
            ) from None  # its text repeats what came, however long
        if isinstance(reply, Success):
            return reply
        kind = QueryError if reply.errorType == "bad_data" else PrometheusError
        complaint = clean(f"{reply.errorType}: {reply.error}")
        raise kind(f"Prometheus refuses the query: {complaint}\nquery: {form['query']}")

    def _exchange(self, exchange: Exchange, what: str) -> Received:
        try:
            return within(self.seconds, exchange.run, exchange.abandon)
        except TimeoutError as error:
            raise PrometheusError(
                f"Prometheus at {self.address} has not answered within {self.seconds:g} s: {what}",
                hint="paste the query into Prometheus: how long does it take there?",
            ) from error
        except requests.exceptions.SSLError as error:
            raise PrometheusError(
                f"Prometheus at {self.address} shows a certificate that is not trusted: "
                f"{clean(trust.refused_certificate(error))}",
                hint=trust.HINT,
            ) from error
        except (requests.RequestException, HTTPError, OSError) as error:
            raise PrometheusError(
                f"cannot reach Prometheus at {self.address}: {_cause(error)}",
                hint="is the address in the connection right, and reachable from here?",
            ) from error


def _labels(metric: Mapping[str, str]) -> Mapping[str, str]:
    """Return a series' labels without control characters; almost no series has any."""
    if "".join(metric.values()).isprintable():
        return metric
    return {name: foreign.cleaned(value) for name, value in metric.items()}


def _remember_credentials(session: requests.Session, address: str) -> None:
    """Register the session's password and headers, so that they are masked in messages and logs."""
    foreign.remember_logins(address)
    foreign.remember_headers(session.headers)
    # A pair, or one of requests' classes, whose names are these.
    auth = session.auth
    user, password = (
        auth if isinstance(auth, tuple) else (getattr(auth, n, "") for n in ("username", "password"))
    )
    if password:
        foreign.remember_login(user, password)
    if auth is None:
        foreign.remember_netrc(address)


def _cause(error: BaseException) -> str:
    """Return the innermost reason of a failed request, without urllib3's wrapping."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    text = str(reason or error)
    return clean(text.rpartition(": ")[2] or text)


def _host(location: str) -> str:
    """Return the host and port of a URL, without its credentials, path and query."""
    try:
        return clean(urlsplit(location).netloc.rpartition("@")[2]) or "another path"
    except ValueError:
        return "what is no URL"


def _time(when: datetime) -> str:
    """Return a time in the API's format: Unix seconds."""
    if when.tzinfo is None:
        raise ValueError("times must have a time zone")
    return str(when.timestamp())


def from_timestamp(seconds: float) -> datetime:
    """Convert Unix seconds to an aware datetime in UTC."""
    return datetime.fromtimestamp(seconds, UTC)
