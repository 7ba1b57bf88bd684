"""The keys of a service file that make a new release refresh the profile.

See :mod:`fleetpgo.service.rules` for the whole file.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, field_validator

from fleetpgo.service.values import Duration, Part, Share

LONGEST_SETTLE = timedelta(hours=12)

REVISION = r"[0-9A-Za-z][0-9A-Za-z._/+-]{0,199}"
"""Accepted names of revisions. They come from a metric's label, so none may look like an option of git."""


class ReleaseRules(Part):
    """A refresh for each new release, beside those of the schedule (docs/two-step.md)."""

    share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.5,
        description="share of the instances on a new revision from which it counts as a release; "
        "`rollout.revision` tells",
    )
    settle: Duration = Field(
        default=timedelta(minutes=30),
        description="time for which it must keep that share, at most 12h: caches warm up, and what is rolled "
        "back at once is no release",
    )
    refresh_below: Share = Field(
        default=0.9,
        description="source match of the committed profile at the release below which a refresh, and "
        "a second deployment, is worth it",
    )
    profile: Literal["any", "with", "without"] = Field(
        default="any",
        description="which instances of the release to profile: any; only those whose build has a "
        "profile, or has none (the label `pgo` of `selection.builds`)",
    )

    @field_validator("settle")
    @classmethod
    def _within_a_day(cls, value: timedelta) -> timedelta:
        if not timedelta(0) < value <= LONGEST_SETTLE:
            raise ValueError("write a time from 1s to 12h: a release older than a day is no news")
        return value
