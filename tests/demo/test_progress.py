"""What the demo says about a run, with an Airflow that only plays back."""

import io

import pytest
from rich.console import Console

from demo.processes import DemoError
from demo.progress import Progress


class Playback:
    """Stands for Airflow and for the fleet: one moment of a run."""

    def __init__(self, *instances, run="running"):
        self.instances = list(instances)
        self.run = run

    def check(self):
        pass

    def run_state(self, _dag_id, _run_id):
        return self.run

    def task_instances(self, _dag_id, _run_id):
        return self.instances

    def task_log(self, instance):
        return f"log of {instance['task_id']}"


def instance(task_id, state, name=None):
    return {"task_id": task_id, "state": state, "end_date": None, "rendered_map_index": name}


def follow(playback, stage, states):
    out = io.StringIO()
    Progress(Console(file=out, width=120), playback, playback, "dag", "run").follow_until(stage, states)
    return out.getvalue()


def test_mapped_tasks_are_counted_by_state():
    fetched = [instance("fetch_profile", state, "a") for state in ("success", "success", "skipped")]
    assert "fetch_profile      1 skipped, 2 success" in follow(
        Playback(*fetched), "fetch_profile", {"success", "skipped"}
    )


def test_stages_to_come_are_not_shown():
    run = Playback(instance("select_instances", "success"), instance("measure_week", None))
    assert "measure_week" not in follow(run, "select_instances", {"success"})


def test_a_failed_task_ends_it_with_its_name_and_its_log():
    run = Playback(instance("fetch_profile", "failed", "10.0.0.1:80"))
    with pytest.raises(DemoError) as raised:
        follow(run, "wait_for_merge", {"deferred"})
    assert (
        str(raised.value)
        == "fetch_profile [10.0.0.1:80] is failed. The end of its log:\nlog of fetch_profile"
    )


def test_a_run_that_ends_early_is_an_error():
    run = Playback(instance("wait_for_merge", "skipped"), run="success")
    with pytest.raises(DemoError, match="The run ended while wait_for_merge was skipped"):
        follow(run, "wait_for_merge", {"deferred"})
