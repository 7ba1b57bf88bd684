"""Whether an instance serves net/http/pprof: where it serves its metrics, or where a service file says.

Reading the index of profiles takes none.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import requests
from aiohttp import ThreadedResolver
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as ReadTimeout

from fleetpgo.collection.access import Access, open_session
from fleetpgo.collection.faults import NotNowError, UnusableError
from fleetpgo.collection.resolving import check_literal
from fleetpgo.collection.sources.pprof_http import PprofHttp
from fleetpgo.network.addresses import parse_allow

if TYPE_CHECKING:
    from fleetpgo.run.selected import Target
    from fleetpgo.service.profiling import CollectionRules

INDEX = "/debug/pprof/"
"""Where ``net/http/pprof`` lists the profiles (https://pkg.go.dev/net/http/pprof). Reading it starts none."""

_SECONDS = 5.0
_BYTES = 1 << 16


def probe(instance: str) -> str:
    """Ask an instance for the list of its profiles. Return "yes", or why it did not give one.

    Args:
        instance: host and port, as in the label ``instance``. Redirects are not followed.
    """
    try:
        with requests.get(
            f"http://{instance}{INDEX}", timeout=_SECONDS, stream=True, allow_redirects=False
        ) as reply:
            text = reply.raw.read(_BYTES, decode_content=True)
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:  # HTTPError: while reading
        late = isinstance(error, (requests.Timeout, ReadTimeout))
        return f"no: {'no answer in time' if late else 'unreachable'}"
    if reply.status_code != requests.codes.ok:
        return f"no: HTTP {reply.status_code}"
    return "yes" if b"profile?debug" in text or b"pprof" in text else "no: another page"


def probe_target(target: Target, rules: CollectionRules, access: Access) -> str:
    """Ask a target for the list of its profiles, under all of the rules that fetching its profile has.

    Args:
        target: whom to ask.
        rules: ``url``, ``allow`` and ``ports`` decide where the request goes, and whether it may.
        access: credentials, which go along.

    Returns:
        the address that answered as ``net/http/pprof`` does.

    Raises:
        NeverError: no request may go there.
        NotNowError: it did not answer.
        UnusableError: it answered with something else; it may serve its profile all the same.
        ServiceFileError: credentials may not be sent in that way.
    """
    url = PprofHttp(rules.url, rules.ports).request(target, seconds=rules.seconds).url
    check_literal(url.host or "", parse_allow(rules.allow))
    index = url.with_path(url.path.removesuffix("profile")).with_query(None)

    async def ask() -> tuple[int, bytes]:
        async with (
            asyncio.timeout(_SECONDS),
            open_session(rules, access, ThreadedResolver()) as session,
            session.get(index, allow_redirects=False) as reply,
        ):
            return reply.status, await reply.content.read(_BYTES)

    try:
        status, text = asyncio.run(ask())
    except TimeoutError as error:
        raise NotNowError(f"{index}: no answer within {_SECONDS:g} s") from error
    except (aiohttp.ClientError, OSError) as error:
        raise NotNowError(f"{index}: unreachable") from error
    if status != requests.codes.ok:
        raise UnusableError(f"{index}: HTTP {status}")
    if b"pprof" not in text:
        raise UnusableError(f"{index}: another page than that of net/http/pprof")
    return str(index)
