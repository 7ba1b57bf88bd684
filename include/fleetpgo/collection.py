"""Fetch a CPU profile of each target into the store, and a record of each, failed ones included.

The only part that talks to production. It asks every instance once for ``seconds`` of its time, streams the
answer to disk and then into the store, and never holds a profile in memory. That an instance does not answer
is normal and is data: its record says why. What the store already holds is not fetched again.

A Go process serves one CPU profile at a time and answers a second asker with HTTP 500; like an unreachable
instance it is asked again after a random pause, so that many askers do not march in step.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import tempfile
import time
from dataclasses import asdict, dataclass
from string import Template
from typing import TYPE_CHECKING, BinaryIO, Literal

import aiohttp
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from fleetpgo.errors import ServiceFileError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleetpgo.config import Collection as Rules
    from fleetpgo.selection import Target
    from fleetpgo.store import RunStore

log = logging.getLogger(__name__)

FOLDER = "profiles"
"""Folder of a run's store that holds, for each instance, ``<name>.pb.gz`` and the record ``<name>.json``."""

_CONNECT_TIMEOUT = 10.0  # seconds
_GRACE = 30.0  # seconds beyond the profile's own, for symbolizing and sending it
_CHUNK = 1 << 16
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]")


@dataclass(frozen=True)
class Record:
    """What became of one target: its profile's place and digest, or why there is none."""

    instance: str
    datacenter: str
    cores: float
    state: Literal["fetched", "missing"]
    reason: str = ""
    artifact: str = ""
    size: int = 0
    sha256: str = ""


class _NotNowError(Exception):
    """The instance did not give a profile; it may if asked again."""


class _NeverError(Exception):
    """The instance did not give a profile, and asking again would not change that."""


def name_of(instance: str) -> str:
    """An instance's name as a file name: readable, and never the same for two instances."""
    digest = hashlib.sha256(instance.encode()).hexdigest()[:8]
    return f"{_UNSAFE.sub('_', instance)}-{digest}"


def record_name(instance: str) -> str:
    """Name of the artifact that holds the instance's record."""
    return f"{FOLDER}/{name_of(instance)}.json"


def profile_name(instance: str) -> str:
    """Name of the artifact that holds the instance's profile."""
    return f"{FOLDER}/{name_of(instance)}.pb.gz"


def read_record(store: RunStore, target: Target) -> Record:
    """The target's record; if its task died before it wrote one, a record that says so."""
    if store.exists(record_name(target.instance)):
        return Record(**store.read_json(record_name(target.instance)))
    return Record(
        target.instance, target.datacenter, target.cores, "missing", "its task ended before it answered"
    )


def profile_url(rules: Rules, target: Target, *, seconds: int) -> str:
    """The address of the target's profile.

    Raises:
        ServiceFileError: the template uses a label that the target does not have.
    """
    values = {**target.labels, "instance": target.instance, "seconds": str(seconds)}
    try:
        return Template(rules.url).substitute(values)
    except (KeyError, ValueError) as error:
        raise ServiceFileError(
            f"collection.url cannot be filled in for {target.instance}: {rules.url} needs {error}",
            hint=f"labels of this instance: {', '.join(sorted(target.labels))}",
        ) from error


async def collect(targets: Iterable[Target], rules: Rules, store: RunStore, *, seconds: int) -> list[Record]:
    """Fetch the targets' profiles, all at the same time; one record each, in the order of the targets.

    Args:
        targets: instances to profile.
        rules: how.
        store: takes profiles and records; instances whose profile it holds are not asked.
        seconds: length of each profile.
    """
    timeout = aiohttp.ClientTimeout(total=seconds + _GRACE, sock_connect=_CONNECT_TIMEOUT)
    # A profile takes seconds, so a kept connection saves nothing and would only look like a leak over there.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector, auto_decompress=False) as session:
        return await asyncio.gather(
            *(_collect_one(session, target, rules, store, seconds=seconds) for target in targets)
        )


async def _collect_one(
    session: aiohttp.ClientSession, target: Target, rules: Rules, store: RunStore, *, seconds: int
) -> Record:
    """Fetch one target's profile unless the store has it; write its record."""
    earlier = await asyncio.to_thread(read_record, store, target)
    if earlier.state == "fetched":
        log.info("%s: already in the store", target.instance)
        return earlier
    url = profile_url(rules, target, seconds=seconds)
    record = Record(target.instance, target.datacenter, target.cores, "missing")
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(_NotNowError),
        stop=stop_after_attempt(rules.attempts),
        wait=wait_random_exponential(multiplier=seconds / 2, max=2 * seconds),
        reraise=True,
    )
    started = time.monotonic()
    try:
        async for attempt in retrying:
            with attempt, tempfile.TemporaryFile() as body:
                sha256, size = await _stream(session, url, body, max_bytes=rules.max_bytes)
                artifact = profile_name(target.instance)
                body.seek(0)
                await asyncio.to_thread(store.copy, artifact, body)
    except (_NotNowError, _NeverError) as error:
        record = Record(target.instance, target.datacenter, target.cores, "missing", str(error))
        log.warning("%s: no profile: %s", target.instance, error)
    else:
        record = Record(
            target.instance, target.datacenter, target.cores, "fetched", "", artifact, size, sha256
        )
        log.info("%s: %s bytes in %.1f s", target.instance, f"{size:,}", time.monotonic() - started)
    await asyncio.to_thread(store.write_json, record_name(target.instance), asdict(record))
    return record


async def _stream(
    session: aiohttp.ClientSession, url: str, body: BinaryIO, *, max_bytes: int
) -> tuple[str, int]:
    """Stream an answer into a file; its SHA-256 and its size in bytes."""
    digest, size = hashlib.sha256(), 0
    try:
        # Redirects stay off: an instance has no business sending us elsewhere.
        async with session.get(url, allow_redirects=False) as response:
            await _refuse(response)
            async for chunk in response.content.iter_chunked(_CHUNK):
                size += len(chunk)
                if size > max_bytes:
                    raise _NeverError(f"larger than {max_bytes:,} bytes (collection.max_bytes)")
                digest.update(chunk)
                body.write(chunk)
    except TimeoutError as error:
        raise _NotNowError("no complete answer in time") from error
    except aiohttp.ClientPayloadError as error:
        raise _NotNowError("the connection broke off in the middle of the profile") from error
    except aiohttp.ClientError as error:
        raise _NotNowError(f"unreachable: {error}") from error
    return digest.hexdigest(), size


async def _refuse(response: aiohttp.ClientResponse) -> None:
    """Raise unless the answer is HTTP 200."""
    if response.status == 200:  # noqa: PLR2004  # OK
        return
    said = (await response.content.read(200)).decode("utf-8", "replace").strip().partition("\n")[0]
    answer = f"HTTP {response.status} {response.reason or ''}".strip() + (f": {said}" if said else "")
    raise (_NotNowError if response.status >= 500 else _NeverError)(answer)  # noqa: PLR2004  # server errors
