"""What a service is: every key of the service file, and what each may hold.

A service file is ``<directory>/<service>.yaml``; its name is the service's name. It says where the service's
metrics are, which instances to profile and how, where its repository is and how it builds, and how a saving
is judged. It holds no address that differs between installations and no secret: those are Airflow
*connections* (or, on the command line, options), which the file refers to by id.

Where a value holds ``$name`` placeholders (:class:`string.Template`), its description says which.
"""

from __future__ import annotations

import math
import re
import shlex
from datetime import timedelta
from pathlib import PurePosixPath
from string import Template
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from fleetpgo.addresses import parse_allow

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}(?<!-revert)")
"""What a service may be called: it becomes part of DAG ids, branch names and paths.

The branch of a service `api-revert` would be the one that takes out the profile of `api`.
"""

_DURATION_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_DURATION = re.compile("".join(rf"(?:(?P<{name}>\d+){unit})?" for unit, name in _DURATION_UNITS.items()))

_MATCHER = r'\s*[a-zA-Z_]\w*\s*(?:=~|!~|!=|=)\s*"(?:[^"\\\n]|\\.)*"\s*'
_MATCHERS = re.compile(rf"{_MATCHER}(?:,{_MATCHER})*")
_PROFILE_QUERY = re.compile(rf"\w+(?::\w+){{4}}(?::delta)?\{{{_MATCHERS.pattern}\}}")


def duration(value: object) -> timedelta:
    """Read a duration as Prometheus writes it: ``90s``, ``1h30m``, ``7d``."""
    if isinstance(value, str) and value and (match := _DURATION.fullmatch(value)):
        return timedelta(**{name: int(count) for name, count in match.groupdict(default="0").items()})
    if isinstance(value, timedelta):
        return value
    raise ValueError("a duration is written as Prometheus writes it: 90s, 15m, 1h30m, 7d")


def _profile_template(value: object) -> object:
    """Accept PromQL whose only placeholder is ``$profile``."""
    if isinstance(value, str):
        template = Template(value)
        if not template.is_valid():
            raise ValueError("a lone $ is not a placeholder; write $$ for a dollar sign")
        if unknown := sorted(set(template.get_identifiers()) - {"profile"}):
            raise ValueError(f"unknown placeholder ${unknown[0]}; only $profile is known here")
    return value


def _matchers(value: object) -> object:
    """Accept PromQL label matchers, without the braces."""
    if isinstance(value, str) and value and not _MATCHERS.fullmatch(value):
        raise ValueError('matchers are written as in PromQL, without braces: revision="4f2a", pgo!=""')
    return value


def _arguments(value: object) -> object:
    """Split a command line as a POSIX shell would; no shell runs it."""
    return tuple(shlex.split(value)) if isinstance(value, str) else value


def _inside(value: object) -> object:
    """Accept only a path that stays inside the repository."""
    if isinstance(value, str) and (PurePosixPath(value).is_absolute() or ".." in PurePosixPath(value).parts):
        raise ValueError("the path must be relative to the repository and stay inside it")
    return value


def _url_template(value: object) -> object:
    """Accept an http(s) URL without credentials in it, whose placeholders are labels."""
    if isinstance(value, str):
        template = Template(value)
        if not template.is_valid():
            raise ValueError("a lone $ is not a placeholder; write $$ for a dollar sign")
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError("a URL starts with http:// or https:// and a host")
        if "@" in parts.netloc:
            raise ValueError("credentials do not belong into a URL; use `connection`")
    return value


def _profile_query(value: object) -> object:
    """Accept a profile type with label matchers, and a placeholder in them."""
    if isinstance(value, str) and value:
        if not _PROFILE_QUERY.fullmatch(value):
            raise ValueError('a query is a profile type and matchers: process_cpu:…{service_name="api", …}')
        template = Template(value)
        if not template.is_valid():
            raise ValueError("a lone $ is not a placeholder; write $$ for a dollar sign")
        if not template.get_identifiers():
            raise ValueError("without a placeholder such as $instance every instance gets the same profile")
    return value


def _timezone(value: str) -> str:
    """Accept the name of a time zone."""
    try:
        return ZoneInfo(value).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # a folder of the database is an OSError
        raise ValueError("a time zone is written by its IANA name: Europe/Lisbon, UTC") from error


Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Duration = Annotated[timedelta, BeforeValidator(duration)]
PromQL = Annotated[str, Field(min_length=1)]
ProfilePromQL = Annotated[str, Field(min_length=1), BeforeValidator(_profile_template)]
RepositoryPath = Annotated[str, Field(min_length=1), BeforeValidator(_inside)]
UrlTemplate = Annotated[str, BeforeValidator(_url_template)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    """A mapping of the service file: immutable, and a wrong key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PrometheusRules(_Part):
    """The Prometheus or Thanos that knows the service."""

    connection: str = Field(description="Airflow connection (type http) of the Prometheus API")


class WindowRules(_Part):
    """A phase of the day or the week in which some of the instances are profiled."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", description="what the phase is called: peak, night …"
    )
    at: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="local time at which it begins: 14:30")
    timezone: Annotated[str, AfterValidator(_timezone)] = Field(
        default="UTC", description="time zone of `at`, by its IANA name: Europe/Lisbon"
    )
    days: Annotated[tuple[Day, ...], Field(min_length=1)] = Field(
        default=get_args(Day),
        description="local days of the week on which it may be: mon, tue …; default: all",
    )
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        description="share of `instances` that is taken in it; those of all windows add up to 1"
    )


class SelectionRules(_Part):
    """Which instances are profiled."""

    cpu: PromQL = Field(
        description="PromQL that gives one series per candidate instance: the CPU it uses, in cores. "
        "Matchers (tier, environment …) belong here"
    )
    strategy: Literal["topk", "stratified", "weighted"] = Field(
        default="topk",
        description="topk: the busiest; stratified: some of each stratum; weighted: at random, the busier "
        "the likelier. docs/selection.md says when to use which",
    )
    instances: int = Field(
        default=40, ge=1, le=10_000, description="how many instances to profile in a round"
    )
    strata: tuple[str, ...] = Field(
        default=("datacenter",), min_length=1, description="stratified: labels whose values make the strata"
    )
    allocation: Literal["proportional", "equal"] | dict[str, Annotated[int, Field(ge=1)]] = Field(
        default="proportional",
        description="stratified: instances of a stratum in proportion to its CPU, equally many of each, or a "
        "number for each (`ams: 3`; values of several labels are joined by `/`); at least one of each",
    )
    builds: str | None = Field(
        default=None,
        pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$",
        description="metric with one series per instance whose labels say what it runs (`api_build_info`); "
        "needed for `matchers`",
    )
    matchers: Annotated[str, BeforeValidator(_matchers)] = Field(
        default="",
        description='only instances whose series of `builds` matches: `revision="4f2a"`, `pgo!=""`',
    )
    windows: tuple[WindowRules, ...] = Field(
        default=(),
        description="phases over which a run takes its instances, each when it comes; without any, all are "
        "taken at once. A run that was triggered with `now` takes all at once, too",
    )
    target_samples: int = Field(
        default=40_000,
        ge=0,
        description="CPU samples that will do; while there are fewer, or the instances agree less than "
        "`profile.warn_below` wants, another round is taken from instances not yet profiled",
    )
    max_rounds: int = Field(
        default=3, ge=1, le=10, description="most rounds in a run, the first one included"
    )
    partial_response: bool = Field(
        default=True, description="whether an answer will do for which Thanos could not ask all of its stores"
    )
    instance_label: str = Field(default="instance", description="label that names an instance (host:port)")
    datacenter_label: str = Field(default="datacenter", description="label that names its datacenter")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.matchers and not self.builds:
            raise ValueError("`matchers` needs `builds`, the metric whose labels say what an instance runs")
        if self.windows and not math.isclose(sum(window.share for window in self.windows), 1, abs_tol=0.01):
            raise ValueError("the shares of `windows` must add up to 1")
        if len({window.name for window in self.windows}) < len(self.windows):
            raise ValueError("two of `windows` have the same name")
        return self


class CollectionRules(_Part):
    """How profiles are fetched, and what that may cost production."""

    source: Literal["pprof_http", "pyroscope", "parca"] = Field(
        default="pprof_http",
        description="pprof_http: the instances themselves; pyroscope, parca: a server that profiles all the "
        "time, asked for the last `seconds` of each instance. docs/collection.md has the calls",
    )
    url: UrlTemplate = Field(
        default="http://$host:6060/debug/pprof/profile?seconds=$seconds",
        description="where an instance serves its CPU profile; $seconds, $instance (host:port), $host "
        "(without the port) and the labels of its series. pyroscope, parca: the server's base address",
    )
    query: Annotated[str, BeforeValidator(_profile_query)] = Field(
        default="",
        description="pyroscope, parca: profile type and label matchers that give one instance's profiles, as "
        '`process_cpu:cpu:nanoseconds:cpu:nanoseconds{service_name="api", pod="$pod"}`; placeholders as in '
        "`url` tell the instances apart",
    )
    connection: str | None = Field(
        default=None,
        description="Airflow connection (type http) whose extra holds `headers`, `ca`, `cert` and `key`; "
        "its password becomes a bearer token",
    )
    allow: tuple[str, ...] = Field(
        default=(),
        description="where requests may go: networks (10.0.0.0/8), addresses, host names, *.domains; "
        "required with credentials. Loopback, link-local and metadata addresses must be named here",
    )
    plain_http: bool = Field(
        default=False,
        description="whether credentials may be sent over http://, where everybody on the way can read them",
    )
    ports: tuple[int, int] | None = Field(
        default=None,
        description="lowest and highest port that a label may give; null: `url` itself fixes the port",
    )
    seconds: int = Field(default=30, ge=1, le=600, description="length of each profile")
    grace: Duration = Field(
        default=timedelta(seconds=30),
        description="time beyond `seconds` for symbolizing and sending a profile",
    )
    attempts: int = Field(default=3, ge=1, le=10, description="how often one instance is asked")
    quorum: Share = Field(default=0.5, description="share of the asked instances that must give a profile")
    max_tasks: int = Field(default=16, ge=1, le=512, description="most mapped tasks that share the fetching")
    max_share: Share = Field(
        default=0.05,
        description="share of a datacenter's instances that are profiled at once; at least one is",
    )
    per_host: int = Field(default=1, ge=1, description="most profiles taken at once on one host")
    concurrency: int = Field(
        default=256, ge=1, le=10_000, description="most profiles taken at once by one task"
    )
    max_errors: Share = Field(
        default=0.2,
        description="share of a round's instances that may answer with server errors before nobody is asked "
        "any more; three instances at least",
    )
    max_bytes: int = Field(default=32 << 20, ge=1, description="largest profile that is accepted, as sent")
    max_unpacked_bytes: int = Field(
        default=64 << 20, ge=1, description="largest profile that is accepted, after unzipping"
    )

    @field_validator("allow")
    @classmethod
    def _readable(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        parse_allow(entries)
        return entries

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.connection and not self.allow:
            raise ValueError("`connection` sends credentials: say in `allow` where they may go")
        if self.connection and not self.plain_http and urlsplit(self.url).scheme == "http":
            raise ValueError("`connection` sends credentials: write https:// in `url`, or set `plain_http`")
        if bool(self.query) != (self.source != "pprof_http"):
            raise ValueError("`query` belongs to the sources pyroscope and parca, which need it")
        if self.query and Template(self.url).get_identifiers():
            raise ValueError("the `url` of pyroscope and parca is the server's address, without placeholders")
        placeholders = Template(urlsplit(self.url).netloc).get_identifiers()
        if self.ports is None and {"instance", "port"} & set(placeholders):
            raise ValueError(
                "`url` takes the port from a label, which anybody may forge: write http://$host:6060/…, "
                "or say in `ports` which ports a label may give"
            )
        return self


class SufficiencyRules(_Part):
    """Least figures by which a profile is judged; see docs/profile.md."""

    samples: int = Field(default=0, ge=0, description="CPU samples in the merged profile")
    split_half_overlap: Share = Field(
        default=0, description="overlap of two random halves of the instances: how far they agree"
    )
    held_out_coverage: Share = Field(
        default=0, description="share of one half's weight that the other half's hot edges cover"
    )


class GuardRules(_Part):
    """A function that must not be inlined because of the profile, besides those that fleetpgo knows."""

    function: str = Field(description="its linker symbol, as profiles name it")
    issue: str = Field(description="link to the report of what goes wrong")


class ProfileRules(_Part):
    """How the merged profile is judged."""

    warn_below: SufficiencyRules = Field(
        default=SufficiencyRules(samples=10_000, split_half_overlap=0.5, held_out_coverage=0.7),
        description="figures below which the pull request warns; for overlap and coverage further rounds are "
        "taken first",
    )
    fail_below: SufficiencyRules = Field(
        default=SufficiencyRules(), description="figures below which the run fails and nothing is proposed"
    )
    unchanged_above: Share = Field(
        default=0.95,
        description="overlap with the committed profile from which a new one is not proposed, as a share of "
        "the overlap that chance alone gives at so many samples; docs/profile.md has what is noticed",
    )
    match_below: Share = Field(
        default=0.8, description="source match below which the pull request warns; see docs/profile.md"
    )
    guards: tuple[GuardRules, ...] = Field(default=(), description="further functions to keep from inlining")


class RepositoryRules(_Part):
    """Where the service's source is, and what the pull request changes in it."""

    forge: Literal["local", "github", "gitlab", "gitea"] = Field(
        description="kind of forge: github (Enterprise too), gitlab, gitea (Forgejo too), or local, a "
        "directory of bare repositories"
    )
    connection: str = Field(
        description="Airflow connection (type Forge, or generic) with the forge's address and token"
    )
    project: str = Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$",
        description="the repository on the forge: owner/name",
    )
    base: str = Field(default="main", description="branch that pull requests go to")
    profile: RepositoryPath = Field(default="pgo/profile.pprof", description="path of the committed profile")
    makefile: RepositoryPath | None = Field(
        default="Makefile",
        description="Makefile whose `go build` lines are made to pass -pgo; null: none is edited",
    )


class ReviewRules(_Part):
    """How pull requests are handed to people, and when a rejected one is proposed again."""

    reviewers: tuple[str, ...] = Field(
        default=(),
        description="who is asked for a review: names on the forge; on github and gitea `acme/perf` is the "
        "team perf of acme",
    )
    assignees: tuple[str, ...] = Field(
        default=(), description="to whom the pull request is assigned: names on the forge"
    )
    labels: tuple[str, ...] = Field(
        default=(), description="labels of the pull request, besides `fleetpgo`, which each of ours has"
    )
    draft: bool = Field(default=False, description="whether pull requests are opened as drafts")
    auto_merge: Literal["merge", "squash", "rebase"] | None = Field(
        default=None,
        description="have the forge merge by itself, in that way, once its own checks and rules are "
        "satisfied; null: a person merges. A forge without such rules on the base merges at once",
    )
    propose_again_below: Share = Field(
        default=0.8,
        description="overlap with the profile of a pull request that was closed unmerged, below which a new "
        "one is proposed, as a share of the overlap that chance alone gives at so many samples",
    )
    revert: Literal["open", "draft", "off"] = Field(
        default="open",
        description="what follows a regression that estimator A (hold-back group) finds over the week: a "
        "pull request that reverts the profile, the same as a draft, or nothing",
    )


class BuildRules(_Part):
    """How the service is built."""

    command: Annotated[tuple[str, ...], BeforeValidator(_arguments), Field(min_length=1)] = Field(
        default=("make", "build"), description="the service's own build command, run without a shell"
    )
    binary: RepositoryPath = Field(description="path of the binary that the command makes")
    timeout: Duration = Field(default=timedelta(minutes=30), description="time limit of one build")
    test: Annotated[tuple[str, ...], BeforeValidator(_arguments)] = Field(
        default=(),
        description="command that tests the service, run with the profile in place: `go test ./...`",
    )
    benchmark: str = Field(
        default="",
        description="benchmarks of the service's module to compare without and with the profile, as `go test "
        "-bench` takes them; each runs six times on both sides",
    )
    explain: bool = Field(
        default=True,
        description="whether to build once more, to say which calls the profile made the compiler inline or "
        "devirtualise; takes as long as a build without a cache",
    )
    memory: int = Field(
        default=8 << 30, ge=1 << 28, description="bytes of memory that each process of a build may use"
    )
    pool: str = Field(
        default="default_pool",
        description="Airflow pool that bounds how many builds run at once; it must exist in Airflow",
    )


class RolloutRules(_Part):
    """How to see that the new build is out: by what instances say of themselves, or when they started."""

    fraction: ProfilePromQL | None = Field(
        default=None,
        description="PromQL that gives one number, the share of instances on the new build; "
        "$profile is the first 12 hex digits of the committed profile's SHA-256. "
        "Default: the share that was started since the merge",
    )
    treated: ProfilePromQL | None = Field(
        default=None,
        description="PromQL that gives one series per instance on the new build; the others are the "
        "control group. Instances keep their name over a rollout (else choose another instance_label)",
    )
    started: PromQL | None = Field(
        default=None,
        description="PromQL that gives one series per instance: the Unix time at which its process started; "
        "shows restarts and other deploys in the windows that are compared",
    )
    revision: PromQL | None = Field(
        default=None,
        description="PromQL that gives one series per revision of the source that runs, with label revision",
    )
    complete: Share = Field(default=0.95, description="share from which the rollout counts as complete")
    poll: Duration = Field(default=timedelta(minutes=5), description="time between two looks")
    deadline: Duration = Field(
        default=timedelta(days=14), description="time after the merge at which waiting for the rollout ends"
    )

    @model_validator(mode="after")
    def _can_be_seen(self) -> Self:
        if self.fraction is None and self.started is None:
            raise ValueError("one of fraction and started is required, else no rollout can be seen")
        return self


class ExclusionRules(_Part):
    """A span of time that no comparison uses: an incident, a load test, another deploy."""

    start: AwareDatetime = Field(description="its first moment, with time zone")
    end: AwareDatetime = Field(description="the first moment after it")
    reason: str = Field(default="", description="what was going on")


class GuardrailRules(_Part):
    """Something that a saving of CPU must not cost."""

    name: str = Field(min_length=1, description="what is guarded: resident memory, p99 latency, restarts …")
    query: PromQL = Field(description="PromQL that gives one series per instance; less is better")
    bound: float = Field(
        default=0.05, ge=0, description="largest rise of its average over the instances, as a share"
    )


class MeasurementRules(_Part):
    """How the saving is measured."""

    cpu: PromQL = Field(description="PromQL that gives one series per instance: the CPU it uses, in cores")
    requests: PromQL | None = Field(
        default=None,
        description="PromQL that gives one series per instance: requests per second. Without it CPU is "
        "compared per instance, and traffic that changes looks like a saving or a loss",
    )
    hardware: PromQL | None = Field(
        default=None,
        description="PromQL that gives one series per kind of machine (or kernel, or whatever makes CPU "
        "cheaper), its value the number of instances on it; a mix that changes around a rollout makes the "
        "comparison invalid",
    )
    step: Duration = Field(default=timedelta(minutes=1), description="finest resolution of the comparison")
    settle: Duration = Field(
        default=timedelta(minutes=15),
        description="time left out after the rollout, for caches to warm and rates to catch up",
    )
    window: Duration = Field(default=timedelta(hours=1), description="time compared just before and after it")
    week: Duration = Field(default=timedelta(days=7), description="time compared in the long comparison")
    material: Share = Field(default=0.005, description="smallest saving or loss that matters, as a share")
    excluded: tuple[ExclusionRules, ...] = Field(default=(), description="spans that no comparison uses")
    guardrails: tuple[GuardrailRules, ...] = Field(
        default=(), description="what a saving of CPU must not cost"
    )


class AlertsRules(_Part):
    """Who is told of a run that fails or takes too long; without a notifier, Airflow's pages alone say so."""

    notifier: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$",
        description="class of an Airflow notifier, by its path, such as "
        "`airflow.providers.smtp.notifications.smtp.SmtpNotifier`",
    )
    arguments: dict[str, Any] = Field(
        default={}, description="what the notifier is made with; its secrets belong into its connection"
    )
    late: Duration = Field(
        default=timedelta(days=35),
        description="time after which a run counts as late: review, rollout and week included",
    )


class ServiceRules(_Part):
    """One Go service of the fleet."""

    name: Annotated[str, Field(exclude=True)]
    description: str = Field(default="", description="what the service does, in a sentence")
    owner: str = Field(default="fleetpgo", description="team that answers for the service")
    schedule: str | None = Field(
        default="@weekly", description="when to refresh: cron or an Airflow preset; null: only by hand"
    )
    approval: bool = Field(
        default=False,
        description="whether somebody must approve in Airflow, seeing the merge's figures, before anything "
        "is built or pushed; for teams whose forge asks for no review",
    )
    alerts: AlertsRules = AlertsRules()
    prometheus: PrometheusRules
    selection: SelectionRules
    collection: CollectionRules = CollectionRules()
    profile: ProfileRules = ProfileRules()
    repository: RepositoryRules
    review: ReviewRules = ReviewRules()
    build: BuildRules
    rollout: RolloutRules
    measurement: MeasurementRules

    @property
    def branch(self) -> str:
        """Branch of the pull request that proposes a profile."""
        return f"fleetpgo/{self.name}"

    @property
    def revert_branch(self) -> str:
        """Branch of the pull request that takes a profile out again; the service has no third one."""
        return f"{self.branch}-revert"
