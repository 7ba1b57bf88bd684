"""The same on a real scheduler: task logs, the whole metadata database, and all that is left elsewhere."""

import json
import os
import shutil
import sqlite3
import time
from base64 import b64encode
from pathlib import Path

import pytest

from demo import processes
from demo.airflow import Airflow
from demo.fleet import Fleet
from fleetpgo.proposal.git import git
from fleetpgo.service.files import services_directory
from tests.proposal.forges.doubles import PROJECT, TOKEN

DAG_ID = "pgo_refresh__wshim"
ENDED = {"success", "failed", "skipped", "upstream_failed"}
IN_THE_ENVIRONMENT = "planted-in-the-environment"
SECRETS = (TOKEN, b64encode(f"x-access-token:{TOKEN}".encode()).decode(), IN_THE_ENVIRONMENT)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]


def host(double, fleet, tmp_path):
    """Have the forge's double keep the fleet's service, whose build shows its environment."""
    shutil.rmtree(double.bare)
    git(tmp_path, "clone", "--quiet", "--bare", fleet.origin.as_uri(), str(double.bare))
    git(double.bare, "config", "http.receivepack", "true")
    work = tmp_path / "work"
    git(tmp_path, "clone", "--quiet", double.bare.as_uri(), str(work))
    makefile = work / "Makefile"
    makefile.write_text(makefile.read_text().replace("\tgo build", "\tenv\n\tgo build", 1))
    git(work, "commit", "--quiet", "--all", "--message", "Show the environment")
    git(work, "push", "--quiet", "origin", "main")


def describe(directory):
    """The service file, with the forge's double for its forge."""
    directory.mkdir()
    text = (services_directory() / "wshim.yaml").read_text()
    for old, new in (
        ("forge: local", "forge: github"),
        ("project: wshim", f"project: {PROJECT}"),
        ("binary: bin/wshim", "binary: bin/wshim\n  explain: false"),
    ):
        assert old in text
        text = text.replace(old, new)
    (directory / "wshim.yaml").write_text(text)


def written(directory):
    """Every file under a directory."""
    files = (Path(root) / name for root, _, names in os.walk(directory) for name in names)
    return "".join(file.read_bytes().decode(errors="replace") for file in files if file.is_file())


def test_a_secret_is_in_no_trace_of_a_run_on_airflow(serve, tmp_path, go_cache, monkeypatch):
    monkeypatch.setenv("GOCACHE", str(go_cache / "go-build"))
    double = serve("github")
    fleet = Fleet(tmp_path / "fleet")
    describe(tmp_path / "services")
    variables = {
        "AIRFLOW_CONN_WSHIM_PROMETHEUS": fleet.prometheus_url,
        "AIRFLOW_CONN_WSHIM_FORGE": json.dumps(
            {"conn_type": "generic", "host": double.address, "password": TOKEN}
        ),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
        "FLEETPGO_SERVICES": str(tmp_path / "services"),
        "FLEETPGO_STORE": str(tmp_path / "store"),
        "FLEETPGO_CACHE": str(go_cache),
        "FLEETPGO_TOKEN": IN_THE_ENVIRONMENT,
        "GITHUB_TOKEN": IN_THE_ENVIRONMENT,
    }
    with Airflow(tmp_path, processes.free_port(), variables) as airflow, fleet:
        host(double, fleet, tmp_path)
        fleet.wait_ready()
        airflow.wait_ready(DAG_ID)
        run = airflow.trigger(DAG_ID, {"seconds": 10})
        state = None
        while state not in ENDED:
            airflow.check()
            time.sleep(1)
            tasks = {each["task_id"]: each for each in airflow.task_instances(DAG_ID, run)}
            state = tasks["build_and_open_pr"]["state"] if "build_and_open_pr" in tasks else None
        assert state == "success", airflow.task_log(tasks["build_and_open_pr"])
        home = airflow.home

    database = sqlite3.connect(home / "airflow.db")
    traces = {
        "task logs": written(home / "logs"),
        "components' logs": written(tmp_path / "logs"),
        "database": "\n".join(database.iterdump()),
        "store": written(tmp_path / "store"),
        "repository": double.kept,
        "pull request": str(double.pull(1)),
    }
    database.close()
    # Each has what it should have, so that a secret in it would be seen: the build's environment, for one.
    assert f"GOCACHE={go_cache}" in traces["task logs"]
    assert '"pull_request": 1' in traces["database"]
    assert '"pull_request": 1' in traces["store"]
    assert "Signed-off-by" in traces["repository"]
    assert "Adds the PGO profile" in traces["pull request"]
    assert [(where, secret) for where, text in traces.items() for secret in SECRETS if secret in text] == []
