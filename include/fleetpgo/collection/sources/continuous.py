"""Common parts of Pyroscope and Parca, which profile continuously and are queried for a past time.

A query names a profile type and label matchers, ``process_cpu:cpu:nanoseconds:cpu:nanoseconds{pod="api-0"}``,
and the answer is the merge of all profiles in a time range. The instances are not involved.

Both lose the period, the CPU time between two samples: Pyroscope always says one second
(``SetProfileMetadata`` in its pkg/pprof/pprof.go), Parca leaves it out (``selectMerge`` in its
pkg/parcacol/querier.go). Without the period, nanoseconds cannot be converted to samples. So fleetpgo fills in
the period of Go's profiler, and the requested duration.
"""

from __future__ import annotations

import gzip

from google.protobuf.message import DecodeError

from fleetpgo.collection.faults import UnusableError
from fleetpgo.pprof import Limits, profile_pb2
from fleetpgo.pprof.codec.reading import message

GO_PERIOD = 10_000_000
"""Nanoseconds of CPU time between two samples: runtime/pprof takes 100 a second."""

TRUNCATED = "other"
"""Name of the function into which a store collapses rare ones. The name of a Go function has a dot."""

_ENTRY = b"\x32\x05other"
"""TRUNCATED as an entry of a profile's string table: field 6, length 5."""


def completed(profile: bytes, *, seconds: int, limits: Limits) -> bytes:
    """Return a stored profile with its period and its duration filled in, gzipped.

    Args:
        profile: the profile as the store sent it, gzipped or not.
        seconds: the requested length, which becomes the duration.
        limits: largest allowed profile.

    Raises:
        UnusableError: the store has collapsed rare functions into TRUNCATED.
        ProfileError: the profile exceeds `limits`, or is not protobuf.
    """
    raw = message(profile, limits)
    if _ENTRY in raw and _cut_off(raw):
        raise UnusableError(
            f"cut-off: the store has collapsed rare functions into {TRUNCATED!r}: ask for a shorter time "
            "(collection.window), or raise its limit on nodes (Pyroscope: max_flamegraph_nodes_max)"
        )
    # Of a field that is there twice the last one counts: so does protobuf say.
    said = profile_pb2.Profile(period=GO_PERIOD, duration_nanos=seconds * 10**9)
    return gzip.compress(raw + said.SerializeToString(), compresslevel=1, mtime=0)


def _cut_off(raw: bytes) -> bool:
    """Return whether a function of the profile is named TRUNCATED."""
    try:
        profile = profile_pb2.Profile.FromString(raw)
    except DecodeError:  # the check names what is wrong with it
        return False
    texts = {number for number, text in enumerate(profile.string_table) if text == TRUNCATED.encode()}
    return any(each.name in texts for each in profile.function)
