"""A release on a real scheduler and triggerer: one run, whatever restarts, and nothing below its gate."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from demo.airflow import Airflow
from demo.processes import free_port
from demo.two_step import VARIABLES
from fleetpgo.proposal.git import git
from fleetpgo.run.released import Begun, Fit
from fleetpgo.run.store import RunStore, runs_of
from tests.dags.test_killed_task import wait_until
from tests.steps.test_needs import PATH, PROFILE

DAG_ID = "pgo_refresh__tiny"
ADA = {"user.name": "Ada", "user.email": "ada@example.com"}

SERVICE = f"""\
schedule: null
prometheus: {{connection: prometheus}}
selection: {{cpu: cpu, builds: build_info}}
collection: {{url: "http://$instance/debug/pprof/profile", ports: [1024, 65535], allow: [127.0.0.1]}}
repository: {{forge: local, connection: forge, project: tiny, profile: {PATH}}}
build: {{binary: bin/tiny, command: "false"}}
rollout: {{fraction: vector(1), revision: count by (revision) (build_info), poll: 2s}}
release: {{settle: 5s}}
"""

pytestmark = pytest.mark.slow


@contextmanager
def exporting():
    """Serve the metrics of one instance; yield a mapping whose `revision` may be changed."""
    shown = {"revision": ""}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = f'cpu 0.5\nbuild_info{{revision="{shown["revision"]}"}} 1\n'.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port, shown
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def scraping(directory, port):
    """A real Prometheus that scrapes the instance every second; yield its address."""
    directory.mkdir()
    (directory / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        f"scrape_configs: [{{job_name: tiny, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    )
    address = f"127.0.0.1:{free_port()}"
    server = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address={address}",
            "--log.level=error",
        ]
    )
    try:
        yield f"http://{address}"
    finally:
        server.kill()
        server.wait()


def has_cpu(address):
    try:
        answer = requests.get(f"{address}/api/v1/query", params={"query": "cpu"}, timeout=5).json()
    except requests.ConnectionError:
        return False
    return bool(answer["data"]["result"])


@pytest.fixture
def commits(go_module, bare):
    """Two commits of the base with a profile that fits them: the release before, and the new one."""
    (go_module / "pgo").mkdir()
    (go_module / PATH).write_bytes(PROFILE)
    git(go_module, "add", "--all", "--force")
    found = []
    for name in ("Begin", "Release"):
        git(go_module, "commit", "--quiet", "--allow-empty", "--message", name, config=ADA)
        found.append(git(go_module, "rev-parse", "HEAD"))
    git(go_module, "push", "--quiet", str(bare), "HEAD:main")
    return found


def test_a_release_begins_one_run_which_ends_if_the_profile_fits(commits, origin, tmp_path, go_cache):
    before, new = commits
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "tiny.yaml").write_text(SERVICE)
    root = tmp_path / "store"
    with exporting() as (port, shown), scraping(tmp_path / "prometheus", port) as prometheus:
        shown["revision"] = before
        variables = {
            "FLEETPGO_SERVICES": str(tmp_path / "services"),
            "FLEETPGO_STORE": str(root),
            "FLEETPGO_CACHE": str(go_cache),
            "AIRFLOW_CONN_PROMETHEUS": prometheus,
            "AIRFLOW_CONN_FORGE": json.dumps({"conn_type": "generic", "extra": {"path": str(origin)}}),
            **VARIABLES,
        }
        with Airflow(tmp_path / "airflow", free_port(), variables) as airflow:

            def known():
                return airflow.asset_state("tiny release", "revisions")

            wait_until(lambda: has_cpu(prometheus), airflow)
            airflow.wait_ready(DAG_ID)
            airflow.unpause(DAG_ID)
            wait_until(lambda: known() == [before], airflow)
            shown["revision"] = new
            [run] = wait_until(lambda: airflow.runs(DAG_ID), airflow)
            airflow.finish(DAG_ID, run)
            states = {each["task_id"]: each["state"] for each in airflow.task_instances(DAG_ID, run)}
            wait_until(lambda: known() == [before, new], airflow)

            # A triggerer that forgets everything, and a rollback and the way back.
            airflow.restart_component("triggerer", "--skip-serve-logs")
            for revision in (before, new):
                shown["revision"] = revision
                time.sleep(15)
            runs = airflow.runs(DAG_ID)
    gates = ("notice_release", "preflight", "needs_profile")
    assert {name: states.pop(name) for name in gates} == dict.fromkeys(gates, "success")
    assert set(states.values()) == {"skipped"}
    assert {"fetch_profile", "top_up", "merge_profiles"} <= states.keys()
    assert runs == [run]
    assert [each.read(Begun).revision for each in runs_of(root, "tiny")] == [new]
    assert RunStore(root, "tiny", run).read(Fit).share == 1.0
