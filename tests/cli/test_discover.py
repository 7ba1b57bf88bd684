"""``fleetpgo discover`` on a real Prometheus, and on instances that do and do not serve their profiles."""

import json
import socket
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from click.testing import CliRunner

from fleetpgo.cli.discover import WHO_GAINS
from fleetpgo.cli.main import cli
from fleetpgo.cli.options import open_prometheus
from fleetpgo.collection.probing import probe
from fleetpgo.errors import SelectionError
from fleetpgo.prometheus import Answer
from fleetpgo.selection.discovery import discover_seen

PPROF = b"<html><head><title>/debug/pprof/</title></head><a href='profile?debug=1'>profile</a></html>"


@contextmanager
def instance(status, body):
    """A process that answers every path alike; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def found(start_prometheus, tmp_path_factory):
    """Three services: one of two builds, one whose pods alone tell their CPU, one without any CPU metric."""
    now = int(time.time())
    times = range(now - 600, now + 600, 30)

    def counter(cores):
        return [(at, cores * (at - times[0])) for at in times]

    ones = [(at, 1) for at in times]
    with instance(200, PPROF) as serving, instance(404, b"") as silent:
        old = {"job": "api", "instance": "127.0.0.1:2"}
        new = {"job": "api", "instance": "127.0.0.1:1"}
        pod = {"job": "worker", "instance": serving, "namespace": "shop", "pod": "worker-0"}
        container = {"namespace": "shop", "pod": "worker-0", "container": "worker"}
        prometheus = start_prometheus(
            [
                ("go_info", {**old, "version": "go1.26.6"}, ones),
                ("go_info", {**new, "version": "go1.27.3"}, ones),
                ("go_info", {**pod, "version": "go1.27.3"}, ones),
                ("go_info", {"job": "quiet", "instance": silent, "version": "go1.27.3"}, ones),
                ("process_cpu_seconds_total", old, counter(1.5)),
                ("process_cpu_seconds_total", new, counter(0.5)),
                ("process_cpu_seconds_total", {"job": "python", "instance": "c:80"}, counter(9)),
                ("container_cpu_usage_seconds_total", container, counter(3)),
                ("container_cpu_usage_seconds_total", {**container, "container": ""}, counter(3)),
            ]
        )
        services = tmp_path_factory.mktemp("services")
        done = CliRunner(env={"FLEETPGO_SERVICES": str(services)}).invoke(
            cli, ["discover", "--json", "--prometheus", prometheus.address]
        )
    assert done.exit_code == 0, done.output
    return {each["job"]: each for each in json.loads(done.output)["services"]}


def test_those_that_use_most_cpu_come_first(found):
    assert list(found) == ["worker", "api", "quiet"]


def test_the_cpu_of_instances_is_added_up_and_two_percent_of_it_shown(found):
    assert found["api"]["cores"] == pytest.approx(2, rel=0.02)
    assert found["api"]["two_percent"] == pytest.approx(0.04, rel=0.02)


def test_where_processes_do_not_tell_their_cpu_containers_do(found):
    assert found["worker"]["cores"] == pytest.approx(3, rel=0.02)
    assert found["worker"]["metric"] == "container_cpu_usage_seconds_total"


def test_cpu_that_no_metric_tells_is_not_zero(found):
    assert (found["quiet"]["cores"], found["quiet"]["two_percent"]) == (None, None)


def test_each_version_of_go_has_its_number_of_instances(found):
    assert (found["api"]["instances"], found["api"]["versions"]) == (2, {"go1.26.6": 1, "go1.27.3": 1})


def test_whether_an_instance_serves_its_profiles_is_asked_of_it(found):
    assert {job: each["pprof"] for job, each in found.items()} == {
        "worker": "yes",
        "quiet": "no: HTTP 404",
        "api": "no: unreachable",
    }


@contextmanager
def breaking_off():
    """A process that promises more than it sends; its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<html>")

        thread = Thread(target=answer)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def test_an_instance_that_breaks_off_is_one_that_does_not_answer():
    with breaking_off() as address:
        assert probe(address) == "no: unreachable"


def test_headers_for_prometheus_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("FLEETPGO_PROMETHEUS_HEADERS", "X-Scope-OrgID: shop\nAuthorization: Bearer t0k3n\n")
    headers = open_prometheus("http://mimir:8080/prometheus").session.headers
    assert (headers["X-Scope-OrgID"], headers["Authorization"]) == ("shop", "Bearer t0k3n")


def test_a_pipe_gets_whole_names(start_prometheus, tmp_path):
    job = "a-service-whose-name-is-longer-than-any-terminal-is-wide-" * 3
    info = {"job": job, "instance": "127.0.0.1:1", "version": "go1.27.3"}
    prometheus = start_prometheus([("go_info", info, [(int(time.time()) + 60 * i, 1) for i in range(-2, 3)])])
    done = CliRunner(env={"FLEETPGO_SERVICES": str(tmp_path)}).invoke(
        cli, ["discover", "--no-probe", "--prometheus", prometheus.address]
    )
    assert job in done.output
    assert WHO_GAINS in done.output


def test_a_prometheus_without_go_services_is_an_error(start_prometheus):
    prometheus = start_prometheus([("up", {"job": "node"}, [(int(time.time()), 1)])])
    done = CliRunner().invoke(cli, ["discover", "--prometheus", prometheus.address])
    assert "has no series of go_info" in str(done.exception)


@pytest.mark.parametrize(
    ("name", "cpu", "file"),
    [
        ("shop", 'rate(cpu{job="api", tier="1"}[5m])', "shop.yaml"),
        ("api", "cpu", "api.yaml"),
        ("x", "cpu", None),
    ],
)
def test_the_service_file_is_the_one_that_selects_the_job_or_has_its_name(
    start_prometheus, tmp_path, name, cpu, file
):
    (tmp_path / f"{name}.yaml").write_text(
        f"prometheus: {{connection: p}}\nselection: {{cpu: '{cpu}'}}\n"
        "repository: {forge: local, connection: f, project: api}\nbuild: {binary: bin/api}\n"
        "rollout: {fraction: up}\nmeasurement: {cpu: up}\n"
    )
    info = {"job": "api", "instance": "127.0.0.1:1", "version": "go1.27.3"}
    prometheus = start_prometheus([("go_info", info, [(int(time.time()) + 60 * i, 1) for i in range(-2, 3)])])
    done = CliRunner(env={"FLEETPGO_SERVICES": str(tmp_path)}).invoke(
        cli, ["discover", "--no-probe", "--json", "--prometheus", prometheus.address]
    )
    (service,) = json.loads(done.output)["services"]
    assert (service["service_file"], service["pprof"]) == (file, None)


@pytest.mark.parametrize(("option", "label"), [("--parca", "job"), ("--pyroscope", "service_name")])
def test_a_store_of_profiles_tells_its_services(option, label, tmp_path):
    def series(service, number, cores):
        labels = [{"name": label, "value": service}, {"name": "instance", "value": f"{service}-{number}:80"}]
        value = {"value": cores * 3600 * 10**9}
        return {"labels": labels, "points": [value], "labelset": {"labels": labels}, "samples": [value]}

    answer = {"series": [series("api", 0, 1), series("api", 1, 2), series("worker", 0, 5)]}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_POST = do_GET  # noqa: N815  # http.server's names

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            done = CliRunner(env={"FLEETPGO_SERVICES": str(tmp_path)}).invoke(
                cli, ["discover", "--json", option, f"http://127.0.0.1:{server.server_port}"]
            )
        finally:
            server.shutdown()
            thread.join()
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)["services"]
    assert [(each["job"], each["instances"], each["cores"]) for each in found] == [
        ("worker", 1, 5.0),
        ("api", 2, 3.0),
    ]


def test_a_store_that_has_seen_nothing_is_an_error():
    with pytest.raises(SelectionError, match="has seen no service in the last hour"):
        discover_seen(Answer("cpu{}", ()), "job")


def test_without_a_server_the_options_are_named():
    done = CliRunner(env={"FLEETPGO_PROMETHEUS": ""}).invoke(cli, ["discover"])
    assert "--prometheus, --pyroscope or --parca" in done.output
