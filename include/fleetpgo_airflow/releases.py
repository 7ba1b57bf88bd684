"""The trigger that notices a new release of a service.

The DAG of a service with ``release`` has an asset whose watcher is a :class:`ReleaseTrigger`. It looks at
Prometheus and emits an event for a new release; Airflow then begins a run. Whether a release has a run, the
runs' own artifacts say (:class:`~fleetpgo.run.released.Begun`), and not whether an event was emitted: events
get lost where a run is queued, and while the triggerer restarts. So the trigger emits again until a run has
begun (docs/decisions/0470).
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetWatcher
from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from fleetpgo.errors import FleetPGOError
from fleetpgo.service.files import keys_located, load_named, load_service, service_files
from fleetpgo_airflow import hooks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable

    from fleetpgo.selection.releases import Release
    from fleetpgo.service.rules import ServiceRules

KNOWN = "revisions"
"""Key of the revisions that are known, in the state of the asset: it survives the triggerer."""

REPEAT = timedelta(hours=1)
"""Time after which an event is emitted again if no run has begun for its release."""

_MOVED = "its file names another connection or poll, or no release; waiting for its DAG to be parsed"
"""Why a service is not among those that are looked at together, though its trigger is."""

_SPREAD = 0.75, 1.25
"""The time between two looks, as shares of `rollout.poll`."""


def release_asset(service: ServiceRules) -> Asset:
    """Return the asset that has an event for each new release of a service."""
    trigger = ReleaseTrigger(
        service=service.name,
        connection=service.prometheus.connection,
        poll=service.rollout.poll.total_seconds(),
    )
    watcher = AssetWatcher(name=f"{service.name} releases", trigger=trigger)
    return Asset(asset_name(service.name), uri=f"fleetpgo://{service.name}/release", watchers=[watcher])


def asset_name(service: str) -> str:
    """Return the name of the asset of a service's releases."""
    return f"{service} release"


class ReleaseTrigger(BaseEventTrigger):
    """Emits an event for each new release of a service.

    Services of one Prometheus share its looks, which come one after the other and not all at once.

    Args:
        service: name of the service; its file is read at each look.
        connection: id of the connection of its Prometheus.
        poll: seconds between two looks.
    """

    def __init__(self, *, service: str, connection: str, poll: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's is not typed
        self.service = service
        self.connection = connection
        self.poll = poll

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments, from which a triggerer creates the trigger."""
        arguments = {"service": self.service, "connection": self.connection, "poll": self.poll}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    def shared_stream_key(self) -> Hashable | None:
        """Return what triggers of one Prometheus have in common."""
        return ("fleetpgo releases", self.connection, self.poll)

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Any]:
        """Yield what :func:`look_at_all` finds, again and again. Raising would end all triggers."""
        while True:
            yield await asyncio.to_thread(look_at_all, kwargs["connection"], kwargs["poll"])
            await asyncio.sleep(kwargs["poll"] * random.uniform(*_SPREAD))  # noqa: S311  # no secret

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each new release of the service."""
        said, emitted = "", dict[str, float]()
        async for looks in shared_stream:
            found = None
            try:
                seen = looks.get(self.service, FleetPGOError(_MOVED))
                if isinstance(seen, FleetPGOError):
                    raise seen
                store = self._state()
                known = await store.aget(KNOWN, default=None)
                looked = await asyncio.to_thread(judge, self.service, seen, known)
                if known is None or list(looked.known) != list(known):
                    await store.aset(KNOWN, list(looked.known))
                found, message = looked.release, looked.message
            except FleetPGOError as error:
                message = f"cannot look now; will try again: {error}"
            except (AirflowException, AirflowRuntimeError) as error:
                # The asset may be gone for a moment, while its DAG file is read again.
                message = f"Airflow gives no connection or state now; will try again: {error}"
            if message != said:
                self.log.info("%s", message)
                said = message
            if found is not None and self._is_due(emitted, found.revision):
                emitted[found.revision] = time.monotonic()
                payload = asdict(found) | {"service": self.service, "since": found.since.isoformat()}
                yield TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow's

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look alone, where Airflow shares nothing."""
        stream = type(self).open_shared_stream(self.serialize()[1])
        async for event in self.filter_shared_stream(stream):
            yield event

    def _state(self) -> Any:  # noqa: ANN401  # Airflow's accessor has no public type
        if self.asset_state_store is None:
            raise FleetPGOError("Airflow gives the trigger no state of its asset", hint="Airflow 3.3 does")
        return self.asset_state_store

    def _is_due(self, emitted: dict[str, float], revision: str) -> bool:
        """Return whether to emit: not yet, or so long ago that the event has got lost."""
        at = emitted.get(revision)
        return at is None or time.monotonic() - at >= REPEAT.total_seconds()


def look_at_all(connection: str, poll: float) -> dict[str, dict[str, float] | FleetPGOError]:
    """Return service → revision → share, or why it is not known, of all that share the looks at a Prometheus.

    Args:
        connection: id of the connection of that Prometheus.
        poll: their `rollout.poll`, in seconds.
    """
    from fleetpgo.selection.releases import release_shares  # noqa: PLC0415  # not when the DAG file is parsed

    found: dict[str, dict[str, float] | FleetPGOError] = {}
    prometheus = None
    for file in service_files():
        try:
            service = load_service(file)
            shared = (service.prometheus.connection, service.rollout.poll.total_seconds())
            if service.release is None or shared != (connection, poll):
                continue
            prometheus = prometheus or hooks.prometheus(service)
            with keys_located(service.name):
                found[service.name] = release_shares(prometheus, service) or FleetPGOError(
                    "no instance runs a revision that could be a release",
                    hint="does rollout.revision give series?",
                )
        except FleetPGOError as error:
            found[file.stem] = error
        except (AirflowException, AirflowRuntimeError) as error:  # its connection cannot be read now
            found[file.stem] = FleetPGOError(str(error))
    return found


@dataclass(frozen=True)
class Judged:
    """A look at one service: the revisions known from now on, its new release, and what was found."""

    known: tuple[str, ...]
    release: Release | None
    message: str


def judge(name: str, shares: dict[str, float], known: list[str] | None) -> Judged:
    """Look for a new release that no run is for, blocking.

    Args:
        name: of the service.
        shares: revision → share of the instances that run it now.
        known: revisions that are known; None: this is the first look.
    """
    from fleetpgo.selection.releases import MOST_KNOWN, look  # noqa: PLC0415  # not when the DAG file is parsed
    from fleetpgo.steps.release import taken  # noqa: PLC0415  # likewise

    service = load_named(name)
    looked = look(lambda: hooks.prometheus(service), service, shares, known, datetime.now(UTC))
    if looked.release is None:
        return Judged(looked.known, None, looked.message)
    revision = looked.release.revision
    if run := taken(hooks.run_store(name, "-"), revision):
        return Judged((*looked.known, revision)[-MOST_KNOWN:], None, f"release {revision} is run {run}'s")
    return Judged(looked.known, looked.release, looked.message)
