"""NATS: messages of several sizes, published in batches and delivered by name and by wildcard."""

from __future__ import annotations

import random
import socket
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

from demo.processes import HOST, free_port
from studies.beyond_pgo.serving import CONNECTIONS, PATIENCE_S, SHOWN, LoadError, Running, Server, launch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUBJECTS, SIZES = 40, (16, 64, 240)
PING, PONG = b"PING\r\n", b"PONG\r\n"


@dataclass(frozen=True)
class Nats(Server):
    """A message broker. A request is a batch of messages, three of each subject."""

    def start(self, binary: Path, directory: Path) -> Running:
        """Start a process; its profiles have a port of their own."""
        port, profiled = free_port(), free_port()
        index = f"http://{HOST}:{profiled}/debug/pprof/"
        return launch(
            [binary, "--addr", HOST, "--port", str(port), "--profile", str(profiled)],
            directory,
            address=f"{HOST}:{port}",
            ready=index,
            pprof=f"{index}profile",
        )

    def drive(self, running: Running, requests: int, seed: int) -> None:
        """Publish so many batches, and take what the subscriptions are due to the byte."""
        with (
            ThreadPoolExecutor(2 * CONNECTIONS) as pool,
            _connections(running.address) as subscribers,
            _connections(running.address) as publishers,
        ):
            for number, subscriber in enumerate(subscribers):
                subscriber.subscribe(number)
            work = [
                pool.submit(subscriber.take, requests * due(number))
                for number, subscriber in enumerate(subscribers)
            ]
            for number, publisher in enumerate(publishers):
                share = len(range(number, requests, CONNECTIONS))
                work.append(pool.submit(publisher.publish, batch(seed + number), share))
            done, _ = wait(work, return_when=FIRST_EXCEPTION)
            for each in done:
                each.result()


def batch(seed: int) -> bytes:
    """Return messages of all sizes about all subjects, in random order, and a PING after them."""
    messages = [(subject, size) for subject in range(SUBJECTS) for size in SIZES]
    random.Random(seed).shuffle(messages)  # noqa: S311  not for secrets
    return b"".join(b"PUB %s %d\r\n%s\r\n" % (name(at), size, b"x" * size) for at, size in messages) + PING


def name(subject: int) -> bytes:
    """Return the name under which messages about a subject are published."""
    return b"orders.%d.%s" % (subject, b"new" if subject % 3 else b"old")


def subscriptions(number: int) -> list[tuple[int, bytes, bytes]]:
    """Return a subscriber's subscriptions, each with the subject that it gets messages of; -1: none."""
    found = []
    for subject in range(number, SUBJECTS, CONNECTIONS):
        found.append((subject, b"orders.%d.*" % subject, b"%d" % subject))
        found.append((subject if subject % 3 else -1, b"orders.%d.new" % subject, b"w%d" % subject))
    return found


def due(number: int) -> int:
    """Return how many bytes a subscriber gets of a batch."""
    return sum(
        len(b"MSG %s %s %d\r\n" % (name(subject), sid, size)) + size + 2
        for subject, _, sid in subscriptions(number)
        if subject >= 0
        for size in SIZES
    )


class Connection:
    """A client's connection, as https://docs.nats.io/reference/reference-protocols/nats-protocol has it."""

    def __init__(self, connection: socket.socket) -> None:
        """Take the server's greeting and answer it."""
        self._socket = connection
        self._reader = cast("BinaryIO", connection.makefile("rb"))
        self._reader.readline()
        self._socket.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\n')

    def subscribe(self, number: int) -> None:
        """Subscribe, and return when the server has it."""
        lines = [b"SUB %s %s\r\n" % (pattern, sid) for _, pattern, sid in subscriptions(number)]
        self._socket.sendall(b"".join(lines) + PING)
        self._await_pong()

    def publish(self, messages: bytes, times: int) -> None:
        """Send a batch so many times, each after the one before has been taken."""
        for _ in range(times):
            self._socket.sendall(messages)
            self._await_pong()

    def take(self, length: int) -> None:
        """Read so many bytes of messages; the server's own PINGs, and nothing else, may be among them."""
        came, pings, before = 0, 0, b""
        while came - pings * len(PING) < length:
            chunk = self._socket.recv(1 << 18)
            if not chunk or b"-ERR" in chunk:
                raise LoadError(f"NATS: {came:,} of {length:,} bytes of messages, then {chunk[-SHOWN:]!r}")
            came += len(chunk)
            pings += (before + chunk).count(PING)
            before = chunk[-len(PING) + 1 :]
        if came - pings * len(PING) - length >= len(PING):  # less may be the begin of a PING
            raise LoadError(f"NATS: {came:,} bytes of messages instead of {length:,}")

    def _await_pong(self) -> None:
        while (line := self._reader.readline()) == PING:
            self._socket.sendall(PONG)
        if line != PONG:
            raise LoadError(f"NATS: {line[:SHOWN]!r} instead of PONG")


@contextmanager
def _connections(address: str) -> Iterator[list[Connection]]:
    host, _, port = address.rpartition(":")
    try:
        with ExitStack() as stack:
            opened = []
            for _ in range(CONNECTIONS):
                made = stack.enter_context(socket.create_connection((host, int(port)), timeout=PATIENCE_S))
                stack.callback(_shut, made)
                opened.append(Connection(made))
            yield opened
    except OSError as error:
        raise LoadError(f"NATS at {address}: {error!r}") from error


def _shut(connection: socket.socket) -> None:
    """Wake a thread that waits for the connection."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


NATS = Nats(
    name="NATS",
    module="github.com/nats-io/nats-server/v2",
    version="v2.15.3",
    package="github.com/nats-io/nats-server/v2",
    load="small messages in batches, delivered by name and by wildcard",
)
