"""Decode the messages of profiles to an Arrow batch with ptars, and convert its errors to named reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import ptars

from fleetpgo.errors import ProfileError
from fleetpgo.pprof import profile_pb2
from fleetpgo.pprof.codec.columns import NOT_A_PROFILE
from fleetpgo.pprof.codec.records import octets_of, offsets
from fleetpgo.pprof.codec.wire import LONGER, Walk, walk

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa  # type: ignore[import-untyped]  # it has no stubs

    from fleetpgo.pprof.codec.reading import Limits

NUMBERS = 8
"""Numbers in all samples, and in all locations, for each record that a profile may have. Tags and lengths
count as well. The Go compiler's own profile has 42,000 records, and 328,000 numbers in its samples."""

SMALL_MESSAGE = 2 << 20
"""Bytes up to which any message fits in memory, whatever is in it; a longer one is looked through first."""

_POOL = ptars.HandlerPool([profile_pb2.DESCRIPTOR])
PROFILE = _POOL.get_for_message(profile_pb2.Profile.DESCRIPTOR)
LOCATIONS_AS_BYTES = _POOL.get_for_message(profile_pb2.LocationsAsBytes.DESCRIPTOR)
LEAF_PROFILE = _POOL.get_for_message(profile_pb2.LeafProfile.DESCRIPTOR)


def decode(messages: Sequence[bytes], limits: Limits, handler: Any) -> pa.RecordBatch:  # noqa: ANN401 -- ptars exports no type
    """Return the messages as a batch of one row each.

    Args:
        messages: unzipped, one for each profile.
        limits: what each may be.
        handler: ptars' for what they are read as: :data:`LOCATIONS_AS_BYTES`, :data:`LEAF_PROFILE`, or
            :data:`PROFILE`.

    Raises:
        ProfileError: one of them is no protobuf message within ``limits``, or has no string table.
    """
    for raw in messages:
        if len(raw) > SMALL_MESSAGE:
            if walk(raw, limits.records) is Walk.TOO_MANY:
                raise _too_many(limits.records)
            whole = _batch([raw], limits, LEAF_PROFILE)
            _require_strings(whole)
            _require_few_numbers(whole, limits)
    batch = _batch(messages, limits, handler)
    _require_strings(batch)
    return batch


def _batch(messages: Sequence[bytes], limits: Limits, handler: Any) -> pa.RecordBatch:  # noqa: ANN401 -- as above
    try:
        return handler.list_to_record_batch(messages)
    except ValueError as error:
        failure: BaseException = error
    except BaseException as error:  # a panic in Rust code is none of Python's exceptions
        if type(error).__name__ != "PanicException":
            raise
        failure = error
    for raw in messages:
        if walk(raw, limits.records) is Walk.CUT_OFF:
            raise ProfileError(
                f"The profile ends inside a record, after {len(raw):,} bytes.",
                reason="truncated",
                hint="Fetch it again with a timeout well above the profile's duration.",
            ) from failure
    raise ProfileError(
        f"The {len(messages[0]):,} bytes are not a profile: they are no protobuf message of that kind.",
        reason="not-a-profile",
        hint=NOT_A_PROFILE,
    ) from failure


def _require_few_numbers(batch: pa.RecordBatch, limits: Limits) -> None:
    """Check that samples and locations hold few enough numbers, of which each takes eight bytes or more."""
    for name in ("sample", "location"):
        octets, _ = octets_of(batch.column(name).values)
        # The last octet of each number, and no other one, lacks the bit that says: one more follows.
        if np.count_nonzero(octets < LONGER) > NUMBERS * limits.records:
            raise _too_many(limits.records)


def _too_many(records: int) -> ProfileError:
    return ProfileError(
        f"The profile holds more than {records:,} records, or more than {NUMBERS} numbers for each.",
        reason="too-large",
        hint="Real profiles hold some ten thousand; raise the limit for a source that you trust.",
    )


def _require_strings(batch: pa.RecordBatch) -> None:
    tables = batch.column("string_table")
    starts = offsets(tables)
    if not np.diff(starts).all() or np.diff(offsets(tables.values))[starts[:-1]].any():
        raise ProfileError(
            "The bytes are not a profile: there is no string table that starts with the empty string.",
            reason="not-a-profile",
            hint=NOT_A_PROFILE,
        )
