"""The keys of a service file that say which instances are profiled, and how.

See :mod:`fleetpgo.service.rules` for the whole file.
"""

from __future__ import annotations

import math
import re
from datetime import timedelta
from string import Template
from typing import Annotated, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from fleetpgo.network.addresses import parse_allow
from fleetpgo.service.values import (
    Day,
    Duration,
    InstanceCommand,
    Matchers,
    Part,
    PathPattern,
    ProfileQuery,
    PromQL,
    Share,
    Timezone,
    UrlTemplate,
    Variables,
    is_profile_query,
)


class PrometheusRules(Part):
    """The Prometheus or Thanos that has the service's metrics."""

    connection: str = Field(
        default="fleetpgo_prometheus",
        description="id of the Airflow connection (type http) that holds the address of Prometheus or Thanos",
    )


_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class WindowRules(Part):
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


class SelectionRules(Part):
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
    expect: tuple[str, ...] = Field(
        default=(),
        description="datacenters that must be in every answer: `[ams, fra, lis]`. Without one of them "
        "selection fails, and a measurement is invalid: Thanos leaves out what it has lost, and says nothing",
    )
    missing_above: Share | None = Field(
        default=None,
        description="largest share of the last run's instances that may be missing; beyond it selection "
        "fails. null: a warning names each datacenter that has lost more than a quarter of them",
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
        for label in (self.instance_label, self.datacenter_label, *self.strata):
            if self.source == "prometheus" and not _LABEL.fullmatch(label):
                known = re.sub(r"[^a-zA-Z0-9_]", "_", label)
                raise ValueError(f"{label!r} is no label of Prometheus, which would call it {known}")
        if self.matchers and not self.builds and self.source != "store":
            raise ValueError("`matchers` needs `builds`, the metric whose labels describe the build")
        if self.windows and not math.isclose(sum(window.share for window in self.windows), 1, abs_tol=0.01):
            raise ValueError("the shares of `windows` must add up to 1")
        if len({window.name for window in self.windows}) < len(self.windows):
            raise ValueError("two of `windows` have the same name")
        return self


class CollectionRules(Part):
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
