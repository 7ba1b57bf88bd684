from __future__ import annotations

import json
import subprocess
import time

import pytest
from click.testing import CliRunner

from fleetpgo.cli import cli
from fleetpgo.services import services_directory


def run(*arguments: str, **environment: str):
    return CliRunner(env=environment).invoke(cli, arguments)


@pytest.fixture
def broken(tmp_path):
    text = (services_directory() / "wshim.yaml").read_text()
    (tmp_path / "wshim.yaml").write_text(text)
    (tmp_path / "broken.yaml").write_text(text.replace("binary:", "binaries:"))
    return tmp_path


def test_check_names_every_mistake_and_fails(broken):
    done = run("services", "check", FLEETPGO_SERVICES=str(broken))
    assert done.exit_code == 1
    assert f"{broken / 'wshim.yaml'}: ok" in done.output
    assert "build.binaries: unknown key" in done.output


def test_the_services_are_listed_for_programs():
    (wshim,) = json.loads(run("services", "list", "--json").output)
    assert (wshim["name"], wshim["repository"]["project"]) == ("wshim", "wshim")


def test_the_schema_is_a_json_schema_of_a_service_file():
    schema = json.loads(run("services", "schema").output)
    assert {"selection", "repository", "build", "rollout", "measurement"} <= set(schema["required"])


def test_select_shows_who_would_be_profiled(start_prometheus):
    now = int(time.time())
    labels = {"job": "wshim", "tier": "1", "datacenter": "ams"}
    series = "instance:container_cpu_time_seconds_total:rate2m"
    prometheus = start_prometheus(
        [
            (series, {**labels, "instance": f"{name}:80"}, [(now, cores)])
            for name, cores in (("a", 1), ("b", 2))
        ]
    )
    done = run("select", "wshim", "--instances", "1", "--json", "--prometheus", prometheus.address)
    chosen = [(each["round"], each["instance"], each["cores"]) for each in json.loads(done.output)["targets"]]
    assert chosen == [(1, "b:80", 2.0), (2, "a:80", 1.0)]


def test_a_failure_is_told_without_a_traceback(free_port):
    done = subprocess.run(
        ["fleetpgo", "select", "wshim", "--prometheus", f"http://127.0.0.1:{free_port}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "fleetpgo: cannot reach Prometheus" in done.stderr
    assert "Traceback" not in done.stderr


def test_proposing_without_a_collected_run_says_how_to_make_one(tmp_path):
    done = run("propose", "wshim", "--store", str(tmp_path), "--forge", str(tmp_path))
    assert done.exit_code == 2
    assert "make one with `fleetpgo collect`" in done.output
