"""Read a run's selection from its store: one for the whole run, or one per window."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fleetpgo.run.selected import Selection
from fleetpgo.selection.windows import combined

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleetpgo.run.store import RunStore


def read_selection(store: RunStore, *, windows: Iterable[str] = ()) -> Selection:
    """Return the run's selection, combined over all windows so far.

    Args:
        store: of the run.
        windows: names of those that should have been; what is missing is among the warnings.

    Raises:
        ArtifactError: nothing was chosen yet, or it cannot be read.
    """
    found = {} if store.exists(Selection) else read_windows(store)
    if not found:
        return store.read(Selection)
    missing = [window for window in windows if window not in found]
    chosen = combined(found)
    return replace(
        chosen,
        warnings=(*chosen.warnings, *(f"nothing was profiled in the window {name}" for name in missing)),
        seconds=max(each.seconds for each in found.values()),
        matchers=next(iter(found.values())).matchers,
    )


def read_windows(store: RunStore) -> dict[str, Selection]:
    """Return the selection of each window that has opened so far."""
    return {window: store.read(Selection, window) for window in store.keys(Selection)}
