"""Private certificate authorities for requests, and what is said of a certificate that nobody trusts.

requests prefers $REQUESTS_CA_BUNDLE to what a session says, so the file is given with each request. No retry
mends a certificate: it fails at once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Self

from requests.adapters import HTTPAdapter
from urllib3 import Retry
from urllib3.exceptions import SSLError

if TYPE_CHECKING:
    from pathlib import Path

    import requests

HINT = (
    "if its authority is private, name the file with the authority's certificate: as ca in the connection's "
    "extra, or with --ca or FLEETPGO_CA"
)
"""What to do about a certificate that is not trusted."""


class PromptRetry(Retry):
    """Retry policy that does not repeat a request because of a certificate."""

    def increment(self, method: str | None = None, url: str | None = None, *more: Any, **named: Any) -> Self:  # noqa: ANN401  # urllib3's own
        """Return the policy for the next retry; raise the error if it is about TLS."""
        error = named.get("error")
        if isinstance(error, SSLError):
            raise error
        return super().increment(method, url, *more, **named)


class TrustingAdapter(HTTPAdapter):
    """Transport adapter that trusts the authorities in a file, instead of the system's.

    Args:
        ca: the file, in PEM; None: as requests does by itself.
        retry: when to try again.
    """

    def __init__(self, ca: Path | None, retry: Retry | int) -> None:
        self._ca = ca
        super().__init__(max_retries=retry)

    def send(self, request: requests.PreparedRequest, *more: Any, **options: Any) -> requests.Response:  # noqa: ANN401  # requests' own
        """Send a request."""
        if self._ca is not None:
            options["verify"] = str(self._ca)
        return super().send(request, *more, **options)


def refused_certificate(error: BaseException) -> str:
    """Return OpenSSL's reason to refuse a certificate; of another error the whole text."""
    found = re.search(r"certificate verify failed: ([^(\n]*)", str(error))
    return found[1].strip() if found else str(error)
