"""What a check of a service says (:mod:`fleetpgo.steps.doctor`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fleetpgo.errors import (
    FleetPGOError,
    ForgeError,
    PrometheusError,
    QueryError,
    RefusedError,
    RepositoryError,
    StoreError,
)

_PASSING = (PrometheusError, StoreError, ForgeError, RepositoryError)
"""Failures that may pass by themselves, but for those of _FINAL."""
_FINAL = (QueryError, RefusedError)


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: what was checked; of a query its key in the service file.
        outcome: ok, a warning, or a failure.
        said: what was found, in a sentence.
        hint: what to change; "" if nothing.
        passing: of a failure, whether it may pass by itself.
    """

    name: str
    outcome: Literal["ok", "warning", "failure"]
    said: str
    hint: str = ""
    passing: bool = False

    @property
    def line(self) -> str:
        """The check on one line."""
        said = " ".join(self.said.split())
        return f"{self.name}: {self.outcome}: {said}" + (f" → {self.hint}" if self.hint else "")


def failure(name: str, error: FleetPGOError) -> Check:
    """Return the failed check that an error stands for."""
    passing = isinstance(error, _PASSING) and not isinstance(error, _FINAL)
    return Check(name, "failure", error.message, error.hint, passing=passing)
