"""The DAG of a service with ``release``: when it runs, and its two further stages."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from fleetpgo.service.files import services_directory
from fleetpgo_airflow import RELEASE_STAGES

WSHIM = (services_directory() / "wshim.yaml").read_text()
BUILDS = WSHIM.replace("selection:\n", "selection:\n  builds: wshim_build_info\n")
RELEASE = f"{BUILDS}\nrelease: {{}}\n"


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Parse the DAG file for one service file."""
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415  # imports Airflow

    monkeypatch.setenv("FLEETPGO_SERVICES", str(tmp_path))

    def parse(text):
        (tmp_path / "wshim.yaml").write_text(text)
        bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
        assert bag.import_errors == {}
        return bag.dags["pgo_refresh__wshim"]

    return parse


def serialised(dag):
    from airflow.serialization.serialized_objects import DagSerialization  # noqa: PLC0415  # imports Airflow

    return DagSerialization.from_dict(DagSerialization.to_dict(dag))


def test_without_the_key_there_is_no_further_stage_and_no_asset_is_watched(load):
    dag = load(BUILDS)
    assert not {task.task_id for task in dag.tasks} & set(RELEASE_STAGES)
    assert type(dag.schedule).__name__ == "CronTriggerTimetable"
    assert "release" not in dag.params


def test_it_runs_at_its_times_and_for_each_event_of_the_watched_asset(load):
    from airflow.sdk import AssetOrTimeSchedule  # noqa: PLC0415  # imports Airflow

    schedule = load(RELEASE).schedule
    assert isinstance(schedule, AssetOrTimeSchedule)
    [asset] = schedule.asset_condition.objects
    assert asset.uri == "fleetpgo://wshim/release"
    [watcher] = asset.watchers
    path, arguments = watcher.trigger.serialize()
    assert path == "fleetpgo_airflow.releases.ReleaseTrigger"
    assert arguments == {"service": "wshim", "connection": "wshim_prometheus", "poll": 5.0}


def test_without_a_schedule_it_runs_for_events_alone(load):
    dag = load(RELEASE.replace('schedule: "@weekly"', "schedule: null"))
    assert [asset.uri for asset in dag.schedule] == ["fleetpgo://wshim/release"]


def test_unpausing_starts_nothing_before_the_schedules_next_time(load):
    first = serialised(load(RELEASE)).next_dagrun_info(last_automated_run_info=None)
    assert first.run_after > datetime.now(UTC)


def test_the_trigger_is_the_same_when_it_is_read_from_the_database(load):
    from airflow.triggers.base import BaseEventTrigger  # noqa: PLC0415  # imports Airflow

    dag = load(RELEASE)
    [asset] = dag.schedule.asset_condition.objects
    [kept] = serialised(dag).timetable.asset_condition.objects
    [watcher], [again] = asset.watchers, kept.watchers
    assert BaseEventTrigger.hash(again.trigger["classpath"], again.trigger["kwargs"]) == (
        BaseEventTrigger.hash(*watcher.trigger.serialize())
    )


def test_the_gates_stand_before_everything_that_touches_production(load):
    windows = "[{name: peak, at: '14:00', share: 0.5}, {name: night, at: '03:00', share: 0.5}]"
    dag = load(RELEASE.replace("selection:\n", f"selection:\n  windows: {windows}\n"))
    graph = {task.task_id: set(task.downstream_task_ids) for task in dag.tasks}
    assert graph["notice_release"] == {"preflight"}
    assert graph["preflight"] == {"needs_profile"}
    assert graph["needs_profile"] == {"peak.wait_for_window", "night.wait_for_window"}
    assert dag.get_task("notice_release").max_active_tis_per_dag == 1


def test_the_form_takes_a_release_by_its_name_alone(load):
    field = load(RELEASE).params.get_param("release")
    assert (field.value, field.resolve("v1.2.3")) == (None, "v1.2.3")
    with pytest.raises(Exception, match="does not match"):
        field.resolve("--upload-pack=x")


def test_the_dag_explains_its_stages(load):
    assert [stage for stage in RELEASE_STAGES if stage not in load(RELEASE).doc_md] == []
