"""Request one profile and stream the answer to the spool, or say why it was refused."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import aiohttp

from fleetpgo import foreign, pprof
from fleetpgo.collection.access import CONNECT_SECONDS
from fleetpgo.collection.faults import (
    ForbiddenError,
    NeverError,
    NotNowError,
    ServerError,
)
from fleetpgo.collection.resolving import check_literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleetpgo.collection.sources import Request
    from fleetpgo.collection.spool import Body
    from fleetpgo.network.addresses import Allow
    from fleetpgo.service.profiling import CollectionRules

_SAID = 200  # characters of an error's body that are worth repeating
_READ = 1 << 14  # bytes of it that are read: all of a secret must be there to be blotted out
_LONGEST_REASON = 1000  # characters of what a library says about an answer
BUSY = b"Could not enable CPU profiling"
"""Answer of net/http/pprof, with HTTP 500, while somebody else takes a CPU profile."""


@dataclass(frozen=True)
class Limits:
    """Limits of an answer: seconds for all of it; bytes as sent, and after unzipping."""

    seconds: float
    packed_bytes: int
    unpacked_bytes: int

    @classmethod
    def of(cls, rules: CollectionRules, *, seconds: int) -> Limits:
        """Return the service file's limits for profiles of that many seconds."""
        # A store has them already: nobody waits while they are taken.
        waiting = 0 if rules.past else seconds
        return cls(waiting + rules.grace.total_seconds(), rules.max_bytes, rules.max_unpacked_bytes)

    @property
    def of_profiles(self) -> pprof.Limits:
        """Return the limits for reading a profile: the same for collecting, judging and merging."""
        return pprof.Limits(packed_bytes=self.packed_bytes, message_bytes=self.unpacked_bytes)


async def ask_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating a failed request by itself: each profile costs the instance CPU."""
    try:
        return await handler(request)
    except aiohttp.ClientSSLError as error:
        raise NeverError(f"TLS: {_tls_reason(error)}") from error
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise NotNowError(f"unreachable: {error}") from error


async def receive(
    session: aiohttp.ClientSession,
    request: Request,
    body: Body,
    *,
    limits: Limits,
    allow: Allow,
    received: Callable[[int], None],
) -> None:
    """Send the request, and stream the answer to the spool, where it waits for its check.

    Args:
        session: see :func:`fleetpgo.collection.access.open_session`.
        request: what to send.
        body: takes what is answered.
        limits: how long, and how much, at most.
        allow: where a request may go.
        received: is told how many bytes have come.

    Raises:
        NoProfileError: one of its kinds, with the reason.
    """
    check_literal(request.url.host or "", allow)
    started = time.monotonic()
    try:
        async with (
            asyncio.timeout(limits.seconds),
            # Redirects stay off: an instance has no business sending us elsewhere.
            session.request(
                request.method,
                request.url,
                data=request.body,
                headers=request.headers,
                allow_redirects=False,
                middlewares=(ask_once,),
            ) as response,
        ):
            if response.status != 200:  # noqa: PLR2004  # OK
                _refuse(response, await response.content.read(_READ))
            async for chunk in response.content.iter_any():
                if body.size + len(chunk) > limits.packed_bytes:
                    raise NeverError(f"larger than {limits.packed_bytes:,} bytes (collection.max_bytes)")
                body.write(chunk)
                received(body.size)
    except TimeoutError as error:
        raise NotNowError(_timed_out(error, time.monotonic() - started, body.size, limits)) from error
    except aiohttp.ClientPayloadError as error:
        raise NotNowError(
            f"the connection broke off in the middle of the profile, after {body.size:,} bytes"
        ) from error
    except aiohttp.ClientResponseError as error:
        raise NotNowError(f"not HTTP: {foreign.line(error.message, _LONGEST_REASON)}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise NotNowError(f"unreachable: {foreign.line(str(error), _LONGEST_REASON)}") from error


def _refuse(response: aiohttp.ClientResponse, said: bytes) -> NoReturn:
    """Raise the error for an answer other than HTTP 200."""
    status = response.status
    text = foreign.line(said.strip().partition(b"\n")[0], _SAID)
    answer = foreign.line(f"HTTP {status} {response.reason or ''}", _SAID) + (f": {text}" if text else "")
    match status:
        case 401 | 403:
            raise ForbiddenError(answer)
        case 404:
            raise NeverError(f"{answer} (nothing at {response.url.path})")
        case 500 if BUSY in said:
            raise NotNowError(f"busy: {answer}")
        case 429:
            raise NotNowError(answer)
        case _ if status >= 500:  # noqa: PLR2004  # server errors
            raise ServerError(answer)
        case _ if 300 <= status < 400:  # noqa: PLR2004  # redirections
            raise NeverError(f"{answer} (redirects are not followed)")
        case _:
            raise NeverError(answer)


def _timed_out(error: TimeoutError, seconds: float, size: int, limits: Limits) -> str:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return f"unreachable: no connection within {CONNECT_SECONDS:.0f} s"
    return f"no complete answer within {min(seconds, limits.seconds):.0f} s: {size:,} bytes had come"


def _tls_reason(error: aiohttp.ClientSSLError) -> str:
    cause = error.__cause__
    return cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else str(cause or error)
