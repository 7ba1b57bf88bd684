from __future__ import annotations

import http.server
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import requests
import responses

from fleetpgo.errors import MeasurementError, PrometheusError
from fleetpgo.prometheus import Prometheus, Series

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
T = NOON.timestamp()


@pytest.fixture(scope="module")
def prometheus(start_prometheus):
    points = [(T + 15 * n, 1 + n) for n in range(5)]
    return start_prometheus(
        [("cpu", {"instance": "a:80"}, points), ("cpu", {"instance": "b:80"}, [(T, float("nan"))])]
    )


def test_an_instant_query_gives_labels_and_value(prometheus):
    answer = prometheus.instant('cpu{instance="a:80"}', at=NOON + timedelta(minutes=1))
    assert answer.series == (Series({"__name__": "cpu", "instance": "a:80"}, ((T + 60, 5.0),)),)


def test_a_scalar_is_a_series_without_labels(prometheus):
    assert prometheus.instant("1 + 1", at=NOON).series == (Series({}, ((T, 2.0),)),)


def test_a_range_query_gives_a_point_per_step(prometheus):
    answer = prometheus.range(
        "cpu * 2", start=NOON, end=NOON + timedelta(minutes=1), step=timedelta(seconds=30)
    )
    assert answer.series[0] == Series({"instance": "a:80"}, ((T, 2.0), (T + 30, 6.0), (T + 60, 10.0)))


def test_a_range_of_too_many_points_is_refused_before_it_is_sent():
    with pytest.raises(PrometheusError, match="more than 11000 points"):
        Prometheus("http://127.0.0.1:1").range(
            "cpu", start=NOON, end=NOON + timedelta(days=30), step=timedelta(seconds=1)
        )


def test_a_refused_query_is_answered_with_prometheus_words_and_the_query(prometheus):
    with pytest.raises(PrometheusError, match=r"(?s)bad_data.*parse error.*query: sum\("):
        prometheus.instant("sum(")


def test_a_bare_range_selector_is_explained(prometheus):
    with pytest.raises(PrometheusError, match="needs a function around it"):
        prometheus.instant("cpu[5m]", at=NOON)


@pytest.mark.parametrize("query", ["absent_metric", "cpu", 'cpu{instance="b:80"}'])
def test_none_several_and_nan_are_not_a_number(prometheus, query):
    with pytest.raises(MeasurementError, match=query.replace("{", r"\{")):
        prometheus.number(query, at=NOON)


def test_an_unreachable_server_is_named(free_port):
    address = f"http://127.0.0.1:{free_port}"
    with pytest.raises(PrometheusError, match=f"cannot reach Prometheus at {address}: .*refused"):
        Prometheus(address).instant("up")


@responses.activate
def test_a_server_that_is_no_prometheus_is_recognised():
    responses.post("http://p/api/v1/query", body="<html>Sign in</html>", status=200)
    with pytest.raises(PrometheusError, match="HTTP 200 and not as a Prometheus API does"):
        Prometheus("http://p").instant("up")


@responses.activate
def test_warnings_travel_with_a_partial_answer():
    responses.post(
        "http://p/api/v1/query",
        json={
            "status": "success",
            "data": {"resultType": "vector", "result": []},
            "warnings": ["store ams: deadline exceeded"],
        },
    )
    assert Prometheus("http://p").instant("up").warnings == ("store ams: deadline exceeded",)


@responses.activate
def test_advice_on_how_a_query_is_written_is_no_warning():
    responses.post(
        "http://p/api/v1/query",
        json={
            "status": "success",
            "data": {"resultType": "vector", "result": []},
            "infos": ["PromQL info: metric might not be a counter"],
        },
    )
    assert Prometheus("http://p").instant("up").warnings == ()


@pytest.mark.parametrize("partial", [True, False])
@responses.activate
def test_thanos_is_told_whether_a_partial_answer_will_do(partial):
    sent = responses.post(
        "http://p/api/v1/query",
        json={"status": "success", "data": {"resultType": "vector", "result": []}},
        match=[
            responses.matchers.urlencoded_params_matcher(
                {
                    "query": "up",
                    "dedup": "true",
                    "max_source_resolution": "0s",
                    "partial_response": str(partial).lower(),
                }
            )
        ],
    )
    Prometheus("http://p").instant("up", partial_response=partial)
    assert sent.call_count == 1


@contextmanager
def answering(*answers: tuple[int, dict[str, str], bytes]):
    """A server that gives these answers (status, headers, body) in turn; its address, and what it heard."""
    left, heard = list(answers), []

    class Answering(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append(dict(self.headers))
            status, headers, body = left.pop(0)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815  # a redirected POST becomes a GET

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", heard
        server.shutdown()


EMPTY = b'{"status":"success","data":{"resultType":"vector","result":[]}}'


def test_a_server_that_is_overloaded_for_a_moment_is_asked_again():
    with answering((503, {}, b""), (200, {}, EMPTY)) as (address, heard):
        assert Prometheus(address).instant("up").series == ()
    assert len(heard) == 2


def test_a_redirect_is_not_followed_with_our_secrets():
    session = requests.Session()
    session.headers["CF-Access-Client-Secret"] = "s3cr3t"
    with (
        answering((200, {}, EMPTY)) as (elsewhere, stolen),
        answering((302, {"Location": f"{elsewhere}/login?token=x"}, b"")) as (address, _),
        pytest.raises(PrometheusError) as raised,
    ):
        Prometheus(address, session).instant("up")
    assert stolen == []
    assert f"it leads to {elsewhere.removeprefix('http://')}" in raised.value.message
    assert "token" not in str(raised.value)
