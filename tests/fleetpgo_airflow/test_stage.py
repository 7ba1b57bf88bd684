"""What all tasks of a service's DAG have in common."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.definitions.taskgroup import TaskGroup

from fleetpgo_airflow.operators import FetchProfileOperator, MeasureOperator, TopUpOperator
from fleetpgo_airflow.stage import RefreshOperator

GIVEN = {
    "retries": "2",
    "retry_delay": 30,
    "max_retry_delay": 600.0,
    "execution_timeout": timedelta(minutes=1),
    "resources": {"cpus": 2},
    "trigger_rule": "all_done",
    "pool": "builds",
}
"""Some that Airflow converts, and some that it does not."""


def attributes(kind, **own):
    """The attributes of an operator in a DAG, which is the same for both."""
    with DAG(dag_id="d", schedule=None, default_args={"owner": "o", "retries": 1}):
        made = kind(task_id="t", service="api", **own, **GIVEN)
    found = {**vars(made), **vars(made)["_BaseOperator__init_kwargs"]}
    places = {"dag", "_dag", "task_group", "_BaseOperator__init_kwargs", "resources", "weight_rule", "params"}
    assert isinstance(made.task_group, TaskGroup)
    assert made.dag.task_dict == {"t": made}
    return {name: value for name, value in found.items() if name not in places} | {
        "params": made.params.dump(),
        "resources": repr(made.resources),
        "weight_rule": repr(made.weight_rule),
    }


@pytest.mark.parametrize(
    ("kind", "own"),
    [(TopUpOperator, {}), (MeasureOperator, {"period": "week"}), (FetchProfileOperator, {"pack": {"a": 1}})],
)
def test_an_operator_is_as_airflow_itself_makes_it(monkeypatch, kind, own):
    made = attributes(kind, **own)
    monkeypatch.setattr(RefreshOperator, "__setattr__", BaseOperator.__setattr__)

    assert made == attributes(kind, **own)


def test_what_is_set_later_is_converted_and_remembered_as_airflow_does():
    operator = TopUpOperator(task_id="t", service="api")

    operator.retry_delay = 30
    operator.service = "web"

    assert operator.retry_delay == timedelta(seconds=30)
    assert vars(operator)["_BaseOperator__init_kwargs"]["service"] == "web"


def test_an_operator_says_what_its_class_does():
    assert TopUpOperator(task_id="t", service="api").doc_md == (
        "Profiles further rounds while there are too few samples; returns a sentence for each check."
    )


def test_an_operator_s_defaults_are_applied_by_no_class_but_its_base():
    """A class whose first base is not RefreshOperator would apply them a third time."""
    kinds = [RefreshOperator]
    for kind in kinds:
        kinds += kind.__subclasses__()

    assert [kind for kind in kinds[1:] if not issubclass(kind.__bases__[0], RefreshOperator)] == []
