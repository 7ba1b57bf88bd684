"""The DAG that prunes the store: its operator, as a worker calls it."""

from __future__ import annotations

import os
import shutil

import pytest
from airflow.sdk.exceptions import AirflowException

from fleetpgo.run.artifacts import FetchedProfile
from fleetpgo.run.store import RunStore
from fleetpgo_airflow.housekeeping import PruneStoreOperator
from tests.pages import fleet


@pytest.fixture
def run(fleet_root, tmp_path, monkeypatch):
    store = shutil.copytree(fleet_root / "store", tmp_path / "store")
    for file in store.rglob("*"):
        os.utime(file, (0, 1))  # long ago
    monkeypatch.setenv("FLEETPGO_STORE", str(store))
    return RunStore(store, "edge", fleet.FIRST)


def prune(**params):
    given = {"profiles_after": 30, "runs_after": 200, "dry_run": False, **params}
    return PruneStoreOperator(task_id="prune").execute({"params": given})


def test_old_profiles_of_every_service_go(run):
    done = {each["service"]: each for each in prune()}
    assert sorted(done) == ["edge", "gateway"]
    assert done["edge"]["files"] == {"FetchedProfile": 2, "EdgePack": 1}
    assert run.keys(FetchedProfile) == []


def test_a_dry_run_says_the_same_and_removes_nothing(run):
    would = prune(dry_run=True)
    assert len(run.keys(FetchedProfile)) == 2
    assert prune() == would


def test_a_store_that_refuses_fails_the_task_in_a_sentence(run):
    with pytest.raises(AirflowException, match="runs may not be removed after 1 days"):
        prune(runs_after=1)
