"""Check of the addresses that requests may go to.

Targets come from metric labels, and whoever can push a metric can forge one. So what a name resolves to is
judged, not the name (:mod:`fleetpgo.collection.resolving` asks here before each connection):

- An address that leads back to this machine, to its neighbours on the link or to a cloud's metadata service
  is refused unless an entry of ``collection.allow`` names it: a network that lies wholly inside that range
  (``127.0.0.0/8``), for metadata the address itself. ``0.0.0.0/0`` names none of them.
- With entries in ``allow``, a host must match a name pattern, or its address lie in a network.
- Without entries every other address will do: a fleet has private addresses, so those are no sign of harm.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

METADATA = frozenset(
    map(
        ipaddress.ip_address,
        [
            "169.254.169.254",  # AWS, Azure, Google Cloud, OpenStack, Oracle and others
            "169.254.170.2",  # AWS ECS task credentials
            "169.254.170.23",  # AWS EKS pod identity
            "fd00:ec2::254",  # AWS, IPv6
            "fd00:ec2::23",  # AWS EKS pod identity, IPv6
            "fd20:ce::254",  # Google Cloud, IPv6
            "fd00:42::42",  # Scaleway, IPv6
            "100.100.100.200",  # Alibaba Cloud
            "168.63.129.16",  # Azure's host agent
            "192.0.0.192",  # Oracle Cloud, older
        ],
    )
)
"""Addresses where a cloud hands out credentials to whoever asks from inside."""

INSTANCE = re.compile(
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
)
"""Names that an instance may have in a URL: host, host:port, [v6] or [v6]:port."""

_KINDS = ("loopback", "link_local", "multicast", "unspecified", "reserved")
_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", re.IGNORECASE)


@dataclass(frozen=True)
class Allow:
    """The entries of ``collection.allow``: networks, and patterns of host names."""

    networks: tuple[Network, ...] = ()
    names: tuple[str, ...] = ()

    def objection(self, host: str, address: Address) -> str | None:
        """Return why no request may go to a host at that address; None: it may."""
        address = _unwrapped(address)
        named = [network for network in self.networks if address in network]
        kind = _kind(address)
        if kind and not any(_names(network, kind) for network in named):
            return f"{host} leads to {address}, a {kind} address; collection.allow does not name it"
        if (self.networks or self.names) and not (named or self._knows(host)):
            return f"{host} at {address} is not in collection.allow"
        return None

    def _knows(self, host: str) -> bool:
        host = host.lower().rstrip(".")
        return any(host.endswith(name[1:]) if name.startswith("*.") else host == name for name in self.names)


def parse_allow(entries: Iterable[str]) -> Allow:
    """Read ``collection.allow``.

    Raises:
        ValueError: an entry is neither a network, nor an address, nor a host name or ``*.`` and a domain.
    """
    networks: list[Network] = []
    names: list[str] = []
    for entry in entries:
        try:
            networks.append(ipaddress.ip_network(entry))
        except ValueError:
            # A name's last label is not all digits; what looks like an address must be one.
            if not _NAME.fullmatch(entry) or entry.rpartition(".")[2].isdigit():
                raise ValueError(
                    f"{entry!r} is neither a network (10.0.0.0/8), an address, a host name nor *.domain"
                ) from None
            names.append(entry.lower())
    return Allow(tuple(networks), tuple(names))


def _unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _kind(address: Address) -> str:
    """Return the kind of a special address, such as loopback; "": an ordinary one."""
    if address in METADATA:
        return "cloud metadata"
    return next((kind.replace("_", "-") for kind in _KINDS if getattr(address, f"is_{kind}")), "")


def _names(network: Network, kind: str) -> bool:
    """Return whether a network in ``allow`` names such addresses explicitly."""
    if kind == "cloud metadata":
        return network.num_addresses == 1
    return bool(getattr(network, f"is_{kind.replace('-', '_')}"))
