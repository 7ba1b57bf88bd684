"""How the DAGs behave towards Airflow: cheap to parse, the same at each parse, telling whom they must."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from bench.parse import fleet
from bench.parse import parse as parse_dags
from fleetpgo.service.files import load_service, services_directory

REPAIR = "profile: {repair: true}\n"
APPROVE = "approval: true\n"
ALERTS = """\
alerts:
  notifier: airflow.providers.smtp.notifications.smtp.SmtpNotifier
  arguments: {to: team@example.com}
  late: 4w
"""

SCRIPT = """\
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.models.serialized_dag import SerializedDagModel
from airflow.serialization.serialized_objects import DagSerialization

bag = DagBag(sys.argv[1])
dags = {name: DagSerialization.to_dict(dag) for name, dag in sorted(bag.dags.items())}
found = {
    "errors": bag.import_errors,
    "dags": dags,
    "hashes": {name: SerializedDagModel.hash(dag) for name, dag in dags.items()},
    "docs": {name: dag.doc_md for name, dag in bag.dags.items()},
    "modules": sorted(sys.modules),
}
print(json.dumps(found), file=sys.stderr)
"""


def parse(services) -> dict:
    """What a fresh process makes of the service files in a directory."""
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, os.environ["AIRFLOW__CORE__DAGS_FOLDER"]],
        env={**os.environ, "FLEETPGO_SERVICES": str(services)},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(process.stderr.splitlines()[-1])


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    """A plain service, one with approval and alerts, and one whose notifier does not exist."""
    directory = tmp_path_factory.mktemp("services")
    text = (services_directory() / "wshim.yaml").read_text()
    (directory / "plain.yaml").write_text(text)
    (directory / "careful.yaml").write_text(
        APPROVE + ALERTS + REPAIR + text.replace("binary:", "pool: builds\n  binary:")
    )
    (directory / "mistaken.yaml").write_text(ALERTS.replace("SmtpNotifier", "SmtpNotifyer") + text)
    return directory


@pytest.fixture(scope="module")
def parsed(services):
    return parse(services)


@pytest.fixture(scope="module")
def careful(parsed):
    return parsed["dags"]["pgo_refresh__careful"]["dag"]


def tasks(dag):
    return {task["__var"]["task_id"]: task["__var"] for task in dag["tasks"]}


def test_parsing_again_makes_no_new_version(services, parsed):
    # A fresh process orders its sets anew.
    assert parse(services)["hashes"] == parsed["hashes"]


def test_nothing_heavy_is_imported_even_for_alerts_and_approval(parsed):
    heavy = {"pandas", "numpy", "scipy", "google.protobuf", "matplotlib", "github"}
    heavy |= {"fleetpgo.steps.wait"}
    assert (parsed["errors"], set(parsed["modules"]) & heavy) == ({}, set())


def test_a_task_that_starts_reads_its_own_service_file_alone(services, monkeypatch):
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415  # imports Airflow

    monkeypatch.setenv("FLEETPGO_SERVICES", str(services))
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "pgo_refresh__careful")
    found = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]).dags
    # Of the file with DAGs for each service; a task reads no other file at all.
    assert sorted(found) == ["pgo_level__careful", "pgo_refresh__careful", "pgo_store"]


def test_nobody_is_asked_for_approval_by_default(parsed):
    plain = tasks(parsed["dags"]["pgo_refresh__plain"]["dag"])
    assert plain["merge_profiles"]["downstream_task_ids"] == ["wait_for_turn"]


def test_approval_stands_between_the_merge_and_the_build(careful):
    graph = {name: task.get("downstream_task_ids") for name, task in tasks(careful).items()}
    assert (graph["merge_profiles"], graph["approve"]) == (["approve"], ["wait_for_turn"])


def test_a_merge_that_builds_takes_the_builds_pool(parsed, careful):
    plain = parsed["dags"]["pgo_refresh__plain"]["dag"]
    pools = [tasks(dag)["merge_profiles"].get("pool", "default_pool") for dag in (plain, careful)]
    assert pools == ["default_pool", "builds"]


def test_who_approves_sees_the_merges_figures(careful):
    body = tasks(careful)["approve"]["body"]
    assert all(f'xcom_pull(task_ids="merge_profiles")["{figure}"]' in body for figure in ("used", "samples"))


def test_approval_is_waited_for_by_its_own_limit_and_asked_once(services):
    from dags.pgo_refresh import APPROVAL_TIME, approval  # noqa: PLC0415  # imports Airflow

    (task,) = approval(load_service(services / "careful.yaml"))
    assert (task.response_timeout, task.execution_timeout, task.retries) == (APPROVAL_TIME, None, 0)


def test_builds_run_in_the_pool_of_the_service_file(careful, parsed):
    plain = parsed["dags"]["pgo_refresh__plain"]["dag"]
    pools = [tasks(dag)["build_and_open_pr"].get("pool", "default_pool") for dag in (careful, plain)]
    assert pools == ["builds", "default_pool"]


def test_a_failed_run_is_told_to_the_notifier(careful):
    assert careful["has_on_failure_callback"]


def test_a_late_run_is_told_to_the_notifier(careful):
    (deadline,) = careful["deadline"]
    told = json.dumps(deadline)
    assert "airflow.providers.smtp.notifications.smtp.SmtpNotifier" in told
    assert "team@example.com" in told
    assert "DagRunQueuedAtDeadline" in told
    assert str(28 * 24 * 3600) in told


def test_a_notifier_that_does_not_exist_is_a_mistake_in_the_service_file(parsed):
    assert "SmtpNotifyer cannot be created" in parsed["docs"]["pgo_refresh__mistaken"]


def test_the_merge_updates_the_services_asset(careful):
    (outlet,) = tasks(careful)["announce_merge"]["outlets"]
    assert outlet["__var"]["uri"] == "fleetpgo://careful/profile"


def test_no_task_that_ends_in_the_triggerer_has_an_outlet(careful):
    # Airflow emits outlets when a worker reports success; a trigger's ending event does not pass there.
    waits = [task for name, task in tasks(careful).items() if name.startswith("wait_for_")]
    assert [task.get("outlets") for task in waits] == [None] * 4


def test_every_task_says_what_it_does(careful):
    docs = {
        name: {**task, **task.get("partial_kwargs", {})}.get("doc_md", "")
        for name, task in tasks(careful).items()
    }
    assert [name for name, doc in docs.items() if len(doc.split()) < 5 and name != "approve"] == []


def test_a_starting_task_reads_the_file_of_its_own_service_alone():
    with fleet(3) as files:
        found = [parse_dags(files, dag, runs=1).files for dag in ("", "pgo_refresh__service-001")]
    assert found == [3, 1]
