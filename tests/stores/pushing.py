"""Pushes raw profiles into a Pyroscope or a Parca, as profilers do."""

from __future__ import annotations

import gzip
import json
import re
import uuid
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import requests

from fleetpgo.pprof import profile_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

PROFILES = Path(__file__).parents[1] / "testdata/profiles"
OLD, NEW, NEW_TOO = "go1.26.6.pb.gz", "go1.27.3.pb.gz", "go1.27.3-b.pb.gz"
"""Profiles of two builds of one program; the last two are of one build. Some names have type arguments."""

SECONDS = 3
"""Length of each."""

_BUILD = re.compile(r"[0-9a-f]{40}")


def raw(file: str, at: float, *, times: int = 1) -> bytes:
    """A raw profile as if it had been taken at another time, with so many times its samples."""
    profile = profile_pb2.Profile.FromString(gzip.decompress((PROFILES / file).read_bytes()))
    profile.time_nanos = int(at * 1e9)
    for sample in profile.sample:
        sample.value[:] = [value * times for value in sample.value]
    return gzip.compress(profile.SerializeToString())


@dataclass(frozen=True)
class Server:
    """A store to push to: of which kind, and its base address."""

    kind: Literal["pyroscope", "parca"]
    address: str

    @property
    def query(self) -> str:
        """The profile type of CPU time, with a matcher for the service and one for the pod."""
        kind = {
            "pyroscope": "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
            "parca": "process_cpu:samples:count:cpu:nanoseconds:delta",
        }[self.kind]
        return kind + '{service_name="%s", pod="$pod"}'

    def push(self, labels: Mapping[str, str], *profiles: bytes) -> None:
        """Push raw profiles of one instance."""
        pairs = [
            {"name": name, "value": value} for name, value in {"__name__": "process_cpu", **labels}.items()
        ]
        encoded = [b64encode(profile).decode() for profile in profiles]
        if self.kind == "pyroscope":
            path = "push.v1.PusherService/Push"
            samples = [{"rawProfile": text, "ID": str(uuid.uuid4())} for text in encoded]
            series = [{"labels": pairs, "samples": samples}]
        else:
            path = "api/profiles/writeraw"
            series = [{"labels": {"labels": pairs}, "samples": [{"rawProfile": text} for text in encoded]}]
        reply = requests.post(
            f"{self.address}/{path}",
            data=json.dumps({"series": series}),
            headers={"Content-Type": "application/json"},
            timeout=30,
        )
        said = f"HTTP {reply.status_code} {reply.text[:300]}"
        assert reply.ok, f"{self.kind} at {self.address} does not take a profile: {said}"
