"""The keys of a service file, and what each may hold.

A service file is ``<directory>/<service>.yaml``; the service is named after it. It says where the service's
metrics are, which instances to profile and how, where its repository is and how it builds, and how a saving
is judged. It holds no secret, and no address that differs between installations: those are in Airflow
*connections*, which the file names by id, or in options on the command line.

Where a value holds ``$name`` placeholders (:class:`string.Template`), its description lists them.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, Field, model_validator

from fleetpgo.service.profiling import CollectionRules, PrometheusRules, SelectionRules
from fleetpgo.service.release import ReleaseRules  # noqa: TC001  # pydantic reads the annotations
from fleetpgo.service.repository import RepositoryRules  # noqa: TC001  # pydantic reads the annotations
from fleetpgo.service.review import CommitRules, ReviewRules
from fleetpgo.service.values import (
    Command,
    Duration,
    Part,
    ProfilePromQL,
    PromQL,
    Reference,
    RepositoryPath,
    Schedule,
    Share,
    Variables,
)
from fleetpgo.service.variants import (  # noqa: TC001  # pydantic reads the annotations
    VariantName,
    VariantRules,
)

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}(?<!-revert)")
"""Names that a service may have: the name becomes part of DAG ids, branches and paths.

A service `api-revert` would share its branch with the revert of the profile of `api`.
"""

GROUP_BRANCH = "fleetpgo/group."
"""Begins the name of a group's branch; no service's name has a dot."""


class SufficiencyRules(Part):
    """Lower bounds for the figures of a profile; see docs/profile.md."""

    samples: int = Field(default=0, ge=0, description="CPU samples in the merged profile")
    split_half_overlap: Share = Field(
        default=0, description="overlap of the call edges of two random halves of the instances"
    )
    held_out_coverage: Share = Field(
        default=0, description="share of one half's weight that is on hot call edges of the other half"
    )


class GuardRules(Part):
    """A function that PGO must not inline, besides those that fleetpgo knows."""

    function: str = Field(description="the function's linker symbol, as profiles show it")
    issue: str = Field(description="link to the report of the problem")


class ProfileRules(Part):
    """Bounds for the merged profile."""

    warn_below: SufficiencyRules = Field(
        default=SufficiencyRules(samples=10_000, split_half_overlap=0.5, held_out_coverage=0.7),
        description="below these figures the pull request warns. Low overlap or coverage makes the run "
        "profile further rounds first",
    )
    fail_below: SufficiencyRules = Field(
        default=SufficiencyRules(), description="below these figures the run fails and proposes nothing"
    )
    unchanged_above: Share = Field(
        default=0.95,
        description="a new profile is not proposed if its overlap with the committed one is at least this "
        "share of the overlap that chance alone gives at so many samples (docs/profile.md)",
    )
    match_below: Share = Field(
        default=0.8, description="below this source match the pull request warns; see docs/profile.md"
    )
    guards: tuple[GuardRules, ...] = Field(
        default=(), description="further functions that PGO must not inline"
    )
    repair: bool = Field(
        default=False,
        description="whether to repair profiles that have lost start lines, type arguments or functions' "
        "names, from the binary that `build.command` makes of the instance's revision; needs "
        "`rollout.revision`. See docs/profile.md",
    )


class BuildRules(Part):
    """Build of the service."""

    command: Annotated[Command, Field(min_length=1)] = Field(
        default=("make", "build"), description="the service's own build command, run without a shell"
    )
    environment: Variables = Field(
        default={},
        description="environment variables of the build, its tests and benchmarks, as production's build has "
        "them: `CGO_ENABLED: 0`, `GOFLAGS: -tags=netgo`; no secrets",
    )
    binary: RepositoryPath = Field(description="path of the binary that `command` writes")
    timeout: Duration = Field(default=timedelta(minutes=30), description="time limit of one build")
    reference: Reference | None = Field(
        default=None,
        description="the binary that production runs: the output of `go version -m` on it, or the absolute "
        "path, on the worker, of a file with that output or of the binary. Where the build's tags and flags "
        "differ from its, the pull request says so",
    )
    test: Command = Field(
        default=(),
        description="command that tests the service with the profile in place: `go test ./...`",
    )
    benchmark: str = Field(
        default="",
        description="benchmarks to run without and with the profile, six times each: a pattern for `go test "
        "-bench`",
    )
    variants: dict[VariantName, VariantRules] = Field(
        default={},
        description="further ways to build the service, by name. Where a run is asked for one, it is built "
        "and benchmarked beside the build with the profile, and the pull request says what it gives "
        "(docs/variants.md)",
    )
    explain: bool = Field(
        default=True,
        description="whether the pull request lists the calls that the profile made the compiler inline or "
        "devirtualise; takes one more build without a cache",
    )
    memory: int = Field(
        default=8 << 30, ge=1 << 28, description="memory limit of each process of a build, in bytes"
    )
    queue: str | None = Field(
        default=None,
        pattern=r"^[\w.-]{1,100}$",
        description="queue of Celery's workers on which builds run, apart from all other tasks; null: "
        "Airflow's default queue. A worker must listen to it, or builds wait for ever: preflight says so",
    )
    pool: str = Field(
        default="default_pool",
        description="Airflow pool that limits how many builds run at once; create it in Airflow",
    )

    @property
    def longest(self) -> timedelta:
        """Most time of builds, tests, benchmarks and an explanation; twice, if the base has moved."""
        return 2 * (5 + 2 * len(self.variants)) * self.timeout + timedelta(minutes=15)


class RolloutRules(Part):
    """Detection of the rollout: by a metric that names the build, or by start times."""

    fraction: ProfilePromQL | None = Field(
        default=None,
        description="PromQL that returns one number: the share of instances on the new build. $profile is "
        "the first 12 hex digits of the committed profile's SHA-256. Default: the share that "
        "`started` since the merge, of those that `treated` states if it has no $profile",
    )
    treated: ProfilePromQL | None = Field(
        default=None,
        description="PromQL that returns one series per instance on the new build; the other instances are "
        "the control group. Without $profile it states who is not held back. Instances must keep their names "
        "over a rollout; else choose another instance_label",
    )
    started: PromQL | None = Field(
        default=None,
        description="PromQL that returns one series per instance: the Unix time at which its process "
        "started. It reveals restarts and other deploys during a measurement",
    )
    revision: PromQL | None = Field(
        default=None,
        description="PromQL that returns one series per source revision in production, with the label "
        "`revision`. `profile.repair` also needs the label that names the instance, where there are several "
        "revisions. For `release` the values must be numbers of instances, as `count by (revision) (…)` "
        "gives them, or 1 for each instance",
    )
    baseline: PromQL | None = Field(
        default=None,
        description="PromQL that returns one series per instance that runs a build without the profile, "
        "always and beside the others. fleetpgo measures weekly what PGO saves against them. Rotate them: "
        "every `measurement.week` other instances (docs/measurement.md). A rollout's measurement leaves out "
        "those that joined or left it in a window",
    )
    complete: Share = Field(
        default=0.95, description="share of instances at which the rollout counts as complete"
    )
    poll: Duration = Field(default=timedelta(minutes=5), description="time between two queries")
    deadline: Duration = Field(
        default=timedelta(days=14), description="time after the merge at which the wait for the rollout fails"
    )

    @model_validator(mode="after")
    def _can_be_seen(self) -> Self:
        if self.fraction is None and self.started is None:
            raise ValueError("give `fraction` or `started`, or fleetpgo cannot see a rollout")
        return self


class ExclusionRules(Part):
    """A span of time that no comparison uses: an incident, a load test, another deploy."""

    start: AwareDatetime = Field(description="start of the span, with time zone")
    end: AwareDatetime = Field(description="end of the span, with time zone")
    reason: str = Field(default="", description="what happened")


class GuardrailRules(Part):
    """A quantity that a saving of CPU must not worsen."""

    name: str = Field(
        min_length=1, description="name of the quantity: resident memory, p99 latency, restarts …"
    )
    query: PromQL = Field(description="PromQL that returns one series per instance; less must be better")
    bound: float = Field(
        default=0.05, ge=0, description="largest accepted rise of its average over the instances, as a share"
    )


class MeasurementRules(Part):
    """Measurement of the saving."""

    cpu: PromQL = Field(
        default="",
        description="PromQL that returns one series per instance: the CPU it uses, in cores. Default: "
        "`selection.cpu`",
    )
    requests: PromQL | None = Field(
        default=None,
        description="PromQL that returns one series per instance: requests per second. Without it CPU is "
        "compared per instance, and a change of traffic looks like a saving or a loss",
    )
    hardware: PromQL | None = Field(
        default=None,
        description="PromQL that returns the number of instances on each kind of machine, one series a kind "
        "(or kernel, or whatever else makes CPU cheaper). If the mix changes around a rollout, "
        "the measurement is invalid",
    )
    step: Duration = Field(default=timedelta(minutes=1), description="finest resolution of the queries")
    settle: Duration = Field(
        default=timedelta(minutes=15),
        description="time after the rollout that is left out: caches warm up, rates catch up",
    )
    window: Duration = Field(
        default=timedelta(hours=1),
        description="length of the short comparison, right before and after the rollout",
    )
    week: Duration = Field(
        default=timedelta(days=7),
        description="length of the long comparison; the level looks back four of them, and the baseline "
        "should be rotated once in each",
    )
    material: Share = Field(default=0.005, description="smallest saving or loss that matters, as a share")
    excluded: tuple[ExclusionRules, ...] = Field(
        default=(), description="spans of time that no comparison uses"
    )
    guardrails: tuple[GuardrailRules, ...] = Field(
        default=(), description="quantities that a saving of CPU must not worsen"
    )


class AlertsRules(Part):
    """Alerts for runs that fail or are late. Without a notifier, only Airflow's pages show them."""

    notifier: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$",
        description="import path of an Airflow notifier: "
        "`airflow.providers.smtp.notifications.smtp.SmtpNotifier`",
    )
    arguments: dict[str, Any] = Field(
        default={}, description="arguments of the notifier; keep its secrets in its connection"
    )
    late: Duration = Field(
        default=timedelta(days=35),
        description="time after which a run is late, counting review, rollout and week",
    )


class ServiceRules(Part):
    """One Go service of the fleet."""

    name: Annotated[str, Field(exclude=True)]
    description: str = Field(default="", description="what the service does, in one sentence")
    owner: str = Field(default="fleetpgo", description="team that owns the service")
    schedule: Schedule | None = Field(
        default="@weekly",
        description="when to refresh: a cron expression or an Airflow preset; null: only by hand",
    )
    approval: bool = Field(
        default=False,
        description="whether somebody must approve the merged profile in Airflow before it is built and "
        "pushed; for teams whose forge requires no review",
    )
    alerts: AlertsRules = AlertsRules()
    prometheus: PrometheusRules = PrometheusRules()
    selection: SelectionRules
    collection: CollectionRules = CollectionRules()
    profile: ProfileRules = ProfileRules()
    repository: RepositoryRules
    review: ReviewRules = ReviewRules()
    commit: CommitRules = CommitRules()
    build: BuildRules
    rollout: RolloutRules
    release: ReleaseRules | None = Field(
        default=None,
        description="a refresh for each new release, beside those of the schedule: two-step deployment "
        "(docs/two-step.md). Needs `rollout.revision` and `selection.builds`; `{}` takes the defaults",
    )
    measurement: MeasurementRules = MeasurementRules()

    @model_validator(mode="before")
    @classmethod
    def _measures_what_it_selects(cls, document: Any) -> Any:  # noqa: ANN401  # whatever the file holds
        if not isinstance(document, dict):
            return document
        selection, measurement = document.get("selection"), document.get("measurement", {})
        # What is no mapping, or no text, is reported where it stands.
        if isinstance(selection, dict) and isinstance(measurement, dict) and "cpu" in selection:
            return document | {"measurement": {"cpu": selection["cpu"], **measurement}}
        return document

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.profile.repair and self.rollout.revision is None:
            raise ValueError("`profile.repair` needs `rollout.revision`: which source the instances run")
        if self.commit.sign == "forge" and self.repository.forge != "github":
            raise ValueError("`commit.sign: forge` needs `repository.forge: github`; elsewhere: ssh or gpg")
        if self.selection.source == "store" and self.collection.source not in ("pyroscope", "parca"):
            raise ValueError("`selection.source: store` needs `collection.source`: pyroscope or parca")
        if self.release is not None:
            self._can_see_releases()
        if self.repository.group and self.review.auto_merge:
            raise ValueError(
                "`repository.group` and `review.auto_merge` do not go together: a person merges the pull "
                "request of a group"
            )
        return self

    def _can_see_releases(self) -> None:
        if self.rollout.revision is None:
            raise ValueError("`release` needs `rollout.revision`: which source the instances run")
        if self.selection.source == "store":
            raise ValueError("`release` needs `selection.source: prometheus`, which knows the releases")
        if self.selection.builds is None:
            raise ValueError(
                "`release` needs `selection.builds`, a metric with the label `revision`: only instances of "
                "the release are profiled"
            )
        if self.schedule == "@once":
            raise ValueError("`release` needs a `schedule` that comes again, or null")

    @property
    def branch(self) -> str:
        """Branch of the pull request that proposes a profile: the service's own, or its group's."""
        group = self.repository.group
        return f"{GROUP_BRANCH}{group}" if group else self.own_branch

    @property
    def own_branch(self) -> str:
        """Branch of the service without a group."""
        return f"fleetpgo/{self.name}"

    @property
    def revert_branch(self) -> str:
        """Branch of the pull request that reverts a profile."""
        return f"{self.own_branch}-revert"
