from __future__ import annotations

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.context import OutletEventAccessors

from fleetpgo.run.proposed import Merge
from fleetpgo.run.store import RunStore
from fleetpgo_airflow.operators import AnnounceMergeOperator
from tests.run.artifacts import AT, proposed

ASSET = Asset("wshim profile", uri="fleetpgo://wshim/profile")


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("FLEETPGO_STORE", str(tmp_path))
    return RunStore(tmp_path, "wshim", "run")


@pytest.fixture
def announce():
    return AnnounceMergeOperator(task_id="announce_merge", service="wshim", outlets=[ASSET])


def test_the_asset_tells_which_profile_was_merged_and_where(store, announce):
    store.write(proposed(profile="0123456789ab", url="https://example.com/pull/7"))
    store.write(Merge("merged", AT, "4f2a"))
    events = OutletEventAccessors()
    announce.execute({"run_id": "run", "outlet_events": events})
    assert events[ASSET].extra == {
        "profile": "0123456789ab",
        "pull_request": "https://example.com/pull/7",
        "commit": "4f2a",
    }


def test_without_a_merge_nothing_is_announced(store, announce):
    store.write(proposed(profile="0123456789ab", url="https://example.com/pull/7"))
    with pytest.raises(AirflowFailException, match=r"merge\.json is not in the store"):
        announce.execute({"run_id": "run", "outlet_events": OutletEventAccessors()})
