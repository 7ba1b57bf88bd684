"""Artifacts of a service with ``release``: for which one a run began, and whether it needs a new profile."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import AwareDatetime  # noqa: TC002  # pydantic reads the annotations


@dataclass(frozen=True)
class Begun:
    """A run has begun: for a release, or for none.

    Attributes:
        run: the run's id in Airflow; the store may write it differently.
        at: when it began.
        revision: the release's source revision; "" if the run is for none.
        since: since when the release has its share of the instances; None if the run is for none, or if a
            person named the release.
        share: of the instances that ran the release when the run began, 0 … 1.
        dry_run: whether it proposes nothing; then its release is not taken.
        gave_way: why the run ended at once; then its release is not taken, and begins another run if nothing
            else is for it. "": it went on.
    """

    run: str
    at: AwareDatetime
    revision: str = ""
    since: AwareDatetime | None = None
    share: float = 0.0
    dry_run: bool = False
    gave_way: str = ""


@dataclass(frozen=True)
class Fit:
    """How far the profile in the repository still fits a release.

    Attributes:
        revision: the release.
        path: where the profile is in the repository; "" if there is none.
        profile: digest of its bytes (:func:`fleetpgo.run.digest.digest`); "" if there is none.
        share: of its weight that the release's source still has, 0 … 1; None if that cannot be said.
        compared: share of its weight that could be compared, 0 … 1.
        lost: the heaviest calls that the source no longer has, in words.
        why: why the share cannot be said; "" if it can.
    """

    revision: str
    path: str = ""
    profile: str = ""
    share: float | None = None
    compared: float = 0.0
    lost: tuple[str, ...] = ()
    why: str = ""
