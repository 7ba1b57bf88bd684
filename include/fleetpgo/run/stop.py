"""The stop of a round: the reason for it, and the instances that answered with server errors.

It is in the run's store, so all tasks of a round see it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetpgo.run.artifacts import Trouble, key_of
from fleetpgo.run.profiled import Stop

if TYPE_CHECKING:
    from fleetpgo.run.store import RunStore


def stop(store: RunStore, reason: str) -> None:
    """Stop the round of collecting: no task begins to profile a further instance."""
    store.write(Stop(reason))


def why_stopped(store: RunStore) -> str:
    """Return why the round was stopped; "" if it was not."""
    found = store.find(Stop)
    return found.reason if found else ""


def note_trouble(store: RunStore, instance: str, error: str) -> int:
    """Note that an instance has answered with a server error; return how many have, in all tasks."""
    store.write(Trouble(error.encode()), key_of(instance))
    return len(store.keys(Trouble))


def forget_stop(store: RunStore) -> None:
    """Let a stopped run continue after its cause has been fixed."""
    for key in store.keys(Trouble):
        store.remove(Trouble, key)
    store.remove(Stop)
