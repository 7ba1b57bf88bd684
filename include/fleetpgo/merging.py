"""From the profiles that arrived to the one that is committed, with an account of every instance.

A profile that is no CPU profile of this service does not stop the run: it is refused by name, like an
instance that did not answer, and the quorum decides whether the rest will do.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from fleetpgo import pprof
from fleetpgo.collection import profile_name, read_record
from fleetpgo.errors import ProfileError, QuorumError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleetpgo.config import Service
    from fleetpgo.selection import Selection, Target
    from fleetpgo.store import RunStore

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Contribution:
    """What one selected instance gave: a profile that was used, one that was refused, or none."""

    instance: str
    datacenter: str
    cores: float
    state: Literal["used", "refused", "missing"]
    reason: str = ""
    size: int = 0
    sha256: str = ""
    samples: int = 0


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
    """Check every profile, merge the good ones, write ``merged.pb.gz``, ``profile.pprof``, ``manifest.json``.

    Args:
        service: whose profiles.
        store: holds them.
        selection: the instances that were to give one.
        seconds: length that was asked for.
        go: the Go command that proves that the small profile says the same; None: no proof.

    Raises:
        QuorumError: fewer instances than the quorum gave a profile; names those that did not.
    """
    instances = [_contribution(store, target, seconds=seconds) for target in selection.targets]
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
    merged = pprof.merge(store.read(profile_name(each.instance)) for each in used)
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
        warnings=selection.warnings,
    )
    store.write_json("manifest.json", asdict(manifest))
    return manifest


def _contribution(store: RunStore, target: Target, *, seconds: int) -> Contribution:
    """What became of a target, after a look into its profile."""
    record = read_record(store, target)
    account = Contribution(target.instance, target.datacenter, target.cores, "missing", record.reason)
    if record.state == "missing":
        return account
    account = replace(account, size=record.size, sha256=record.sha256)
    try:
        facts = pprof.check(store.read(profile_name(target.instance)), seconds=seconds)
    except ProfileError as error:
        return replace(account, state="refused", reason=f"{error.reason}: {error.message}")
    return replace(account, state="used", samples=facts.samples)
