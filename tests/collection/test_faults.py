"""The fault table: each row is a real local server that behaves so.

For each: the recorded reason, how often it was asked, that the other instances of the round are not touched,
that nothing of it is in the store, and that our token is nowhere but in the requests.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import ssl
import struct
from contextlib import asynccontextmanager

import pytest
import trustme
from aiohttp.abc import AbstractResolver

from fleetpgo.collection import Access
from tests.collection.instances import BUSY, OK, PROFILE, cpu_profile, http, serving, target_at

TOKEN = "s3cr3t-t0k3n"  # noqa: S105  # of nobody
ACCESS = Access({"Authorization": f"Bearer {TOKEN}"})
LOGIN = b"<!doctype html><html><title>Sign in</title></html>"
ECHO = http(f"I do not know Bearer {TOKEN}".encode(), "401 Unauthorized")
HEADERS = b"HTTP/1.1 200 OK\r\n"


async def stalls(writer):
    writer.write(HEADERS + b"Content-Length: 1000\r\n\r\n")
    await asyncio.sleep(60)


async def drips(writer):
    writer.write(HEADERS + b"Content-Length: %d\r\n\r\n" % len(PROFILE))
    for byte in PROFILE:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1)


async def never_ends(writer):
    writer.write(HEADERS + b"\r\n")
    while True:
        writer.write(b"\0" * 65_536)
        await writer.drain()


async def resets(writer):
    writer.write(OK[: len(OK) // 2])
    await writer.drain()
    # To linger for zero seconds is to close with RST instead of FIN.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def answer(body=b"", status="200 OK", *headers):
    return serving(http(body, status, *headers))


TABLE = {
    # fault: (the server, the state, what the recorded reason starts with, how often it is asked)
    "reset mid-body": (serving(resets), "missing", "the connection broke off in the middle", 2),
    "cut off mid-body": (serving(OK[:-1]), "missing", "the connection broke off in the middle", 2),
    "cut off, length unknown": (
        serving(HEADERS + b"\r\n" + PROFILE[:-9]),
        "missing",
        "truncated: The profile's gzip stream ends early",
        2,
    ),
    "closed without a word": (serving(b""), "missing", "unreachable: Server disconnected", 2),
    "not HTTP": (serving(b"SSH-2.0-OpenSSH_9.2\r\n"), "missing", "unreachable: 400", 2),
    "stalls after headers": (serving(stalls), "missing", "no complete answer within 2 s: 0 bytes", 2),
    "one byte a second": (serving(drips), "missing", "no complete answer within 2 s: ", 2),
    "endless body": (serving(never_ends), "missing", "larger than 100,000 bytes (collection.max_bytes)", 1),
    "gzip bomb": (
        answer(gzip.compress(bytes(10_000_000))),
        "refused",
        "too-large: The profile unpacks to",
        1,
    ),
    "login page with 200": (answer(LOGIN), "refused", "html: A web page came instead of a profile", 1),
    "redirect to another host": (
        answer(b"", "302 Found", "Location: http://127.0.0.1:1/steal"),
        "missing",
        "HTTP 302 Found (redirects are not followed)",
        1,
    ),
    "text": (answer(b"profiling is off\n"), "refused", "text: Text came instead of a profile", 1),
    "empty": (answer(b""), "refused", "empty: The profile is empty", 1),
    "gzip of something else": (answer(gzip.compress(b"\x0b" * 99, mtime=0)), "refused", "", 1),
    "an idle process": (answer(cpu_profile(0)), "refused", "no-samples: ", 1),
    "500 busy": (serving(BUSY), "missing", "busy: HTTP 500 Internal Server Error: Could not enable", 2),
    "503": (answer(b"", "503 Service Unavailable"), "missing", "HTTP 503 Service Unavailable", 2),
    "401, echoing": (serving(ECHO), "missing", "HTTP 401 Unauthorized: I do not know •••", 1),
    "403": (answer(b"", "403 Forbidden"), "missing", "HTTP 403 Forbidden", 1),
    "404": (
        answer(b"", "404 Not Found"),
        "missing",
        "HTTP 404 Not Found (nothing at /debug/pprof/profile)",
        1,
    ),
    "control characters": (answer(b"a\x1b[31mb\0c", "400 Bad"), "missing", "HTTP 400 Bad: a[31mbc", 1),
}


STOPS_THE_ROUND = {"401, echoing", "403"}
"""Refused credentials end the round for all who have not answered yet; who has, is untouched."""


def everything_written(tmp_path) -> bytes:
    return b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


@pytest.mark.parametrize("fault", TABLE)
async def test_a_fault_is_recorded_and_touches_nobody_else(fetch, store, tmp_path, caplog, fault):
    server, state, reason, asked = TABLE[fault]
    caplog.set_level(logging.DEBUG)
    async with server as bad, serving(OK) as good:
        if fault in STOPS_THE_ROUND:
            await fetch(good)
        records = await fetch(
            bad,
            good,
            access=ACCESS,
            plain_http=True,
            max_bytes=100_000,
            max_unpacked_bytes=1_000_000,
            max_errors=1,
        )
    assert [record.state for record in records] == [state, "fetched"]
    assert records[0].reason.startswith(reason)
    assert records[0].reason
    assert len(bad.heard) == asked
    assert list(store.names("profiles", ".pb.gz")) == [records[1].artifact]
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(records)
    assert TOKEN.encode() not in everything_written(tmp_path)


async def test_refused(fetch, free_port):
    async with serving(OK) as good:
        records = await fetch(target_at(f"127.0.0.1:{free_port}"), good)
    assert [record.state for record in records] == ["missing", "fetched"]
    assert records[0].reason.startswith(f"unreachable: Cannot connect to host 127.0.0.1:{free_port}")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """A certificate authority, and a certificate of it for 127.0.0.1: (ca, certificate with key)."""
    folder = tmp_path_factory.mktemp("certificates")
    authority, both = trustme.CA(), folder / "both.pem"
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(both)
    return folder / "ca.pem", both


@asynccontextmanager
async def serving_tls(certificates, *, ask_for_certificate=False):
    ca, both = certificates
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(both)
    if ask_for_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(ca)
    async with serving(OK, ssl=context) as instance:
        yield instance


HTTPS = "https://$instance/debug/pprof/profile?seconds=$seconds"


async def test_tls_with_an_unknown_authority_gets_no_request(fetch, certificates):
    async with serving_tls(certificates) as ams:
        (record,) = await fetch(ams, url=HTTPS, access=ACCESS)
    assert (record.reason, ams.heard) == ("TLS: unable to get local issuer certificate", [])


async def test_tls_with_the_authority_of_the_connection(fetch, certificates):
    async with serving_tls(certificates) as ams:
        (record,) = await fetch(ams, url=HTTPS, access=Access(ca=certificates[0]))
    assert record.state == "fetched"


async def test_a_client_certificate_is_shown(fetch, certificates):
    ca, both = certificates
    async with serving_tls(certificates, ask_for_certificate=True) as ams:
        (record,) = await fetch(ams, url=HTTPS, access=Access(ca=ca, certificate=both))
    assert record.state == "fetched"


class Names(AbstractResolver):
    """Stands where the DNS stands: each look at a name gives its next address, the last one for ever."""

    def __init__(self, **addresses: list[str]) -> None:
        self.addresses = addresses

    async def resolve(self, host, port=0, family=socket.AF_INET):
        queue = self.addresses[host]
        address = queue.pop(0) if len(queue) > 1 else queue[0]
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": 0,
            }
        ]

    async def close(self):
        pass


async def test_a_name_that_leads_to_the_metadata_service_is_not_asked(fetch):
    names = Names(evil=["169.254.169.254"])
    (record,) = await fetch(target_at("evil:8080"), access=ACCESS, plain_http=True, resolver=names)
    assert record.reason == (
        "evil leads to 169.254.169.254, a cloud metadata address; collection.allow does not name it"
    )


async def test_a_name_that_changes_between_check_and_use_is_judged_again(fetch):
    names = Names(evil=["127.0.0.1", "127.0.0.2"])
    async with serving(BUSY, name="evil") as ams:
        port = int(ams.target.instance.rpartition(":")[2])
        async with serving(OK, host="127.0.0.2", port=port) as secret:
            (record,) = await fetch(ams, access=ACCESS, plain_http=True, resolver=names, allow=("127.0.0.1",))
    assert record.reason.startswith("evil leads to 127.0.0.2, a loopback address")
    assert (len(ams.heard), secret.heard) == (1, [])


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "[::ffff:127.0.0.1]", "[::]"])
async def test_this_machine_is_not_asked_unless_it_is_allowed_by_name(fetch, host):
    async with serving(OK) as ams:
        port = ams.target.instance.rpartition(":")[2]
        (record,) = await fetch(target_at(f"{host}:{port}"), allow=())
    assert "collection.allow does not name it" in record.reason
    assert ams.heard == []


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f000001", "0177.0.0.1"])
async def test_another_spelling_of_this_machine_is_not_asked_either(fetch, host):
    async with serving(OK) as ams:
        port = ams.target.instance.rpartition(":")[2]
        (record,) = await fetch(target_at(f"{host}:{port}"), allow=())
    assert (record.state, ams.heard) == ("missing", [])


async def test_a_port_outside_the_allowed_ones_is_not_asked(fetch):
    async with serving(OK) as ams:
        (record,) = await fetch(ams, ports=(1, 1023))
    assert record.reason.endswith("is not within collection.ports")
    assert ams.heard == []
