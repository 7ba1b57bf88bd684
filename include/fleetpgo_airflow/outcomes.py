"""Domain errors as Airflow's: a failure if a retry cannot help, a retry if it can; why a task failed."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from fleetpgo.errors import (
    ArtifactError,
    BuildError,
    FleetPGOError,
    ProfileError,
    QueryError,
    QuorumError,
    SelectionError,
    ServiceFileError,
    ToolchainError,
)
from fleetpgo.run.proposed import Failed
from fleetpgo.service.files import keys_located
from fleetpgo_airflow import hooks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_log = logging.getLogger(__name__)

FINAL = (
    ArtifactError,
    BuildError,
    ProfileError,
    QueryError,
    QuorumError,
    SelectionError,
    ServiceFileError,
    ToolchainError,
)
"""Errors that a retry cannot mend. All others may be passing faults of a network or a server."""


@contextmanager
def translated(service: str) -> Iterator[None]:
    """Raise the domain's errors as Airflow's, without the traceback that a user does not need.

    Args:
        service: name of the service; keys of its file that an error names get their line.
    """
    try:
        with keys_located(service):
            yield
    except FINAL as error:
        raise AirflowFailException(str(error)) from None
    except FleetPGOError as error:
        raise AirflowException(str(error)) from None


def keep_failure(context: Mapping[str, Any]) -> None:
    """Keep in the run's store why a task failed, for the run's page; a task's ``on_failure_callback``."""
    error = context.get("exception")
    _keep(context, Failed(str(error) or type(error).__name__ if error else "see the task's log"))


def forget_failure(context: Mapping[str, Any]) -> None:
    """Forget why an earlier try failed; a task's ``on_success_callback``."""
    if context["task_instance"].try_number > 1:
        _keep(context, None)


def _keep(context: Mapping[str, Any], failed: Failed | None) -> None:
    task = context["task"]
    try:
        store = hooks.run_store(task.service, context["run_id"])
        if failed is None:
            store.remove(Failed, task.task_id)
        else:
            store.write(failed, task.task_id)
    except FleetPGOError as error:
        _log.warning("the run's page will not show what became of this task: %s", error)
