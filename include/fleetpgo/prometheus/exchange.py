"""One HTTP request and its answer, limited in time and in bytes after unzipping. The server is not trusted.

This module knows HTTP. It does not know the content of request and answer.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from fleetpgo.errors import PrometheusError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import requests

_CONNECT_TIMEOUT, _READ_TIMEOUT = 10.0, 120.0  # seconds; Prometheus' own query timeout is 120 s
_LATER = (429, 502, 503, 504)  # what a server answers that is overloaded for a moment
_PAUSES = (0.5, 1.0, 2.0)  # seconds before it is asked again
_MOST_WAIT = 30  # the same, whatever the server says
_CHUNK = 1 << 16  # bytes that are read, or unzipped, at once
_T = TypeVar("_T")


@dataclass(frozen=True)
class Received:
    """What came: the status, the body unzipped, and where a redirection leads; "": nowhere."""

    status: int
    body: bytearray
    location: str


class Exchange:
    """One query on its way: what was sent, and as much of the answer as its limits allow.

    Args:
        session: carries authentication, headers and TLS settings.
        url: where to.
        form: what to ask; None: nothing, so the request is a GET.
        max_bytes: most bytes of the answer, unzipped.
    """

    def __init__(
        self, session: requests.Session, url: str, form: Mapping[str, str] | None, *, max_bytes: int
    ) -> None:
        self._session, self._url, self._form, self._max_bytes = session, url, form, max_bytes
        self._response: requests.Response | None = None
        self._location = ""
        self._abandoned = False

    def run(self) -> Received:
        """Ask, and read the answer; a server that says "later" is asked again."""
        for pause in (*_PAUSES, None):
            self._response = response = self._session.request(
                "GET" if self._form is None else "POST",
                self._url,
                data=self._form,
                timeout=(_CONNECT_TIMEOUT, _READ_TIMEOUT),
                headers={"Accept-Encoding": "gzip"},
                # Requests would take the session's own headers, secrets among them, wherever it is sent.
                allow_redirects=False,
                hooks={"response": self._stay},
                stream=True,
            )
            with response:
                if pause is None or self._abandoned or response.status_code not in _LATER:
                    return Received(response.status_code, self._read(response), self._location)
            after = response.headers.get("Retry-After", "")
            time.sleep(min(float(after), _MOST_WAIT) if after.isdecimal() else pause)
        raise AssertionError("the last try returns")

    def _stay(self, response: requests.Response, **_: object) -> None:
        """Note where a redirection leads: to prepare for it, requests would read its body, however long."""
        self._location = response.headers.pop("Location", "")

    def _read(self, response: requests.Response) -> bytearray:
        body = bytearray()
        # One system call at a time: whoever sends a byte a minute is left when time is up.
        while not self._abandoned and (chunk := response.raw.read1(_CHUNK, decode_content=True)):
            body += chunk
            if len(body) > self._max_bytes:
                asked = (self._form or {}).get("query", self._url)
                raise PrometheusError(
                    f"the answer is larger than {self._max_bytes:,} bytes: {asked}",
                    hint="aggregate in the query, for example with sum by (…)",
                )
        return body

    def abandon(self) -> None:
        """Stop reading: nobody waits for it any more."""
        self._abandoned = True
        if self._response is not None:
            with suppress(OSError, ValueError):  # it is closed already
                self._response.raw.shutdown()  # to close it would wait for whoever reads


def within(seconds: float, run: Callable[[], _T], abandon: Callable[[], None]) -> _T:
    """Return what a call returns, if it does within that time.

    In a thread of its own: a timeout of a socket starts anew with each byte that comes, be it of a header.

    Raises:
        TimeoutError: it has not; `abandon` was called to end it.
    """
    outcome: Future[_T] = Future()

    def work() -> None:
        try:
            outcome.set_result(run())
        except BaseException as error:  # noqa: BLE001  # it is raised where it is waited for
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        return outcome.result(seconds)
    except TimeoutError:
        abandon()
        raise
