"""The keys of a service file, and what each may hold.

A service file is ``<directory>/<service>.yaml``; the service is named after it. It says where the service's
metrics are, which instances to profile and how, where its repository is and how it builds, and how a saving
is judged. It holds no secret, and no address that differs between installations: those are in Airflow
*connections*, which the file names by id, or in options on the command line.

Where a value holds ``$name`` placeholders (:class:`string.Template`), its description lists them.
"""

from __future__ import annotations

import math
import re
from datetime import timedelta
from string import Template
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from fleetpgo.addresses import parse_allow
from fleetpgo.service.values import (
    Command,
    Day,
    Duration,
    InstanceCommand,
    Matchers,
    PathPattern,
    ProfilePromQL,
    ProfileQuery,
    PromQL,
    Reference,
    RepositoryPath,
    Share,
    Timezone,
    UrlTemplate,
    Variables,
    is_profile_query,
)

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}(?<!-revert)")
"""Names that a service may have: the name becomes part of DAG ids, branches and paths.

A service `api-revert` would share its branch with the revert of the profile of `api`.
"""


class _Part(BaseModel):
    """A mapping of the service file; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PrometheusRules(_Part):
    """The Prometheus or Thanos that has the service's metrics."""

    connection: str = Field(
        default="fleetpgo_prometheus",
        description="id of the Airflow connection (type http) that holds the address of Prometheus or Thanos",
    )


class WindowRules(_Part):
    """A phase of the day or the week in which some of the instances are profiled."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", description="name of the phase: peak, night …")
    at: str = Field(
        pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="local time at which the phase begins: 14:30"
    )
    timezone: Timezone = Field(
        default="UTC", description="time zone of `at`, by its IANA name: Europe/Lisbon"
    )
    days: Annotated[tuple[Day, ...], Field(min_length=1)] = Field(
        default=get_args(Day),
        description="days of the week on which the phase may begin: mon, tue …; default: all",
    )
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        description="share of `instances` to profile in this phase; the shares of all windows add up to 1"
    )


class SelectionRules(_Part):
    """Selection of the instances to profile."""

    source: Literal["prometheus", "store"] = Field(
        default="prometheus",
        description="who knows the instances and their CPU. store: the Pyroscope or Parca of "
        "`collection.source`, where there is no Prometheus",
    )
    cpu: PromQL = Field(
        description="PromQL that returns one series per candidate instance: the CPU it uses, in cores. Put "
        "the matchers for tier, environment and the like here. With `source: store`, profile type and label "
        'matchers of the service: `process_cpu:cpu:nanoseconds:cpu:nanoseconds{service_name="api"}`',
    )
    strategy: Literal["topk", "stratified", "weighted"] = Field(
        default="topk",
        description="topk: the busiest instances; stratified: some of each stratum; weighted: at random, in "
        "proportion to CPU. docs/selection.md says when to use which",
    )
    instances: int = Field(
        default=40, ge=1, le=10_000, description="number of instances to profile in a round"
    )
    strata: tuple[str, ...] = Field(
        default=("datacenter",),
        min_length=1,
        description="stratified: labels; each combination of their values is a stratum",
    )
    allocation: Literal["proportional", "equal"] | dict[str, Annotated[int, Field(ge=1)]] = Field(
        default="proportional",
        description="stratified: how many instances of each stratum: in proportion to its CPU, equally "
        "many, or a number for each (`ams: 3`; values of several labels are joined by `/`); at "
        "least one of each",
    )
    builds: str | None = Field(
        default=None,
        pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$",
        description="metric with one series per instance whose labels describe its build (`api_build_info`); "
        "required by `matchers`",
    )
    matchers: Matchers = Field(
        default="",
        description='profile only instances whose series of `builds` matches: `revision="4f2a"`, `pgo!=""`. '
        "With `source: store`, matchers of the store's labels",
    )
    windows: tuple[WindowRules, ...] = Field(
        default=(),
        description="phases of the day or the week over which a run spreads its instances. Without windows, "
        "and in a run that was triggered with `now`, all are profiled at once",
    )
    target_samples: int = Field(
        default=40_000,
        ge=0,
        description="CPU samples that are enough. While there are fewer, or the instances agree less than "
        "`profile.warn_below` asks, another round of instances is profiled",
    )
    max_rounds: int = Field(
        default=3, ge=1, le=10, description="largest number of rounds in a run, the first included"
    )
    partial_response: bool = Field(
        default=True, description="whether to accept partial answers from Thanos; a warning is recorded"
    )
    instance_label: str = Field(
        default="instance", description="label that holds an instance's name (host:port)"
    )
    datacenter_label: str = Field(default="datacenter", description="label that holds its datacenter")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.source == "store" and not is_profile_query(self.cpu):
            raise ValueError(
                'with `source: store`, write in `cpu` a profile type with matchers: process_cpu:…{job="api"}'
            )
        if self.matchers and not self.builds and self.source != "store":
            raise ValueError("`matchers` needs `builds`, the metric whose labels describe the build")
        if self.windows and not math.isclose(sum(window.share for window in self.windows), 1, abs_tol=0.01):
            raise ValueError("the shares of `windows` must add up to 1")
        if len({window.name for window in self.windows}) < len(self.windows):
            raise ValueError("two of `windows` have the same name")
        return self


class CollectionRules(_Part):
    """Fetching of profiles, and its limits for production."""

    source: Literal["pprof_http", "command", "files", "pyroscope", "parca"] = Field(
        default="pprof_http",
        description="where profiles come from. pprof_http: the instances themselves; command: a program "
        "that prints an instance's profile; files: profiles that lie in a directory or a bucket; pyroscope, "
        "parca: a server that profiles continuously, asked "
        "about the last `window` of each instance; see docs/collection.md",
    )
    command: InstanceCommand = Field(
        default=(),
        description="command: program and arguments, run without a shell once for each instance. It prints "
        "the profile to its standard output: `fetch-pprof $host --port 8976 --seconds $seconds`. It takes "
        "the placeholders of `url`",
    )
    environment: Variables = Field(
        default={},
        description="command: environment variables of the program, besides PATH, HOME and those of proxies "
        "and certificates; no secrets",
    )
    files: PathPattern = Field(
        default="",
        description="files: pattern of the paths of an instance's profiles, in a directory or on s3:// or "
        "gs://: `s3://profiles/$datacenter/$pod/%Y-%m-%d/*.pb.gz`. It takes the placeholders of `url`; %Y %m "
        "%d %H %M %S (UTC) or %s (Unix seconds) for the time, without which that of the last change counts; "
        "* ? [] and **",
    )
    url: UrlTemplate = Field(
        default="http://$host:6060/debug/pprof/profile?seconds=$seconds",
        description="URL of an instance's CPU profile. Placeholders: $seconds, $instance (host:port), $host "
        "(without the port), and the labels of its series. pyroscope, parca: the server's base address",
    )
    query: ProfileQuery = Field(
        default="",
        description="pyroscope, parca: profile type and label matchers that select one instance: "
        '`process_cpu:cpu:nanoseconds:cpu:nanoseconds{service_name="api", pod="$pod"}`. It takes the '
        "placeholders of `url` and needs one that differs between instances",
    )
    connection: str | None = Field(
        default=None,
        description="id of the Airflow connection (type http) with credentials for the instances: `headers`, "
        "`ca`, `cert` and `key` in its extra; its password is sent as a bearer token",
    )
    allow: tuple[str, ...] = Field(
        default=(),
        description="where requests may go: networks (10.0.0.0/8), addresses, host names, *.domains. "
        "Required with credentials. Loopback, link-local and metadata addresses are refused "
        "unless listed here",
    )
    plain_http: bool = Field(
        default=False,
        description="whether to send credentials over http://, where anybody on the network can read them",
    )
    ports: tuple[int, int] | None = Field(
        default=None,
        description="lowest and highest port that a label may name; null: `url` fixes the port",
    )
    seconds: int = Field(default=30, ge=1, le=600, description="length of each profile")
    window: Duration | None = Field(
        default=None,
        description="pyroscope, parca, files: how far back profiles are used, at most `7d`. Default: "
        "`seconds`. With `selection.windows`: length of each phase, which is in the past",
    )
    grace: Duration = Field(
        default=timedelta(seconds=30),
        description="time limit for an answer, on top of `seconds`",
    )
    attempts: int = Field(
        default=3, ge=1, le=10, description="number of requests to an instance before it counts as lost"
    )
    quorum: Share = Field(
        default=0.5, description="share of the selected instances that must give a usable profile"
    )
    max_tasks: int = Field(default=16, ge=1, le=512, description="largest number of mapped tasks that fetch")
    max_share: Share = Field(
        default=0.05,
        description="largest share of a datacenter's instances to profile at the same time; at least one is",
    )
    per_host: int = Field(
        default=1, ge=1, description="largest number of profiles taken at the same time on one host"
    )
    concurrency: int = Field(
        default=256,
        ge=1,
        le=10_000,
        description="largest number of profiles taken at the same time by one task",
    )
    max_errors: Share = Field(
        default=0.2,
        description="share of a round's instances (three at least) that may answer with server errors; "
        "beyond it the round stops",
    )
    max_bytes: int = Field(default=32 << 20, ge=1, description="largest accepted profile in bytes, as sent")
    max_unpacked_bytes: int = Field(
        default=64 << 20, ge=1, description="largest accepted profile in bytes, unzipped"
    )

    @field_validator("allow")
    @classmethod
    def _readable(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        parse_allow(entries)
        return entries

    @field_validator("window")
    @classmethod
    def _kept(cls, window: timedelta | None) -> timedelta | None:
        if window is not None and not timedelta(seconds=1) <= window <= timedelta(days=7):
            raise ValueError("a window is 1s to 7d long: older profiles are not kept")
        return window

    @model_validator(mode="after")
    def _fits_its_source(self) -> Self:
        if bool(self.query) != (self.source in ("pyroscope", "parca")):
            raise ValueError("the sources pyroscope and parca need `query`, and no other source takes it")
        if bool(self.command) != (self.source == "command"):
            raise ValueError("the source command needs `command`, and no other source takes it")
        if bool(self.files) != (self.source == "files"):
            raise ValueError("the source files needs `files`, and no other source takes it")
        if self.files and (self.connection or self.allow):
            raise ValueError(
                "the source files asks no instance: `connection` and `allow` have no effect; a bucket's "
                "login is that of its connection, s3://CONNECTION@bucket/…, or of the environment"
            )
        if self.environment and not self.command:
            raise ValueError("only the source command takes `environment`")
        if self.command and (self.connection or self.allow):
            raise ValueError(
                "the source command makes no request itself: `connection` and `allow` have no effect; the "
                "program finds its credentials by itself, and decides where it goes"
            )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.connection and not self.allow:
            raise ValueError("`connection` sends credentials: list in `allow` where they may go")
        if self.connection and not self.plain_http and urlsplit(self.url).scheme == "http":
            raise ValueError("`connection` sends credentials: write https:// in `url`, or set `plain_http`")
        if self.window and not self.past:
            raise ValueError(f"`window` is for stored profiles; the source {self.source} takes `seconds`")
        if self.query and Template(self.url).get_identifiers():
            raise ValueError("the `url` of pyroscope and parca is the server's address, without placeholders")
        placeholders = Template(urlsplit(self.url).netloc).get_identifiers()
        if self.ports is None and {"instance", "port"} & set(placeholders):
            raise ValueError(
                "`url` takes the port from a label, which others can forge: write http://$host:6060/…, "
                "or limit the ports with `ports`"
            )
        return self

    @property
    def past(self) -> bool:
        """Whether the profiles are there already: nobody is profiled, and nobody waits for it."""
        return self.source in ("pyroscope", "parca", "files")

    @property
    def length(self) -> int:
        """Return how many seconds of an instance are asked for."""
        return int(self.window.total_seconds()) if self.window else self.seconds


class SufficiencyRules(_Part):
    """Lower bounds for the figures of a profile; see docs/profile.md."""

    samples: int = Field(default=0, ge=0, description="CPU samples in the merged profile")
    split_half_overlap: Share = Field(
        default=0, description="overlap of the call edges of two random halves of the instances"
    )
    held_out_coverage: Share = Field(
        default=0, description="share of one half's weight that is on hot call edges of the other half"
    )


class GuardRules(_Part):
    """A function that PGO must not inline, besides those that fleetpgo knows."""

    function: str = Field(description="the function's linker symbol, as profiles show it")
    issue: str = Field(description="link to the report of the problem")


class ProfileRules(_Part):
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


class RepositoryRules(_Part):
    """The service's repository, and the files that the pull request changes."""

    forge: Literal["local", "github", "gitlab", "gitea"] = Field(
        description="kind of forge: github (also Enterprise), gitlab, gitea (also Forgejo), or local: a "
        "directory of bare repositories",
    )
    connection: str = Field(
        default="fleetpgo_forge",
        description="id of the Airflow connection (type Forge, or generic) with the forge's address and "
        "token",
    )
    project: str = Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$",
        description="the repository on the forge: owner/name",
    )
    base: str = Field(default="main", description="branch that pull requests go to")
    profile: RepositoryPath | None = Field(
        default=None,
        description="path of the committed profile; null: where the build takes one already, else "
        "default.pgo beside the main package, where Go looks by itself",
    )
    makefile: RepositoryPath | None = Field(
        default="Makefile",
        description="Makefile whose `go build` that makes the binary is made to pass -pgo, where `profile` "
        "names a path that Go does not look at by itself; null: edit none",
    )
    submodules: Literal["public", "token"] = Field(
        default="public",
        description="how submodules are cloned. public: without credentials. token: with the connection's "
        "token, so that whoever may change this repository can have any repository cloned into its build "
        "that the token can read on this forge",
    )

    @property
    def identity(self) -> str:
        """Key of the repository: equal for two service files if they name the same one."""
        return f"{self.forge}/{self.connection}/{self.project}"


class ReviewRules(_Part):
    """Review of the pull requests, and when a rejected profile is proposed again."""

    reviewers: tuple[str, ...] = Field(
        default=(),
        description="users on the forge who are asked for a review; on github and gitea also teams: "
        "`acme/perf`",
    )
    assignees: tuple[str, ...] = Field(
        default=(), description="users on the forge to whom the pull request is assigned"
    )
    labels: tuple[str, ...] = Field(default=(), description="labels of the pull request, besides `fleetpgo`")
    draft: bool = Field(default=False, description="whether to open pull requests as drafts")
    auto_merge: Literal["merge", "squash", "rebase"] | None = Field(
        default=None,
        description="let the forge merge in that way once its own checks and rules pass; null: a person "
        "merges. Without such rules on the base, GitLab and Gitea merge at once",
    )
    propose_again_below: Share = Field(
        default=0.8,
        description="after a pull request was closed unmerged, a new profile is proposed only if its overlap "
        "with the rejected one is below this share of the overlap that chance alone gives",
    )
    revert: Literal["open", "draft", "off"] = Field(
        default="open",
        description="what a regression leads to that estimator A (hold-back group) finds over the week: a "
        "pull request that reverts the profile (open), a draft of one (draft), or nothing (off)",
    )


class BuildRules(_Part):
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
    explain: bool = Field(
        default=True,
        description="whether the pull request lists the calls that the profile made the compiler inline or "
        "devirtualise; takes one more build without a cache",
    )
    memory: int = Field(
        default=8 << 30, ge=1 << 28, description="memory limit of each process of a build, in bytes"
    )
    pool: str = Field(
        default="default_pool",
        description="Airflow pool that limits how many builds run at once; create it in Airflow",
    )


class RolloutRules(_Part):
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
        "revisions",
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


class ExclusionRules(_Part):
    """A span of time that no comparison uses: an incident, a load test, another deploy."""

    start: AwareDatetime = Field(description="start of the span, with time zone")
    end: AwareDatetime = Field(description="end of the span, with time zone")
    reason: str = Field(default="", description="what happened")


class GuardrailRules(_Part):
    """A quantity that a saving of CPU must not worsen."""

    name: str = Field(
        min_length=1, description="name of the quantity: resident memory, p99 latency, restarts …"
    )
    query: PromQL = Field(description="PromQL that returns one series per instance; less must be better")
    bound: float = Field(
        default=0.05, ge=0, description="largest accepted rise of its average over the instances, as a share"
    )


class MeasurementRules(_Part):
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
    week: Duration = Field(default=timedelta(days=7), description="length of the long comparison")
    material: Share = Field(default=0.005, description="smallest saving or loss that matters, as a share")
    excluded: tuple[ExclusionRules, ...] = Field(
        default=(), description="spans of time that no comparison uses"
    )
    guardrails: tuple[GuardrailRules, ...] = Field(
        default=(), description="quantities that a saving of CPU must not worsen"
    )


class AlertsRules(_Part):
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


class ServiceRules(_Part):
    """One Go service of the fleet."""

    name: Annotated[str, Field(exclude=True)]
    description: str = Field(default="", description="what the service does, in one sentence")
    owner: str = Field(default="fleetpgo", description="team that owns the service")
    schedule: str | None = Field(
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
    build: BuildRules
    rollout: RolloutRules
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
        if self.selection.source == "store" and self.collection.source not in ("pyroscope", "parca"):
            raise ValueError("`selection.source: store` needs `collection.source`: pyroscope or parca")
        return self

    @property
    def branch(self) -> str:
        """Branch of the pull request that proposes a profile."""
        return f"fleetpgo/{self.name}"

    @property
    def revert_branch(self) -> str:
        """Branch of the pull request that reverts a profile."""
        return f"{self.branch}-revert"
