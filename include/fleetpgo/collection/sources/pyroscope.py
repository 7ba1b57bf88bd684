"""Grafana Pyroscope, through the Connect protocol (https://connectrpc.com/docs/protocol/).

``POST /querier.v1.QuerierService/SelectMergeProfile`` with a ``SelectMergeProfileRequest`` answers with a
``google.v1.Profile``, which is the pprof format. Source: api/querier/v1/querier.proto of
https://github.com/grafana/pyroscope at commit 0003648bc72d. Messages are binary protobuf: a JSON answer would
have to be converted to pprof.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from yarl import URL

from fleetpgo.collection.faults import NothingError
from fleetpgo.collection.sources import Request
from fleetpgo.collection.sources.continuous import completed
from fleetpgo.collection.sources.labels import fill
from fleetpgo.collection.sources.pyroscope_pb2 import SelectMergeProfileRequest

if TYPE_CHECKING:
    from fleetpgo.pprof import Limits
    from fleetpgo.selection import Target

_NOTHING = (b"", bytes.fromhex("0a0032005a00"))
"""Pyroscope's answers if it does not know the service, and if it knows the service but not the instance."""

_MOST_NODES = 1 << 20
"""Most nodes that a server returns (``max_flamegraph_nodes_max``); its default may cut off rare stacks."""

_CALL = "querier.v1.QuerierService/SelectMergeProfile"


@dataclass(frozen=True)
class Pyroscope:
    """Fetches the profiles that Pyroscope has stored for each instance.

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
        """Return the call for the `seconds` before `until`."""
        kind, brace, matchers = self.question(target, seconds=seconds).partition("{")
        end = int(until * 1000)
        asked = SelectMergeProfileRequest(
            profile_typeID=kind,
            label_selector=brace + matchers,
            start=end - seconds * 1000,
            end=end,
            max_nodes=_MOST_NODES,
        )
        headers = {"Content-Type": "application/proto", "Connect-Protocol-Version": "1"}
        return Request(URL(self.address) / _CALL, "POST", asked.SerializeToString(), headers)

    def profile(self, body: bytes, *, seconds: int, limits: Limits) -> bytes:
        """Return the body, with missing metadata filled in.

        Raises:
            NothingError: Pyroscope has no profile of that time.
        """
        if body in _NOTHING:
            raise NothingError("no-samples: Pyroscope has no profile for collection.query in that time")
        return completed(body, seconds=seconds, limits=limits)
