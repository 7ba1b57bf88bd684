"""What an answer about the fleet lacks although nothing says so.

Thanos leaves out a store that it cannot reach, and answers without a warning. So a datacenter may be gone
from the answer and not from production. Two things tell: the service file (``selection.expect``), and the
fleet of the run before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetpgo.errors import ArtifactError, NotThereError, SelectionError
from fleetpgo.run.profiled import Manifest
from fleetpgo.run.store import runs_of
from fleetpgo.selection.stored import read_selection

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fleetpgo.run.selected import Selection
    from fleetpgo.run.store import RunStore
    from fleetpgo.service.profiling import SelectionRules

_SHRUNK = 0.25
"""Share of its instances that a datacenter may lose from run to run without a warning."""

_HINT = (
    "is the datacenter switched off, or does Prometheus not reach it? Thanos drops such a store silently: "
    "docs/selection.md"
)


def require_expected(datacenters: Iterable[str], rules: SelectionRules) -> None:
    """Check that an answer has each datacenter of ``selection.expect``.

    Raises:
        SelectionError: one is missing.
    """
    there = set(datacenters)
    if gone := [name for name in rules.expect if name not in there]:
        raise SelectionError(
            f"no instance of {', '.join(gone)} is in the answer, and selection.expect names it",
            hint=_HINT,
        )


def last_fleet(store: RunStore) -> Selection | None:
    """Return the selection of the service's run that merged profiles last, other than this one."""
    made = []
    for run in runs_of(store.root, store.service):
        if run.directory.name == store.directory.name:
            continue
        try:
            manifest = run.find(Manifest)
        except ArtifactError:  # it is damaged, which says nothing of this run
            continue
        if manifest is not None:
            made.append((manifest.made_at, run.run, run))
    for _, _, run in sorted(made, key=lambda each: each[:2], reverse=True):
        try:
            return read_selection(run)
        except NotThereError:  # it was pruned, or merged files by hand
            continue
        except ArtifactError:
            continue
    return None


def compare(now: Selection, before: Selection | None, rules: SelectionRules) -> tuple[str, ...]:
    """Return a sentence for each datacenter that is gone or has lost many instances since the last run.

    Nothing is compared if the two runs asked for different instances.

    Raises:
        SelectionError: more than ``selection.missing_above`` of all instances are gone.
    """
    if before is None or before.candidates not in ("", now.candidates):
        return ()
    total = sum(before.datacenters.values())
    gone = {
        name: max(0, count - now.datacenters.get(name, 0))
        for name, count in before.datacenters.items()
        if count
    }
    said = tuple(
        _sentence(name, lost, before.datacenters, now.datacenters, total)
        for name, lost in gone.items()
        if lost > _SHRUNK * before.datacenters[name]
    )
    share = sum(gone.values()) / total if total else 0.0
    if rules.missing_above is not None and share > rules.missing_above:
        raise SelectionError(
            f"{percent(share)} of the last run's instances are not in the answer; "
            f"selection.missing_above is {percent(rules.missing_above)}"
            + "".join(f"\n{each}" for each in said),
            hint=_HINT,
        )
    return said


def _sentence(name: str, lost: int, before: Mapping[str, int], now: Mapping[str, int], total: int) -> str:
    known = name or "(no datacenter)"
    if not now.get(name):
        share = percent(before[name] / total)
        if not name:
            return f"{known}, {share} of the last run, is not there: is it switched off, or lost?"
        return (
            f"{known}, {share} of the last run, is not there: is it switched off, or lost? The next run is "
            "compared with this one; name it in selection.expect if every run must have it"
        )
    return (
        f"{known} had {before[name]:,} instances in the last run and has {now[name]:,}: {lost:,} are missing"
    )


def percent(share: float) -> str:
    """Return a share as a whole percentage."""
    return f"{100 * share:.0f} %"
