"""What a run has chosen, as its store holds it: one selection, or one of each window."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fleetpgo.selection.targets import Selection, Target
from fleetpgo.selection.windows import combined

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleetpgo.run.store import RunStore


def read_selection(store: RunStore, *, windows: Iterable[str] = ()) -> tuple[Selection, int]:
    """What a run has chosen, in all windows so far; and the profiles' length in seconds.

    Args:
        store: of the run.
        windows: names of those that should have been; what is missing is among the warnings.
    """
    found = {} if store.exists(selection_name(None)) else read_windows(store)
    if not found:
        return _read_selection(store, None)
    missing = [window for window in windows if window not in found]
    chosen = combined({name: chosen for name, (chosen, _) in found.items()})
    warnings = (*chosen.warnings, *(f"nothing was profiled in the window {name}" for name in missing))
    return replace(chosen, warnings=warnings), max(seconds for _, seconds in found.values())


def read_windows(store: RunStore) -> dict[str, tuple[Selection, int]]:
    """Window → what was chosen in it, and the length of the profiles; only those that have been."""
    prefix, suffix = selection_name("*").split("*")
    files = [name for name in store.names("", suffix) if name.startswith(prefix)]
    names = [file.removeprefix(prefix).removesuffix(suffix) for file in files]
    return {name: _read_selection(store, name) for name in names}


def _read_selection(store: RunStore, window: str | None) -> tuple[Selection, int]:
    record = store.read_json(selection_name(window))
    seconds = record.pop("seconds")
    targets = tuple(Target(**target) for target in record["targets"])
    return Selection(**{**record, "targets": targets, "warnings": tuple(record["warnings"])}), seconds


def selection_name(window: str | None) -> str:
    """Return the name of the artifact that holds a window's selection; None: of all instances."""
    return f"selection-{window}.json" if window else "selection.json"
