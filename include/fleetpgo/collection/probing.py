"""Whether an instance serves net/http/pprof where it serves its metrics."""

from __future__ import annotations

import requests

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
    except (requests.RequestException, OSError, ValueError) as error:
        return f"no: {'no answer in time' if isinstance(error, requests.Timeout) else 'unreachable'}"
    if reply.status_code != requests.codes.ok:
        return f"no: HTTP {reply.status_code}"
    return "yes" if b"profile?debug" in text or b"pprof" in text else "no: another page"
