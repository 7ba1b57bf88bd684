"""The services of a repository, for the waits of one triggerer: they share a reading of all service files."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from fleetpgo.proposal.sharing import beside, by_repository

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fleetpgo.service.rules import ServiceRules

SHARED_S = 30.0
"""Seconds for which the waits share a reading; one that waits for a turn looks every ten minutes at most."""


class SharedFleet:
    """Reads all service files if nobody has within :data:`SHARED_S`, or the one who asks has changed since.

    Looks may come from many threads.

    Args:
        read: returns the services by their repository's identity.
        clock: returns seconds.
    """

    def __init__(
        self,
        read: Callable[[], Mapping[str, Sequence[ServiceRules]]] = by_repository,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._clock = read, clock
        self._reading = threading.Lock()
        self._read_at = 0.0
        self._services: Mapping[str, Sequence[ServiceRules]] = {}

    def beside(self, service: ServiceRules) -> list[ServiceRules]:
        """Return the other services of a service's repository, as their files were a moment ago."""
        with self._reading:
            now = self._clock()
            # Two services whose files have changed together must not look past each other.
            known = service in self._services.get(service.repository.identity, ())
            if not known or now - self._read_at >= SHARED_S:
                self._services, self._read_at = self._read(), now
            return beside(service, self._services)


services_beside = SharedFleet().beside
