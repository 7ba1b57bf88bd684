"""Domain errors as Airflow's: a failure if a retry cannot help, a retry if it can."""

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
