"""Types of the values in a service file: durations, PromQL, paths, URLs. Each type checks its values.

A validator returns a value that is not text unchanged; pydantic then reports that it expected text.
"""

from __future__ import annotations

import re
import shlex
from datetime import timedelta
from pathlib import PurePosixPath
from string import Template
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Callable

_DURATION_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_DURATION = re.compile("".join(rf"(?:(?P<{name}>\d+){unit})?" for unit, name in _DURATION_UNITS.items()))

_MATCHER = r'\s*[a-zA-Z_]\w*\s*(?:=~|!~|!=|=)\s*"(?:[^"\\\n]|\\.)*"\s*'
_MATCHERS = re.compile(rf"{_MATCHER}(?:,{_MATCHER})*")
_PROFILE_QUERY = re.compile(rf"\w+(?::\w+){{4}}(?::delta)?\{{{_MATCHERS.pattern}\}}")


class Part(BaseModel):
    """A mapping of the service file; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def duration(value: object) -> timedelta:
    """Read a duration as Prometheus writes it: ``90s``, ``1h30m``, ``7d``."""
    if isinstance(value, str) and value and (match := _DURATION.fullmatch(value)):
        try:
            return timedelta(**{name: int(count) for name, count in match.groupdict(default="0").items()})
        except OverflowError as error:
            raise ValueError("write a shorter duration") from error
    if isinstance(value, timedelta):
        return value
    raise ValueError("write a duration as Prometheus does: 90s, 15m, 1h30m, 7d")


def written(value: timedelta) -> str:
    """Return a duration as the file writes it."""
    left, text = int(value.total_seconds()), ""
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, left = divmod(left, seconds)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def _template(value: str) -> Template:
    """Read a text with ``$name`` placeholders."""
    template = Template(value)
    if not template.is_valid():
        raise ValueError("a lone $ is not a placeholder; write $$ for a dollar sign")
    return template


def _profile_template(value: object) -> object:
    """Accept PromQL whose only placeholder is ``$profile``."""
    if isinstance(value, str):
        template = _template(value)
        if unknown := sorted(set(template.get_identifiers()) - {"profile"}):
            raise ValueError(f"unknown placeholder ${unknown[0]}; this query takes only $profile")
    return value


def template_with(*names: str, lines: int | None = None) -> Callable[[object], object]:
    """Return a validator of texts that may hold only these placeholders, and at most so many lines."""

    def validate(value: object) -> object:
        if isinstance(value, str):
            if unknown := sorted(set(_template(value).get_identifiers()) - set(names)):
                known = ", ".join(f"${name}" for name in names)
                raise ValueError(f"unknown placeholder ${unknown[0]}; there are {known}")
            if lines is not None and len(value.splitlines()) > lines:
                raise ValueError("write it on one line")
            if not (value.strip() and all(map(str.isprintable, value.split("\n")))):
                raise ValueError("write it in characters that can be printed, and not in blanks alone")
        return value

    return validate


def _matchers(value: object) -> object:
    """Accept PromQL label matchers, without the braces."""
    if isinstance(value, str) and value and not _MATCHERS.fullmatch(value):
        raise ValueError('write matchers as in PromQL, without braces: revision="4f2a", pgo!=""')
    return value


def _arguments(value: object) -> object:
    """Split a command line as a POSIX shell would; no shell runs it."""
    return tuple(shlex.split(value)) if isinstance(value, str) else value


_VARIABLE = re.compile(r"[A-Za-z_]\w*")
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|PRIVATE_?KEY", re.IGNORECASE)
_OURS = ("PATH", "HOME", "GOCACHE", "GOPATH", "GOMODCACHE", "GOENV", "GOPROXY")
"""Variables of a build that fleetpgo itself sets."""


def _program_first(value: tuple[str, ...]) -> tuple[str, ...]:
    """Accept a command that begins with a program, not with a variable."""
    name, assigns, _ = value[0].partition("=") if value else ("", "", "")
    if assigns and _VARIABLE.fullmatch(name):
        raise ValueError(
            f"no shell runs the command, so {value[0]} would be taken for a program; set it in `environment`"
        )
    return value


def _variables(value: object) -> object:
    """Accept environment variables that hold no secret; a number is its digits."""
    if not isinstance(value, dict):
        return value
    for name in value:
        if not _VARIABLE.fullmatch(str(name)):
            raise ValueError(f"{name} is not a variable name: use letters, digits and _")
        if name in _OURS:
            raise ValueError(f"fleetpgo itself sets {name}")
        if _SECRET.search(name):
            raise ValueError(
                f"{name} looks like a secret, and everybody may read a service file; a build that needs a "
                ".netrc finds it in the home of its repository (docs/build.md)"
            )
    return {name: str(each) if type(each) is int else each for name, each in value.items()}


def _reference(value: object) -> object:
    """Accept an absolute path, or text of several lines."""
    if isinstance(value, str) and "\n" not in value and not PurePosixPath(value).is_absolute():
        raise ValueError("write an absolute path, or all lines that `go version -m` prints, after `|`")
    return value


def _inside(value: object) -> object:
    """Accept only a path that stays inside the repository; `./a` is `a`."""
    if isinstance(value, str) and (PurePosixPath(value).is_absolute() or ".." in PurePosixPath(value).parts):
        raise ValueError("the path must be relative to the repository and stay inside it")
    return str(PurePosixPath(value)) if isinstance(value, str) and value else value


def _url_template(value: object) -> object:
    """Accept an http(s) URL without credentials in it, whose placeholders are labels."""
    if isinstance(value, str):
        _template(value)
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError("a URL starts with http:// or https:// and a host")
        if "@" in parts.netloc:
            raise ValueError("a URL must hold no credentials; name a `connection` that does")
    return value


def _profile_query(value: object) -> object:
    """Accept a profile type with label matchers, and a placeholder in them."""
    if isinstance(value, str) and value:
        if not _PROFILE_QUERY.fullmatch(value):
            raise ValueError('write a profile type with matchers: process_cpu:…{service_name="api", …}')
        template = _template(value)
        if not template.get_identifiers():
            raise ValueError("without a placeholder such as $instance every instance gets the same profile")
    return value


def is_profile_query(text: str) -> bool:
    """Return whether a text is a profile type with label matchers, and without a placeholder."""
    return bool(_PROFILE_QUERY.fullmatch(text)) and "$" not in text


def _for_each_instance(value: tuple[str, ...]) -> tuple[str, ...]:
    """Accept a command with a placeholder in its arguments, and none in its program."""
    if not value:
        return value
    program, *arguments = map(_template, value)
    if program.get_identifiers():
        raise ValueError("a label may not choose the program: its name takes no placeholder")
    if not any(each.get_identifiers() for each in arguments):
        raise ValueError("without a placeholder such as $host every instance gets the same profile")
    return value


_PLACE = re.compile(r"(?:(?:s3|gs)://[^/$*?[]+|)/[^\0]*[^/\0]")
_STRFTIME = re.compile(r"%(?![YmdHMSs])")


def _path_pattern(value: object) -> object:
    """Accept a pattern of paths: absolute, or on s3:// or gs://, with a placeholder for the instance."""
    if isinstance(value, str) and value:
        if not _PLACE.fullmatch(value) or ".." in PurePosixPath(value).parts:
            raise ValueError("write an absolute path, s3://bucket/… or gs://bucket/…, without ..")
        if not _template(value).get_identifiers():
            raise ValueError("without a placeholder such as $host every instance gets the same files")
        parts = set(re.findall(r"%([YmdHMSs])", value))
        if _STRFTIME.search(value) or (parts and "s" not in parts and not {"Y", "m", "d"} <= parts):
            raise ValueError("a time in a path is %Y, %m and %d, with %H, %M, %S or without; or %s")
    return value


def _timezone(value: str) -> str:
    """Accept the name of a time zone."""
    try:
        return ZoneInfo(value).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # a folder of the database is an OSError
        raise ValueError("write the IANA name of a time zone: Europe/Lisbon, UTC") from error


_SCHEDULE = re.compile(
    r"@(once|hourly|daily|midnight|weekly|monthly|quarterly|yearly|annually)"
    r"|[\d*][\d*/,-]*( +[\d*?L][\w*/,-]*){2}( +[\w*?][\w*/,#-]*){2}"
)


def _schedule(value: str) -> str:
    if not _SCHEDULE.fullmatch(value):
        raise ValueError("write five fields as cron does, or a preset of Airflow: 0 4 * * 1, @weekly")
    return value


PathPattern = Annotated[str, BeforeValidator(_path_pattern)]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Duration = Annotated[timedelta, BeforeValidator(duration)]
PromQL = Annotated[str, Field(min_length=1)]
ProfilePromQL = Annotated[str, Field(min_length=1), BeforeValidator(_profile_template)]
RepositoryPath = Annotated[str, Field(min_length=1), BeforeValidator(_inside)]
Reference = Annotated[str, BeforeValidator(_reference)]
ProfileQuery = Annotated[str, BeforeValidator(_profile_query)]
Matchers = Annotated[str, BeforeValidator(_matchers)]
Command = Annotated[tuple[str, ...], BeforeValidator(_arguments), AfterValidator(_program_first)]
InstanceCommand = Annotated[Command, AfterValidator(_for_each_instance)]
Variables = Annotated[dict[str, str], BeforeValidator(_variables)]
Timezone = Annotated[str, AfterValidator(_timezone)]
UrlTemplate = Annotated[str, BeforeValidator(_url_template)]
Share = Annotated[float, Field(ge=0, le=1)]
Schedule = Annotated[str, AfterValidator(_schedule)]
