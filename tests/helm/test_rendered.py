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


@pytest.fixture(scope="module")
def objects():
    """Every object that the chart makes of the values."""
    done = subprocess.run(
        [
            *(os.environ["HELM"], "template", "fleetpgo", os.environ["CHART"]),
            *("--namespace", "fleetpgo", "--values", ROOT / "docs/values.yaml"),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    return [each for each in YAML(typ="safe").load_all(done.stdout) if each]


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
