"""The failures that fleetpgo reports, as one tree.

    FleetPGOError
    ├── ServiceFileError     a service file has a mistake, or does not exist
    ├── PrometheusError      Prometheus or Thanos cannot be reached, or refuses the query
    │   └── QueryError       Prometheus cannot read the query
    ├── SelectionError       there is no instance to profile
    ├── ProfileError         a profile cannot be used; has a named `reason`
    ├── QuorumError          too few of the selected instances gave a profile
    ├── ArtifactError        a run's artifact cannot be read
    │   └── NotThereError    it is not in the store
    ├── StoreError           the store of artifacts does not answer, refuses, or has no room
    ├── ToolchainError       Go is missing, too old, or a command of it failed
    ├── BuildError           the service does not build
    ├── RepositoryError      git could not clone, commit or push
    ├── ForgeError           the forge cannot be reached, or refuses
    │   └── RefusedError     the forge works and refuses this request; a retry gets the same answer
    ├── LimitError           a limit of the service file holds the run up for now
    └── MeasurementError     the data in Prometheus are not enough to compute the saving

A message says what happened, and to what; `hint` says what to do. Where a key of the service file rules the
failure, they name it (``collection.url``); :mod:`fleetpgo.service.files` adds its line. Neither holds a
secret or a control character (:mod:`fleetpgo.foreign`). Any other exception is a bug in fleetpgo.
"""

from __future__ import annotations

from fleetpgo.foreign import safe


class FleetPGOError(Exception):
    """Base class of all failures that a user can understand and act on.

    Args:
        message: what happened, and to what.
        hint: what to do; printed after the message.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        # Text from outside is cleaned where it enters; what libraries say in their own errors enters here.
        self.message, self.hint = safe(message), safe(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\n→ {self.hint}" if self.hint else self.message


class ServiceFileError(FleetPGOError):
    """A service file has a mistake, or does not exist."""


class PrometheusError(FleetPGOError):
    """Prometheus or Thanos cannot be reached, or refuses the query."""


class QueryError(PrometheusError):
    """Prometheus cannot read the query."""


class SelectionError(FleetPGOError):
    """The query for instances returned nothing that can be profiled."""


class ProfileError(FleetPGOError):
    """The profile cannot be used.

    Args:
        message: what is wrong, with which profile.
        reason: a short stable name of the defect (``truncated``, ``no-samples`` …), for records and tables.
        hint: what to do next.
        profile: index of the profile among several; None: there is only one, or it is unknown.
    """

    def __init__(self, message: str, *, reason: str, hint: str = "", profile: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.profile = profile


class QuorumError(FleetPGOError):
    """Too few of the selected instances gave a profile."""


class ArtifactError(FleetPGOError):
    """A run's artifact is missing, damaged, or of a newer version."""


class NotThereError(ArtifactError):
    """A run's artifact is not in the store."""


class StoreError(FleetPGOError):
    """The artifact store does not answer, refuses, or is full; a retry may succeed."""


class ToolchainError(FleetPGOError):
    """The Go toolchain is missing, too old, or one of its commands failed."""


class BuildError(FleetPGOError):
    """The service does not build."""


class RepositoryError(FleetPGOError):
    """Git could not clone, commit or push."""


class ForgeError(FleetPGOError):
    """The forge cannot be reached, or refuses."""


class RefusedError(ForgeError):
    """The forge works and refuses this request; a retry gets the same answer."""


class UndecidedError(ForgeError):
    """The forge is still working out whether it can merge; within seconds it knows."""


class LimitError(FleetPGOError):
    """A limit of the service file (``repository.limits``) holds the run up for now; later it will not."""


class MeasurementError(FleetPGOError):
    """The data in Prometheus are not enough to compute the saving."""
