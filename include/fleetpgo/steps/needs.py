"""Whether a release needs a new profile: only then does its second deployment pay."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fleetpgo.errors import ArtifactError
from fleetpgo.proposal.fit import fit_at
from fleetpgo.run.proposed import Merge, Proposed
from fleetpgo.run.released import Begun, Fit
from fleetpgo.run.store import runs_of
from fleetpgo.steps.release import go_on

if TYPE_CHECKING:
    from pathlib import Path

    from fleetpgo.proposal.forges import Forge
    from fleetpgo.run.store import RunStore
    from fleetpgo.service.rules import ServiceRules

_log = logging.getLogger(__name__)


def needs_profile(service: ServiceRules, store: RunStore, forge: Forge, cache: Path) -> str:
    """Compare the profile in the repository with the release's source; keep what was found.

    A run that is for no release always goes on, and so does one where the share cannot be said: a gate that
    cannot tell must not stop a refresh. A revision that the repository does not have is an error: if the run
    went on, the second deployment, whose revision is not there either, would begin another one, and so on.

    Args:
        service: rules of the service.
        store: artifacts of the run; the :class:`Fit` is written.
        forge: forge that hosts the repository.
        cache: directory for Go's caches, kept between runs.

    Returns:
        Why the run ends here; "" if it goes on.

    Raises:
        RepositoryError: the repository cannot be cloned, or does not have the release's revision.
        ForgeError: the forge cannot be reached, or refuses.
    """
    begun = store.find(Begun)
    if service.release is None or begun is None or not begun.revision or store.exists(Proposed):
        return ""
    go_on(store)
    fit = fit_at(service, forge, begun.revision, cache, path=_last_path(store))
    store.write(fit)
    said = told(fit)
    if fit.share is None:
        _log.warning("%s", said)
        return ""
    if fit.share < service.release.refresh_below:
        _log.info("%s: it needs a new one (release.refresh_below %g)", said, service.release.refresh_below)
        for each in fit.lost:
            _log.info("gone: %s", each)
        return ""
    return f"{said}: nothing to do (release.refresh_below {service.release.refresh_below:g})"


def told(fit: Fit) -> str:
    """Say how far the profile fits, in a sentence without its end."""
    if fit.share is None:
        return f"whether the profile fits release {fit.revision} cannot be said: {fit.why}"
    return (
        f"release {fit.revision}: {fit.share:.2f} of the weight of the profile at {fit.path} is still there"
    )


def _last_path(store: RunStore) -> str:
    """Return where the profile that was merged last is; "" if none was."""
    merged = []
    for run in runs_of(store.root, store.service):
        try:
            proposed, merge = run.find(Proposed), run.find(Merge)
        except ArtifactError:
            continue
        if proposed is not None and proposed.path and merge is not None and merge.merged_at is not None:
            merged.append((merge.merged_at, proposed.path))
    return max(merged)[1] if merged else ""
