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
"""The time of a merge whose account does not say when it was made: before any other."""


@dataclass(frozen=True)
class Record:
    """Result for one target: where its profile is and its digest, or why there is none.

    ``refused``: something came, and it is no profile that can be used; it is not kept. ``size`` is in bytes,
    ``samples`` in CPU samples; what tells profiles apart is as in :class:`fleetpgo.pprof.Facts`, and empty in
    a record of an earlier version. ``same_as``: the instance that this one cannot be told apart from, whose
    answer stands for both. ``repairable``: a profile came and is kept, but cannot be used until the merge
    step has repaired it from the program's binary; ``reason`` says what it lacks.
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
        target.instance, target.datacenter, target.cores, "missing", "its task ended before it answered"
    )


@dataclass(frozen=True)
class Stop:
    """Why the round stopped asking instances."""

    reason: str


@dataclass(frozen=True)
class Contribution:
    """Result of one instance that was asked: a profile that was used, one that was refused, or none.

    `weight` is the factor of its profile in the merge (:mod:`fleetpgo.selection.weights`); `same_as` the
    instance that it could not be told apart from, whose samples count for both.
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
    """Who changes the hot edges most, as :class:`fleetpgo.pprof.Influence` has it."""

    instance: str
    changed: int
    hot: int


@dataclass(frozen=True)
class Agreement:
    """How far the instances agree, as :class:`fleetpgo.pprof.Sufficiency` has it."""

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

    What has a default is not needed to propose the profile; an account without it is read, too.

    Attributes:
        profile: digest of the bytes to commit (:func:`fleetpgo.run.digest.digest`): the name by which
            instances expose what they were built with.
        samples: CPU samples of all used profiles together.
        edges: call edges that the compiler will read; ``hot_edges`` of them decide what is inlined.
        merged_size: bytes of everything that arrived, merged; ``profile_size`` of what is to be committed.
        proof: ``identical`` if Go's own tool reads the same from both, else why that is not known.
        sufficiency: how far the instances agree.
        renamed: functions of the guard list that were renamed.
        warnings: sentences that the reviewer must read.
        figures: the figures of the profile for people, by name.
        refused: why nothing may be proposed from this merge; "" if it may.
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
