"""The endpoint of metrics and the check of health; that a run moves each metric."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from fleetpgo.overview import metrics as overview
from fleetpgo.overview.metrics import METRICS, TASKS, answers, figures
from fleetpgo.run import storage
from fleetpgo.run.measured import Measurement
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.proposed import Failed, Merge, Proposed, Rollout
from fleetpgo.run.store import RunStore
from fleetpgo_airflow import monitoring
from tests.pages import fleet
from tests.run.test_storage import root_at

NOW = datetime.now(UTC)
TOKEN = "a-token-of-its-own"  # noqa: S105  # that is what it is


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("FLEETPGO_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("FLEETPGO_METRICS_TOKEN", TOKEN)
    monkeypatch.setattr(monitoring, "_health", {})
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


@pytest.fixture
def client():
    return TestClient(monitoring.app)


def scraped(client, token=TOKEN):
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(found, name, **labels):
    return found.get((name, *sorted({"service": "edge", **labels}.items())))


def waiting(found):
    return {stage: value(found, "fleetpgo_waits", stage=stage) for stage in TASKS}


def test_each_stage_of_a_run_moves_its_metrics(store, client, fleet_root):
    """The artifacts of a run of real steps, one after the other, as its tasks would write them."""
    done = RunStore(fleet_root / "store", "edge", fleet.FIRST)
    run = RunStore(store, "edge", fleet.FIRST)
    assert {name for name, *_ in scraped(client)} == {"fleetpgo_store_up", "fleetpgo_store_list_seconds"}

    manifest = replace(done.read(Manifest), made_at=NOW - timedelta(days=1))
    run.write(manifest)
    found = scraped(client)
    made = manifest.made_at.timestamp()
    assert value(found, "fleetpgo_last_run_timestamp_seconds") == made
    assert value(found, "fleetpgo_samples") == manifest.samples
    assert value(found, "fleetpgo_instances", state="used", reason="") == 2
    assert value(found, "fleetpgo_unreadable_runs") == 0
    assert value(found, "fleetpgo_profile_timestamp_seconds") is None

    run.write(replace(done.read(Proposed), seconds_without=9.0, seconds_with=11.0, cpu_seconds=40.0))
    found = scraped(client)
    assert value(found, "fleetpgo_build_seconds", build="with") == 11
    assert value(found, "fleetpgo_build_cpu_seconds") == 40
    assert value(found, "fleetpgo_pull_requests", state="open") == 1
    assert waiting(found) == {"review": 1, "rollout": 0, "week": 0}
    assert value(found, "fleetpgo_wait_seconds", stage="review") > 0

    run.write(done.read(Merge))
    found = scraped(client)
    assert value(found, "fleetpgo_pull_requests", state="merged") == 1
    assert value(found, "fleetpgo_profile_timestamp_seconds") == made
    assert waiting(found) == {"review": 0, "rollout": 1, "week": 0}

    run.write(done.read(Rollout))
    run.write(done.read(Measurement, "rollout"), "rollout")
    found = scraped(client)
    assert waiting(found) == {"review": 0, "rollout": 0, "week": 1}
    assert value(found, "fleetpgo_verdicts", verdict="saved") == 1

    run.write(done.read(Measurement, "week"), "week")
    found = scraped(client)
    assert waiting(found) == {"review": 0, "rollout": 0, "week": 0}
    bounds = ("low", "value", "high")
    low, middle, high = (
        value(found, "fleetpgo_saving_ratio", bound=each, verdict="saved") for each in bounds
    )
    assert low < middle < high
    assert value(found, "fleetpgo_saved_cores", bound="value") > 0
    assert {name for name, *_ in found} == set(METRICS)


def test_a_refused_instance_counts_by_its_reason_and_not_by_its_name(store, client, fleet_root):
    shutil.copytree(fleet_root / "store" / "edge", store / "edge")
    reasons = {dict(labels)["reason"] for name, *labels in scraped(client) if name == "fleetpgo_instances"}
    assert reasons == {"", "busy", "html"}


def test_a_damaged_run_is_counted_and_hides_nothing(store, client, fleet_root):
    shutil.copytree(fleet_root / "store" / "edge", store / "edge")
    RunStore(store, "edge", fleet.FIRST).path(Merge).write_text("{")
    assert value(scraped(client), "fleetpgo_unreadable_runs") == 1


def test_a_store_that_does_not_answer_is_a_metric(client, store, s3, monkeypatch):
    s3.illness = "403"
    monkeypatch.setattr(monitoring.hooks, "store_root", lambda: root_at(s3))
    assert scraped(client) == {("fleetpgo_store_up",): 0}


def test_without_a_token_there_are_no_metrics(client, store, monkeypatch):
    monkeypatch.delenv("FLEETPGO_METRICS_TOKEN")
    assert client.get("/metrics").status_code == 404


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}])
def test_a_wrong_token_is_refused(client, store, header):
    answer = client.get("/metrics", headers=header)
    assert (answer.status_code, TOKEN in answer.text) == (401, False)


def test_a_token_in_a_file_may_change_between_two_scrapes(client, store, monkeypatch, tmp_path):
    file = tmp_path / "token"
    monkeypatch.setenv("FLEETPGO_METRICS_TOKEN_FILE", str(file))
    for token in ("first", "second"):
        file.write_text(f"{token}\n")
        assert scraped(client, token)


@pytest.mark.parametrize("content", [None, ""])
def test_a_file_without_a_token_opens_no_door(client, store, monkeypatch, tmp_path, content):
    file = tmp_path / "token"
    monkeypatch.setenv("FLEETPGO_METRICS_TOKEN_FILE", str(file))
    if content is not None:
        file.write_text(content)
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 503


def test_health_is_that_of_the_store(client, s3, monkeypatch):
    monkeypatch.setattr(monitoring, "_HEALTH_S", 0)
    monkeypatch.setattr(monitoring.hooks, "store_root", lambda: root_at(s3))
    monkeypatch.setattr(monitoring.overview, "answers", lambda root, **_: answers(root, seconds=2))
    assert client.get("/health").json() == {"store": "ok"}
    s3.illness = "503"
    answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (503, {"store": "does not answer"})


def test_health_asks_the_store_rarely(client, store, monkeypatch):
    asked = []
    monkeypatch.setattr(monitoring.overview, "answers", lambda root, **_: asked.append(root) or True)
    for _ in range(5):
        assert client.get("/health").status_code == 200
    assert len(asked) == 1


def test_a_store_that_hangs_is_told_before_the_scrape_gives_up(store, s3, monkeypatch):
    monkeypatch.setattr(overview, "_ANSWER_S", 0.5)
    s3.illness = "never"
    assert [(each.metric, each.value) for each in figures(root_at(s3), now=NOW)] == [("fleetpgo_store_up", 0)]


def test_services_in_object_storage_are_asked_for_side_by_side(s3, monkeypatch):
    for service in ("a", "b"):
        RunStore(root_at(s3), service, "1").write(Merge("skipped", reason="closed"))
    threads = set()
    monkeypatch.setattr(
        storage, "observers", [lambda verb, _seconds, **_: threads.add((verb, threading.get_ident()))]
    )
    assert {each.labels.get("service") for each in figures(root_at(s3), now=NOW)} == {None, "a", "b"}
    assert {verb for verb, thread in threads if thread != threading.get_ident()} == {"list"}


def test_while_one_asks_a_store_that_hangs_others_hear_what_is_known(client, store, monkeypatch):
    asked, over = threading.Event(), threading.Event()

    def hang(root, **_):
        asked.set()
        return over.wait(30)

    monkeypatch.setattr(monitoring.overview, "answers", hang)
    monitoring._health["store"] = 0.0, False
    first = threading.Thread(target=client.get, args=("/health",))
    first.start()
    asked.wait(30)
    assert client.get("/health").status_code == 503
    over.set()
    first.join()
    assert client.get("/health").status_code == 200


def waits(store, now):
    found = (each for each in figures(store, now=now) if each.metric == "fleetpgo_waits")
    return {each.labels["stage"]: each.value for each in found}


def test_a_run_that_failed_waits_for_nothing(store, fleet_root):
    shutil.copytree(fleet_root / "store" / "edge", store / "edge")
    run = RunStore(store, "edge", fleet.FIRST)
    run.remove(Measurement, "week")
    now = run.read(Manifest).made_at + timedelta(days=20)
    before = waits(store, now)
    run.write(Failed("one of many"), "fetch_profile")
    still = waits(store, now)
    run.write(Failed("its period has no samples"), "measure_week")
    assert (before["week"], still["week"], waits(store, now)["week"]) == (1, 1, 0)


def test_no_run_waits_longer_than_waits_may_last(store, fleet_root):
    shutil.copytree(fleet_root / "store" / "edge", store / "edge")
    made = RunStore(store, "edge", fleet.FIRST).read(Manifest).made_at
    assert sum(waits(store, made + timedelta(days=20)).values()) > 0
    assert sum(waits(store, made + timedelta(days=2_000)).values()) == 0


def test_a_merge_that_cannot_be_read_hides_no_other_figure(store, fleet_root):
    shutil.copytree(fleet_root / "store" / "edge", store / "edge")
    run = RunStore(store, "edge", fleet.FIRST)
    for period in ("rollout", "week"):
        run.remove(Measurement, period)
    now = run.read(Manifest).made_at + timedelta(days=20)
    before = waits(store, now)  # which remembers the summary: the directory does not change with the file
    run.path(Merge).write_text("{")
    assert (before["rollout"], waits(store, now)["rollout"]) == (1, 1)


def test_a_wait_grows_with_time(store, fleet_root):
    shutil.copytree(fleet_root / "store" / "edge", store / "edge")
    now = datetime.now(UTC)

    def waited(at):
        found = (each for each in figures(store, now=at) if each.metric == "fleetpgo_wait_seconds")
        return {tuple(each.labels.items()): each.value for each in found}

    key = (("service", "edge"), ("stage", "review"))
    assert waited(now + timedelta(hours=1))[key] - waited(now)[key] == pytest.approx(3_600)
