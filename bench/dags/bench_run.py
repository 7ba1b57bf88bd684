"""The tasks after the fetching ones, in a run whose profiles have arrived; and with nothing to do."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, chain, get_current_context, task

from fleetpgo_airflow import hooks
from fleetpgo_airflow.operators import MergeProfilesOperator, TopUpOperator

SERVICE = "bench"
LIMIT = timedelta(minutes=30)
PARAMS = {"arrived": ""}


@task
def arrive() -> None:
    """Link what has arrived into the run's directory."""
    import os  # noqa: PLC0415  # not when the DAG file is parsed
    import shutil  # noqa: PLC0415  # likewise

    context = get_current_context()
    store = hooks.run_store(SERVICE, context["run_id"])
    shutil.copytree(context["params"]["arrived"], str(store.directory), copy_function=os.link)


@task
def nothing() -> None:
    """Do nothing."""


with DAG("bench_run", schedule=None, params=PARAMS):
    chain(
        arrive(),
        TopUpOperator(task_id="top_up", service=SERVICE, execution_timeout=LIMIT),
        MergeProfilesOperator(task_id="merge_profiles", service=SERVICE, execution_timeout=LIMIT),
    )

with DAG("bench_run_idle", schedule=None, params=PARAMS):
    chain(arrive(), nothing.override(task_id="top_up")(), nothing.override(task_id="merge_profiles")())
