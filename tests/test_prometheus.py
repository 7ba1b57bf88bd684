from __future__ import annotations

import gzip
import http.server
import socketserver
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
import requests
import responses

from fleetpgo.errors import MeasurementError, PrometheusError
from fleetpgo.prometheus import Answer, Prometheus, Series

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


def test_a_password_in_the_address_is_in_no_error(free_port):
    with pytest.raises(PrometheusError) as unreachable:
        Prometheus(f"http://bot:s3cret-w0rd@127.0.0.1:{free_port}").instant("up")
    answer = b'{"status":"error","errorType":"bad_data","error":"not for bot:s3cret-w0rd"}'
    with answering((400, {}, answer)) as (address, _), pytest.raises(PrometheusError) as echoed:
        Prometheus(address.replace("//", "//bot:s3cret-w0rd@")).instant("up")

    assert "s3cret-w0rd" not in f"{unreachable.value}{echoed.value}"
    assert f"cannot reach Prometheus at http://127.0.0.1:{free_port}" in str(unreachable.value)


@responses.activate
def test_a_server_that_is_no_prometheus_is_recognised():
    responses.post("http://p/api/v1/query", body="<html>Sign in</html>", status=200)
    with pytest.raises(PrometheusError, match="HTTP 200, and not as a Prometheus API does"):
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
    assert f"it redirects to {elsewhere.removeprefix('http://')}" in raised.value.message
    assert "token" not in str(raised.value)


def reply(data: str) -> bytes:
    return b'{"status":"success","data":' + data.encode() + b"}"


BUCKETS = '[1764000000, {"count": "3", "sum": "1.5", "buckets": [[0, "0.5", "1", "3"]]}]'
HISTOGRAM = "left out: a native histogram is no number: {'instance': 'b:80'}"


def test_a_native_histogram_is_left_out_and_said_so():
    one, other = (
        '{"metric":{"instance":"a:80"},"value":[7,"2"]}',
        '{"metric":{"instance":"b:80"},"histogram":',
    )
    vector = reply(f'{{"resultType":"vector","result":[{one},{other}{BUCKETS}}}]}}')
    with answering((200, {}, vector)) as (address, _):
        answer = Prometheus(address).instant("cpu")
    assert answer == Answer("cpu", (Series({"instance": "a:80"}, ((7.0, 2.0),)),), (HISTOGRAM,))


@pytest.mark.parametrize("numbers", ["", '"values":[[7,"2"]],'])
def test_a_native_histogram_in_a_range_is_said_whether_or_not_it_was_a_number_before(numbers):
    matrix = reply(
        f'{{"resultType":"matrix","result":[{{"metric":{{"instance":"b:80"}},{numbers}"histograms":[{BUCKETS}]}}]}}'
    )
    with answering((200, {}, matrix)) as (address, _):
        answer = Prometheus(address).range("cpu", start=NOON, end=NOON, step=timedelta(seconds=1))
    assert (len(answer.series), answer.warnings) == (1 if numbers else 0, (HISTOGRAM,))


def test_victoriametrics_word_for_a_partial_answer_is_a_warning():
    with answering((200, {}, EMPTY.replace(b"{", b'{"isPartial":true,', 1))) as (address, _):
        assert Prometheus(address).instant("up").warnings == ("the answer is partial (isPartial)",)


def test_a_long_warning_is_cut_and_cannot_steer_a_terminal():
    with answering((200, {}, EMPTY[:-1] + b',"warnings":["\\u001b[31m' + b"a" * 9999 + b'"]}')) as (
        address,
        _,
    ):
        assert Prometheus(address).instant("up").warnings == ("a" * 500 + "…",)


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "1e400"])
def test_a_value_that_is_no_finite_number_is_read_as_prometheus_writes_it(value):
    vector = reply(f'{{"resultType":"vector","result":[{{"metric":{{}},"value":[7,"{value}"]}}]}}')
    with answering((200, {}, vector)) as (address, _):
        (series,) = Prometheus(address).instant("cpu").series
    assert repr(series.value) == repr(float(value))


STRANGE = {
    "no data": reply("{}"),
    "null": reply("null"),
    "a list": b"[]",
    "nothing": b"",
    "deep": b"[" * 500_000,
    "deep inside": reply('{"resultType":"vector","result":' + "[" * 500_000),
    "labels of labels": reply('{"resultType":"vector","result":[{"metric":{"a":{}},"value":[1,"1"]}]}'),
    "a word for a value": reply('{"resultType":"vector","result":[{"metric":{},"value":[1,"much"]}]}'),
    "half a point": reply('{"resultType":"vector","result":[{"metric":{},"value":[1]}]}'),
    "a new type": reply('{"resultType":"tensor","result":[]}'),
    "not UTF-8": reply('{"resultType":"vector","result":[{"metric":{"a":"\xff"},"value":[1,"1"]}]}').replace(
        b"\xc3\xbf", b"\xff"
    ),
    "an error of no kind": b'{"status":"error"}',
    "a range": reply('{"resultType":"matrix","result":[]}'),
}


@pytest.mark.parametrize("strange", STRANGE)
def test_whatever_else_is_answered_is_one_sentence(strange):
    with (
        answering((200, {}, STRANGE[strange])) as (address, _),
        pytest.raises(PrometheusError) as raised,
    ):
        Prometheus(address).instant("up")
    assert len(raised.value.message) < 300


def test_an_answer_to_a_range_query_that_is_no_range_is_named():
    with answering((200, {}, EMPTY)) as (address, _), pytest.raises(PrometheusError, match="not a matrix"):
        Prometheus(address).range("cpu", start=NOON, end=NOON, step=timedelta(seconds=1))


@contextmanager
def sending(start: bytes, then: bytes):
    """A server that begins an answer with some bytes and goes on for ever with others; its address."""

    class Sending(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(65_536)
            with suppress(OSError):  # the other side has had enough
                self.request.sendall(start)
                while not ended.wait(0 if len(then) > 1 else 0.01):
                    self.request.sendall(then)

    ended = threading.Event()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Sending) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        ended.set()
        server.shutdown()


OK = b"HTTP/1.1 200 OK\r\n"
ZEROS = gzip.compress(bytes(1 << 20), mtime=0)
LARGE = "larger than 1,000,000 bytes: up"


@pytest.mark.parametrize(
    ("start", "then"),
    [
        (OK + b"\r\n", bytes(65_536)),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + bytes(65_536) + b"\r\n"),
        (OK + b"Content-Encoding: gzip\r\n\r\n", ZEROS),
        (OK + b"Content-Encoding: gzip, gzip\r\n\r\n", gzip.compress(gzip.compress(bytes(1 << 26)))),
        (b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n", bytes(65_536)),
    ],
    ids=["plain", "in chunks", "gzip", "gzip of gzip", "a redirection's"],
)
def test_an_endless_body_is_left_after_so_many_bytes_unzipped(start, then):
    with sending(start, then) as address, pytest.raises(PrometheusError, match=LARGE):
        Prometheus(address, max_bytes=1_000_000).instant("up")


@pytest.mark.parametrize(
    ("start", "then"),
    [(b"HTTP/1.1 200 OK\r\nX-A: ", b"a"), (OK + b"\r\n", b" "), (OK + b"Content-Length: 9\r\n\r\n", b"")],
    ids=["headers", "a body", "nothing more"],
)
def test_an_answer_that_takes_for_ever_is_left_when_time_is_up(start, then):
    with (
        sending(start, then) as address,
        pytest.raises(PrometheusError, match=r"not answered within 0\.3 s: up"),
    ):
        Prometheus(address, seconds=0.3).instant("up")


def test_the_endless_body_of_an_overloaded_server_is_not_read():
    busy = b"HTTP/1.1 503 Later\r\nRetry-After: 30\r\n\r\n"
    with sending(busy, bytes(65_536)) as address, pytest.raises(PrometheusError, match="not answered within"):
        Prometheus(address, seconds=0.3, max_bytes=1_000_000).instant("up")


def test_what_is_no_gzip_though_it_says_so_is_named():
    with (
        answering(*[(200, {"Content-Encoding": "gzip"}, b"no")]) as (address, _),
        pytest.raises(PrometheusError, match="cannot reach Prometheus"),
    ):
        Prometheus(address).instant("up")
