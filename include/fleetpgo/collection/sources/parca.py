"""Parca, through the HTTP gateway in front of its gRPC API.

``GET /api/profiles/query`` in mode MODE_MERGE with report type REPORT_TYPE_PPROF answers in JSON, with the
gzipped profile in base64 as ``pprof``. Source: parca/query/v1alpha1/query.proto (service QueryService, call
Query) of https://github.com/parca-dev/parca at commit 3b5647cd9e2a (the same as at 9e31ee294269); the
gateway's description in gen/proto/swagger; and pkg/server/server.go, which mounts the gateway under ``/api``.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from yarl import URL

from fleetpgo.collection.faults import UnusableError
from fleetpgo.collection.sources import Request
from fleetpgo.collection.sources.continuous import completed
from fleetpgo.collection.sources.labels import fill

if TYPE_CHECKING:
    from fleetpgo.pprof import Limits
    from fleetpgo.selection import Target


@dataclass(frozen=True)
class Parca:
    """Fetches the profiles that Parca has stored for each instance.

    Args:
        address: base URL of the server.
        query: profile type and label matchers, with placeholders for the target's labels.
    """

    address: str
    query: str

    whole: ClassVar[bool] = False

    def question(self, target: Target, *, seconds: int) -> str:
        """Return the query with the target's labels filled in."""
        return fill(self.query, target, seconds=seconds)

    def request(self, target: Target, *, seconds: int, until: float) -> Request:
        """Return the query for the `seconds` before `until`."""
        return Request(
            (URL(self.address) / "api/profiles/query").with_query(
                {
                    "mode": "MODE_MERGE",
                    "reportType": "REPORT_TYPE_PPROF",
                    "merge.query": self.question(target, seconds=seconds),
                    "merge.start": datetime.fromtimestamp(until - seconds, UTC).isoformat(),
                    "merge.end": datetime.fromtimestamp(until, UTC).isoformat(),
                }
            )
        )

    def profile(self, body: bytes, *, seconds: int, limits: Limits) -> bytes:
        """Return the profile in the answer's field ``pprof``; missing metadata are filled in."""
        if body.lstrip().startswith(b"<"):
            # Parca answers its own page, with HTTP 200, to every path that it does not know.
            raise UnusableError("html: Parca sent a web page: is collection.url the server's base address?")
        try:
            packed = base64.b64decode(json.loads(body)["pprof"], validate=True)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UnusableError(
                "not-a-profile: Parca's answer is not JSON with a `pprof` in base64"
            ) from error
        return completed(packed, seconds=seconds, limits=limits)
