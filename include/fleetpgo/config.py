"""What a service is: the service file, checked, with the line of every mistake.

A service file is ``<directory>/<service>.yaml``; its name is the service's name. It says where the service's
metrics are, which instances to profile and how, where its repository is and how it builds, and how a saving
is judged. It holds no address that differs between installations and no secret: those are Airflow
*connections* (or, on the command line, options), which the file refers to by id.

Where a value holds ``$name`` placeholders (:class:`string.Template`), its description says which.
"""

from __future__ import annotations

import os
import re
import shlex
from datetime import timedelta
from pathlib import Path, PurePosixPath
from string import Template
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError

from fleetpgo.errors import ServiceFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""What a service may be called: it becomes part of DAG ids, branch names and paths."""

_DURATION_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_DURATION = re.compile("".join(rf"(?:(?P<{name}>\d+){unit})?" for unit, name in _DURATION_UNITS.items()))


def _duration(value: object) -> object:
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


def _arguments(value: object) -> object:
    """Split a command line as a POSIX shell would; no shell runs it."""
    return tuple(shlex.split(value)) if isinstance(value, str) else value


def _inside(value: object) -> object:
    """Accept only a path that stays inside the repository."""
    if isinstance(value, str) and (PurePosixPath(value).is_absolute() or ".." in PurePosixPath(value).parts):
        raise ValueError("the path must be relative to the repository and stay inside it")
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
PromQL = Annotated[str, Field(min_length=1)]
ProfilePromQL = Annotated[str, Field(min_length=1), BeforeValidator(_profile_template)]
RepositoryPath = Annotated[str, Field(min_length=1), BeforeValidator(_inside)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    """A mapping of the service file: immutable, and a wrong key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Prometheus(_Part):
    """The Prometheus or Thanos that knows the service."""

    connection: str = Field(description="Airflow connection (type http) of the Prometheus API")


class Selection(_Part):
    """Which instances are profiled."""

    cpu: PromQL = Field(
        description="PromQL that gives one series per candidate instance: the CPU it uses, in cores. "
        "Matchers (tier, environment …) belong here"
    )
    instances: int = Field(default=40, ge=1, le=10_000, description="how many of the busiest to profile")
    instance_label: str = Field(default="instance", description="label that names an instance (host:port)")
    datacenter_label: str = Field(default="datacenter", description="label that names its datacenter")


class Collection(_Part):
    """How profiles are fetched."""

    url: str = Field(
        default="http://$instance/debug/pprof/profile?seconds=$seconds",
        description="where an instance serves its CPU profile; $seconds and the labels of its series",
    )
    seconds: int = Field(default=30, ge=1, le=600, description="length of each profile")
    attempts: int = Field(default=3, ge=1, le=10, description="how often one instance is asked")
    quorum: Share = Field(default=0.5, description="share of the selected instances that must give a profile")
    max_tasks: int = Field(default=16, ge=1, le=512, description="most mapped tasks that share the fetching")
    max_bytes: int = Field(default=64 << 20, ge=1, description="largest profile that is accepted, as sent")


class Sufficiency(_Part):
    """Least figures by which a profile is judged; see docs/profile.md."""

    samples: int = Field(default=0, ge=0, description="CPU samples in the merged profile")
    split_half_overlap: Share = Field(
        default=0, description="overlap of two random halves of the instances: how far they agree"
    )
    held_out_coverage: Share = Field(
        default=0, description="share of one half's weight that the other half's hot edges cover"
    )


class Guard(_Part):
    """A function that must not be inlined because of the profile, besides those that fleetpgo knows."""

    function: str = Field(description="its linker symbol, as profiles name it")
    issue: str = Field(description="link to the report of what goes wrong")


class Profile(_Part):
    """How the merged profile is judged."""

    warn_below: Sufficiency = Field(
        default=Sufficiency(samples=10_000, split_half_overlap=0.5, held_out_coverage=0.7),
        description="figures below which the pull request warns",
    )
    fail_below: Sufficiency = Field(
        default=Sufficiency(), description="figures below which the run fails and nothing is proposed"
    )
    unchanged_above: Share = Field(
        default=0.95, description="overlap with the committed profile from which a new one is not proposed"
    )
    guards: tuple[Guard, ...] = Field(default=(), description="further functions to keep from inlining")


class Repository(_Part):
    """Where the service's source is, and what the pull request changes in it."""

    forge: Literal["local", "github"] = Field(description="kind of forge")
    connection: str = Field(description="Airflow connection that holds the forge's address and token")
    project: str = Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$",
        description="the repository on the forge: owner/name",
    )
    base: str = Field(default="main", description="branch that pull requests go to")
    profile: RepositoryPath = Field(default="pgo/profile.pprof", description="path of the committed profile")
    makefile: RepositoryPath = Field(default="Makefile", description="file whose `go build` line gets -pgo")


class Build(_Part):
    """How the service is built."""

    command: Annotated[tuple[str, ...], BeforeValidator(_arguments), Field(min_length=1)] = Field(
        default=("make", "build"), description="the service's own build command, run without a shell"
    )
    binary: RepositoryPath = Field(description="path of the binary that the command makes")
    timeout: Duration = Field(default=timedelta(minutes=30), description="time limit of one build")


class Rollout(_Part):
    """How to see that the new build is out."""

    fraction: ProfilePromQL = Field(
        description="PromQL that gives one number, the share of instances on the new build; "
        "$profile is the first 12 hex digits of the committed profile's SHA-256"
    )
    treated: ProfilePromQL | None = Field(
        default=None, description="PromQL that gives one series per instance on the new build"
    )
    complete: Share = Field(default=0.95, description="share from which the rollout counts as complete")
    poll: Duration = Field(default=timedelta(minutes=5), description="time between two looks")


class Measurement(_Part):
    """How the saving is measured."""

    cpu: PromQL = Field(description="PromQL that gives one series per instance: the CPU it uses, in cores")
    requests: PromQL | None = Field(
        default=None, description="PromQL that gives one series per instance: requests per second"
    )
    step: Duration = Field(default=timedelta(minutes=1), description="finest resolution of the comparison")
    settle: Duration = Field(
        default=timedelta(minutes=15),
        description="time left out after the rollout, for caches to warm and rates to catch up",
    )
    window: Duration = Field(default=timedelta(hours=1), description="time compared just before and after it")
    week: Duration = Field(default=timedelta(days=7), description="time compared in the long comparison")


class Service(_Part):
    """One Go service of the fleet."""

    name: Annotated[str, Field(exclude=True)]
    description: str = Field(default="", description="what the service does, in a sentence")
    owner: str = Field(default="fleetpgo", description="team that answers for the service")
    schedule: str | None = Field(
        default="@weekly", description="when to refresh: cron or an Airflow preset; null: only by hand"
    )
    prometheus: Prometheus
    selection: Selection
    collection: Collection = Collection()
    profile: Profile = Profile()
    repository: Repository
    build: Build
    rollout: Rollout
    measurement: Measurement

    @property
    def branch(self) -> str:
        """The one branch that pull requests for this service come from."""
        return f"fleetpgo/{self.name}"


def services_directory() -> Path:
    """Where service files are: ``$FLEETPGO_SERVICES``, else ``services/`` beside this package."""
    return Path(os.environ.get("FLEETPGO_SERVICES") or Path(__file__).parents[1] / "services")


def service_files(directory: Path | None = None) -> list[Path]:
    """The service files of a directory, in the order of their names."""
    return sorted((directory or services_directory()).glob("*.yaml"))


def load_service(file: Path) -> Service:
    """Read and check one service file.

    Raises:
        ServiceFileError: with path, line and key of every mistake.
    """
    if not NAME.fullmatch(file.stem):
        raise ServiceFileError(
            f"{file}: {file.stem!r} cannot be a service's name",
            hint="use lower-case letters, digits, '-' and '_': the name becomes part of DAG ids and branches",
        )
    try:
        document = YAML().load(file.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ServiceFileError(f"{file}:{line}: not valid YAML: {error.problem}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ServiceFileError(f"{file}: cannot be read: {error}") from error
    if not isinstance(document, CommentedMap):
        raise ServiceFileError(f"{file}:1: a service file is a mapping (selection: …, repository: …)")
    if "name" in document:
        line = _line(document, ("name",))
        raise ServiceFileError(
            f"{file}:{line}: name: the file's own name is the service's name; remove the key"
        )
    try:
        return Service.model_validate({"name": file.stem, **document})
    except ValidationError as error:
        mistakes = [
            f"{file}:{_line(document, mistake['loc'])}: {'.'.join(map(str, mistake['loc']))}: {_say(mistake)}"
            for mistake in error.errors()
        ]
        raise ServiceFileError(
            "\n".join(mistakes), hint="`fleetpgo services schema` lists every key"
        ) from error


def load_named(name: str, directory: Path | None = None) -> Service:
    """Read the service file of the service with that name.

    Raises:
        ServiceFileError: if there is none, or it has a mistake.
    """
    directory = directory or services_directory()
    known = [file.stem for file in service_files(directory)]
    if name not in known:
        raise ServiceFileError(
            f"no service {name!r} in {directory}", hint=f"known services: {', '.join(known) or 'none'}"
        )
    return load_service(directory / f"{name}.yaml")


def _line(document: CommentedMap, location: Sequence[int | str]) -> int:
    """The 1-based line of a key, or of the nearest mapping above it that the file does hold."""
    node: Any = document
    line: int = document.lc.line
    for key in location:
        if not isinstance(node, CommentedMap) or key not in node:
            break
        line = node.lc.key(key)[0]
        node = node[key]
    return line + 1


def _say(mistake: Any) -> str:  # noqa: ANN401  # pydantic's ErrorDetails
    """A mistake in a user's words rather than in the validator's."""
    match mistake["type"]:
        case "extra_forbidden":
            return "unknown key"
        case "missing":
            return "this key is required"
        case _:
            return f"{mistake['msg'].removeprefix('Value error, ')} (found: {mistake['input']!r})"
