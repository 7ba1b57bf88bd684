"""The instance itself, through ``net/http/pprof`` (https://pkg.go.dev/net/http/pprof).

``GET /debug/pprof/profile?seconds=30`` profiles the process for that time and answers with the profile,
gzipped. A process profiles for one asker at a time; the second gets HTTP 500.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

from yarl import URL

from fleetpgo.collection.faults import NeverError
from fleetpgo.collection.sources import Request
from fleetpgo.collection.sources.labels import fill

if TYPE_CHECKING:
    from fleetpgo.pprof import Limits
    from fleetpgo.selection import Target


@dataclass(frozen=True)
class PprofHttp:
    """The source that asks each instance for its CPU profile over HTTP (net/http/pprof).

    Args:
        url: template of the URL.
        ports: lowest and highest allowed port, if a label gives the port; None: the template fixes it.
    """

    url: str
    ports: tuple[int, int] | None = None

    whole: ClassVar[bool] = True

    def question(self, target: Target, *, seconds: int) -> str:
        """Return the URL with the target's labels filled in."""
        return fill(self.url, target, seconds=seconds)

    def request(self, target: Target, *, seconds: int, until: float = 0) -> Request:  # noqa: ARG002  # the protocol's
        """Return a GET request for the URL with the target's labels filled in."""
        filled = self.question(target, seconds=seconds)
        try:
            url = URL(filled)
            _ = url.host  # reads xn--…
        except ValueError as error:  # a port beyond 65535, an address that is none, what is no xn--…
            raise NeverError(f"{filled} is not a URL: {error}") from error
        asked = set(Template(urlsplit(self.url).netloc).get_identifiers())
        from_label = {"instance", "port"} & asked
        if from_label and not (self.ports and url.port and self.ports[0] <= url.port <= self.ports[1]):
            raise NeverError(f"port {url.port} is not within collection.ports")
        # One host for all is a proxy, such as the API server of Kubernetes: the limits are the instances'.
        return Request(url, profiled="" if asked else fill("$host", target, seconds=seconds))

    def profile(self, body: bytes, *, seconds: int, limits: Limits) -> bytes:  # noqa: ARG002  # the protocol's
        """Return the body unchanged: it is the profile."""
        return body
