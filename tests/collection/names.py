"""A real name server on this machine, and aiohttp's own resolver that asks it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import dns.message
import dns.rrset
from aiohttp.resolver import AsyncResolver


class NameServer(asyncio.DatagramProtocol):
    """Answers each question for a name with its next address, the last one for ever; not to be cached."""

    def __init__(self, addresses: dict[str, list[str]]) -> None:
        self.addresses = addresses

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, sender):
        query = dns.message.from_wire(data)
        (question,) = query.question
        response = dns.message.make_response(query)
        queue = self.addresses.get(question.name.to_text(omit_final_dot=True), [])
        if queue and question.rdtype == dns.rdatatype.A:
            address = queue.pop(0) if len(queue) > 1 else queue[0]
            response.answer.append(dns.rrset.from_text(question.name, 0, "IN", "A", address))
        self.transport.sendto(response.to_wire(), sender)


@asynccontextmanager
async def knowing(**addresses: list[str]):
    """A resolver that knows these names under example.com, and no others."""
    loop = asyncio.get_running_loop()
    names = {f"{name}.example.com": known for name, known in addresses.items()}
    transport, _ = await loop.create_datagram_endpoint(lambda: NameServer(names), ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    try:
        yield AsyncResolver(nameservers=["127.0.0.1"], udp_port=port, tcp_port=port)
    finally:
        transport.close()
