"""Answers of the pages' API: the values of :mod:`fleetpgo.overview` as JSON, with a schema.

The schema is made from these models (``app.openapi()``). A field stands here if a page reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime  # noqa: TC003  # pydantic reads the annotations
from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, field_validator

from fleetpgo import foreign
from fleetpgo.run.measured import Period  # noqa: TC001  # likewise


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return foreign.safe(value)
    if isinstance(value, Mapping):
        return {_cleaned(name): _cleaned(each) for name, each in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(map(_cleaned, value))
    return value


class Answer(BaseModel):
    """Base class of all answers. Values come from attributes; unknown fields are errors."""

    model_config = ConfigDict(from_attributes=True, extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _safe(cls, value: object) -> object:
        """Take control characters, and whatever is no Unicode, out of the texts in a value."""
        return _cleaned(value)


class ProfileAnswer(Answer):
    """A profile that was merged, as JSON: :class:`fleetpgo.overview.summaries.Profile`."""

    run: str
    made_at: datetime
    digest: str
    size: NonNegativeInt
    samples: NonNegativeInt


class PullRequestAnswer(Answer):
    """An open pull request, as JSON: :class:`fleetpgo.overview.summaries.PullRequest`."""

    number: int
    url: str


class RefreshAnswer(Answer):
    """A measured refresh, as JSON: :class:`fleetpgo.measurement.history.Refresh`."""

    verdict: str
    attribution: str
    saving: float | None
    low: float | None
    high: float | None


class ReclaimedAnswer(Answer):
    """The cores that refreshes have reclaimed, as JSON: :class:`fleetpgo.measurement.history.Reclaimed`."""

    at: datetime
    cores: float
    low: float
    high: float


class LevelAnswer(Answer):
    """What PGO saves now, as JSON: :class:`fleetpgo.run.measured.Level`."""

    at: datetime
    memberships: NonNegativeInt
    reason: str
    saving: float | None
    low: float | None
    high: float | None
    cores: float | None
    cores_low: float | None
    cores_high: float | None
    basis: str


class ServiceAnswer(Answer):
    """A service: what Airflow knows of its DAG, and what its runs have left.

    ``refreshes``: how many were measured.
    """

    service: str
    dag_id: str
    owners: str
    paused: bool
    next_run: datetime | None
    last_run: str | None
    last_run_state: str | None
    profile: ProfileAnswer | None
    source_match: float | None
    waiting: PullRequestAnswer | None
    last: RefreshAnswer | None
    cores: ReclaimedAnswer | None
    core_hours: float
    level: LevelAnswer | None
    refreshes: NonNegativeInt
    problems: tuple[str, ...]


class FleetAnswer(Answer):
    """All services, as JSON for the fleet's page."""

    services: tuple[ServiceAnswer, ...]
    level: LevelAnswer | None
    reclaimed: tuple[ReclaimedAnswer, ...]
    now: datetime


class StageAnswer(Answer):
    """A stage of a run, as JSON: :class:`fleetpgo.overview.stages.Stage`."""

    name: str
    state: Literal["waiting", "done", "skipped", "failed"]
    figures: dict[str, str]


class InstanceAnswer(Answer):
    """An instance, and what became of its profile, as JSON: :class:`fleetpgo.overview.instances.Instance`."""

    instance: str
    datacenter: str
    round: int
    cores: float
    state: Literal["waiting", "fetched", "used", "refused", "missing"]
    reason: str
    samples: NonNegativeInt
    size: NonNegativeInt


class DatacenterAnswer(Answer):
    """A datacenter's counts of instances, as JSON: :class:`fleetpgo.overview.instances.DatacenterCount`."""

    name: str
    asked: NonNegativeInt
    fetched: NonNegativeInt
    reasons: dict[str, int]


class AgreementAnswer(Answer):
    """How well the profiles of the instances agree, as JSON: :class:`fleetpgo.run.profiled.Agreement`."""

    instances: NonNegativeInt
    weight: int
    split_half_overlap: float | None
    held_out_coverage: float | None
    leave_one_out: dict[str, float]
    outliers: tuple[str, ...]


class SavingAnswer(Answer):
    """A saving with its interval, as JSON: :class:`fleetpgo.run.measured.Saving`."""

    method: str
    saving: float
    low: float
    high: float
    cores: float


class MeasuredPeriodAnswer(Answer):
    """What was measured over a period, as JSON: :class:`fleetpgo.overview.measurements.MeasuredPeriod`."""

    period: Period
    call: str
    reasons: tuple[str, ...]
    attribution: str
    estimate: SavingAnswer | None
    method: str
    picture: str


class DownloadAnswer(Answer):
    """A file of a run that may be downloaded, as JSON: :class:`fleetpgo.overview.run.Download`."""

    name: str
    size: NonNegativeInt
    about: str


class RunAnswer(Answer):
    """A run, as JSON for its page. ``state``: Airflow's, of the DAG run; None if Airflow has no such run."""

    service: str
    run: str
    stages: tuple[StageAnswer, ...]
    instances: tuple[InstanceAnswer, ...]
    datacenters: tuple[DatacenterAnswer, ...]
    stopped: str
    sufficiency: AgreementAnswer | None
    warnings: tuple[str, ...]
    measurements: tuple[MeasuredPeriodAnswer, ...]
    artifacts: tuple[DownloadAnswer, ...]
    has_profile: bool
    state: str | None


class FunctionAnswer(Answer):
    """A function's share in two profiles, as JSON: :class:`fleetpgo.overview.difference.FunctionChange`."""

    function: str
    old: float
    new: float


EdgeAnswer = tuple[str, str, int]
"""Caller, callee, and the call's line from the caller's first."""


class DifferenceAnswer(Answer):
    """What differs between two profiles, as JSON: :class:`fleetpgo.overview.difference.Difference`."""

    old_run: str
    overlap: float
    unchanged: bool
    functions: tuple[FunctionAnswer, ...]
    hot_gained: NonNegativeInt
    hot_lost: NonNegativeInt
    gained: tuple[EdgeAnswer, ...]
    lost: tuple[EdgeAnswer, ...]


class ErrorAnswer(Answer):
    """An error, described in one sentence."""

    detail: str
