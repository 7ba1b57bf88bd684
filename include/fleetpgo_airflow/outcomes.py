"""How a domain error ends a task: at once where trying again cannot help, with a retry where it can."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

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
from fleetpgo.service.files import keys_located

if TYPE_CHECKING:
    from collections.abc import Iterator

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
"""Somebody must change something first. Everything else may be a passing fault of a network or a server."""


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
