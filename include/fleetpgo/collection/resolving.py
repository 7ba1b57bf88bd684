"""Check of resolved addresses: connections go only to addresses that ``collection.allow`` permits.

A connection uses exactly the addresses that were checked here, and each connection resolves the name again.
So a name that changes its address between check and connection (DNS rebinding) has no effect.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

from aiohttp.abc import AbstractResolver, ResolveResult

from fleetpgo.collection.faults import NeverError

if TYPE_CHECKING:
    from fleetpgo.network.addresses import Allow


def check_literal(host: str, allow: Allow) -> None:
    """Check a host that is a literal IP address; the resolver never sees it.

    Raises:
        NeverError: it is an address to which nothing may be sent.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return
    if objection := allow.objection(host, address):
        raise NeverError(objection)


class JudgingResolver(AbstractResolver):
    """Resolves names and returns only the addresses that may be asked.

    Args:
        resolver: asks the DNS.
        allow: where requests may go.
    """

    def __init__(self, resolver: AbstractResolver, allow: Allow) -> None:
        self._resolver = resolver
        self._allow = allow

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the allowed addresses of a host.

        Raises:
            NeverError: none of its addresses is allowed, or no host can have that name.
            OSError: it has none.
        """
        try:
            found = await self._resolver.resolve(host, port, family)
        except UnicodeError as error:  # an empty or overlong part, an unreadable xn--
            raise NeverError(f"{host} cannot be a host's name: {error}") from error
        objections = [self._allow.objection(host, ipaddress.ip_address(each["host"])) for each in found]
        allowed = [each for each, objection in zip(found, objections, strict=True) if objection is None]
        if not allowed:
            raise NeverError("; ".join(filter(None, objections)))
        return allowed

    async def close(self) -> None:
        """Release what the resolver holds."""
        await self._resolver.close()
