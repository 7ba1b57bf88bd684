"""A real server from Go's module proxy: its source, a process of it, and load over HTTP.

The load is written in Python where a request costs the server much more than http.client: the CPU that
counts is that of the server's process alone.
"""

from __future__ import annotations

import gzip
import http.client
import inspect
import json
import os
import random
import shutil
import urllib.request
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from demo.fleet import answers
from demo.processes import DemoError, Process, run, start, wait_until
from fleetpgo.run.digest import digest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence

CONNECTIONS = 4
PATIENCE_S = 60
LOOKED_INTO = 16
"""One answer of so many of a connection is unzipped and looked into; the status counts in each."""
SHOWN = 300
"""Bytes of an answer that an error quotes."""


class LoadError(DemoError):
    """The server did not answer as it must, or ended; the message has what came.

    Any other error of a server's module is about what it needs, and says nothing about the server.
    """


@dataclass(frozen=True)
class Running:
    """A process that serves; a context manager that ends it and all that it has started.

    Attributes:
        process: the server.
        address: where it takes requests, as host:port.
        pprof: URL of its CPU profile; "" if it has none.
    """

    process: subprocess.Popen[bytes]
    address: str
    pprof: str = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        Process("server", self.process, Path(os.devnull)).kill()


@dataclass(frozen=True)
class Server(ABC):
    """A server that can be built, started, driven and profiled.

    Attributes:
        name: what tables call it.
        module, version: what is built.
        package: import path of the main package.
        load: what it is driven with, in a phrase.
        tags: Go's build tags, with commas between them.
    """

    name: str
    module: str
    version: str
    package: str
    load: str
    tags: str = ""

    def source(self, cache: Path) -> Path:
        """Return a copy of the module that can be built in, as the module proxy has it."""
        copy = cache / f"{self.name.lower()}-{self.version}"
        if not copy.exists():
            argv = ["go", "mod", "download", "-json", f"{self.module}@{self.version}"]
            told = json.loads(run(argv, cwd=cache))
            partial = copy.with_name(f"{copy.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(told["Dir"], partial)
            for path in [partial, *partial.rglob("*")]:  # Go's module cache is read-only
                path.chmod(path.stat().st_mode | 0o200)
            # A workspace names modules that the proxy serves apart; go would build nothing without them.
            (partial / "go.work").unlink(missing_ok=True)
            partial.rename(copy)
        return copy

    def written_in(self) -> list[Path]:
        """Return the files that say how the server is started and driven."""
        return [Path(inspect.getfile(type(self))), Path(__file__)]

    def load_digest(self) -> str:
        """Return a digest of these files: under another load, a profile and rounds are others."""
        return digest("\0".join(digest(file.read_bytes()) for file in self.written_in()).encode())

    @abstractmethod
    def start(self, binary: Path, directory: Path) -> Running:
        """Start a process and return when it serves. Call this from the main thread.

        Args:
            binary: the server, built.
            directory: takes its configuration, data and logs.

        Raises:
            LoadError: it ended, or does not answer.
        """

    @abstractmethod
    def drive(self, running: Running, requests: int, seed: int) -> None:
        """Send exactly so many requests, the same for the same seed. Raises LoadError with what came."""

    def profile(self, running: Running, seconds: int, path: Path) -> None:
        """Write a CPU profile of so many seconds to a file, while another thread drives the server."""
        address = f"{running.pprof}?seconds={seconds}"
        with urllib.request.urlopen(address, timeout=seconds + PATIENCE_S) as answer:  # noqa: S310  # ours
            path.write_bytes(answer.read())


def launch(
    argv: Sequence[str | Path],
    directory: Path,
    *,
    address: str,
    ready: str,
    pprof: str,
    environment: Mapping[str, str] | None = None,
) -> Running:
    """Start a server and wait until a URL answers; raise LoadError if it ends, or does not answer in time.

    It has one core, as in a container of that size: else Go uses what happens to be idle.

    Args:
        argv: the binary and its arguments.
        directory: where it runs, and its log goes.
        address: where it takes requests, as host:port.
        ready: URL that answers a GET when it serves.
        pprof: URL of its CPU profile.
        environment: variables on top of this process' own.
    """
    own = {**os.environ, "GOMAXPROCS": "1", **(environment or {})}
    process = start("server", [Path(argv[0]).absolute(), *argv[1:]], directory, env=own, cwd=directory)
    running = Running(process.popen, address, pprof)
    try:
        wait_until(lambda: answers(ready), f"{argv[0]} answers", [process], timeout_s=PATIENCE_S)
    except BaseException as error:
        running.__exit__()
        if isinstance(error, DemoError):
            raise LoadError(str(error)) from error
        raise
    return running


@dataclass(frozen=True)
class Ask:
    """A GET, and what its answer must hold.

    Attributes:
        path: with the query.
        holds: bytes that are in each answer.
        zipped: whether the answer must come compressed.
    """

    path: str
    holds: bytes
    zipped: bool = False


def send(address: str, asks: Sequence[Ask], requests: int, seed: int) -> None:
    """Send so many requests, chosen at random, over some connections that are kept.

    Raises:
        LoadError: an answer is not what it must be, or none came. No request is sent twice.
    """
    chosen = random.Random(seed).choices(asks, k=requests)  # noqa: S311  not for secrets
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        parts = [pool.submit(_send, address, chosen[number::CONNECTIONS]) for number in range(CONNECTIONS)]
        for part in parts:
            part.result()


def _send(address: str, asks: Sequence[Ask]) -> None:
    connection = http.client.HTTPConnection(address, timeout=PATIENCE_S)
    try:
        for number, ask in enumerate(asks):
            try:
                connection.request("GET", ask.path, headers={"Accept-Encoding": "gzip"})
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                raise LoadError(f"GET {address}{ask.path}: {error!r}") from error
            _check(f"GET {address}{ask.path}", ask, answer, body, look=number % LOOKED_INTO == 0)
    finally:
        connection.close()


def _check(what: str, ask: Ask, answer: http.client.HTTPResponse, body: bytes, *, look: bool) -> None:
    zipped = answer.headers.get("Content-Encoding") == "gzip"
    if answer.status != http.client.OK:
        raise LoadError(f"{what}: {answer.status} {answer.reason}: {_plain(body, zipped=zipped)[:SHOWN]!r}")
    if ask.zipped and not zipped:
        raise LoadError(f"{what}: not compressed: {body[:SHOWN]!r}")
    if look and ask.holds not in (plain := _plain(body, zipped=zipped)):
        raise LoadError(f"{what}: no {ask.holds!r} in {plain[:SHOWN]!r}")


def _plain(body: bytes, *, zipped: bool) -> bytes:
    if not zipped:
        return body
    try:
        return gzip.decompress(body)
    except (OSError, EOFError) as error:
        raise LoadError(f"not gzip, as its header says: {error}: {body[:SHOWN]!r}") from error
