"""What Airflow's Helm chart makes of docs/values.yaml: `make test-helm`, which brings Helm and the chart."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.helm


def template(*arguments):
    """What the chart makes of the values, as YAML."""
    return subprocess.run(
        [
            *(os.environ["HELM"], "template", "fleetpgo", os.environ["CHART"], *arguments),
            *("--namespace", "fleetpgo", "--values", ROOT / "docs/values.yaml"),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.fixture(scope="module")
def rendered():
    return template()


@pytest.fixture(scope="module")
def objects(rendered):
    """Every object that the chart makes of the values."""
    return [each for each in YAML(typ="safe").load_all(rendered) if each]


def of_kind(objects, *kinds):
    return [each for each in objects if each["kind"] in kinds]


def below(node, key):
    """What stands under that key, anywhere below a node."""
    if isinstance(node, dict):
        if key in node:
            yield node[key]
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from below(each, key)


def test_no_user_is_made(objects):
    commands = [str(command) for key in ("command", "args") for command in below(objects, key)]
    assert commands
    assert [command for command in commands if "users create" in command] == []


def test_no_role_may_create_pods(objects):
    roles = of_kind(objects, "Role", "ClusterRole")
    assert [
        (role["metadata"]["name"], rule)
        for role in roles
        for rule in role["rules"]
        if {"create", "*"} & set(rule["verbs"]) and re.search(r"\bpods\b|\*", " ".join(rule["resources"]))
    ] == []


def test_a_worker_runs_four_tasks_at_once(objects):
    (settings,) = below(of_kind(objects, "ConfigMap"), "airflow.cfg")
    assert re.findall(r"^worker_concurrency = (.*)$", settings, re.MULTILINE) == ["4"]


def test_every_secret_that_is_referred_to_is_documented(objects):
    manual = (ROOT / "docs/production.md").read_text()
    rows = dict(re.findall(r"^\| `(fleetpgo-[\w-]+)` \| (.*) \|$", manual, re.MULTILINE))
    keys = {(each["name"], each["key"]) for each in below(objects, "secretKeyRef")}
    assert keys
    assert [(name, key) for name, key in keys if f"`{key}`" not in rows.get(name, "")] == []
    whole = {
        each["name"] for key in ("secretRef", "secret") for each in below(objects, key) if "name" in each
    }
    assert whole - set(rows) == set()


def test_the_chart_makes_no_secret_of_its_own(objects):
    assert [each["metadata"]["name"] for each in of_kind(objects, "Secret")] == []


def test_the_committed_keys_are_those_of_the_chart():
    listed = subprocess.run(
        [sys.executable, ROOT / "tools/chart-keys", os.environ["CHART"]],
        check=True,
        capture_output=True,
        text=True,
    )
    assert (ROOT / "tests/testdata/helm/keys.txt").read_text() == listed.stdout


WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob")


def pods(objects):
    """Name and pod of each workload."""
    for each in of_kind(objects, *WORKLOADS):
        spec = each["spec"]
        yield each["metadata"]["name"], spec.get("jobTemplate", {}).get("spec", spec)["template"]["spec"]


def test_every_object_is_one_that_kubernetes_takes(rendered):
    done = subprocess.run(
        ["kubernetes-validate", "--strict", "--no-warn", "-"],
        input=rendered,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_an_object_that_kubernetes_does_not_take_is_found(rendered):
    broken = rendered.replace("automountServiceAccountToken", "autoMountServiceAccountToken", 1)
    done = subprocess.run(
        ["kubernetes-validate", "--strict", "--no-warn", "-"],
        input=broken,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0


def test_no_pod_holds_a_token_for_the_cluster(objects):
    accounts = of_kind(objects, "ServiceAccount")
    assert [each["metadata"]["name"] for each in accounts if each["automountServiceAccountToken"]] == []
    own = {each["metadata"]["name"] for each in accounts}
    used = {pod.get("serviceAccountName") for _, pod in pods(objects)}
    assert used <= own
    assert [name for name, pod in pods(objects) if pod.get("automountServiceAccountToken")] == []


def test_no_pod_runs_as_root_or_gains_rights(objects):
    wrong = []
    for name, pod in pods(objects):
        rules = pod["securityContext"]
        if not (rules["runAsNonRoot"] and rules["runAsUser"] and rules["seccompProfile"]["type"]):
            wrong.append(name)
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            rules = container["securityContext"]
            if rules["allowPrivilegeEscalation"] or rules["capabilities"] != {"drop": ["ALL"]}:
                wrong.append(f"{name}/{container['name']}")
    assert wrong == []


def test_there_is_a_group_of_workers_for_builds_alone(objects):
    queues = {}
    for name, pod in pods(objects):
        for container in pod["containers"]:
            command = " ".join(container.get("args") or ())
            if "celery worker" in command.replace("\\\n", ""):
                found = re.search(r"-q (\S+)", command)
                queues[name] = found[1] if found else "default"
    assert queues == {"fleetpgo-worker": "default", "fleetpgo-worker-builds": "builds"}


def test_the_group_for_builds_has_the_cache_of_builds(objects):
    (pod,) = (pod for name, pod in pods(objects) if name == "fleetpgo-worker-builds")
    (worker,) = (each for each in pod["containers"] if each["name"] == "worker")
    assert "/opt/airflow/cache" in {each["mountPath"] for each in worker["volumeMounts"]}
    assert worker["resources"]["limits"] == {"cpu": "4", "memory": "8Gi"}
    assert pod["terminationGracePeriodSeconds"] == 1_800


def test_the_network_and_disruptions_are_bounded(objects):
    def selected(kind, *keys):
        return {each["metadata"]["name"] for each in of_kind(objects, kind)}

    assert {"fleetpgo-worker-policy", "fleetpgo-scheduler-policy"} <= selected("NetworkPolicy")
    assert len(selected("NetworkPolicy")) >= 5
    assert len(selected("PodDisruptionBudget")) == 5


def test_no_probe_imports_airflow_every_minute(objects):
    often = [
        (name, container["name"])
        for name, pod in pods(objects)
        for container in pod["containers"]
        for probe in [container.get("livenessProbe") or {}]
        if "airflow jobs check" in str(probe) or "celery" in str(probe.get("exec"))
        if probe["periodSeconds"] < 300
    ]
    assert often == []


def test_the_database_is_cleaned_and_no_run_that_waits_is(objects):
    (job,) = of_kind(objects, "CronJob")
    assert job["metadata"]["name"] == "fleetpgo-database-cleanup"
    assert "200" in str(job)


def test_pods_for_single_tasks_would_need_the_right_to_create_pods():
    """Why the KubernetesExecutor is refused (docs/decisions/0624): this is what it would ask for."""
    given = ["--set", "executor=KubernetesExecutor", "--set", "allowPodLaunching=true"]
    objects = [each for each in YAML(typ="safe").load_all(template(*given)) if each]
    verbs = {
        verb
        for role in of_kind(objects, "Role")
        for rule in role["rules"]
        if "pods" in rule["resources"]
        for verb in rule["verbs"]
    }
    assert "create" in verbs
