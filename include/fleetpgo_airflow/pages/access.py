"""Access to the pages: users see only what Airflow's auth manager lets them see of a service's DAG."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003  # FastAPI reads the annotations of what it depends on
from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, get_user, requires_access_dag
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from fastapi import Depends, HTTPException
from sqlalchemy import func, select

from fleetpgo.run.store import RunStore
from fleetpgo.service.rules import NAME
from fleetpgo_airflow import DAG_PREFIX, hooks

SIGNED_IN = Depends(get_user)
"""For every route: 401 without a user."""

MAY_READ_RUN = Depends(requires_access_dag("GET", DagAccessEntity.RUN))
"""For routes whose path has a ``dag_id``: 403 unless the user may read that DAG's runs."""


@dataclass(frozen=True)
class ServiceDag:
    """A service's DAG in Airflow, with id and state of its newest run."""

    service: str
    dag_id: str
    owners: str
    paused: bool
    next_run: datetime | None
    last_run: str | None
    last_run_state: str | None


def readable_dags(user: GetUserDep) -> list[ServiceDag]:
    """Return the services whose DAG the user may read, by name."""
    with create_session() as session:
        allowed = get_auth_manager().get_authorized_dag_ids(user=user, method="GET", session=session)
        # The columns alone: nothing else is needed of a thousand DAGs.
        columns = (DagModel.dag_id, DagModel.owners, DagModel.is_paused, DagModel.next_dagrun_create_after)
        ours = select(*columns).where(DagModel.dag_id.startswith(DAG_PREFIX, autoescape=True))
        known = session.execute(ours.where(~DagModel.is_stale).order_by(DagModel.dag_id))
        dags = [dag for dag in known if dag.dag_id in allowed and _service(dag.dag_id)]
        shown = [dag.dag_id for dag in dags]
        newest = select(func.max(DagRun.id)).where(DagRun.dag_id.in_(shown)).group_by(DagRun.dag_id)
        runs = session.execute(
            select(DagRun.dag_id, DagRun.run_id, DagRun.state).where(DagRun.id.in_(newest))
        )
        last = {dag_id: (run_id, state) for dag_id, run_id, state in runs}
        return [
            ServiceDag(
                _service(dag.dag_id),
                dag.dag_id,
                dag.owners or "",
                dag.is_paused,
                None if dag.is_paused else dag.next_dagrun_create_after,
                *last.get(dag.dag_id, (None, None)),
            )
            for dag in dags
        ]


def run_store(dag_id: str, run_id: str) -> RunStore:
    """Return the artifacts of a run; both ids are checked before they become a part of a path.

    Raises:
        HTTPException: 404, if the DAG is not one of fleetpgo's, or the run does not exist.
    """
    if not (service := _service(dag_id)):
        raise HTTPException(404, f"{dag_id} is not the refresh of a service, so there is no profile to show")
    return hooks.run_store(service, run_id)


def _service(dag_id: str) -> str:
    """Return the service of a DAG; "" if what follows the prefix cannot be a service's name."""
    service = dag_id.removeprefix(DAG_PREFIX)
    return service if service != dag_id and NAME.fullmatch(service) else ""


def run_state(dag_id: str, run_id: str) -> str | None:
    """Return a DAG run's state: queued, running, success or failed; None: the run does not exist."""
    with create_session() as session:
        return session.scalar(select(DagRun.state).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))


ReadableDags = Annotated[list[ServiceDag], Depends(readable_dags)]
Store = Annotated[RunStore, Depends(run_store)]
