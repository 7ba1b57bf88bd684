from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime

import pytest

from fleetpgo.service.files import service_files, services_directory
from fleetpgo_airflow import STAGES


@pytest.fixture(scope="module")
def dags():
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415  # imports Airflow

    bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    assert bag.import_errors == {}
    return bag.dags


@pytest.fixture(scope="module")
def dag(dags):
    return dags["pgo_refresh__wshim"]


@pytest.fixture
def load(monkeypatch):
    """Parse the DAG file for the service files of a directory."""
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415  # imports Airflow

    def parse(services):
        monkeypatch.setenv("FLEETPGO_SERVICES", str(services))
        bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
        assert bag.import_errors == {}
        return bag.dags

    return parse


def test_there_is_one_dag_per_service_file(dags):
    refreshes = [name for name in sorted(dags) if name.startswith("pgo_refresh__")]
    assert refreshes == [f"pgo_refresh__{file.stem}" for file in service_files()]


def test_a_service_with_a_baseline_has_a_dag_that_measures_its_level(dags, tmp_path, load):
    assert sorted(dags) == ["pgo_level__wshim", "pgo_refresh__wshim", "pgo_store"]
    lines = (services_directory() / "wshim.yaml").read_text().splitlines()
    without = [line for line in lines if not line.startswith("  baseline:")]
    (tmp_path / "wshim.yaml").write_text("\n".join(without))
    assert sorted(load(tmp_path)) == ["pgo_refresh__wshim", "pgo_store"]


def test_the_stages_follow_each_other(dag):
    graph = {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks}
    chain = {
        stage: [following] if following else []
        for stage, following in zip(STAGES, [*STAGES[1:], ""], strict=True)
    }
    # Who follows the asset is told aside: the run goes on by itself.
    aside = {"wait_for_merge": ["announce_merge", "wait_for_rollout"], "announce_merge": []}
    assert graph == {**chain, **aside}


@pytest.fixture
def windowed(tmp_path, load):
    """The DAG of a service with two windows."""
    text = (services_directory() / "wshim.yaml").read_text()
    windows = "[{name: peak, at: '14:00', share: 0.5}, {name: night, at: '03:00', share: 0.5}]"
    (tmp_path / "wshim.yaml").write_text(text.replace("selection:\n", f"selection:\n  windows: {windows}\n"))
    return load(tmp_path)["pgo_refresh__wshim"]


def test_each_window_waits_selects_and_fetches_before_all_are_merged(windowed):
    graph = {task.task_id: sorted(task.downstream_task_ids) for task in windowed.tasks}
    for window in ("peak", "night"):
        assert graph[f"{window}.wait_for_window"] == [f"{window}.select_instances"]
        assert graph[f"{window}.select_instances"] == [f"{window}.fetch_profile"]
        assert graph[f"{window}.fetch_profile"] == ["top_up"]
    assert "select_instances" not in graph


@pytest.fixture
def of_a_store(tmp_path, load):
    """The DAG of a service with two windows, whose profiles are in a Parca."""
    text = (services_directory() / "wshim.yaml").read_text()
    windows = "[{name: peak, at: '14:00', share: 0.5}, {name: night, at: '03:00', share: 0.5}]"
    keys = "  source: parca\n  window: 24h\n  query: 'a:b:c:d:e{pod=\"$host\"}'\n"
    keep = [line for line in text.splitlines() if not line.startswith(("  seconds:", "  ports:", "  url:"))]
    service = "\n".join(keep).replace("collection:\n", f"collection:\n  url: http://parca\n{keys}")
    service = service.replace("selection:\n", f"selection:\n  windows: {windows}\n")
    (tmp_path / "wshim.yaml").write_text(service)
    return load(tmp_path)["pgo_refresh__wshim"]


def test_a_dag_of_a_store_asks_for_its_window_instead_of_seconds(of_a_store):
    assert ("seconds" in of_a_store.params, of_a_store.params["window"]) == (False, "1d")


def test_windows_of_the_past_select_one_after_the_other(of_a_store):
    following = {"peak.fetch_profile", "night.select_instances"}
    assert of_a_store.get_task("peak.select_instances").downstream_task_ids == following


def test_only_a_dag_with_windows_asks_whether_to_take_all_now(dag, windowed):
    assert ("now" in dag.params, windowed.params["now"]) == (False, False)


def test_the_merge_runs_whatever_became_of_the_fetches(dag):
    rules = {task.task_id: task.trigger_rule.value for task in dag.tasks}
    always = {"top_up": "all_done", "merge_profiles": "all_done"}
    assert rules == {**dict.fromkeys([*STAGES, "announce_merge"], "all_success"), **always}


def test_runs_are_weekly_never_caught_up_and_may_overlap(dag):
    assert (dag.schedule.expression, dag.catchup) == ("0 0 * * 0", False)
    assert dag.max_active_runs > 1


def test_unpausing_starts_nothing_before_the_schedules_next_time(dag):
    """What the scheduler reckons for a DAG that has never run."""
    from airflow.serialization.serialized_objects import DagSerialization  # noqa: PLC0415  # imports Airflow

    known = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    first = known.next_dagrun_info(last_automated_run_info=None)
    assert first.run_after > datetime.now(UTC)
    assert (first.run_after.weekday(), first.run_after.hour) == (6, 0)


def test_the_form_starts_from_the_service_file(dag):
    assert dag.params.dump() == {"instances": 6, "seconds": 10, "matchers": None, "dry_run": False}
    assert all(dag.params.get_param(name).description for name in dag.params)


def test_the_form_offers_the_build_variants_of_the_service_and_asks_for_none(tmp_path, load):
    text = (services_directory() / "wshim.yaml").read_text()
    variants = (
        "  variants: {v3: {environment: {GOAMD64: v3}}, next: {environment: {GOTOOLCHAIN: go1.28.0}}}\n"
    )
    (tmp_path / "wshim.yaml").write_text(text.replace("build:\n", f"build:\n{variants}"))

    params = load(tmp_path)["pgo_refresh__wshim"].params

    assert (params["variants"], params.get_param("variants").schema["examples"]) == ([], ["v3", "next"])


def test_every_task_has_a_timeout_and_retries(dag):
    assert [task.task_id for task in dag.tasks if not task.execution_timeout or not task.retries] == []


def test_mapped_tasks_are_named_by_their_pack(dag):
    assert dag.get_task("fetch_profile").map_index_template == "{{ task.pack['name'] }}"


def test_the_dag_explains_each_stage(dag):
    assert [stage for stage in STAGES if stage not in dag.doc_md] == []


def test_a_broken_service_file_keeps_its_dag_and_no_other_is_touched(tmp_path, load):
    good = services_directory() / "wshim.yaml"
    shutil.copy(good, tmp_path)
    (tmp_path / "broken.yaml").write_text(good.read_text().replace("quorum:", "quorom:"))
    found = load(tmp_path)
    assert sorted(found) == [
        "pgo_level__wshim",
        "pgo_refresh__broken",
        "pgo_refresh__wshim",
        "pgo_store",
    ]
    page = found["pgo_refresh__broken"].doc_md
    line = good.read_text().splitlines().index("  quorum: 0.5") + 1
    assert f"{tmp_path / 'broken.yaml'}:{line}: collection.quorom: unknown key" in page


def test_a_broken_service_file_fails_its_run_with_the_mistake():
    from airflow.sdk.exceptions import AirflowFailException  # noqa: PLC0415  # imports Airflow

    from fleetpgo_airflow.operators import BrokenServiceOperator  # noqa: PLC0415

    task = BrokenServiceOperator(task_id="read_service_file", mistakes="api.yaml:3: unknown key")
    with pytest.raises(AirflowFailException, match=r"api\.yaml:3: unknown key"):
        task.execute({})


def test_builds_run_on_the_queue_of_the_service_file(tmp_path, load):
    good = services_directory() / "wshim.yaml"
    (tmp_path / "wshim.yaml").write_text(good.read_text().replace("build:\n", "build:\n  queue: builds\n"))
    tasks = load(tmp_path)["pgo_refresh__wshim"].tasks
    assert [task.task_id for task in tasks if task.queue == "builds"] == [
        "build_and_open_pr",
        "wait_for_merge",  # which builds where the branch has to be made anew
    ]
