"""Artifacts of a run in its store: the name, the type and the version of each.

Names of artifacts are defined only here. A JSON artifact is one dataclass; its keys are the fields. There is
also a key ``schema_version``, which is raised when a field is removed or changes its meaning. The oldest
artifacts have no version; they are read like any earlier version. Fields that an earlier version lacks have a
default, and unknown keys are ignored. All other artifacts are bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from fleetpgo.errors import ArtifactError
from fleetpgo.run.measured import Level, Measurement
from fleetpgo.run.profiled import Manifest, Record, Stop
from fleetpgo.run.proposed import Failed, Merge, Proposed, Reverted, Rollout, Turn, Watched
from fleetpgo.run.released import Begun, Fit
from fleetpgo.run.selected import Selection

T = TypeVar("T")

_UNSAFE = re.compile(r"[^A-Za-z0-9.-]")
_REMAKE = "clear the task that writes it, and its downstream tasks"


class FetchedProfile(bytes):
    """A profile as an instance sent it. Its key is its SHA-256, so a stored profile is never truncated."""


class EdgePack(bytes):
    """Call edges of some fetched profiles (:mod:`fleetpgo.pprof.edgetable`). Its key is its SHA-256.

    Its version is in it. If it is of another one, or damaged, the edges are derived from the profiles again.
    """


class Trouble(bytes):
    """Error that a failing instance answered with. Its key is the instance."""


class MergedProfile(bytes):
    """Everything that the instances sent, merged."""


class ProposedProfile(bytes):
    """The part of the merged profile that the compiler reads. This is the profile that is committed."""


class ProposedText(bytes):
    """The pull request's title and body, in Markdown, as they were opened or would have been."""


class ProposedDiff(bytes):
    """The pull request's commit against its base, as ``git diff`` shows it."""


class Report(bytes):
    """A measurement for people, in Markdown; its key is the period."""


class Picture(bytes):
    """The chart of a measurement, as SVG; its key is the period."""


@dataclass(frozen=True)
class File:
    """Where an artifact is.

    Attributes:
        name: name of the file, if a run has only one of this type; "" if it has one per key.
        keyed: name of the file of a key, with ``{}`` for the key; "" if a run has only one file.
        version: newest version that can be read, and the one that is written; 0 if it is not JSON.
    """

    name: str = ""
    keyed: str = ""
    version: int = 0

    def path(self, key: str = "") -> str:
        """Return the name of the file, from the run's directory."""
        return self.keyed.format(key) if key else self.name


FILES: dict[type, File] = {
    # Of services with `release` alone.
    Begun: File("begun.json", version=1),
    Fit: File("fit.json", version=1),
    # For a run with windows, one for each of them.
    Selection: File("selection.json", keyed="selection-{}.json", version=1),
    # For each instance; see :func:`key_of`.
    Record: File(keyed="profiles/{}.json", version=1),
    FetchedProfile: File(keyed="profiles/{}.pb.gz"),
    # For some dozens of profiles.
    EdgePack: File(keyed="edges/{}.npz"),
    Trouble: File(keyed="in_trouble/{}"),
    Stop: File("stop.json", version=1),
    MergedProfile: File("merged.pb.gz"),
    ProposedProfile: File("profile.pprof"),
    Manifest: File("manifest.json", version=1),
    Turn: File("turn.json", version=1),
    Proposed: File("pull_request.json", version=1),
    ProposedText: File("pull_request.md"),
    ProposedDiff: File("pull_request.diff"),
    Merge: File("merge.json", version=1),
    Watched: File("watched.json", version=1),
    Rollout: File("rollout.json", version=1),
    # For each period.
    Measurement: File(keyed="measure_{}.json", version=1),
    Report: File(keyed="measure_{}.md"),
    Picture: File(keyed="measure_{}.svg"),
    Reverted: File("revert.json", version=1),
    # In a run of its own.
    Level: File("level.json", version=1),
    # For each task that failed.
    Failed: File(keyed="failed/{}.json", version=1),
}


def key_of(instance: str) -> str:
    """Return an instance's name as a part of a file name: readable, and never the same for two instances."""
    shortened = hashlib.sha256(instance.encode()).hexdigest()[:8]
    return f"{_UNSAFE.sub('_', instance)}-{shortened}"


def decode(kind: type[T], data: bytes, where: object) -> T:
    """Read an artifact.

    Args:
        kind: its type.
        data: its bytes.
        where: its path, for the message.

    Raises:
        ArtifactError: it is no JSON, of a newer version, or not what its type says.
    """
    file = FILES[kind]
    if not file.version:
        return kind(data)  # type: ignore[call-arg]  # all types without a version are bytes
    try:
        record = _json(data)
    except (ValueError, RecursionError) as error:  # RecursionError: brackets in brackets, thousands deep
        raise ArtifactError(f"artifact {where} is not JSON: {error}", hint=_REMAKE) from error
    version = record.get("schema_version", 0) if isinstance(record, dict) else 0
    if isinstance(version, int) and version > file.version:
        raise ArtifactError(
            f"artifact {where} is of version {version}; this fleetpgo reads up to version {file.version}",
            hint="a newer fleetpgo has written it: install that one here, too",
        )
    if kind is Measurement and isinstance(record, dict):
        record["whole"] = dict(record)
    try:
        value: T = _adapter(kind).validate_python(record)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "all of it"
        more = f", and {error.error_count() - 1} more" if error.error_count() > 1 else ""
        raise ArtifactError(
            f"artifact {where} cannot be read: {field}: {first['msg']}{more}", hint=_REMAKE
        ) from None
    return value


def _json(data: bytes) -> Any:  # noqa: ANN401  # whatever it holds
    """Read JSON as the standard library does; nearly all of it by a reader that takes half the time."""
    try:
        return from_json(data)
    except ValueError:  # half a surrogate pair, a byte order mark, or no JSON
        return json.loads(data)


def encode(value: object) -> bytes:
    """Return an artifact's bytes; JSON for people as well as for programs."""
    if isinstance(value, bytes):
        return value
    record = value.whole if isinstance(value, Measurement) else _fields(value)
    versioned = {**record, "schema_version": FILES[type(value)].version}
    return to_json(versioned, indent=2, inf_nan_mode="constants", fallback=str) + b"\n"


def _fields(value: object) -> dict[str, Any]:
    """Return a dataclass's fields, not copied: a round encodes thousands."""
    return {field.name: getattr(value, field.name) for field in fields(value)}  # type: ignore[arg-type]  # all types with a version are dataclasses


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}


def _adapter(kind: type) -> TypeAdapter[Any]:
    """Return the parser of a type, created on first use: a task needs only a few."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]
