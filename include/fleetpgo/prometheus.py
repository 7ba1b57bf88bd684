"""Instant and range queries against the HTTP API of Prometheus, Thanos or anything that speaks it.

Knows the API (https://prometheus.io/docs/prometheus/latest/querying/api/) and Thanos' extra parameters
(``dedup``, ``partial_response``, ``max_source_resolution``; Prometheus ignores them). Refuses to know what
the queries mean.

An answer can be partial and still be HTTP 200: then it carries ``warnings``. They travel with the
:class:`Answer`; the caller decides whether to accept a partial answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from fleetpgo.errors import MeasurementError, PrometheusError, QueryError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_POINTS = 11_000
"""Prometheus refuses range queries with more points per series."""

_MOST_WAIT = 30  # seconds before a server is asked again, whatever it says: urllib3 would wait for six hours
_CONNECT_TIMEOUT, _READ_TIMEOUT = 10.0, 120.0  # seconds; Prometheus' own query timeout is 120 s


@dataclass(frozen=True)
class Series:
    """One series of an answer: its labels and its points, (Unix time in seconds, value), by time."""

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
    """

    address: str
    session: requests.Session = field(default_factory=requests.Session, repr=False)

    def __post_init__(self) -> None:
        retry = Retry(
            total=3,
            backoff_factor=0.5,
            status_forcelist=(429, 502, 503, 504),
            allowed_methods=None,
            retry_after_max=_MOST_WAIT,
        )
        retry.raise_on_status = False  # the last answer says more than "too many retries"
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, HTTPAdapter(max_retries=retry))

    def instant(self, query: str, *, at: datetime | None = None, partial_response: bool = False) -> Answer:
        """Evaluate a query at one time (default: now).

        Args:
            query: PromQL that gives a vector or a scalar.
            at: when.
            partial_response: whether Thanos may answer although some of its stores do not.

        Raises:
            QueryError: Prometheus cannot read the query.
            PrometheusError: unreachable, refused, or not a Prometheus API.
        """
        form = {"query": query}
        if at is not None:
            form["time"] = _time(at)
        data, warnings = self._post("query", form, partial_response=partial_response)
        match data["resultType"]:
            case "scalar":
                series = [Series({}, (_point(data["result"]),))]
            case "vector":
                series = [Series(item["metric"], (_point(item["value"]),)) for item in data["result"]]
            case other:
                raise PrometheusError(
                    f"the query gives a {other}, not a vector: {query}",
                    hint="a range selector such as metric[5m] needs a function around it",
                )
        return Answer(query, tuple(series), warnings)

    def range(self, query: str, *, start: datetime, end: datetime, step: timedelta) -> Answer:
        """Evaluate a query at start, start + step, …, up to end; never partial.

        Raises:
            PrometheusError: as :meth:`instant`; also more than 11,000 points.
        """
        if (end - start) / step > MAX_POINTS:
            raise PrometheusError(f"{end - start} at {step} is more than {MAX_POINTS} points: {query}")
        form = {"query": query, "start": _time(start), "end": _time(end), "step": str(step.total_seconds())}
        data, warnings = self._post("query_range", form, partial_response=False)
        series = [Series(item["metric"], tuple(map(_point, item["values"]))) for item in data["result"]]
        return Answer(query, tuple(series), warnings)

    def number(self, query: str, *, at: datetime | None = None) -> tuple[float, tuple[str, ...]]:
        """Evaluate a query that must give exactly one finite number; the number and the warnings.

        Raises:
            MeasurementError: no series, several, or not a finite number.
            PrometheusError: as :meth:`instant`.
        """
        answer = self.instant(query, at=at)
        if len(answer.series) != 1:
            raise MeasurementError(
                f"the query returned {len(answer.series) or 'no'} series, not one: {query}",
                hint="aggregate several series with sum(…); if there are none, check the metric and the "
                "retention at that time",
            )
        value = answer.series[0].value
        if not math.isfinite(value):
            raise MeasurementError(f"the query returned {value}; it must return a finite number: {query}")
        return value, answer.warnings

    def _post(
        self, endpoint: str, form: dict[str, str], *, partial_response: bool
    ) -> tuple[Any, tuple[str, ...]]:
        """Send a query; the answer's ``data`` and its warnings."""
        form |= {"dedup": "true", "partial_response": str(partial_response).lower()}
        # Thanos would answer long ranges from downsampled data: another resolution than that of short ones.
        form["max_source_resolution"] = "0s"
        url = f"{self.address.rstrip('/')}/api/v1/{endpoint}"
        try:
            response = self.session.post(
                url,
                data=form,
                timeout=(_CONNECT_TIMEOUT, _READ_TIMEOUT),
                # Requests would take the session's own headers, secrets among them, wherever it is sent.
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise PrometheusError(
                f"cannot reach Prometheus at {self.address}: {_cause(error)}",
                hint="is the address in the connection right, and reachable from here?",
            ) from error
        try:
            answer = response.json()
            if answer["status"] == "success":
                # Its `infos` are advice to whoever wrote the query; the data are whole.
                return answer["data"], tuple(answer.get("warnings", ()))
            complaint = f"{answer['errorType']}: {answer['error']}"
        except (ValueError, KeyError, TypeError) as error:
            elsewhere = urlsplit(response.next.url or "").netloc if response.next else ""
            raise PrometheusError(
                f"{self.address} answers HTTP {response.status_code} and not as a Prometheus API does"
                + (f": it leads to {elsewhere}" if elsewhere else ""),
                hint="the connection must name the base address, the one to which /api/v1/query is added; "
                "401 or 403: check its credentials",
            ) from error
        kind = QueryError if answer["errorType"] == "bad_data" else PrometheusError
        raise kind(f"Prometheus refuses the query: {complaint}\nquery: {form['query']}")


def _cause(error: BaseException) -> str:
    """The innermost reason of a failed request, without urllib3's wrapping."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    text = str(reason or error)
    return text.rpartition(": ")[2] or text


def _time(when: datetime) -> str:
    """A time as the API takes it: Unix seconds."""
    if when.tzinfo is None:
        raise ValueError("times must be aware")
    return str(when.timestamp())


def _point(pair: tuple[float, str]) -> tuple[float, float]:
    """A point as the API gives it: the value is a string, so that NaN and ±Inf survive JSON."""
    return float(pair[0]), float(pair[1])


def from_timestamp(seconds: float) -> datetime:
    """A point's time as an aware datetime in UTC."""
    return datetime.fromtimestamp(seconds, UTC)
