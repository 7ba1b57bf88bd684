"""The trigger that notices releases, without a triggerer: what it emits, and what it remembers."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from airflow.sdk.exceptions import AirflowException

from fleetpgo.errors import PrometheusError, StoreError
from fleetpgo.run.released import Begun
from fleetpgo.run.store import RunStore
from fleetpgo.selection import releases as selection
from fleetpgo.selection.releases import Looked, Release
from fleetpgo_airflow import releases
from fleetpgo_airflow.gates import _release_of
from fleetpgo_airflow.releases import KNOWN, ReleaseTrigger
from tests.service.test_release import load

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SHARES = {"v2": 0.6}


class State(dict):
    """The state of the asset, as Airflow's accessor gives it."""

    async def aget(self, key, default=None):
        return self.get(key, default)

    async def aset(self, key, value):
        self[key] = value


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """A service whose looks find release v2 unless it is known, and what makes a trigger look."""
    load(tmp_path)
    monkeypatch.setenv("FLEETPGO_SERVICES", str(tmp_path))
    monkeypatch.setenv("FLEETPGO_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(releases.hooks, "prometheus", lambda _: None)

    def look(connect, service, shares, known, now):
        if known is None:
            return Looked(tuple(shares), None, "first")
        new = next((each for each in shares if each not in known), None)
        return Looked(tuple(known), Release(new, NOW, shares[new]) if new else None, "looked")

    monkeypatch.setattr(selection, "look", look)
    state = State()

    def looks(*items, trigger=None):
        trigger = trigger or ReleaseTrigger(service="api", connection="p", poll=1)
        trigger.asset_state_store = state

        async def stream():
            for item in items:
                yield {"api": item} if item else {}

        async def collect():
            return [event.payload async for event in trigger.filter_shared_stream(stream())]

        return asyncio.run(collect())

    return SimpleNamespace(look=looks, state=state, root=tmp_path / "store")


def test_a_trigger_is_made_again_from_what_it_serialises():
    trigger = ReleaseTrigger(service="api", connection="p", poll=60)
    path, arguments = trigger.serialize()
    assert path == "fleetpgo_airflow.releases.ReleaseTrigger"
    assert ReleaseTrigger(**arguments).serialize() == (path, arguments)


def test_triggers_of_one_prometheus_share_its_looks():
    key = ReleaseTrigger(service="api", connection="p", poll=60).shared_stream_key()
    assert key == ReleaseTrigger(service="web", connection="p", poll=60).shared_stream_key()
    assert key != ReleaseTrigger(service="web", connection="q", poll=60).shared_stream_key()


def test_the_first_look_is_remembered_and_emits_nothing(watched):
    assert (watched.look({"v1": 1.0}), watched.state) == ([], {KNOWN: ["v1"]})


def test_a_release_is_emitted_once(watched):
    [event] = watched.look({"v1": 1.0}, SHARES, SHARES, SHARES)
    assert event == {"service": "api", "revision": "v2", "since": NOW.isoformat(), "share": 0.6}


def test_a_new_triggerer_emits_again_what_no_run_has_begun_for(watched):
    watched.look({"v1": 1.0}, SHARES)
    assert [each["revision"] for each in watched.look(SHARES)] == ["v2"]


def test_once_a_run_has_begun_its_release_is_known(watched):
    watched.look({"v1": 1.0}, SHARES)
    RunStore(watched.root, "api", "run-1").write(Begun("run-1", NOW, "v2", NOW, 0.6))
    assert (watched.look(SHARES, SHARES), watched.state[KNOWN]) == ([], ["v1", "v2"])


def test_what_was_held_up_is_emitted_again(watched):
    watched.look({"v1": 1.0})
    RunStore(watched.root, "api", "run-1").write(Begun("run-1", NOW, "v2", NOW, 0.6, gave_way="weekly"))
    assert len(watched.look(SHARES)) == 1


@pytest.mark.parametrize(("ago", "due"), [(releases.REPEAT.total_seconds() - 60, False), (3601, True)])
def test_an_event_that_has_got_lost_is_emitted_again_after_an_hour(ago, due):
    trigger = ReleaseTrigger(service="api", connection="p", poll=1)
    assert trigger._is_due({"v2": time.monotonic() - ago}, "v2") is due


def test_a_prometheus_that_is_down_ends_nothing(watched):
    watched.state[KNOWN] = ["v1"]
    assert len(watched.look(PrometheusError("it is down"), SHARES)) == 1


def test_a_service_that_its_looks_leave_out_says_why_once(watched, monkeypatch):
    said = []
    trigger = ReleaseTrigger(service="api", connection="p", poll=1)
    monkeypatch.setattr(ReleaseTrigger, "log", SimpleNamespace(info=lambda *given: said.append(given[-1])))
    assert watched.look(None, None, trigger=trigger) == []
    assert said == [f"cannot look now; will try again: {releases._MOVED}"]


def test_a_store_that_is_down_ends_nothing(watched, monkeypatch):
    watched.state[KNOWN] = ["v1"]
    judge, calls = releases.judge, []

    def first_down(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise StoreError("it is down")
        return judge(*arguments)

    monkeypatch.setattr(releases, "judge", first_down)
    assert len(watched.look(SHARES, SHARES)) == 1


def test_one_services_fault_leaves_the_others_looks_alone(tmp_path, monkeypatch):
    load(tmp_path)
    (tmp_path / "web.yaml").write_text((tmp_path / "api.yaml").read_text())
    (tmp_path / "broken.yaml").write_text("selection: 1\n")
    monkeypatch.setenv("FLEETPGO_SERVICES", str(tmp_path))
    monkeypatch.setattr(releases.hooks, "prometheus", lambda _: None)

    def shares(prometheus, service):
        if service.name == "api":
            raise PrometheusError("no such metric")
        return SHARES

    monkeypatch.setattr(selection, "release_shares", shares)
    found = releases.look_at_all("fleetpgo_prometheus", 300)
    assert (found["web"], str(found["api"])) == (SHARES, "no such metric")
    assert "broken.yaml" in str(found["broken"])


def test_services_that_are_looked_at_at_other_times_are_not_asked_for(tmp_path, monkeypatch):
    load(tmp_path)
    text = (tmp_path / "api.yaml").read_text()
    (tmp_path / "seldom.yaml").write_text(text.replace("rollout: {", "rollout: {poll: 1h, "))
    monkeypatch.setenv("FLEETPGO_SERVICES", str(tmp_path))
    monkeypatch.setattr(releases.hooks, "prometheus", lambda _: None)
    monkeypatch.setattr(selection, "release_shares", lambda *_: SHARES)
    found = [set(releases.look_at_all("fleetpgo_prometheus", poll)) for poll in (300, 3_600)]
    assert found == [{"api"}, {"seldom"}]


def test_a_connection_that_cannot_be_read_now_is_that_looks_fault_alone(tmp_path, monkeypatch):
    load(tmp_path)
    monkeypatch.setenv("FLEETPGO_SERVICES", str(tmp_path))

    def fail(service):
        raise AirflowException("the API server is down")

    monkeypatch.setattr(releases.hooks, "prometheus", fail)
    assert str(releases.look_at_all("fleetpgo_prometheus", 300)["api"]) == "the API server is down"


class Named(NamedTuple):
    """An asset, as far as its name goes."""

    name: str


def context(*payloads, release=None):
    events = [SimpleNamespace(extra={"payload": each}) for each in payloads]
    triggering = {Named("api release"): events} if payloads else {}
    return {"triggering_asset_events": triggering, "params": {"release": release}}


def payload(revision, since):
    return {"service": "api", "revision": revision, "since": since.isoformat(), "share": 0.6}


def test_of_several_events_the_newest_release_counts():
    later = datetime(2026, 3, 2, 13, tzinfo=UTC)
    found, by_hand = _release_of(context(payload("v3", later), payload("v2", NOW)), "api", NOW)
    assert (found, by_hand) == (Release("v3", later, 0.6), False)


def test_a_person_may_name_the_release():
    assert _release_of(context(release="v2"), "api", NOW) == (Release("v2", NOW, 0.0), True)


def test_a_run_of_the_schedule_is_for_no_release():
    assert _release_of(context(), "api", NOW) == (None, False)
