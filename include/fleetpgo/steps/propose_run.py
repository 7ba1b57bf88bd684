"""The step that proposes a run's profile: from the artifacts of the run to the pull request and back."""

from __future__ import annotations

import errno
import logging
import resource
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from fleetpgo import pprof
from fleetpgo.errors import ProfileError, RepositoryError
from fleetpgo.measurement.history import expected_saving, latest_savings
from fleetpgo.measurement.power import expected
from fleetpgo.proposal.body import (
    Datacenter,
    Provenance,
)
from fleetpgo.run.artifacts import ProposedDiff, ProposedProfile, ProposedText
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.proposed import Proposed
from fleetpgo.run.released import Begun
from fleetpgo.run.selected import Selection
from fleetpgo.steps.propose import propose
from fleetpgo.steps.release import later_release

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from fleetpgo.proposal.forges import Forge
    from fleetpgo.run.profiled import Contribution
    from fleetpgo.run.store import RunStore
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)

_TAKES_NOTHING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG}
"""Error numbers of a disk that is full, read-only or not writable."""


def propose_profile(
    service: ServiceRules,
    store: RunStore,
    forge: Forge,
    *,
    dry_run: bool,
    cache: Path,
    run_url: str | None = None,
    again: bool = False,
    variants: Sequence[str] = (),
) -> Proposed:
    """Build with and without the run's profile, and open or update the pull request.

    Args:
        service: rules of the service.
        store: artifacts of the run: the profile and its manifest are read, the result is written.
        forge: forge that hosts the repository.
        dry_run: do everything but the push and the pull request.
        cache: directory for Go's caches, kept between runs.
        run_url: URL of the run's page.
        again: as :func:`fleetpgo.steps.propose.propose`.
        variants: likewise; `again` tries those that the run was asked for before.

    Raises:
        ProfileError: the merge refused the profile (``profile.fail_below``).
        FleetPGOError: as :func:`fleetpgo.steps.propose.propose`.
    """
    manifest = store.read(Manifest)
    if manifest.refused:
        raise ProfileError(
            f"the profile of run {store.run} was refused when it was merged, so it is not proposed: "
            f"{manifest.refused}",
            reason="insufficient",
            hint="collect again, from more instances or for longer, or lower profile.fail_below and merge "
            "again; --run proposes the profile of an earlier run",
        )
    reasons = {each.function: each.issue for each in pprof.GUARDS}
    reasons |= {each.function: each.issue for each in service.profile.guards}
    begun = store.find(Begun)
    provenance = Provenance(
        release=begun.revision if begun else "",
        release_share=begun.share if begun else 0.0,
        later_release=later_release(store),
        run=store.run,
        query=manifest.query,
        selected=manifest.selected,
        missing={each.instance: each.reason for each in manifest.instances if each.state != "used"},
        samples=manifest.samples,
        run_url=run_url,
        datacenters=_datacenters(manifest.instances),
        figures=manifest.figures,
        notes=manifest.warnings,
        guarded={name: reasons.get(name, "") for name in manifest.renamed},
        savings=latest_savings(store.root, store.service),
        power=_power(service, store),
        expected=expected_saving(store.root, store.service),
    )
    if again and (former := store.find(Proposed)) is not None:
        variants = [each.name for each in former.variants if each.name in service.build.variants]
    used_before = _children()
    profile = store.read(ProposedProfile)
    if not again:
        for kind in (ProposedText, ProposedDiff):
            store.remove(kind)
    with _room(cache):
        proposed = propose(
            service,
            forge,
            profile,
            provenance,
            dry_run=dry_run,
            cache=cache,
            keep=store.write,
            again=again,
            variants=variants,
        )
    proposed = replace(proposed, cpu_seconds=round(_children() - used_before, 3))
    # A pull request that is left as it is stays what the run waits for.
    if not (again and proposed.unchanged):
        store.write(proposed)
    return proposed


def _power(service: ServiceRules, store: RunStore) -> str:
    """Return how small a saving a fleet of this size can show; "" if the run did not record its size."""
    selections = [store.find(Selection, key) for key in ("", *store.keys(Selection))]
    sizes = next((each.datacenters for each in selections if each is not None and each.datacenters), {})
    if not sizes:
        return ""
    held_back = service.rollout.treated is not None and len(sizes) > 1
    return expected(sum(sizes.values()), held_back=held_back)


def _children() -> float:
    """Return the CPU seconds of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def _room(cache: Path) -> Iterator[None]:
    """Convert the error of a full or read-only disk into one that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _TAKES_NOTHING:
            raise
        raise RepositoryError(
            f"the worker cannot write {error.filename or 'a file'}: {error.strerror}",
            hint=f"free space in {tempfile.gettempdir()} (TMPDIR) and {cache} (FLEETPGO_CACHE), and let the "
            "worker's user write there",
        ) from error


def _datacenters(instances: Iterable[Contribution]) -> list[Datacenter]:
    """Return what the instances of each datacenter contributed, most samples first."""
    of: dict[str, list[Contribution]] = {}
    for each in instances:
        of.setdefault(each.datacenter, []).append(each)
    found = [
        Datacenter(
            name,
            asked=len(own),
            used=sum(each.state == "used" for each in own),
            samples=sum(each.samples for each in own if each.state == "used"),
        )
        for name, own in of.items()
    ]
    return sorted(found, key=lambda each: (-each.samples, each.name))
