"""The part of a measurement's record that later steps, the pages and the history read.

docs/measurement.schema.json describes the whole record.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  # pydantic reads the annotations
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import AwareDatetime  # noqa: TC002  # likewise

Period = Literal["rollout", "week"]

PERIODS: tuple[Period, ...] = ("rollout", "week")
"""After the rollout, the shorter first."""


LEVEL_RUN = "level__"
"""Begins the name of a run that measures the level: a refresh may have the same id in Airflow."""


@dataclass(frozen=True)
class RolledOut:
    """Digest of the profile that was rolled out, "" by hand; when the new build was out."""

    profile: str
    end: AwareDatetime


@dataclass(frozen=True)
class Saving:
    """An estimate: the saving as a share with the ends of its 95 % interval, and in cores.

    ``degrees`` are the degrees of freedom of the interval's t distribution.
    """

    method: str
    saving: float
    low: float
    high: float
    cores: float
    degrees: float | None = None


@dataclass(frozen=True)
class Level:
    """What PGO saves at a time, against a standing baseline; or why that cannot be said.

    Attributes:
        at: end of the weeks that were looked at.
        memberships: sets of members that the baseline had in them, one after the other.
        members: instances in the baseline last.
        reason: why there is no figure; "" if there is one.
        saving: share of CPU saved, with the ends of its 95 % interval; None if there is none.
        cores: the same in cores, with its interval.
        used: cores that the instances with the profile used.
        basis: what the interval is derived from.
    """

    at: AwareDatetime
    memberships: int
    members: tuple[str, ...] = ()
    reason: str = ""
    saving: float | None = None
    low: float | None = None
    high: float | None = None
    cores: float | None = None
    cores_low: float | None = None
    cores_high: float | None = None
    used: float | None = None
    basis: str = ""


@dataclass(frozen=True)
class Judgement:
    """Verdict on a measurement; see :class:`fleetpgo.measurement.verdict.Verdict`."""

    call: str
    reasons: tuple[str, ...] = ()
    attribution: str = "PGO"


@dataclass(frozen=True)
class GroupChange:
    """CPU of a group of instances before and after the rollout: cores, and seconds per request."""

    instances: int
    cpu_per_request_before: float | None = None
    cpu_per_request_after: float | None = None
    saved_share_per_request: float | None = None


@dataclass(frozen=True)
class Measurement:
    """A comparison of the CPU before and after a rollout.

    Attributes:
        period: ``rollout``, ``week``, or ``by hand``.
        rollout: what was measured.
        verdict: what may be said.
        estimate: None if no estimator was possible.
        whole: the whole record, as it was written.
        raw: the whole fleet; None in a record that leaves it out.
        groups: the ``treated`` and the ``control`` instances, where there are both.
        queries: literal PromQL by name.
    """

    period: str
    rollout: RolledOut
    verdict: Judgement
    estimate: Saving | None
    whole: Mapping[str, Any]
    raw: GroupChange | None = None
    groups: Mapping[str, GroupChange] = field(default_factory=dict)
    queries: Mapping[str, str] = field(default_factory=dict)
