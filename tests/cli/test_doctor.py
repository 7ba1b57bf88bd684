"""``fleetpgo doctor`` on a real Prometheus, a real local forge and an instance that lists its profiles."""

from __future__ import annotations

import json
import time

import pytest
from click.testing import CliRunner

from fleetpgo.cli.main import cli
from fleetpgo.pprof.codec import kernel, plain

SERVICE = """\
prometheus: {connection: prometheus}
selection: {cpu: cpu, instances: 3}
collection:
  url: http://$instance/debug/pprof/profile?seconds=$seconds
  ports: [1024, 65535]
  allow: [127.0.0.1]
  max_share: 0.5
repository: {forge: local, connection: forge, project: tiny}
build: {command: go build ./..., binary: bin/tiny}
rollout:
  fraction: vector(0)
  treated: build_info{pgo="$profile"}
  started: process_start_time_seconds
measurement: {cpu: cpu}
"""


@pytest.fixture(scope="module")
def prometheus(start_prometheus, serving):
    """Three instances in two datacenters, a week and a bit of history."""
    now = int(time.time())
    times = [now - 8 * 86_400 + at for at in range(0, 8 * 86_400 + 600, 240)]
    data = []
    for name, datacenter, cores in ((serving, "ams", 3), ("b:80", "ams", 2), ("c:80", "lhr", 1)):
        labels = {"instance": name, "datacenter": datacenter}
        data += [
            ("cpu", labels, [(at, cores) for at in times]),
            ("process_start_time_seconds", labels, [(at, 1_000) for at in times]),
            ("cpu_seconds_total", labels, [(at, cores * at) for at in times[-3:]]),
            ("api_build_info", {**labels, "revision": "v2"}, [(at, 1) for at in times[-3:]]),
            ("other", {**labels, "instance": f"x{name}"}, [(at, 1) for at in times[-3:]]),
        ]
    return start_prometheus(data)


@pytest.fixture
def examine(tmp_path, prometheus, origin):
    """Examine a service whose file has some texts replaced; exit code and checks by name."""

    def examined(*replaced, **environment):
        text = SERVICE
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "services").mkdir(exist_ok=True)
        (tmp_path / "services" / "tiny.yaml").write_text(text)
        variables = {
            "FLEETPGO_SERVICES": str(tmp_path / "services"),
            "FLEETPGO_STORE": str(tmp_path / "store"),
            "FLEETPGO_FORGE": str(origin),
            "FLEETPGO_PROMETHEUS": prometheus.address,
            **environment,
        }
        done = CliRunner(env=variables).invoke(cli, ["doctor", "tiny", "--json"])
        checks = json.loads(done.stdout)["checks"]
        return done.exit_code, {
            each["name"]: (each["outcome"], each["said"] + (f" → {each['hint']}" if each["hint"] else ""))
            for each in checks
        }

    return examined


RELEASED = (
    ("instances: 3}", "instances: 3, builds: api_build_info}"),
    ("rollout:\n", "rollout:\n  revision: count by (revision) (api_build_info)\n"),
    ("measurement: {cpu: cpu}", "measurement: {cpu: cpu}\nrelease: {}"),
)


def test_what_a_release_would_be_is_shown(examine):
    assert examine(*RELEASED)[1]["release"] == ("ok", "100 % of the instances run v2")


def test_builds_that_name_revisions_otherwise_are_told(examine):
    _, found = examine(*RELEASED, ("builds: api_build_info", "builds: other"))
    assert found["release"] == (
        "warning",
        (
            "100 % of the instances run v2, and no series of other has that revision → selection.builds and "
            "rollout.revision must name revisions alike"
        ),
    )


def test_what_two_other_services_do_to_each_other_is_no_matter(examine, tmp_path):
    (tmp_path / "services").mkdir()
    for name in ("my-tiny", "web"):
        (tmp_path / "services" / f"{name}.yaml").write_text(SERVICE.replace("project: tiny", "project: shop"))
    code, found = examine()
    assert code == 0
    assert "repository.profile" not in found


def test_a_sound_service_passes_and_says_what_will_be_possible(examine, serving, tmp_path):
    code, found = examine()

    assert code == 0
    assert found["selection.cpu"] == (
        "ok",
        f"3 instances in 2 datacenter(s); the busiest of them, {serving}, uses 3 cores; 3 would be profiled",
    )
    assert found["collection.max_share"] == (
        "ok",
        "a round takes at least 0:01:00: 2 instances of ams, 1 at a time (collection.max_share), 30 s each",
    )
    assert found["collection.url"] == ("ok", f"http://{serving}/debug/pprof/ lists profiles")
    assert found["rollout.fraction"] == ("ok", "0")
    assert found["rollout.treated"] == ("ok", "no series")
    assert found["rollout.started"] == ("ok", "3 series, the first 1e+03")
    assert found["measurement.week"] == ("ok", "Prometheus has metrics of 1 whole week(s)")
    assert found["estimator"] == (
        "ok",
        "A (hold-back group) over the week, if instances of two datacenters stay on the old build",
    )
    assert found["repository.connection"][0] == "ok"
    assert found["store"] == ("ok", f"{tmp_path}/store can be written to and read from")
    assert list((tmp_path / "store").iterdir()) == []
    assert found["Go"][1].startswith("go version go1.")


def test_limits_of_the_repository_are_said(examine):
    _, found = examine(("project: tiny}", "project: tiny, limits: {open: 3, builds_per_hour: 4}}"))
    said = (
        "at most 3 open pull request(s) and 4 build(s) an hour, for the 1 service(s) of tiny: a run beyond "
        "that waits"
    )
    assert found["repository.limits"] == ("ok", said)


@pytest.mark.parametrize(
    ("replaced", "name", "outcome", "said"),
    [
        (("selection: {cpu: cpu,", "selection: {cpu: 'sum(',"), "selection.cpu", "failure", "parse error"),
        (
            ("selection: {cpu: cpu,", "selection: {cpu: cpu_seconds_total,"),
            "selection.cpu",
            "failure",
            "selection.cpu uses cpu_seconds_total as cores, but it is a counter",
        ),
        (
            ("measurement: {cpu: cpu}", "measurement: {cpu: cpu_seconds_total}"),
            "measurement.cpu",
            "failure",
            "measurement.cpu uses cpu_seconds_total as cores, but it is a counter",
        ),
        (
            ("measurement: {cpu: cpu}", "measurement: {cpu: other}"),
            "measurement.cpu",
            "warning",
            "measurement.cpu and selection.cpu must name instances alike",
        ),
        (
            ("measurement: {cpu: cpu}", "measurement: {cpu: cpu, requests: gone}"),
            "measurement.requests",
            "warning",
            "does the metric of measurement.requests exist? gone",
        ),
        (
            ("fraction: vector(0)", "fraction: vector(7)"),
            "rollout.fraction",
            "warning",
            "rollout.fraction must give one number from 0 to 1",
        ),
        (
            ("ports: [1024, 65535]", "ports: [1, 2]"),
            "collection.url",
            "failure",
            "is not within collection.ports",
        ),
        (("  allow: [127.0.0.1]\n", ""), "collection.url", "failure", "collection.allow does not name it"),
        (
            ("profile?seconds", "../nothing/profile?seconds"),
            "collection.url",
            "ok",
            "lists profiles",
        ),
        (("project: tiny", "project: gone"), "repository.connection", "failure", "gone"),
        (("command: go build", "command: gobuilder build"), "gobuilder", "failure", "no gobuilder on"),
        (
            ('  treated: build_info{pgo="$profile"}\n', ""),
            "estimator",
            "warning",
            "no hold-back group, as rollout.treated is not set, and 1 of 3 weeks of metrics",
        ),
    ],
)
def test_each_mistake_has_a_check_that_names_its_key(examine, replaced, name, outcome, said):
    code, found = examine(replaced)
    assert (code, found[name][0]) == (int(outcome == "failure"), outcome), found
    assert said in found[name][1]


def test_a_prometheus_that_does_not_answer_fails_and_the_rest_is_checked(examine, free_port):
    code, found = examine(FLEETPGO_PROMETHEUS=f"http://127.0.0.1:{free_port}")
    assert (code, found["selection.cpu"][0], found["store"][0]) == (1, "failure", "ok")


def test_a_store_that_cannot_be_written_to_fails(examine, tmp_path):
    (tmp_path / "file").write_text("")
    code, found = examine(FLEETPGO_STORE=str(tmp_path / "file" / "store"))
    assert (code, found["store"][0]) == (1, "failure")
    assert "check FLEETPGO_STORE" in found["store"][1]


def test_another_service_that_writes_the_same_profile_fails(examine, tmp_path):
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "another.yaml").write_text(SERVICE)
    code, found = examine()
    assert (code, found["repository.profile"][0]) == (1, "failure")
    assert "another.yaml writes the same file" in found["repository.profile"][1]


def test_it_warns_where_profiles_are_read_by_python(examine, monkeypatch):
    monkeypatch.setattr(kernel, "KERNEL", plain)
    code, checks = examine()
    assert code == 0
    outcome, said = checks["fleetpgo-kernel"]
    assert outcome == "warning"
    assert said.endswith("→ install Rust and run `make setup` in a checkout, or `pip install ./kernel`")
