"""One run as its store shows it, finished or under way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleetpgo.collection.guards import STOP
from fleetpgo.overview.fleet import profiles_made, summaries
from fleetpgo.overview.instances import count_by_datacenter, look_at_instances
from fleetpgo.overview.measurements import PERIODS, look_at_measurements
from fleetpgo.overview.stages import Stage, look_at_stages
from fleetpgo.run.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleetpgo.overview.fleet import Profile
    from fleetpgo.overview.instances import DatacenterCount, Instance
    from fleetpgo.overview.measurements import Measurement

ARTIFACTS = {
    "merged.pb.gz": "everything that the instances sent, merged",
    "profile.pprof": "what the compiler reads of it: what is committed",
    "manifest.json": "who gave what, who did not and why, and the figures",
    "selection.json": "the query, the targets, what was left out",
    "pull_request.json": "what was proposed, and the two builds",
    **{
        f"measure_{period}.{kind}": f"the {name} over the {period}"
        for period in PERIODS
        for kind, name in (("json", "measurement"), ("md", "report"), ("svg", "picture"))
    },
}
"""What may be downloaded. No other name is ever looked up, so no name leads anywhere else."""


@dataclass(frozen=True)
class Artifact:
    """Something that may be downloaded; ``size`` in bytes."""

    name: str
    size: int
    about: str


@dataclass(frozen=True)
class Overview:
    """A run.

    Attributes:
        service: whose.
        run: its id.
        stages: in their order.
        instances: those selected for the first round, and of later rounds those that were asked.
        datacenters: the same, summed up.
        stopped: why nobody was asked any more; "" if that is not so.
        sufficiency: how far the instances agree, as the manifest has it; None before the merge.
        warnings: sentences that a reviewer must read.
        measurements: those that were made.
        artifacts: those that are there.
        has_profile: whether there is a merged profile to look at.
    """

    service: str
    run: str
    stages: Sequence[Stage]
    instances: Sequence[Instance]
    datacenters: Sequence[DatacenterCount]
    stopped: str
    sufficiency: Mapping[str, Any] | None
    warnings: Sequence[str]
    measurements: Sequence[Measurement]
    artifacts: Sequence[Artifact]
    has_profile: bool


def is_artifact(name: str) -> bool:
    """Whether the artifact of that name may be downloaded."""
    return name in ARTIFACTS


def look_at_run(store: RunStore) -> Overview:
    """Read what the run has left so far. A run that has left nothing yet has an overview that says so."""
    manifest = store.find_json("manifest.json")
    instances = look_at_instances(store, manifest)
    measurements = look_at_measurements(store)
    stopped = store.find_json(STOP)
    return Overview(
        service=store.service,
        run=store.run,
        stages=list(look_at_stages(store, instances, manifest, measurements)),
        instances=instances,
        datacenters=count_by_datacenter(instances),
        stopped=stopped["reason"] if stopped else "",
        sufficiency=manifest["sufficiency"] if manifest else None,
        warnings=manifest["warnings"] if manifest else (),
        measurements=measurements,
        artifacts=[
            Artifact(name, size, about)
            for name, about in ARTIFACTS.items()
            if (size := store.size(name)) is not None
        ],
        has_profile=store.exists("merged.pb.gz"),
    )


def previous_run(store: RunStore) -> tuple[RunStore, Profile, Profile] | None:
    """The run whose profile was merged last before this run made its own, and both profiles, its own last.

    None if no profile was merged before, or this run has not made one yet.
    """
    made = profiles_made(summaries(store.root, store.service))

    def of(profile: Profile) -> RunStore:
        return RunStore(store.root, store.service, profile.run)

    own = next((profile for profile, _ in made if of(profile).directory == store.directory), None)
    if own is None:
        return None
    merged = [profile for profile, run in made if run.merged and profile.made_at < own.made_at]
    return (of(merged[-1]), merged[-1], own) if merged else None
