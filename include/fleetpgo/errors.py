"""Everything that fleetpgo reports as failed, as one tree.

    FleetPGOError
    ├── ServiceFileError     a service file does not say what it must
    ├── PrometheusError      Prometheus or Thanos cannot be reached, or refuses the query
    │   └── QueryError       Prometheus cannot read the query
    ├── SelectionError       nothing to profile
    ├── ProfileError         these bytes are not a CPU profile that can be used; has a named `reason`
    ├── QuorumError          too few of the selected instances gave a profile
    ├── ArtifactError        a run's artifact cannot be read
    │   └── NotThereError    it is not in the store
    ├── StoreError           the store of artifacts does not answer, refuses, or has no room
    ├── ToolchainError       Go is missing, too old, or a command of it failed
    ├── BuildError           the service does not build
    ├── RepositoryError      git could not clone, commit or push
    ├── ForgeError           the forge cannot be reached, or refuses
    │   └── RefusedError     the forge is well and will not do this: to ask again gets the same answer
    └── MeasurementError     the saving cannot be computed from what Prometheus holds

Each message says what happened and to what; `hint` says what to do next. Neither may hold a secret.
Anything else that is raised is a bug in fleetpgo.
"""

from __future__ import annotations


class FleetPGOError(Exception):
    """Base of all failures that a user can understand and act on.

    Args:
        message: what happened, and to what.
        hint: what to do next; printed after the message.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n→ {self.hint}" if self.hint else self.message


class ServiceFileError(FleetPGOError):
    """A service file does not say what it must."""


class PrometheusError(FleetPGOError):
    """Prometheus or Thanos cannot be reached, or refuses the query."""


class QueryError(PrometheusError):
    """Prometheus cannot read the query."""


class SelectionError(FleetPGOError):
    """The query for instances gave nothing that can be profiled."""


class ProfileError(FleetPGOError):
    """The bytes are not a CPU profile that can be used.

    Args:
        message: what is wrong with which profile.
        reason: a short stable name of the defect (``truncated``, ``no-samples`` …), for records and tables.
        hint: what to do next.
        profile: which one of several it is, from 0; None: it was the only one, or nobody knows.
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
    """The store of artifacts does not answer, refuses, or has no room: it may be better in a while."""


class ToolchainError(FleetPGOError):
    """The Go toolchain is missing, too old, or one of its commands failed."""


class BuildError(FleetPGOError):
    """The service does not build."""


class RepositoryError(FleetPGOError):
    """Git could not clone, commit or push."""


class ForgeError(FleetPGOError):
    """The forge cannot be reached, or refuses."""


class RefusedError(ForgeError):
    """The forge is well and will not do this: to ask again gets the same answer."""


class MeasurementError(FleetPGOError):
    """The saving cannot be computed from what Prometheus holds."""
