"""The stop of a round: why nobody is asked any more, and which instances are in trouble.

All tasks of a round see it in the run's store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetpgo.run.artifacts import Trouble, key_of
from fleetpgo.run.profiled import Stop

if TYPE_CHECKING:
    from fleetpgo.run.store import RunStore


def stop(store: RunStore, reason: str) -> None:
    """Have nobody asked any more."""
    store.write(Stop(reason))


def why_stopped(store: RunStore) -> str:
    """Return why nobody is asked any more; "": somebody may be."""
    found = store.find(Stop)
    return found.reason if found else ""


def note_trouble(store: RunStore, instance: str, error: str) -> int:
    """Note that an instance has answered with a server error; return how many have, in all tasks."""
    store.write(Trouble(error.encode()), key_of(instance))
    return len(store.keys(Trouble))


def forget_stop(store: RunStore) -> None:
    """Let a stopped run go on, after somebody has mended what stopped it."""
    for key in store.keys(Trouble):
        store.remove(Trouble, key)
    store.remove(Stop)
