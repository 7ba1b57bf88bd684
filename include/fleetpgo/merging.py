"""From the profiles that arrived to the one that is committed, with an account of every instance.

An instance that did not answer, or whose answer was no profile, does not stop the run: it is named, and the
quorum decides whether the rest will do.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from fleetpgo import pprof
from fleetpgo.collection import read_record, record_name
from fleetpgo.errors import QuorumError
from fleetpgo.selection import merge_weights
from fleetpgo.selection.weights import unrepresented

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleetpgo.collection import Record
    from fleetpgo.config import Service
    from fleetpgo.selection import Selection
    from fleetpgo.store import RunStore

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Contribution:
    """What one instance that was asked gave: a profile that was used, one that was refused, or none.

    `weight` is the factor of its profile in the merge (:mod:`fleetpgo.selection.weights`).
    """

    instance: str
    datacenter: str
    cores: float
    state: Literal["used", "refused", "missing"]
    reason: str = ""
    size: int = 0
    sha256: str = ""
    samples: int = 0
    weight: float = 1.0


@dataclass(frozen=True)
class Manifest:
    """The account of a merge: who gave what, and what came out.

    ``profile`` is the first 12 hex digits of the SHA-256 of the bytes to commit: the name by which instances
    expose what they were built with. ``figures`` are for people, ``warnings`` for the reviewer.
    """

    service: str
    run: str
    made_at: datetime
    query: str
    seconds: int
    selected: int
    used: int
    samples: int
    profile: str
    merged_size: int
    profile_size: int
    instances: Sequence[Contribution]
    figures: Mapping[str, str]
    warnings: Sequence[str]


def merge_run(
    service: Service, store: RunStore, selection: Selection, *, seconds: int, go: str | None
) -> Manifest:
    """Merge the profiles that arrived, write ``merged.pb.gz``, ``profile.pprof``, ``manifest.json``.

    Args:
        service: whose profiles.
        store: holds them.
        selection: the instances that were to give one; of its later rounds, those that were asked count.
        seconds: length that was asked for.
        go: the Go command that proves that the small profile says the same; None: no proof.

    Raises:
        QuorumError: fewer instances than the quorum gave a profile; names those that did not.
    """
    asked = [
        target
        for target in selection.targets
        if target.round == 1 or store.exists(record_name(target.instance))
    ]
    records = [read_record(store, target) for target in asked]
    samples = {record.instance: record.samples for record in records if record.state == "fetched"}
    weights = merge_weights(selection, samples)
    instances = [_contribution(record, weights.get(record.instance, 1.0)) for record in records]
    used = [each for each in instances if each.state == "used"]
    lost = [each for each in instances if each.state != "used"]
    for each in lost:
        log.warning("%s: %s: %s", each.instance, each.state, each.reason)
    if not used or len(used) < service.collection.quorum * len(instances):
        raise QuorumError(
            f"{len(used)} of {len(instances)} instances gave a usable profile; the quorum is "
            f"{service.collection.quorum:.0%}. Without one:\n"
            + "\n".join(f"  {each.instance} ({each.datacenter}): {each.reason}" for each in lost),
            hint="bring them back or mend what they answer, then trigger a new run; or lower "
            "collection.quorum in the service file",
        )
    merged = pprof.merge(
        (store.read(record.artifact) for record in records if record.state == "fetched"),
        weights=[each.weight for each in used] if selection.strata else "none",
    )
    minimal = pprof.minimise(merged, go=go)
    store.write("merged.pb.gz", merged)
    store.write("profile.pprof", minimal.data)
    manifest = Manifest(
        service=service.name,
        run=store.run,
        made_at=datetime.now(UTC),
        query=selection.query,
        seconds=seconds,
        selected=len(instances),
        used=len(used),
        samples=sum(each.samples for each in used),
        profile=hashlib.sha256(minimal.data).hexdigest()[:12],
        merged_size=len(merged),
        profile_size=len(minimal.data),
        instances=instances,
        figures={
            "merged profile": f"{len(merged):,} bytes",
            "call edges": f"{minimal.edges:,}, {minimal.hot_edges:,} of them hot",
            "minimised": f"to {len(minimal.data):,} bytes; proof: {minimal.proof}",
        },
        warnings=(
            *selection.warnings,
            *(
                f"{name} ({share:.1%} of the CPU) is not represented: none of its instances gave a profile"
                for name, share in unrepresented(selection, samples).items()
            ),
        ),
    )
    store.write_json("manifest.json", asdict(manifest))
    return manifest


def _contribution(record: Record, weight: float) -> Contribution:
    """A record as the account of a merge gives it."""
    return Contribution(
        record.instance,
        record.datacenter,
        record.cores,
        "used" if record.state == "fetched" else record.state,
        record.reason,
        record.size,
        record.sha256,
        record.samples,
        weight,
    )
