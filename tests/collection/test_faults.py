"""The fault table: each row is a real local server that behaves so.

For each: the recorded reason, how often it was asked, that the other instances of the round are not touched,
that nothing of it is in the store, and that our token is nowhere but in the requests.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import struct

import pytest

from fleetpgo.collection import Access
from fleetpgo.run.artifacts import FetchedProfile
from tests.collection.instances import (
    BUSY,
    HTTPS,
    OK,
    PROFILE,
    cpu_profile,
    http,
    make_certificates,
    port_of,
    serving,
    serving_tls,
    target_at,
)
from tests.collection.names import knowing

TOKEN = "s3cr3t-t0k3n"  # noqa: S105  # of nobody
SENT = {"Authorization": f"Bearer {TOKEN}"}
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
    "not HTTP": (serving(b"SSH-2.0-OpenSSH_9.2\r\n"), "missing", "not HTTP: Bad status line: ", 2),
    "not HTTP, echoing": (
        serving(f"Bearer {TOKEN}\r\n".encode()),
        "missing",
        "not HTTP: Bad status line: ",
        2,
    ),
    "a header that is none, echoing": (
        serving(HEADERS + f"Bearer {TOKEN}\x1b[31m\r\n\r\n".encode()),
        "missing",
        "not HTTP: Invalid header",
        2,
    ),
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
    "a profile, echoing": (
        answer(cpu_profile(work=f"main.{TOKEN}".encode())),
        "refused",
        "credentials: names in it repeat a secret",
        1,
    ),
    "control characters": (answer(b"a\x1b[31mb\0c", "400 Bad"), "missing", "HTTP 400 Bad: ab�c", 1),
}


STOPS_THE_ROUND = {"401, echoing", "403"}
"""Refused credentials end the round for all who have not answered yet; who has, is untouched."""


def everything_written(tmp_path) -> bytes:
    return b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


@pytest.fixture
def recorded(fetch, store, tmp_path, caplog):
    """Collect from an instance with a fault and from a good one; what is recorded of the first.

    That the good one is not touched, and that our token is nowhere, is asserted for every fault.
    """
    caplog.set_level(logging.DEBUG)

    async def collect(bad, good, *, access=None, **changes):
        changes = {"plain_http": True, "max_errors": 1, **changes}
        records = await fetch(bad, good, access=access or Access(SENT), **changes)
        assert records[1].state == "fetched"
        assert store.keys(FetchedProfile) == [records[1].sha256]
        assert TOKEN not in caplog.text
        assert TOKEN not in repr(records)
        assert TOKEN.encode() not in everything_written(tmp_path)
        return records[0]

    return collect


@pytest.mark.parametrize("fault", TABLE)
async def test_a_fault_is_recorded_and_touches_nobody_else(fetch, recorded, fault):
    server, state, reason, asked = TABLE[fault]
    async with server as bad, serving(OK) as good:
        if fault in STOPS_THE_ROUND:
            await fetch(good)
        record = await recorded(bad, good, max_bytes=100_000, max_unpacked_bytes=1_000_000)
    assert record.state == state
    assert record.reason.startswith(reason)
    assert record.reason
    assert len(bad.heard) == asked
    assert all(f"Bearer {TOKEN}".encode() in request for request in bad.heard)


async def test_refused(recorded, free_port):
    async with serving(OK) as good:
        record = await recorded(target_at(f"127.0.0.1:{free_port}"), good)
    assert record.state == "missing"
    assert record.reason.startswith(f"unreachable: Cannot connect to host 127.0.0.1:{free_port}")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


async def test_tls_with_an_unknown_authority_gets_no_request(recorded, certificates, tmp_path_factory):
    others = make_certificates(tmp_path_factory.mktemp("others"))
    known = Access(SENT, ca=certificates.authority)
    async with serving_tls(others, OK) as bad, serving_tls(certificates, OK) as good:
        record = await recorded(bad, good, access=known, url=HTTPS, plain_http=False)
    assert (record.reason, bad.heard) == ("TLS: unable to get local issuer certificate", [])


async def test_a_certificate_of_another_host_gets_no_request(recorded, certificates):
    known = Access(SENT, ca=certificates.authority)
    async with (
        serving_tls(certificates, OK, host="127.0.0.2") as bad,
        serving_tls(certificates, OK) as good,
    ):
        record = await recorded(bad, good, access=known, url=HTTPS, plain_http=False)
    assert (record.state, bad.heard) == ("missing", [])
    assert record.reason.startswith("TLS: IP address mismatch")


async def test_tls_with_the_authority_of_the_connection(fetch, certificates):
    async with serving_tls(certificates, OK) as ams:
        (record,) = await fetch(ams, url=HTTPS, access=Access(ca=certificates.authority))
    assert record.state == "fetched"


async def test_a_client_certificate_is_shown(fetch, certificates):
    ours = Access(ca=certificates.authority, certificate=certificates.both)
    async with serving_tls(certificates, OK, ask_for_certificate=True) as ams:
        (record,) = await fetch(ams, url=HTTPS, access=ours)
    assert record.state == "fetched"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a:99999", "http://a:99999/debug/pprof/profile?seconds=1 is not a URL: Port out of range"),
        ("[1.2.3.4]:8080", "http://[1.2.3.4]:8080/debug/pprof/profile?seconds=1 is not a URL: "),
        ("a..b:8080", "a..b cannot be a host's name: "),
        ("a" * 64 + ":8080", "a" * 64 + " cannot be a host's name: "),
        ("xn--a:8080", "http://xn--a:8080/debug/pprof/profile?seconds=1 is not a URL: "),
    ],
    ids=["port", "address in brackets", "empty part", "overlong part", "punycode"],
)
async def test_a_name_that_no_host_can_have_touches_nobody_else(recorded, name, reason):
    async with serving(OK) as good:
        record = await recorded(target_at(name), good)
    assert record.state == "missing"
    assert record.reason.startswith(reason)


METADATA = "leads to 169.254.169.254, a cloud metadata address; collection.allow does not name it"


async def test_the_metadata_service_is_not_asked(recorded):
    async with serving(OK) as good:
        record = await recorded(target_at("169.254.169.254:8080"), good)
    assert record.reason == f"169.254.169.254 {METADATA}"


@pytest.mark.parametrize("allow", [("127.0.0.0/8",), ("127.0.0.0/8", "*.example.com", "0.0.0.0/0")])
async def test_a_name_that_leads_to_the_metadata_service_is_not_asked(recorded, allow):
    async with serving(OK) as good, knowing(evil=["169.254.169.254"]) as resolver:
        record = await recorded(target_at("evil.example.com:8080"), good, resolver=resolver, allow=allow)
    assert record.reason == f"evil.example.com {METADATA}"


async def test_a_name_that_changes_between_check_and_use_is_judged_again(recorded):
    async with (
        knowing(evil=["127.0.0.1", "127.0.0.2"]) as resolver,
        serving(BUSY, name="evil.example.com") as bad,
        serving(OK, host="127.0.0.2", port=port_of(bad)) as secret,
        serving(OK) as good,
    ):
        record = await recorded(bad, good, resolver=resolver, allow=("127.0.0.1",))
    assert record.reason.startswith("evil.example.com leads to 127.0.0.2, a loopback address")
    assert (len(bad.heard), secret.heard) == (1, [])


async def test_a_name_that_nobody_knows_is_recorded(recorded):
    async with serving(OK) as good, knowing() as resolver:
        record = await recorded(target_at("gone.example.com:8080"), good, resolver=resolver)
    assert record.state == "missing"
    assert record.reason.startswith("unreachable: Cannot connect to host gone.example.com:8080")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "[::ffff:127.0.0.1]", "[::]"])
async def test_this_machine_is_not_asked_unless_it_is_allowed_by_name(fetch, host):
    async with serving(OK) as ams:
        port = port_of(ams)
        (record,) = await fetch(target_at(f"{host}:{port}"), allow=())
    assert "collection.allow does not name it" in record.reason
    assert ams.heard == []


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f000001", "0177.0.0.1"])
async def test_another_spelling_of_this_machine_is_not_asked_either(fetch, host):
    async with serving(OK) as ams:
        port = port_of(ams)
        (record,) = await fetch(target_at(f"{host}:{port}"), allow=())
    assert (record.state, ams.heard) == ("missing", [])


async def test_a_port_outside_the_allowed_ones_is_not_asked(fetch):
    async with serving(OK) as ams:
        (record,) = await fetch(ams, ports=(1, 1023))
    assert record.reason.endswith("is not within collection.ports")
    assert ams.heard == []
