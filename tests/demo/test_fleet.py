"""The demo's fleet, on real Go, git and Prometheus."""

import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests

from demo.fleet import CPU_SERIES, Fleet
from demo.processes import DemoError, claim_port, wait_until

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not (shutil.which("go") and shutil.which("prometheus")), reason="needs go and prometheus on PATH"
)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    with Fleet(tmp_path_factory.mktemp("fleet"), instances=2, requests_per_second=10) as running:
        running.wait_ready()
        yield running


def query(fleet, text):
    answer = requests.get(f"{fleet.prometheus_url}/api/v1/query", params={"query": text}, timeout=10).json()
    return [series["metric"] for series in answer["data"]["result"]]


def build_info(instance):
    lines = requests.get(f"http://{instance.address}/metrics", timeout=10).text.splitlines()
    return next(line for line in lines if line.startswith("wshim_build_info"))


def test_the_cpu_series_carries_the_labels_of_the_fleet(fleet):
    assert sorted(query(fleet, CPU_SERIES), key=lambda labels: labels["datacenter"]) == [
        {
            "__name__": CPU_SERIES,
            "job": "wshim",
            "instance": fleet.instances[i].address,
            "datacenter": datacenter,
            "tier": "1",
        }
        for i, datacenter in enumerate(["ams", "lhr"])
    ]


def test_every_instance_gets_requests_and_accepts_them(fleet):
    accepted = 'wshim_requests_total{code="204"} > 0 unless wshim_requests_total{code="400"} > 0'
    wait_until(lambda: len(query(fleet, accepted)) == 2, "requests at both", [], timeout_s=20)


def test_a_roll_puts_a_new_revision_on_the_chosen_instances_only(fleet, tmp_path):
    before = [build_info(instance) for instance in fleet.instances]
    clone = tmp_path / "clone"
    git = ["git", "-c", "user.name=dev", "-c", "user.email=dev@example.com"]
    subprocess.run(["git", "clone", "--quiet", fleet.origin, clone], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "More"], cwd=clone, check=True)
    subprocess.run(["git", "push", "--quiet"], cwd=clone, check=True)
    revision = subprocess.check_output(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=clone, text=True
    ).strip()

    fleet.roll([1], fleet.build())

    assert [build_info(instance) for instance in fleet.instances] == [
        before[0],
        f'wshim_build_info{{revision="{revision}",pgo="off"}} 1',
    ]


def test_nothing_outlives_a_fleet_whose_program_is_killed(tmp_path):
    program = subprocess.Popen(
        [sys.executable, "-m", "demo.fleet", "up", "--root", tmp_path, "--instances", "1"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        while "Ctrl-C" not in program.stdout.readline():
            assert program.poll() is None
        children = psutil.Process(program.pid).children(recursive=True)
        assert {child.name() for child in children} >= {"prometheus", "loadgen"}
    finally:
        program.send_signal(signal.SIGKILL)
        program.wait()
    _, alive = psutil.wait_procs(children, timeout=15)
    assert alive == []


def test_stop_leaves_no_process(tmp_path):
    with Fleet(tmp_path, instances=1) as fleet:
        children = psutil.Process().children(recursive=True)
        assert fleet.instances[0].pid in {child.pid for child in children}
    assert not any(str(tmp_path) in " ".join(child.cmdline()) for child in psutil.Process().children())


def test_a_taken_port_is_reported_with_what_takes_it():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            DemoError, match=rf"Port {port}, wanted for the UI, is taken by .*\(process \d+\)"
        ):
            claim_port(port, "the UI")
