"""Every week: remove from the artifact store what is old. `fleetpgo store prune` does the same by hand."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param

from fleetpgo.run.retention import LEAST_PROFILES_AFTER, LEAST_RUNS_AFTER, PROFILES_AFTER, RUNS_AFTER
from fleetpgo_airflow.housekeeping import PruneStoreOperator

with DAG(
    dag_id="pgo_store",
    description="Remove what is old from the artifact store",
    doc_md="Removes the profiles of single instances after some weeks, and all of a run but what the history "
    "and the fleet's page need after a year. The log has what it frees. See docs/backup.md.",
    # At a quiet hour, and at no service's usual one.
    schedule=CronTriggerTimetable("30 3 * * sun", timezone="UTC", run_immediately=timedelta(milliseconds=1)),
    catchup=False,
    max_active_runs=1,
    tags=["fleetpgo"],
    params={
        "profiles_after": Param(
            PROFILES_AFTER.days,
            type="integer",
            minimum=LEAST_PROFILES_AFTER.days,
            title="Profiles, days",
            description="Days after which the profiles of single instances go.",
        ),
        "runs_after": Param(
            RUNS_AFTER.days,
            type="integer",
            minimum=LEAST_RUNS_AFTER.days,
            title="Runs, days",
            description="Days after which all of a run goes but what the history and the pages need.",
        ),
        "dry_run": Param(default=False, type="boolean", title="Dry run", description="Remove nothing."),
    },
):
    PruneStoreOperator(
        task_id="prune", retries=2, retry_delay=timedelta(minutes=10), execution_timeout=timedelta(hours=2)
    )
