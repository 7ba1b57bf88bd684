"""Plays a thousand instances on one port of 127.0.0.0/8: 3 % fail, in ways of every kind.

Run as a program: it prints its port and serves until it is killed. An instance is known by the address that
it was asked at. Profiles are those of :mod:`bench.inputs`, about 200 KB each, all different.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
from pathlib import Path

from bench.inputs import make
from fleetpgo.pprof import profile_pb2

VARIANTS = 40
INSTANCES = 1_000


def address(number: int) -> str:
    """Where instance `number` is."""
    return f"127.0.{1 + number // 250}.{1 + number % 250}"


def profiles(folder: Path, seconds: int) -> list[bytes]:
    """Different profiles that say they took so many seconds."""
    made = []
    for path in make(folder, VARIANTS):
        profile = profile_pb2.Profile.FromString(gzip.decompress(path.read_bytes()))
        profile.duration_nanos = seconds * 10**9
        made.append(gzip.compress(profile.SerializeToString(), 1))
    return made


def answer(number: int, body: bytes) -> tuple[bool, bytes]:
    """Whether the instance takes its time, and what it says then."""
    match number % 100:
        case 17:
            return False, b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
        case 43:
            return True, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[: len(body) // 2]
        case 71:
            return False, b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n<html>Sign in</html>"
        case _:
            return True, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def serve(folder: Path, seconds: int) -> None:
    """Serve for ever."""
    bodies = profiles(folder, seconds)
    numbers = {address(number): number for number in range(INSTANCES)}

    async def instance(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            number = numbers[writer.get_extra_info("sockname")[0]]
            slow, said = answer(number, bodies[number % VARIANTS])
            if slow:
                await asyncio.sleep(seconds)
            writer.write(said)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the asker went away
        finally:
            writer.close()

    # Loopback only: every address of 127.0.0.0/8 leads here.
    server = await asyncio.start_server(instance, "0.0.0.0", 0, backlog=2 * INSTANCES)  # noqa: S104
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve profiles of a given length."""
    parser = argparse.ArgumentParser(description="A thousand instances on one port.")
    parser.add_argument("folder", type=Path, help="where the profiles are made")
    parser.add_argument("seconds", type=int)
    args = parser.parse_args()
    asyncio.run(serve(args.folder, args.seconds))


if __name__ == "__main__":
    main()
