"""The connection to a forge, as Airflow's form and its Test button see it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from fleetpgo.proposal.git import git

SCRIPT = """
import json
from airflow.providers_manager import ProvidersManager
manager = ProvidersManager()
hook = manager.hooks["fleetpgo_forge"]
fields = [name for name in manager.connection_form_widgets if "fleetpgo_forge" in name]
print(json.dumps([hook.hook_name, sorted(fields), manager.field_behaviours["fleetpgo_forge"]]))
"""


def test_airflow_finds_the_form():
    process = subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True)
    name, fields, behaviour = json.loads(process.stdout.splitlines()[-1])
    assert name == "Forge (fleetpgo)"
    assert [field.rpartition("__")[2] for field in fields] == [
        "app_id",
        "ca",
        "installation_id",
        "path",
        "service",
        "signing_key",
    ]
    assert behaviour["relabeling"] == {"host": "Address", "password": "Token"}


@pytest.fixture
def test_button(tmp_path, monkeypatch):
    """Press Test on a connection with these extra fields, for a forge that holds the demo's service."""
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "wshim.git")

    def press(**extra: str) -> tuple[bool, str]:
        from fleetpgo_airflow.connections import ForgeHook  # noqa: PLC0415  # imports Airflow

        connection = {"conn_type": "fleetpgo_forge", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_TRIED", json.dumps(connection))
        return ForgeHook("tried").test_connection()

    return press


def test_a_forge_that_can_be_read_passes(test_button, tmp_path):
    said = test_button(path=str(tmp_path), service="wshim")
    assert said == (True, "wshim can be read; no pull request is open")


def test_a_forge_without_the_repository_fails_and_says_so(test_button, tmp_path):
    passed, said = test_button(path=str(tmp_path / "elsewhere"), service="wshim")
    assert not passed
    assert "there is no bare repository" in said


def test_without_a_service_the_button_says_what_it_needs(test_button, tmp_path):
    passed, said = test_button(path=str(tmp_path))
    assert not passed
    assert "fill in *Service to test with*" in said
