"""Instances that are played by real servers on real sockets, and a profile for them to serve."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from fleetpgo.pprof import profile_pb2
from fleetpgo.selection import Target
from fleetpgo.service.profiling import CollectionRules

SECONDS = 1
"""Length of the profiles in these tests."""


def cpu_profile(samples: int = 80, *, comment: str = "", work: bytes = b"main.work") -> bytes:
    """A CPU profile of one second as Go's runtime writes it: main.main calls main.work, or another."""
    profile = profile_pb2.Profile(
        string_table=[b"", b"samples", b"count", b"cpu", b"nanoseconds", b"main.main", work],
        period=10_000_000,
        duration_nanos=SECONDS * 10**9,
        time_nanos=1_700_000_000 * 10**9,
    )
    profile.string_table.append(b"/src/main.go")
    profile.string_table.append(comment.encode())
    for kind, unit in ((1, 2), (3, 4)):
        profile.sample_type.add(type=kind, unit=unit)
    profile.period_type.CopyFrom(profile_pb2.ValueType(type=3, unit=4))
    profile.mapping.add(id=1, memory_start=4096, memory_limit=1 << 20, has_functions=True)
    for number, (name, start) in enumerate([(5, 10), (6, 20)], start=1):
        profile.function.add(id=number, name=name, system_name=name, filename=7, start_line=start)
        profile.location.add(id=number, mapping_id=1, address=4096 + number).line.add(
            function_id=number, line=start + 2
        )
    profile.sample.add(location_id=[2, 1], value=[samples, samples * 10_000_000])
    profile.comment.append(8)
    return gzip.compress(profile.SerializeToString(), mtime=0)


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """A whole HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


PROFILE = cpu_profile()
OK = http(PROFILE)
OTHER, THIRD = http(cpu_profile(comment="other")), http(cpu_profile(comment="third"))
"""The same work as in OK, taken at other times: equal bytes count once."""

BUSY = http(b"Could not enable CPU profiling: cpu profiling already in use\n", "500 Internal Server Error")


@dataclass
class Instance:
    """A server on a loopback address, and the requests that it heard."""

    target: Target
    heard: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def serving(*answers, host="127.0.0.1", port=0, ssl=None, name=None, datacenter="ams"):
    """Serve each connection the next answer, the last one for ever.

    An answer is bytes, or a coroutine function that is given the writer.
    """
    heard: list[bytes] = []

    async def serve(reader, writer):
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        answer = answers[min(len(heard), len(answers)) - 1]
        try:
            if isinstance(answer, bytes):
                writer.write(answer)
            else:
                await answer(writer)
            await writer.drain()
        except ConnectionError:
            pass  # the other side has had enough
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, port, ssl=ssl)
    try:
        taken = server.sockets[0].getsockname()[1]
        yield Instance(target_at(f"{name or host}:{taken}", datacenter), heard)
    finally:
        server.close()


def port_of(instance: Instance) -> int:
    return int(instance.target.instance.rpartition(":")[2])


HTTPS = "https://$instance/debug/pprof/profile?seconds=$seconds"


@dataclass
class Certificates:
    """Files: a certificate authority, and a certificate of it for 127.0.0.1 with its key."""

    authority: Path
    both: Path


def make_certificates(folder: Path) -> Certificates:
    made, authority = Certificates(folder / "ca.pem", folder / "both.pem"), trustme.CA()
    authority.cert_pem.write_to_path(made.authority)
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(made.both)
    return made


def serving_tls(certificates: Certificates, *answers, ask_for_certificate=False, **options):
    """Serve over TLS; as `serving`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.both)
    if ask_for_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificates.authority)
    return serving(*answers, ssl=context, **options)


def target_at(instance: str, datacenter: str = "ams", **labels: str) -> Target:
    return Target(instance, datacenter, 1.0, {"instance": instance, **labels})


def rules(**changes) -> CollectionRules:
    """Rules for instances on this machine that are to fail fast."""
    return CollectionRules(
        **{
            "url": "http://$instance/debug/pprof/profile?seconds=$seconds",
            "ports": (1024, 65535),
            "allow": ("127.0.0.0/8",),
            "attempts": 2,
            "grace": "1s",
            "per_host": 100,
            **changes,
        }
    )
