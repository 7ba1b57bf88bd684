"""``fleetpgo init`` on a real Prometheus and a real clone: whole files, and what it refuses."""

from __future__ import annotations

import time

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from fleetpgo.cli.init import _remote
from fleetpgo.cli.main import cli
from fleetpgo.proposal.git import git
from fleetpgo.service.files import load_service
from fleetpgo.steps.begin import Line, _text, render

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
    git(tmp_path, "clone", "--quiet", "--bare", "shop", "shop.git")
    return tmp_path / "shop.git"


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


def test_of_two_main_packages_of_the_service_s_name_neither_is_certain(init, monorepo, tmp_path):
    work = tmp_path / "shop"
    (work / "_examples" / "api").mkdir(parents=True)
    (work / "_examples" / "api" / "main.go").write_text(MAIN)
    git(work, "add", ".")
    git(work, "commit", "--quiet", "--message", "Show it")
    git(work, "push", "--quiet", str(monorepo), "trunk")
    done = init("api")
    assert "build.command: CHECK: one of 4 main packages; the package main in cmd/api" in done.output


def test_a_job_that_is_called_otherwise_is_never_taken_without_a_question(init, tmp_path):
    done = init("api-gateway")
    assert (done.exit_code, "name it with --job, perhaps api" in done.output) == (2, True)
    assert not (tmp_path / "services").exists()


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("git@github.com:you/api.git", "https://github.com/you/api.git"),
        ("ssh://git@git.example:2222/you/api", "https://git.example/you/api"),
        ("ssh://git.example/you/api", "https://git.example/you/api"),
        ("https://gitlab.com/you/api.git", "https://gitlab.com/you/api.git"),
        ("https://you:s3cr3t@gitlab.com/you/api.git", "https://gitlab.com/you/api.git"),
        ("file:///srv/forge/api.git", "/srv/forge/api.git"),
    ],
)
def test_a_checkout_stands_for_what_it_was_cloned_from(tmp_path, monorepo, remote, address):
    git(tmp_path / "shop", "remote", "add", "origin", remote)
    assert _remote(tmp_path / "shop") == address


def test_a_checkout_of_nothing_is_no_forge(init, tmp_path):
    done = init("api", "--repository", str(tmp_path / "shop"))
    assert (done.exit_code, "is a checkout without a remote origin" in done.output) == (2, True)


def test_a_directory_that_cannot_be_written_to_is_said_before_anything_is_asked(init, tmp_path):
    (tmp_path / "services").write_text("a file")
    done = init("api")
    assert "set FLEETPGO_SERVICES to a directory" in str(done.exception)


def test_a_label_cannot_leave_its_comment(tmp_path):
    origin = "a label with the values x\nalerts: {notifier: os.system}\nowner: |"
    lines = [Line("selection.cpu", "cpu", origin)]
    assert YAML(typ="safe").load(render("api", lines)) == {"description": "api", "selection": {"cpu": "cpu"}}


@pytest.mark.parametrize("base", ["2.0", "on", "a b", "release/1.2", "~", "main"])
def test_a_branch_of_any_name_is_text(base):
    lines = [Line("repository.base", _text(base), "")]
    assert YAML(typ="safe").load(render("2048", lines)) == {
        "description": "2048",
        "repository": {"base": base},
    }


@pytest.fixture(scope="module")
def pods(start_prometheus):
    """One job of all pods, in which the label app tells the services apart."""
    now = int(time.time())
    times = range(now - 600, now + 600, 30)
    found = []
    for number, app in enumerate(("api", "api", "worker")):
        labels = {"job": "pods", "instance": f"10.0.0.{number}:80", "app": app, "zone": "a"}
        found += [
            ("go_info", {**labels, "version": "go1.27.3"}, [(at, 1) for at in times]),
            ("process_cpu_seconds_total", labels, [(at, at - times[0]) for at in times]),
            ("process_start_time_seconds", labels, [(at, 1) for at in times]),
        ]
    return start_prometheus(found).address


def test_of_a_job_of_all_pods_only_those_of_the_service_are_chosen(init, pods, tmp_path):
    done = init("api", "--prometheus", pods, "--job", "pods")
    assert done.exit_code == 0, done.output
    service = load_service(tmp_path / "services" / "api.yaml")
    assert service.selection.cpu == 'rate(process_cpu_seconds_total{job="pods", app="api"}[5m])'
    assert service.rollout.started == 'process_start_time_seconds{job="pods", app="api"}'


def test_a_job_that_may_hold_other_services_is_marked(init, pods):
    done = init("shop", "--prometheus", pods, "--job", "pods")
    assert (
        "selection.cpu: CHECK: the label app has 2 values (api, worker): are all this service?" in done.output
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
