"""The real servers of the study: each builds from Go's module proxy as it is."""

from __future__ import annotations

from studies.beyond_pgo.caddy import CADDY
from studies.beyond_pgo.nats import NATS
from studies.beyond_pgo.prometheus import PROMETHEUS
from studies.beyond_pgo.serving import LoadError, Running, Server, launch

__all__ = ["SERVERS", "LoadError", "Running", "Server", "launch"]

SERVERS: tuple[Server, ...] = (CADDY, NATS, PROMETHEUS)
