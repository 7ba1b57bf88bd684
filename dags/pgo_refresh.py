"""One DAG for each service file: every week from CPU profiles of the fleet to a measured saving.

A service with a standing baseline has a second one, which measures every week what PGO saves.
"""

from __future__ import annotations

import re
from contextlib import nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import (
    DAG,
    Asset,
    AssetOrTimeSchedule,
    CronTriggerTimetable,
    TaskGroup,
    chain,
    get_parsing_context,
)
from airflow.utils.types import DagRunType

from fleetpgo.errors import ServiceFileError
from fleetpgo.service.files import service_files
from fleetpgo_airflow import DAG_PREFIX, LEVEL_PREFIX
from fleetpgo_airflow.alerts import alerting
from fleetpgo_airflow.form import params
from fleetpgo_airflow.gates import NeedsProfileOperator, NoticeReleaseOperator
from fleetpgo_airflow.operators import (
    AnnounceMergeOperator,
    BrokenServiceOperator,
    BuildAndOpenPROperator,
    FetchProfileOperator,
    LevelOperator,
    MeasureOperator,
    MergeProfilesOperator,
    PreflightOperator,
    SelectInstancesOperator,
    TopUpOperator,
)
from fleetpgo_airflow.parsing import read_all, without_collector
from fleetpgo_airflow.releases import release_asset
from fleetpgo_airflow.waits import (
    WaitForMergeOperator,
    WaitForRolloutOperator,
    WaitForTurnOperator,
    WaitForWeekOperator,
    WaitForWindowOperator,
)

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.definitions.mappedoperator import MappedOperator

    from fleetpgo.service.rules import ServiceRules

DOC = """
Profiles the busiest instances of **{name}** ({description}), merges the profiles, builds `{project}` without
and with the result, and opens one pull request. After the rollout it measures the saving.

| stage | what it does | if it fails or is skipped |
|---|---|---|
| preflight | checks the service as `fleetpgo doctor` does | the log says what to change |
| wait_for_window | waits until its window opens, if the service has windows | see `selection.windows` |
| select_instances | asks Prometheus for the busiest instances | paste the query of the log into Prometheus |
| fetch_profile | fetches profiles; one mapped task per pack of instances | skipped: no profile, see the log |
| top_up | profiles further rounds while there are too few samples | the log has the figures |
| merge_profiles | checks, merges, minimises; applies the quorum | the log names each lost instance |
| approve | waits for an approval, if the service requires one | skipped from here: it was rejected |
| wait_for_turn | waits if too many build or are open already | see `repository.limits` |
| build_and_open_pr | builds twice; opens or updates the PR of `{branch}` | the log has the build's output |
| wait_for_merge | waits until the PR is merged; rebases it where needed | skipped: closed, or taken over |
| announce_merge | updates `fleetpgo://{name}/profile`, deletes our branch | no DAG that follows it starts |
| wait_for_rollout | waits until the fleet runs the new build | see `rollout.fraction` in the service file |
| measure_rollout | compares CPU before and after; comments on the PR | the log has the PromQL |
| wait_for_week, measure_week | the same over `measurement.week` | the log has the PromQL |

Trigger the DAG by hand for another number of instances, a longer profile, or a dry run, which does everything
but push. There is no backfill: a profile shows the fleet as it runs now, so the past cannot be profiled.
"""

RELEASE_DOC = """
It also runs for each new release (`release` in the service file), and then profiles only instances of that
release. Two more stages decide whether such a run goes on:

| stage | what it does | if what follows is skipped |
|---|---|---|
| notice_release | looks at the service's other runs | another run goes first: the log names it |
| needs_profile | compares the profile in the repository with the release's source | it still fits |
"""

# A year's backfill would profile production 52 times.
# The SDK has an enum of its own for their types, which is not public.
RUN_TYPES: Any = frozenset(DagRunType) - {DagRunType.BACKFILL_JOB}

DEFAULTS = {
    "retries": 3,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),
    "execution_timeout": timedelta(minutes=15),
}

# After that time the approval counts as forgotten: the task fails, so that somebody looks.
APPROVAL_TIME = timedelta(days=14)

APPROVAL = """
**{{{{ ti.xcom_pull(task_ids="merge_profiles")["used"] }}}} of
{{{{ ti.xcom_pull(task_ids="merge_profiles")["selected"] }}}}** instances gave a profile,
**{{{{ ti.xcom_pull(task_ids="merge_profiles")["samples"] }}}}** samples in all.
Approve to build `{project}` with the profile and to open the pull request from `{branch}`. The log of
*merge_profiles* has all figures.
"""

# With `max_share` 5 %, a datacenter whose every instance is profiled takes 20 turns of a profile's length.
FETCH_TIME = timedelta(hours=2)


def dag_id(name: str, prefix: str = DAG_PREFIX) -> str:
    """Return the id of a service's DAG, whatever the name of its file."""
    return f"{prefix}{re.sub('[^A-Za-z0-9_.-]', '_', name)}"


def at_times(schedule: str | None) -> CronTriggerTimetable | str | None:
    """Return a schedule whose first run is at its next time: to unpause a DAG must not profile production.

    A start date in the past, or a plain cron expression, would start a run for the time that has passed last
    (docs/decisions/0464).
    """
    if schedule is None or schedule == "@once":
        return schedule
    return CronTriggerTimetable(schedule, timezone="UTC", run_immediately=timedelta(milliseconds=1))


def when(service: ServiceRules) -> CronTriggerTimetable | AssetOrTimeSchedule | list[Asset] | str | None:
    """Return when a service's DAG runs: at its times, and for each new release if its file says so."""
    times = at_times(service.schedule)
    if service.release is None:
        return times
    releases = [release_asset(service)]
    # `release` goes with no "@once", so that what is no timetable is no schedule.
    return (
        AssetOrTimeSchedule(timetable=times, assets=releases)
        if isinstance(times, CronTriggerTimetable)
        else releases
    )


def pgo_refresh(service: ServiceRules) -> DAG:
    """Return the DAG of one service."""
    with DAG(
        dag_id=dag_id(service.name),
        description=f"PGO refresh of {service.name}: {service.description}",
        doc_md=DOC.format(
            name=service.name,
            description=service.description,
            project=service.repository.project,
            branch=service.branch,
        )
        + (RELEASE_DOC if service.release else ""),
        schedule=when(service),
        catchup=False,
        # A run waits for days (review, rollout, week); next week's must not wait for it.
        max_active_runs=16 if service.release else 8,
        allowed_run_types=RUN_TYPES,
        tags=["fleetpgo", "pgo", service.owner],
        default_args={**DEFAULTS, "owner": service.owner},
        **alerting(service.alerts),
    ) as dag:
        name = service.name
        chain(
            fetch_all(service, after=begin(service)),
            # These two run whether the fetches succeeded or not: the quorum decides.
            TopUpOperator(
                task_id="top_up", service=name, trigger_rule="all_done", execution_timeout=FETCH_TIME
            ),
            MergeProfilesOperator(
                task_id="merge_profiles",
                service=name,
                trigger_rule="all_done",
                # To repair profiles it builds what the instances run.
                **(builds(service) if service.profile.repair else {}),
            ),
            *approval(service),
            WaitForTurnOperator(task_id="wait_for_turn", service=name),
            BuildAndOpenPROperator(
                task_id="build_and_open_pr",
                service=name,
                **builds(service),
                execution_timeout=service.build.longest,
            ),
            merged := WaitForMergeOperator(
                task_id="wait_for_merge",
                service=name,
                # While it waits it holds no slot; where it resumes to build, one of the builds'.
                **builds(service),
                execution_timeout=service.build.longest,
            ),
            WaitForRolloutOperator(task_id="wait_for_rollout", service=name),
            MeasureOperator(task_id="measure_rollout", service=name, period="rollout"),
            WaitForWeekOperator(task_id="wait_for_week", service=name),
            MeasureOperator(task_id="measure_week", service=name, period="week"),
        )
        # Not part of the chain: the run goes on even if announcing fails.
        profile = Asset(f"{name} profile", uri=f"fleetpgo://{name}/profile")
        chain(merged, AnnounceMergeOperator(task_id="announce_merge", service=name, outlets=[profile]))
    # After the tasks, each of which would take a deep copy. The service file has checked the defaults.
    dag.params.update(params(service))
    return dag


def begin(service: ServiceRules) -> PreflightOperator | NeedsProfileOperator:
    """Return the task after which instances are selected: the preflight, or a gate of runs for releases."""
    preflight = PreflightOperator(task_id="preflight", service=service.name)
    if service.release is None:
        return preflight
    notice = NoticeReleaseOperator(
        task_id="notice_release",
        service=service.name,
        # Of two runs that begin at once, one must see the other.
        max_active_tis_per_dag=1,
    )
    needs = NeedsProfileOperator(
        task_id="needs_profile",
        service=service.name,
        **builds(service),
        execution_timeout=service.build.timeout,
    )
    chain(notice, preflight, needs)
    return needs


def builds(service: ServiceRules) -> dict[str, str]:
    """Return the arguments of a task that builds: where it runs, and with how many others."""
    queue = {"queue": service.build.queue} if service.build.queue else {}
    return {"pool": service.build.pool, **queue}


def fetch_all(service: ServiceRules, after: BaseOperator) -> list[MappedOperator]:
    """Select and profile instances after a task, in each window if the service has some."""
    names: list[str | None] = [window.name for window in service.selection.windows]
    selects, fetches = zip(
        *(select_and_fetch(service.name, name, after) for name in names or [None]), strict=True
    )
    if service.collection.past:
        # Nobody waits for these windows to open, and each leaves out whom the others have taken.
        chain(*selects)
    return list(fetches)


def select_and_fetch(
    service: str, window: str | None, after: BaseOperator
) -> tuple[SelectInstancesOperator, MappedOperator]:
    """Select and profile instances after a task; for a window, when it opens, in a task group of its name."""
    with TaskGroup(window) if window else nullcontext():
        select = SelectInstancesOperator(task_id="select_instances", service=service, window=window)
        if window:
            opens = WaitForWindowOperator(task_id="wait_for_window", service=service, window=window)
            chain(after, opens, select)
        else:
            chain(after, select)
        fetch = FetchProfileOperator.partial(
            task_id="fetch_profile",
            service=service,
            map_index_template="{{ task.pack['name'] }}",
            doc_md="Fetches the profiles of one pack of instances, all at the same time.",
            execution_timeout=FETCH_TIME,
        ).expand(pack=select.output)
        return select, fetch


def approval(service: ServiceRules) -> list[ApprovalOperator]:
    """Return the task that waits for an approval, if the service requires one; it holds no worker slot."""
    if not service.approval:
        return []
    return [
        ApprovalOperator(
            task_id="approve",
            subject=f"Build {service.name} with the new profile?",
            body=APPROVAL.format(project=service.repository.project, branch=service.branch),
            response_timeout=APPROVAL_TIME,
            # The operator would take the default one for its response_timeout, and a retry would ask again.
            execution_timeout=None,
            retries=0,
        )
    ]


def pgo_level(service: ServiceRules) -> DAG:
    """Return the DAG that measures what PGO saves now, against the service's baseline."""
    with DAG(
        dag_id=dag_id(service.name, LEVEL_PREFIX),
        description=f"What PGO saves now in {service.name}, against a baseline without it",
        doc_md=f"Compares the instances of **{service.name}** that run the profile with those of "
        "`rollout.baseline`, over four weeks. The fleet's page shows the result.",
        schedule=at_times("@weekly"),
        catchup=False,
        max_active_runs=1,
        allowed_run_types=RUN_TYPES,
        tags=["fleetpgo", "pgo", service.owner],
        default_args={**DEFAULTS, "owner": service.owner},
        **alerting(service.alerts),
    ) as dag:
        LevelOperator(task_id="measure_level", service=service.name)
    return dag


def broken_service(name: str, mistakes: str) -> DAG:
    """Return a DAG that shows what is wrong with a service file, on its page and when it runs."""
    with DAG(
        dag_id=dag_id(name),
        description=f"The service file of {name} has a mistake",
        doc_md=f"The service file has a mistake:\n```\n{mistakes}\n```",
        schedule=at_times("@weekly"),
        catchup=False,
        allowed_run_types=RUN_TYPES,
        tags=["fleetpgo", "broken service file"],
    ) as dag:
        BrokenServiceOperator(task_id="read_service_file", mistakes=mistakes)
    return dag


# A starting task parses this file for its own DAG only, so the other service files are not read.
wanted = get_parsing_context().dag_id

files = [
    file
    for file in service_files()
    if not wanted or wanted in (dag_id(file.stem), dag_id(file.stem, LEVEL_PREFIX))
]

with without_collector():
    # All files first, then all DAGs: done in turn, the two take a tenth more of CPU.
    for file, found in read_all(files):
        try:
            if isinstance(found, ServiceFileError):
                raise found
            pgo_refresh(found)
            if found.rollout.baseline is not None:
                pgo_level(found)
        except ServiceFileError as mistake:
            broken_service(file.stem, str(mistake))
