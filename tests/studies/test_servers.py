"""The load of the real servers: so many requests and no more, and each answer is looked at."""

from __future__ import annotations

import gzip
import json
import os
import re
import socket
import subprocess
import threading
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from demo.processes import HOST
from studies.beyond_pgo import caddy, nats, prometheus, serving
from studies.beyond_pgo.servers import SERVERS, LoadError, Running
from studies.beyond_pgo.serving import Ask, send


@contextmanager
def answering(body=b"all 12 orders", status=200, **headers):
    """A server with one answer; yields its address and the paths that it was asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            asked.append(self.path)
            self.send_response(status)
            for name, value in {"Content_Length": len(body), **headers}.items():
                self.send_header(name.replace("_", "-"), str(value))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"{HOST}:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("requests", [1, 3, 41])
def test_exactly_so_many_requests_are_sent(requests):
    with answering() as (address, asked):
        send(address, [Ask("/a", b"orders"), Ask("/b", b"orders")], requests, seed=1)
    assert len(asked) == requests


def test_the_same_seed_sends_the_same_requests():
    sent = []
    for seed in (1, 1, 2):
        with answering() as (address, asked):
            send(address, [Ask(f"/{number}", b"orders") for number in range(50)], 40, seed)
        sent.append(sorted(asked))
    assert sent[0] == sent[1] != sent[2]


def test_a_status_is_an_error_that_has_the_answer():
    with answering(b"template: no such function", 500) as (address, _), pytest.raises(LoadError) as error:
        send(address, [Ask("/list", b"orders")], 5, seed=1)
    assert "/list: 500 Internal Server Error: b'template: no such function'" in str(error.value)


def test_an_answer_without_what_it_must_hold_is_an_error():
    body = gzip.compress(b"no rows")
    with (
        answering(body, Content_Encoding="gzip") as (address, _),
        pytest.raises(LoadError, match="no b'orders' in b'no rows'"),
    ):
        send(address, [Ask("/list", b"orders", zipped=True)], 5, seed=1)


def test_a_compressed_answer_is_unzipped_before_it_is_looked_into():
    body = gzip.compress(b"all 12 orders")
    with answering(body, Content_Encoding="gzip") as (address, asked):
        send(address, [Ask("/list", b"12 orders", zipped=True)], 5, seed=1)
    assert len(asked) == 5


def test_an_answer_that_must_be_compressed_and_is_not_is_an_error():
    with answering() as (address, _), pytest.raises(LoadError, match="not compressed: b'all 12 orders'"):
        send(address, [Ask("/list", b"orders", zipped=True)], 5, seed=1)


def test_a_server_that_is_gone_is_an_error_that_says_what_was_asked():
    with answering() as (address, _):
        pass
    with pytest.raises(LoadError, match="/list: ConnectionRefused"):
        send(address, [Ask("/list", b"orders")], 5, seed=1)


@contextmanager
def subscriber(*sent):
    """A client of NATS to which a server has sent this, before it closed the connection."""
    server, client = socket.socketpair()
    with server, client:
        client.settimeout(5)
        server.sendall(b"INFO {}\r\n")
        connection = nats.Connection(client)
        for each in sent:
            server.sendall(each)
        server.shutdown(socket.SHUT_WR)
        yield connection


MESSAGE = b"MSG orders.1.new 1 16\r\n" + b"x" * 16 + b"\r\n"


@pytest.mark.parametrize(
    ("sent", "length"),
    [
        ([MESSAGE, MESSAGE], 2 * len(MESSAGE)),
        ([MESSAGE, b"PING\r\n", MESSAGE], 2 * len(MESSAGE)),
        ([b"PING\r\n", b"PING\r\n", MESSAGE, b"PI"], len(MESSAGE)),
    ],
)
def test_messages_are_counted_without_the_servers_pings(sent, length):
    with subscriber(*sent) as connection:
        connection.take(length)


@pytest.mark.parametrize(
    ("sent", "what"),
    [
        ([MESSAGE], "41 of 82 bytes of messages"),
        ([MESSAGE, b"-ERR 'Slow Consumer'\r\n"], "-ERR 'Slow Consumer'"),
        ([MESSAGE, MESSAGE, MESSAGE], "123 bytes of messages instead of 82"),
    ],
)
def test_messages_that_are_too_few_or_too_many_are_an_error(sent, what):
    with subscriber(*sent) as connection, pytest.raises(LoadError, match=re.escape(what)):
        connection.take(2 * len(MESSAGE))


def test_a_publisher_answers_pings_and_says_what_came_instead_of_a_pong():
    came = b"PING\r\nPONG\r\n-ERR 'Authorization Violation'\r\n"
    with subscriber(came) as connection, pytest.raises(LoadError, match="-ERR 'Authorization Violation'"):
        connection.publish(nats.batch(1), times=2)


def test_a_batch_has_each_message_once_in_an_order_of_its_seed():
    published = re.findall(rb"PUB (\S+) (\d+)\r\nx", nats.batch(1))
    assert sorted(published) == sorted(
        (nats.name(subject), b"%d" % size) for subject in range(nats.SUBJECTS) for size in nats.SIZES
    )
    assert nats.batch(1) == nats.batch(1) != nats.batch(2)


def test_caddys_site_is_the_same_each_time_and_has_what_is_asked_for(tmp_path):
    written = []
    for name in ("one", "two"):
        caddy.write_site(tmp_path / name)
        written.append({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()})
    assert written[0] == written[1]
    assert {ask.path.partition("?")[0].lstrip("/") for ask in caddy.asks()} <= set(written[0])


def test_the_series_are_the_same_each_time_and_are_those_that_the_panels_ask_for():
    text = ["".join(prometheus.openmetrics()) for _ in range(2)]
    assert sha256(text[0].encode()).digest() == sha256(text[1].encode()).digest()
    for metric in re.findall(r"\b(?:http|process)_\w+", " ".join(prometheus.PANELS)):
        assert f"\n{metric}{{" in text[0]


def test_a_running_server_is_ended_with_all_that_it_has_started():
    script = "sleep 1000 & echo started; wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, process_group=0) as process:
        with Running(process, "127.0.0.1:1"):
            process.stdout.readline()
        assert process.poll() is not None
        assert not process.stdout.read()  # the child held it open


def test_servers_are_pinned_and_have_names_of_their_own():
    assert len({server.name for server in SERVERS}) == len(SERVERS)
    for server in SERVERS:
        assert re.fullmatch(r"v\d+\.\d+\.\d+", server.version)
        assert server.package.startswith(server.module)


def test_a_source_can_be_written_to_and_is_no_part_of_a_workspace(tmp_path, monkeypatch):
    module, cache = tmp_path / "module", tmp_path / "cache"
    for folder in (module, cache):
        folder.mkdir()
    for name in ("go.mod", "go.work", "main.go"):
        (module / name).touch(mode=0o444)
    module.chmod(0o555)
    monkeypatch.setattr(serving, "run", lambda *_, **__: json.dumps({"Dir": str(module)}))
    source = nats.NATS.source(cache)
    assert sorted(file.name for file in source.iterdir()) == ["go.mod", "main.go"]
    assert all(path.stat().st_mode & 0o200 for path in [source, *source.iterdir()])


@pytest.mark.slow
def test_a_real_broker_builds_serves_and_is_profiled(tmp_path):
    source, binary = nats.NATS.source(tmp_path), tmp_path / "nats"
    assert nats.NATS.source(tmp_path) == source
    command = ["go", "build", "-trimpath", "-buildvcs=false", "-pgo=off", "-o", binary, nats.NATS.package]
    subprocess.run(command, cwd=source, env={**os.environ, "CGO_ENABLED": "0"}, check=True)
    with nats.NATS.start(binary, tmp_path / "run") as running:
        nats.NATS.drive(running, 50, seed=1)
        nats.NATS.profile(running, 1, tmp_path / "cpu.pprof")
        running.process.kill()
        with pytest.raises(LoadError):
            nats.NATS.drive(running, 50, seed=1)
    assert gzip.decompress((tmp_path / "cpu.pprof").read_bytes())
