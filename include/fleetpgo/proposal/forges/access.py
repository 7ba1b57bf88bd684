"""Common parts of forges with a server: address, token, and the meaning of their error statuses."""

from __future__ import annotations

from base64 import b64encode
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests

from fleetpgo import foreign
from fleetpgo.errors import ForgeError, RefusedError
from fleetpgo.network import trust
from fleetpgo.proposal.forges.transport import AnswerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HINTS = {
    401: "the connection's token is wrong or has expired: make a new one",
    403: "let the connection's token read and write contents and pull requests of this repository",
    404: "check repository.project in the service file; a token that may not see it gets this answer too",
    405: "let the repository allow auto-merge in that way; right after opening, run the step again",
    409: "a pull request was opened meanwhile: run the step again",
    422: "correct what the answer names; if a pull request was opened meanwhile, run the step again",
}

_LONGEST_WORDS = 1000
"""Characters of a forge's own words in an error."""

ELSE = "see whether the forge is well and its limits on requests are kept, then run the step again"
"""The hint for all other statuses."""


def checked(address: str, token: str | None) -> tuple[str, str]:
    """Return an address without a slash at its end, and a token.

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
        raise ForgeError(
            "the forge's connection holds no token",
            hint="set the connection's password to one, or $FLEETPGO_TOKEN",
        )
    foreign.remember(token)
    foreign.remember_netrc(address)
    return f"https://{parts.netloc}{parts.path}".rstrip("/"), token


def git_access(address: str, user: str, token: str, ca: Path | None) -> dict[str, str]:
    """Return git configuration that sends a token as an HTTP header to one server only.

    A submodule there that is named by an address for SSH is fetched over HTTPS: a token is all we have.
    """
    foreign.remember_login(user, token)
    credentials = b64encode(f"{user}:{token}".encode()).decode()
    host = urlsplit(address).hostname
    trusted = {} if ca is None else {f"http.{address}/.sslCAInfo": str(ca)}
    return {
        **trusted,
        f"http.{address}/.extraHeader": f"Authorization: Basic {credentials}",
        f"url.{address}/.insteadOf": f"git@{host}:",
        f"url.{address}.insteadOf": f"ssh://git@{host}",
    }


def refusal(status: int) -> type[ForgeError]:
    """Return the error class for a status: the forge refuses this request, or it cannot answer now."""
    about_us = (
        requests.codes.unauthorized,
        requests.codes.request_timeout,
        requests.codes.too_many_requests,
    )
    refused = requests.codes.bad_request <= status < requests.codes.server_error
    return RefusedError if refused and status not in about_us else ForgeError


def no_milestone(repository: str, title: str) -> RefusedError:
    """Return the error for a milestone that the repository does not have."""
    return RefusedError(
        f"{repository} has no open milestone {title}",
        hint="make the milestone, or correct review.milestone in the service file",
    )


def words(error: object) -> str:
    """Return what a forge or a library says, on one line that somebody would read."""
    return foreign.line(str(error), _LONGEST_WORDS)


def unanswered(address: str, doing: str, error: requests.RequestException) -> ForgeError:
    """Return the error for a forge that never answered, or answered every retry with an error."""
    if isinstance(error, AnswerError):
        return ForgeError(
            f"{address} gives no answer that can be used, {doing}: {error}",
            hint="check the connection's host: it must be the forge's own address, with no login page or "
            "proxy before it; then run the step again",
        )
    if isinstance(error, requests.exceptions.SSLError):
        said = words(trust.refused_certificate(error))
        return ForgeError(
            f"{address} shows a certificate that is not trusted, {doing}: {said}",
            hint=trust.HINT,
        )
    if isinstance(error, requests.exceptions.RetryError):
        # The reason alone: the whole is wrapped in the words of two libraries.
        reason = getattr(error.args[0], "reason", error)
        return ForgeError(f"{address} turns requests away, {doing}: {reason}", hint=ELSE)
    return ForgeError(
        f"{address} cannot be reached, {doing}: {words(error)}",
        hint="check the connection's host and the network, then run the step again",
    )


@contextmanager
def understanding() -> Iterator[None]:
    """Turn errors from reading an unexpected answer into a ForgeError."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError, AssertionError) as error:
        raise ForgeError(
            "the forge describes a pull request in another form than its API has: "
            f"{type(error).__name__} {words(error)}",
            hint="check the connection's host and repository.forge: is it that kind of forge, and a "
            "supported version?",
        ) from error


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
