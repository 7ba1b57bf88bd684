"""Common parts of forges that are servers: address, token, and retries."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, ClassVar, Self
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry
from urllib3.exceptions import MaxRetryError, ResponseError

from fleetpgo.errors import ForgeError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from types import TracebackType

    from urllib3 import BaseHTTPResponse
    from urllib3.connectionpool import ConnectionPool

LONGEST_WAIT = 120
"""Seconds to wait for a rate limit in place; the step's own retry can wait longer and holds no worker."""

RETRIED = Retry.DEFAULT_ALLOWED_METHODS | {"PATCH"}
"""Not POST: a comment whose answer got lost would be there twice. The step that is run again looks for it."""

TIMEOUT = 60.0
"""Seconds without a byte after which a request has failed."""

HINTS = {
    401: "the connection's token is wrong or has expired: make a new one",
    403: "let the connection's token read and write contents and pull requests of this repository",
    404: "check repository.project in the service file; a token that may not see it gets this answer too",
    405: "let the repository allow auto-merge in that way; right after opening, run the step again",
    409: "a pull request was opened meanwhile: run the step again",
    422: "correct what the answer names; if a pull request was opened meanwhile, run the step again",
}

ELSE = "see whether the forge is well and its limits on requests are kept, then run the step again"
"""The hint for all other statuses."""


def checked(address: str, token: str | None) -> tuple[str, str]:
    """An address without a slash at its end, and a token.

    Raises:
        ForgeError: if one of them cannot be right.
    """
    parts = urlsplit(address)
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc:
        raise ForgeError(
            "the forge's address is no https:// URL without user name and password",
            hint="set the connection's host to https://github.com or the address of your own server",
        )
    if not token:
        raise ForgeError("the forge's connection holds no token", hint="set the connection's password to one")
    return f"https://{parts.netloc}{parts.path}".rstrip("/"), token


def git_access(address: str, user: str, token: str) -> dict[str, str]:
    """Git configuration that sends a token as an HTTP header to one server alone.

    A submodule there that is named by an address for SSH is fetched over HTTPS: a token is all we have.
    """
    credentials = b64encode(f"{user}:{token}".encode()).decode()
    host = urlsplit(address).hostname
    return {
        f"http.{address}/.extraHeader": f"Authorization: Basic {credentials}",
        f"url.{address}/.insteadOf": f"git@{host}:",
        f"url.{address}.insteadOf": f"ssh://git@{host}",
    }


def session() -> requests.Session:
    """A session that asks again after a limit or a server's stumble, but repeats nothing that may be done."""
    made = requests.Session()
    retry = Patience(
        total=5,
        backoff_factor=1,
        status_forcelist=(500, 502, 503, 504),
        allowed_methods=RETRIED,
    )
    made.mount("https://", HTTPAdapter(max_retries=retry))
    return made


def refusal(status: int) -> type[ForgeError]:
    """The kind of error of a status: whether the forge refuses this one thing, or is not to be asked now."""
    about_us = (
        requests.codes.unauthorized,
        requests.codes.request_timeout,
        requests.codes.too_many_requests,
    )
    refused = requests.codes.bad_request <= status < requests.codes.server_error
    return RefusedError if refused and status not in about_us else ForgeError


def unanswered(address: str, doing: str, error: requests.RequestException) -> ForgeError:
    """The error of a forge that gave no answer, or none but refusals however often it was asked."""
    if isinstance(error, requests.exceptions.RetryError):
        # The reason alone: the whole is wrapped in the words of two libraries.
        reason = getattr(error.args[0], "reason", error)
        return ForgeError(f"{address} turns requests away, {doing}: {reason}", hint=ELSE)
    return ForgeError(
        f"{address} cannot be reached, {doing}: {error}",
        hint="check the connection's host and the network, then run the step again",
    )


def require_place(place: tuple[str, str], project: str, *, archived: bool) -> None:
    """Check that a repository is where the service file says, and that the token can push to it.

    Args:
        place: the forge's address, and where in it the repository is by the forge's own word.
        project: where the service file says it is.
        archived: whether it is archived.

    Raises:
        ForgeError: if it has moved, or is archived.
    """
    address, there = place
    # A forge compares names without regard to case.
    if there.lower() != project.lower():
        raise ForgeError(
            f"{address}/{project} has moved to {there}",
            hint=f"set repository.project in the service file to {there}",
        )
    if archived:
        raise ForgeError(
            f"{address}/{project} is archived: nothing can be pushed to it",
            hint="unarchive it, or remove the service file",
        )


def require_base(base: str, default: str, *, there: bool) -> None:
    """Check that the base exists.

    Raises:
        ForgeError: if it is not.
    """
    if not there:
        raise ForgeError(
            f"there is no branch {base} in the repository",
            hint=f"set repository.base in the service file; the default branch is {default}",
        )


class Patience(Retry):
    """Also repeats a POST that a limit turned away, and waits for no limit longer than LONGEST_WAIT.

    To ask earlier than a forge says would be held against the token; to wait for hours would hold a worker.
    """

    turned_away: ClassVar[AbstractSet[int]] = {requests.codes.too_many_requests}
    """Statuses which say that a request was not done."""

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:  # noqa: FBT001, FBT002  # urllib3's
        """Whether to ask again."""
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
        """The retry that is left after this one; an error if it is not to be made."""
        wait = self.get_retry_after(response) if response is not None else None
        if wait is not None and wait > LONGEST_WAIT:
            # As urllib3 itself gives up; it has the pool wherever there is an answer.
            raise MaxRetryError(_pool, url, ResponseError(f"it asks to wait for {wait:.0f} s"))  # type: ignore[arg-type]
        return super().increment(method, url, response, error, _pool, _stacktrace)
