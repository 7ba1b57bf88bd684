"""Artifacts of the propose step and of the waits after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import AwareDatetime  # noqa: TC002  # pydantic reads the annotations


@dataclass(frozen=True)
class Turn:
    """A run's place among those that build in its repository, where ``repository.limits`` limits them.

    Attributes:
        opens: whether it may open a pull request; a dry run does not.
        claimed_at: when it claimed a place that it has not made sure of yet; None: it claims none. To the
            others it counts as a build.
        builds: when it began to build, the newest last.
        waits_for: what it waits for, in a sentence; "" if nothing.
    """

    opens: bool = True
    claimed_at: AwareDatetime | None = None
    builds: tuple[AwareDatetime, ...] = ()
    waits_for: str = ""


@dataclass(frozen=True)
class VariantTime:
    """A benchmark of a build variant, against the build with the profile.

    Attributes:
        package: import path of its package.
        benchmark: its name.
        ratio: how many times as long it takes as with the build with the profile, both in turn.
        low: lower end of the 99 % interval.
        high: upper end.
    """

    package: str
    benchmark: str
    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class Variant:
    """A build variant of the service file (``build.variants``), built beside the profile.

    Attributes:
        name: its name.
        sets: what it sets, as a shell would: ``GOAMD64=v3``.
        failed: why it was not built, or its benchmarks did not run; "" if all did.
        toolchain: version of Go that built it; None: it was not built, and so for the rest.
        size: bytes of its binary.
        seconds: how long its build took.
        same: whether its binary has the same bytes as the build with the profile.
        benchmarks: their times; empty if the service file names none.
    """

    name: str
    sets: str
    failed: str = ""
    toolchain: str | None = None
    size: int | None = None
    seconds: float | None = None
    same: bool = False
    benchmarks: tuple[VariantTime, ...] = ()


@dataclass(frozen=True)
class Proposed:
    """Result of proposing a profile.

    Attributes:
        branch: branch that the pull request comes from.
        base: branch that it goes to.
        profile: digest of the profile's bytes (:func:`fleetpgo.run.digest.digest`).
        unchanged: nothing was built, pushed or opened: the base branch holds a profile that is as good, the
            repository wants none, or people want the pull request left alone.
        reason: why; "" if something was proposed.
        overlap: of this profile with the one on the base branch, 0 … 1; None if there is none.
        dry_run: everything was done but the push and the pull request.
        path: where the profile belongs in the repository; None if that was not looked into.
        head: full SHA of the pushed commit; None where nothing was pushed.
        pull_request: its number; None where none was opened.
        url: where a person reads it; None where none was opened.
        toolchain: version of Go that built the service, such as ``go1.27.3``.
        size_without: bytes of the binary built without a profile; this and the rest are None if unchanged.
        size_with: bytes of the binary built with this profile.
        seconds_without: how long the build without a profile took.
        seconds_with: how long the build with this profile took.
        source_match: share of the profile's weight that the source still has; None if nothing was compared.
        current_match: the same of the profile on the base branch.
        cpu_seconds: CPU of all processes that the step started: builds, tests, benchmarks, git.
        variants: the build variants that the run was asked for.
    """

    branch: str
    base: str
    profile: str
    unchanged: bool
    dry_run: bool
    path: str | None = None
    reason: str = ""
    overlap: float | None = None
    head: str | None = None
    pull_request: int | None = None
    url: str | None = None
    toolchain: str | None = None
    size_without: int | None = None
    size_with: int | None = None
    seconds_without: float | None = None
    seconds_with: float | None = None
    source_match: float | None = None
    current_match: float | None = None
    cpu_seconds: float | None = None
    variants: tuple[Variant, ...] = ()


@dataclass(frozen=True)
class Failed:
    """Why a task of the run failed. Its key is the task; it goes when a later try of the task succeeds."""

    reason: str


@dataclass(frozen=True)
class Merge:
    """Result of waiting for the merge of the pull request.

    Attributes:
        state: ``merged``, or ``skipped``: the run ends here, and not in failure.
        merged_at: when it was merged; None if skipped.
        commit: full SHA of the base right after the merge; None if the forge does not tell.
        reason: why it was skipped; "" if merged.
    """

    state: Literal["merged", "skipped"]
    merged_at: AwareDatetime | None = None
    commit: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class Watched:
    """What the wait for the merge has seen and done of its pull request.

    Attributes:
        closed_at: when it was first seen closed; None: it is open.
        failing: required checks that fail, since `failing_since`; empty if none does.
        failing_since: when they were first seen failing.
        tried: why, and from which commits, it was last brought up to date; "": never.
        again_at: when that may be tried again without anything new; None: not at all.
        worked_at: when that was; None: never.
        since: when the wait began; None: it was not recorded.
    """

    closed_at: AwareDatetime | None = None
    failing: tuple[str, ...] = ()
    failing_since: AwareDatetime | None = None
    tried: str = ""
    again_at: AwareDatetime | None = None
    worked_at: AwareDatetime | None = None
    since: AwareDatetime | None = None


@dataclass(frozen=True)
class Rollout:
    """Start and end of a rollout, and the share of the instances that run the new build.

    ``profile`` is empty if a deploy without a profile is measured by hand. ``fraction`` is 1 if the
    times were given by hand, so the share is not known.
    """

    profile: str
    start: AwareDatetime
    end: AwareDatetime
    fraction: float


@dataclass(frozen=True)
class Reverted:
    """Result of proposing to revert a profile.

    Attributes:
        pull_request: number of the pull request that reverts the profile; None if there is none.
        url: where a person reads it; None likewise.
        reason: why there is none; "" if there is one.
    """

    pull_request: int | None = None
    url: str | None = None
    reason: str = ""
