"""``fleetpgo init`` on a real Prometheus and a real clone: whole files, and what it refuses."""

from __future__ import annotations

import time

import pytest
from click.testing import CliRunner

from fleetpgo.cli.main import cli
from fleetpgo.proposal.git import git
from fleetpgo.service.files import load_service

MAIN = "package main\n\nfunc main() {}\n"


@pytest.fixture(scope="module")
def prometheus(start_prometheus, serving):
    """api: all that a service can export, in two datacenters; worker: its pods alone tell its CPU."""
    now = int(time.time())
    times = range(now - 600, now + 600, 30)
    ones = [(at, 1) for at in times]

    def counter(rate):
        return [(at, rate * (at - times[0])) for at in times]

    api = {"job": "api", "instance": serving, "region": "eu", "cluster": "one"}
    other = {"job": "api", "instance": "127.0.0.1:1", "region": "us", "cluster": "one"}
    worker = {"job": "worker", "instance": "10.0.0.1:9090", "namespace": "shop", "pod": "worker-0"}
    pod = {"namespace": "shop", "pod": "worker-0", "container": "worker"}
    return start_prometheus(
        [
            *(("go_info", {**each, "version": "go1.27.3"}, ones) for each in (api, other, worker)),
            *(("process_cpu_seconds_total", each, counter(1)) for each in (api, other)),
            *(("process_start_time_seconds", each, [(at, 1) for at in times]) for each in (api, worker)),
            ("api_build_info", {**api, "pgo": "off", "revision": "4f2a"}, ones),
            ("http_requests_total", {**api, "code": "200"}, counter(9)),
            ("grpc_server_handled_total", api, counter(2)),
            ("container_cpu_usage_seconds_total", pod, counter(3)),
        ]
    ).address


@pytest.fixture
def monorepo(tmp_path):
    """Two services in one module, and a third in a module of its own."""
    root = tmp_path / "shop"
    for name in ("cmd/api", "cmd/worker", "tools/gen"):
        (root / name).mkdir(parents=True)
        (root / name / "main.go").write_text(MAIN)
    (root / "go.mod").write_text("module example.com/shop\n\ngo 1.24\n")
    (root / "tools" / "go.mod").write_text("module example.com/shop/tools\n\ngo 1.24\n")
    git(root, "init", "--quiet", "--initial-branch=trunk")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "Begin")
    return root


@pytest.fixture
def init(tmp_path, prometheus, monorepo):
    def called(service, *options):
        environment = {"FLEETPGO_SERVICES": str(tmp_path / "services")}
        arguments = [service, "--prometheus", prometheus, "--repository", str(monorepo), *options]
        return CliRunner(env=environment).invoke(cli, ["init", *arguments])

    return called


def port(address):
    return int(address.rpartition(":")[2])


def test_a_service_file_holds_what_was_found_and_where(init, tmp_path, serving):
    done = init("api")

    assert done.exit_code == 0, done.output
    file = tmp_path / "services" / "api.yaml"
    whole = 'count(api_build_info{job="api"})'
    assert (
        file.read_text()
        == f"""\
# The Go service api. `fleetpgo services schema` explains every key.
description: api

selection:
  # process_cpu_seconds_total, which 2 instances export
  cpu: 'rate(process_cpu_seconds_total{{job="api"}}[5m])'
  # CHECK: a label with the values eu, us; also there: cluster
  datacenter_label: region

collection:
  # {serving} lists its profiles at /debug/pprof/, where Prometheus scrapes it
  url: 'http://$instance/debug/pprof/profile?seconds=$seconds'
  # CHECK: the lowest and the highest port that Prometheus scrapes
  ports: [1, {port(serving)}]
  # the instances are on this machine
  allow: [127.0.0.0/8]

repository:
  # a directory of this machine
  forge: local
  # from the repository's address
  project: shop
  # the branch that a clone has
  base: trunk

build:
  # the package main in cmd/api; if production builds with other flags or tags, write its own command
  command: 'go build -o bin/api ./cmd/api'
  # what the command writes
  binary: bin/api

rollout:
  # api_build_info has the label pgo
  fraction: '(count(api_build_info{{job="api", pgo="$profile"}}) or vector(0)) / {whole}'
  # likewise
  treated: 'api_build_info{{job="api", pgo="$profile"}}'
  # it reveals restarts
  started: 'process_start_time_seconds{{job="api"}}'
  # api_build_info has the label revision
  revision: 'count by (revision) (api_build_info{{job="api"}})'

measurement:
  # CHECK: the busiest; also there: grpc_server_handled_total
  requests: 'sum by (instance, region) (rate(http_requests_total{{job="api"}}[5m]))'
"""
    )
    assert load_service(file).measurement.cpu == load_service(file).selection.cpu


def test_a_third_party_service_has_its_pods_cpu_and_start_times(init, tmp_path):
    done = init("worker")

    assert done.exit_code == 0, done.output
    service = load_service(tmp_path / "services" / "worker.yaml")
    assert "container_cpu_usage_seconds_total" in service.selection.cpu
    assert (service.rollout.fraction, service.rollout.treated) == (None, None)
    assert service.rollout.started == 'process_start_time_seconds{job="worker"}'
    assert "collection.url: CHECK: at 10.0.0.1:9090 there is no /debug/pprof/ (no: " in done.output


def test_the_best_of_several_main_packages_is_marked(init, tmp_path):
    done = init("shop", "--job", "api")

    assert done.exit_code == 0, done.output
    assert "build.command: CHECK: one of 3 main packages; the package main in cmd/api" in done.output
    assert load_service(tmp_path / "services" / "shop.yaml").build.command == (
        *("go", "build", "-o", "bin/shop", "./cmd/api"),
    )


def test_a_module_in_a_directory_is_built_there(init, tmp_path):
    assert init("gen", "--job", "api").exit_code == 0
    assert load_service(tmp_path / "services" / "gen.yaml").build.command == (
        *("go", "build", "-C", "tools", "-o", "../bin/gen", "./gen"),
    )


def test_a_file_that_is_there_is_never_overwritten(init, tmp_path):
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "api.yml").write_text("mine")
    done = init("api")
    assert (done.exit_code, "api.yml exists already" in str(done.exception)) == (1, True)
    assert [each.name for each in (tmp_path / "services").iterdir()] == ["api.yml"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("payments",), "Prometheus has no Go service with the job 'payments'; it has "),
        (
            ("api", "--repository", "git@github.com:a/b"),
            "--repository is neither https://host/owner/name nor",
        ),
        (
            ("api", "--repository", "https://git.example/a/b"),
            "the kind of the forge git.example is not known",
        ),
    ],
)
def test_where_nothing_fits_no_file_is_written_and_the_exit_code_is_2(init, tmp_path, arguments, said):
    done = init(*arguments)
    assert (done.exit_code, said in done.output) == (2, True), done.output
    assert not (tmp_path / "services").exists()
