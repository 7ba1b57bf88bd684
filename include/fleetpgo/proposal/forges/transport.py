"""HTTP sessions to forges, with common retries and limits. A session sends requests to one origin only.

A forge's answers are not trusted. A call (:func:`one_call`) is limited in time, including all waits and
retries, and in the number of requests, whatever number of pages a list claims to have. An answer is limited
in bytes and must be JSON. The token is sent only to the forge's own origin, even if a redirect or the link to
the next page names another.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import urljoin, urlsplit

import requests
from urllib3 import Retry
from urllib3.exceptions import HTTPError, MaxRetryError, ResponseError

from fleetpgo import foreign
from fleetpgo.network.trust import PromptRetry, TrustingAdapter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet
    from pathlib import Path
    from types import TracebackType

    from urllib3 import BaseHTTPResponse
    from urllib3.connectionpool import ConnectionPool

CALL_SECONDS = 300.0
"""Most seconds of one call, including all requests and waits; it occupies a worker."""

MOST_REQUESTS = 1000
"""Most requests of one call: pages of a list. With 50 per page, 50,000 pull requests."""

MOST_BYTES = 32 << 20
"""Most bytes of one answer, unzipped. A hundred pull requests with full bodies are 8 MB."""

LONGEST_WAIT = 120
"""Most seconds to wait for a rate limit here. The retry of the task can wait longer, without a worker."""

RETRIED = Retry.DEFAULT_ALLOWED_METHODS | {"PATCH"}
"""Not POST: if only the answer is lost, a retry would post a comment twice. A retried step looks for it."""

TIMEOUT = 60.0
"""Seconds without a byte after which a request has failed."""

_CHUNK = 1 << 16
_FIRST_WORDS = 100


class AnswerError(requests.RequestException):
    """An answer that is too large, too slow, not JSON, or a redirect to another origin."""


@dataclass
class _Budget:
    """What a call may still use of its limits."""

    deadline: float
    requests: int


_budget: ContextVar[_Budget | None] = ContextVar("budget", default=None)


@contextmanager
def one_call() -> Iterator[None]:
    """Apply the limits of one call to all requests in the block. A nested block shares the outer limits."""
    if _budget.get():
        yield
        return
    token = _budget.set(_Budget(time.monotonic() + CALL_SECONDS, MOST_REQUESTS))
    try:
        yield
    finally:
        _budget.reset(token)


class BoundedAdapter(TrustingAdapter):
    """Transport adapter that enforces the limits of the call and of each answer."""

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:  # noqa: ANN401  # requests' own
        """Send a request, and read the whole answer.

        Raises:
            AnswerError: the call has used up its limits, the answer is too large or not JSON, or it redirects
                to another origin.
        """
        with one_call():
            budget = _budget.get()
            assert budget is not None  # noqa: S101  # for mypy: it is set above
            budget.requests -= 1
            if budget.requests < 0:
                raise AnswerError(f"the list goes on after {MOST_REQUESTS:,} requests", request=request)
            answer = super().send(request, *arguments, **{**options, "stream": True})
            content = _read(answer, budget.deadline)
        if answer.is_redirect:
            _require_own(urljoin(request.url or "", answer.headers["location"]), _origin(request.url or ""))
        # As requests keeps it where it reads the content itself.
        answer._content = content  # noqa: SLF001
        answer._content_consumed = True  # type: ignore[attr-defined]  # noqa: SLF001
        if answer.ok and not answer.is_redirect and content:
            _require_json(answer)
        return answer


def _read(answer: requests.Response, deadline: float) -> bytes:
    """Read the content of an answer."""
    content = bytearray()
    try:
        # What has come, not so many bytes: a server that sends one a minute is found out in a minute.
        while chunk := answer.raw.read1(_CHUNK, decode_content=True):
            content += chunk
            if len(content) > MOST_BYTES:
                raise AnswerError(f"the answer has more than {MOST_BYTES >> 20} MiB", response=answer)
            if time.monotonic() > deadline:
                raise AnswerError(f"the answer was not there after {CALL_SECONDS:g} s", response=answer)
    except HTTPError as error:
        raise requests.ConnectionError(error, response=answer) from error
    finally:
        answer.close()
    return bytes(content)


def _require_json(answer: requests.Response) -> None:
    """Raise AnswerError, with the answer's first words, if it is not JSON (a login or proxy page)."""
    try:
        json.loads(answer.content)
    except (ValueError, RecursionError) as error:
        words = foreign.line(answer.content, _FIRST_WORDS)
        raise AnswerError(f"the answer is not JSON; it begins with: {words}", response=answer) from error


class _OwnSession(requests.Session):
    """Session that sends requests to one origin only, including those for further pages."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._own = _origin(address)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # noqa: ANN401  # requests' own
        """Send a request."""
        _require_own(request.url or "", self._own)
        return super().send(request, **options)


def _require_own(address: str, own: tuple[str, str | None, int | None]) -> None:
    """Raise AnswerError if a URL has another origin than the forge."""
    if _origin(address) != own:
        raise AnswerError(
            f"the answer redirects to {urlsplit(address).hostname}; the token is not sent there"
        )


def _origin(address: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def session(address: str, ca: Path | None = None) -> requests.Session:
    """Return a session for one origin, with the limits of this module.

    It retries after a rate limit and after server errors, but never a request that may have been executed.

    Args:
        address: of the origin.
        ca: file of the certificate authorities to trust; None: those of requests, or $REQUESTS_CA_BUNDLE.
    """
    made = _OwnSession(address)
    retry = Patience(
        total=5,
        backoff_factor=1,
        status_forcelist=(500, 502, 503, 504),
        allowed_methods=RETRIED,
    )
    made.mount("https://", BoundedAdapter(ca, retry))
    return made


class Patience(PromptRetry):
    """Retry policy that also retries a POST that a rate limit refused, after a wait of at most LONGEST_WAIT.

    A request before the forge's Retry-After counts against the token; a wait of hours would block a worker.
    """

    turned_away: ClassVar[AbstractSet[int]] = {requests.codes.too_many_requests}
    """Statuses of requests that were not executed."""

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:  # noqa: FBT001, FBT002  # urllib3's
        """Return whether to retry the request."""
        limited = status_code in self.turned_away and bool(self.total)
        return limited or super().is_retry(method, status_code, has_retry_after)

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        """Return the policy for the next retry; raise MaxRetryError if there must be no retry."""
        if response is not None and not self.total:
            # The forge's own words: urllib3 would keep the status alone.
            said = foreign.line(response.read1(_CHUNK, decode_content=True), _FIRST_WORDS)
            raise _given_up(_pool, url, f"{response.status} {said}".rstrip())
        asked = (self.get_retry_after(response) if response is not None else None) or 0.0
        if asked > LONGEST_WAIT:
            raise _given_up(_pool, url, f"it asks to wait for {asked:.0f} s")
        left = super().increment(
            method, url, response=response, error=error, _pool=_pool, _stacktrace=_stacktrace
        )
        budget = _budget.get()
        if budget and time.monotonic() + (asked or left.get_backoff_time()) > budget.deadline:
            raise _given_up(_pool, url, f"it still does after {CALL_SECONDS:g} s")
        return left


def _given_up(pool: ConnectionPool | None, url: str | None, why: str) -> MaxRetryError:
    """Return urllib3's own error for giving up. The pool is set whenever there is an answer."""
    return MaxRetryError(pool, url, ResponseError(why))  # type: ignore[arg-type]
