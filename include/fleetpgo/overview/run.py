"""One run as its store shows it, finished or under way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetpgo.overview.instances import count_by_datacenter, look_at_instances, selection_warnings
from fleetpgo.overview.measurements import look_at_measurements
from fleetpgo.overview.stages import look_at_stages
from fleetpgo.overview.summaries import profiles_made, summaries
from fleetpgo.run.artifacts import (
    FILES,
    MergedProfile,
    Picture,
    ProposedDiff,
    ProposedProfile,
    ProposedText,
    Report,
)
from fleetpgo.run.measured import PERIODS, Measurement
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.proposed import Proposed
from fleetpgo.run.selected import Selection
from fleetpgo.run.stop import why_stopped
from fleetpgo.run.store import RunStore

if TYPE_CHECKING:
    from fleetpgo.overview.instances import DatacenterCount, Instance
    from fleetpgo.overview.measurements import MeasuredPeriod
    from fleetpgo.overview.stages import Stage
    from fleetpgo.overview.summaries import Profile
    from fleetpgo.run.profiled import Agreement

_DOWNLOADS: dict[tuple[type, str], str] = {
    (MergedProfile, ""): "everything that the instances sent, merged",
    (ProposedProfile, ""): "what the compiler reads of it: what is committed",
    (Manifest, ""): "who gave what, who did not and why, and the figures",
    (Selection, ""): "the query, the targets, what was left out",
    (Proposed, ""): "what was proposed, and the two builds",
    (ProposedText, ""): "the text of the pull request",
    (ProposedDiff, ""): "what the pull request changes",
    **{
        (kind, period): f"the {name} over the {period}"
        for period in PERIODS
        for kind, name in ((Measurement, "measurement"), (Report, "report"), (Picture, "picture"))
    },
}

DOWNLOADS = {FILES[kind].path(key): (kind, key) for kind, key in _DOWNLOADS}
"""What may be downloaded. No other name is ever looked up, so no name leads anywhere else."""


@dataclass(frozen=True)
class Download:
    """Something that may be downloaded; ``size`` in bytes."""

    name: str
    size: int
    about: str


@dataclass(frozen=True)
class Overview:
    """One run, as its page shows it.

    Attributes:
        service: name of the service.
        run: its id.
        stages: in their order.
        instances: all instances of the first round, and those of later rounds that were asked.
        datacenters: counts of these instances by datacenter.
        stopped: why the round was stopped; "" if it was not.
        sufficiency: how far the instances agree, as the manifest has it; None before the merge.
        warnings: sentences that a reviewer must read; before the merge, those of the selection.
        measurements: the finished measurements.
        artifacts: the artifacts that can be downloaded.
        has_profile: whether there is a merged profile to look at.
    """

    service: str
    run: str
    stages: tuple[Stage, ...]
    instances: tuple[Instance, ...]
    datacenters: tuple[DatacenterCount, ...]
    stopped: str
    sufficiency: Agreement | None
    warnings: tuple[str, ...]
    measurements: tuple[MeasuredPeriod, ...]
    artifacts: tuple[Download, ...]
    has_profile: bool


def find_download(store: RunStore, name: str) -> bytes | None:
    """Return the artifact with that file name; None if it does not exist or may not be downloaded."""
    if name not in DOWNLOADS or not store.exists(*DOWNLOADS[name]):
        return None
    return store.read_bytes(*DOWNLOADS[name])


def look_at_run(store: RunStore) -> Overview:
    """Read a run's artifacts so far. A run without artifacts gets an empty overview."""
    manifest = store.find(Manifest)
    instances = look_at_instances(store, manifest)
    measurements = look_at_measurements(store)
    return Overview(
        service=store.service,
        run=store.run,
        stages=tuple(look_at_stages(store, instances, manifest, measurements)),
        instances=instances,
        datacenters=count_by_datacenter(instances),
        stopped=why_stopped(store),
        sufficiency=manifest.sufficiency if manifest else None,
        warnings=manifest.warnings if manifest else selection_warnings(store),
        measurements=measurements,
        artifacts=tuple(
            Download(FILES[kind].path(key), size, about)
            for (kind, key), about in _DOWNLOADS.items()
            if (size := store.size(kind, key)) is not None
        ),
        has_profile=store.exists(MergedProfile),
    )


def previous_run(store: RunStore) -> tuple[RunStore, Profile, Profile] | None:
    """Return the run whose profile was merged last before this run's, that profile, and this run's.

    None if no profile was merged before, if this run has not made one yet, or if one of them was pruned.
    """
    made = profiles_made(summaries(store.root, store.service))

    def of(profile: Profile) -> RunStore:
        return RunStore(store.root, store.service, profile.run)

    own = next((profile for profile, _ in made if of(profile).directory == store.directory), None)
    if own is None:
        return None
    merged = [profile for profile, run in made if run.merged and profile.made_at < own.made_at]
    if not merged or not store.exists(MergedProfile) or not of(merged[-1]).exists(MergedProfile):
        return None
    return of(merged[-1]), merged[-1], own
