"""Artifacts of the collect and merge steps: one record per target, and the manifest of the merge."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  # pydantic reads the annotations
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from pydantic import AwareDatetime  # noqa: TC002  # likewise

if TYPE_CHECKING:
    from fleetpgo.run.selected import Target

_UNKNOWN = datetime.fromtimestamp(0, UTC)
"""Time of a merge whose manifest has no time: earlier than any real one."""


@dataclass(frozen=True)
class Record:
    """Result for one target: its profile, or why there is none.

    Fields that are not listed are as in :class:`fleetpgo.pprof.Facts`; records of earlier versions leave them
    empty.

    Attributes:
        cores: CPU of the instance when it was selected.
        state: ``fetched``; ``refused``: the answer was not a usable profile, and was not kept; ``missing``:
            there was no answer.
        reason: why it is refused or missing; "" if fetched.
        artifact: where the profile is in the store.
        size: size of the profile in bytes.
        sha256: digest of the profile.
        samples: number of CPU samples.
        same_as: instance whose request returns the same profile; it was asked for both.
        repairable: the profile is kept, but the merge step must first repair it from the program's binary;
            ``reason`` says what it lacks.
    """

    instance: str
    datacenter: str
    cores: float
    state: Literal["fetched", "refused", "missing"]
    reason: str = ""
    artifact: str = ""
    size: int = 0
    sha256: str = ""
    samples: int = 0
    main_package: str = ""
    kind: str = ""
    modules: Mapping[str, int] = field(default_factory=dict)
    outside: int = 0
    main_functions: Mapping[str, int] = field(default_factory=dict)
    build_id: str = ""
    other_builds: tuple[str, ...] = ()
    same_as: str = ""
    repairable: bool = False


def missing(target: Target) -> Record:
    """Return the record of a target whose task died before it wrote one."""
    return Record(
        target.instance,
        target.datacenter,
        target.cores,
        "missing",
        "its task ended before it answered",
    )


@dataclass(frozen=True)
class Stop:
    """Why the round stopped asking instances."""

    reason: str


@dataclass(frozen=True)
class Contribution:
    """What one instance contributed to the merge: ``used``, ``refused`` or ``missing``.

    ``weight`` is the factor of its profile in the merge (:mod:`fleetpgo.selection.weights`). ``same_as`` is
    the instance whose request returns the same profile; that profile counts for both.
    """

    instance: str
    datacenter: str
    state: Literal["used", "refused", "missing"]
    cores: float = 0.0
    reason: str = ""
    size: int = 0
    sha256: str = ""
    samples: int = 0
    weight: float = 1.0
    build_id: str = ""
    other_builds: tuple[str, ...] = ()
    same_as: str = ""


@dataclass(frozen=True)
class Leading:
    """The instance that changes the hot edges most; see :class:`fleetpgo.pprof.Influence`."""

    instance: str
    changed: int
    hot: int


@dataclass(frozen=True)
class Agreement:
    """How far the instances' profiles agree; see :class:`fleetpgo.pprof.Sufficiency`."""

    instances: int = 0
    weight: int = 0
    split_half_overlap: float | None = None
    held_out_coverage: float | None = None
    leave_one_out: Mapping[str, float] = field(default_factory=dict)
    outliers: tuple[str, ...] = ()
    influence: Leading | None = None


@dataclass(frozen=True)
class Manifest:
    """Record of a merge: what each instance contributed, and the result.

    Fields with a default may be missing in the file: they are not needed to propose the profile.

    Attributes:
        profile: digest of the bytes to commit (:func:`fleetpgo.run.digest.digest`). Instances expose it in a
            metric of their build.
        samples: CPU samples of all used profiles together.
        edges: number of call edges in the profile; the ``hot_edges`` of them decide what is inlined.
        merged_size: size of the merged profile in bytes; ``profile_size`` of the profile to commit.
        proof: ``identical`` if ``go tool preprofile`` reads the same from both, else why that is not known.
        sufficiency: how far the instances' profiles agree.
        renamed: functions of the guard list that were renamed, so that PGO does not inline them.
        warnings: sentences that the reviewer must read.
        figures: name → formatted figure of the profile.
        refused: why the profile must not be proposed; "" if it may be.
    """

    query: str
    selected: int
    samples: int
    instances: tuple[Contribution, ...]
    service: str = ""
    run: str = ""
    made_at: AwareDatetime = _UNKNOWN
    seconds: int = 0
    used: int = 0
    edges: int = 0
    hot_edges: int = 0
    profile: str = ""
    merged_size: int = 0
    profile_size: int = 0
    proof: str = ""
    sufficiency: Agreement = Agreement()
    renamed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    figures: Mapping[str, str] = field(default_factory=dict)
    refused: str = ""
