"""One run as its store shows it, finished or under way."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fleetpgo.collection import read_record, record_name
from fleetpgo.collection.guards import STOP
from fleetpgo.errors import ArtifactError
from fleetpgo.measurement.estimators.registry import label
from fleetpgo.overview.fleet import profiles_made, summaries
from fleetpgo.overview.stages import GIVEN, PERIODS, Stage, look_at_stages
from fleetpgo.run.store import RunStore
from fleetpgo.steps.refresh import read_selection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleetpgo.overview.fleet import Profile

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
"""Artifacts that may be downloaded. No other name is ever looked up."""


@dataclass(frozen=True)
class Instance:
    """The result of one selected instance.

    ``state``: ``waiting`` until there is a record; then the record's (``fetched``, ``refused``, ``missing``);
    after the merge its own (``used``). ``size`` is in bytes.
    """

    instance: str
    datacenter: str
    round: int
    cores: float
    state: str
    reason: str
    samples: int
    size: int


@dataclass(frozen=True)
class Datacenter:
    """Counts of a datacenter's instances: asked, with a profile, and reason → without."""

    name: str
    asked: int
    fetched: int
    reasons: Mapping[str, int]


@dataclass(frozen=True)
class Measurement:
    """A measurement as its page shows it.

    Attributes:
        period: ``rollout`` or ``week``.
        call: the verdict.
        reasons: why it is not more than it is.
        attribution: ``PGO`` or ``release``.
        estimate: the record's, or None; shares of the CPU, and cores.
        method: the estimator in words; "" without an estimate.
        picture: name of the artifact that shows it; "" if there is none.
    """

    period: str
    call: str
    reasons: Sequence[str]
    attribution: str
    estimate: Mapping[str, Any] | None
    method: str
    picture: str


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
    datacenters: Sequence[Datacenter]
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
    instances = _instances(store, manifest)
    measurements = [
        _measurement(store, period, record)
        for period in PERIODS
        if (record := store.find_json(f"measure_{period}.json"))
    ]
    stopped = store.find_json(STOP)
    return Overview(
        service=store.service,
        run=store.run,
        stages=list(look_at_stages(store, instances, manifest, measurements)),
        instances=instances,
        datacenters=_datacenters(instances),
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


def _instances(store: RunStore, manifest: Mapping[str, Any] | None) -> list[Instance]:
    try:
        chosen, _ = read_selection(store)
    except ArtifactError:  # nothing was chosen yet
        return []
    final = {each["instance"]: each for each in manifest["instances"]} if manifest else {}
    instances = []
    for target in chosen.targets:
        asked = store.exists(record_name(target.instance))
        if target.round > 1 and not asked:
            continue  # kept in reserve
        record = asdict(read_record(store, target)) | final.get(target.instance, {})
        state, reason = (record["state"], record["reason"]) if asked or manifest else ("waiting", "")
        instances.append(
            Instance(
                target.instance,
                target.datacenter,
                target.round,
                target.cores,
                state,
                reason,
                record["samples"],
                record["size"],
            )
        )
    return instances


def _datacenters(instances: Sequence[Instance]) -> list[Datacenter]:
    rows = []
    for name in sorted({each.datacenter for each in instances}):
        there = [each for each in instances if each.datacenter == name]
        reasons = Counter(each.reason for each in there if each.state in ("refused", "missing"))
        rows.append(
            Datacenter(
                name, len(there), sum(each.state in GIVEN for each in there), dict(reasons.most_common())
            )
        )
    return rows


def _measurement(store: RunStore, period: str, record: Mapping[str, Any]) -> Measurement:
    estimate, verdict, picture = record["estimate"], record["verdict"], f"measure_{period}.svg"
    return Measurement(
        period=period,
        call=verdict["call"],
        reasons=verdict["reasons"],
        attribution=verdict["attribution"],
        estimate=estimate,
        method=label(estimate["method"]) if estimate else "",
        picture=picture if store.exists(picture) else "",
    )
