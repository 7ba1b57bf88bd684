"""Read only the part of each stack that the compiler reads: its two leaf-most locations.

Most bytes of a profile are the locations of its stacks, but the compiler reads only two locations of each
stack. So ptars returns the samples as bytes, and numpy decodes the start of all samples at once. It expects
the encoding of Go's runtime and google/pprof: location ids in one packed list, or at most two ids unpacked;
before or after them the values, all packed or all unpacked; then labels. If any sample is encoded in another
way, the whole profile is decoded, and then shortened.

Locations that only deeper frames use are left out, too. What is left out is not checked, so a wrong reference
in it is not detected.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.errors import ProfileError
from fleetpgo.pprof.codec.arrays import ranges, starts_of, used_rows
from fleetpgo.pprof.codec.batches import LEAF_PROFILE, decode
from fleetpgo.pprof.codec.columns import require_few_lines, require_short_names
from fleetpgo.pprof.codec.decoding import Records, Samples, parse, resolved, sample_types
from fleetpgo.pprof.codec.locations import Locations, usual_locations
from fleetpgo.pprof.codec.records import Cursor, UnusualError, offsets, require, tag
from fleetpgo.pprof.codec.wire import LENGTH_DELIMITED, VARINT

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa  # type: ignore[import-untyped]  # it has no stubs

    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.columns import Columns
    from fleetpgo.pprof.codec.reading import Limits

COMPILER_DEPTH = 2
"""Locations of a stack that the compiler reads, from the leaf."""

LOCATION, LOCATIONS = tag(1, VARINT), tag(1, LENGTH_DELIMITED)
VALUE, VALUES = tag(2, VARINT), tag(2, LENGTH_DELIMITED)
"""Tags of Sample's fields: one number, and a packed list."""

LABEL = tag(3, LENGTH_DELIMITED)

MOST_LINES = 0.4
"""Lines next to the leaves of all stacks for each record that a profile may have: each may become an edge,
and Python takes some ten microseconds for an edge."""

MOST_TYPES = 16
"""Values of a sample that are read here: one step for all samples each. Go writes two."""

MOST_LABELS = 16
"""Labels of a sample that are looked over: one step for all samples each."""


def parse_leaves(messages: Sequence[bytes], limits: Limits) -> Columns:
    """Read the messages of one or more profiles, with the two leaf-most locations of each stack.

    Arguments and errors are those of :func:`fleetpgo.pprof.codec.decoding.parse`, but for what is left out.
    """
    batch = decode(messages, limits, LEAF_PROFILE)
    try:
        samples = _usual_samples(batch.column("sample").values, sample_types(batch))
        stacks, locations = _usual_stacks(batch, samples)
    except UnusualError:
        return shortened(parse(messages, limits), limits)
    return _bounded(resolved(batch, messages, samples._replace(stacks=stacks), locations), limits)


def shortened(profiles: Columns, limits: Limits) -> Columns:
    """Return the profiles with the two leaf-most locations of each stack.

    Raises:
        ProfileError: these hold too many lines, or too long names (``too-large``).
    """
    starts, depths = starts_of(profiles.depths)[:-1], np.minimum(profiles.depths, COMPILER_DEPTH)
    stacks = profiles.stacks.take(ranges(starts, depths))
    return _bounded(replace(profiles, depths=depths, stacks=stacks), limits)


def _bounded(profiles: Columns, limits: Limits) -> Columns:
    require_few_lines(profiles, int(MOST_LINES * limits.records))
    require_short_names(profiles, limits.message_bytes)
    return profiles


def _usual_stacks(batch: pa.RecordBatch, samples: Samples) -> tuple[Ints, Locations]:
    """Return the locations that the samples use, and the rows of the samples' stacks in them."""
    records = Records(offsets(batch.column("location")), "location")
    try:
        rows = records.rows(
            samples.stacks, starts_of(samples.depths)[offsets(batch.column("sample"))], lowest=1
        )
    except ProfileError as error:  # their ids are not their numbers
        raise UnusualError from error
    used = used_rows(rows, records.starts[-1])
    locations = usual_locations(batch.column("location"), used)
    firsts = np.repeat(records.starts[:-1], np.diff(locations.starts))
    require(locations.ids == used - firsts + 1)
    numbers = np.empty(records.starts[-1], np.int64)
    numbers[used] = np.arange(len(used))
    return numbers.take(rows), locations


def _usual_samples(records: pa.Array, types: int) -> Samples:
    """Return the samples. Their stacks still hold ids of locations, not rows."""
    cursor = Cursor.of(records)
    tags = cursor.tags()
    values_first = bool(np.all((tags == VALUE) | (tags == VALUES)))
    if values_first:
        values = _values(cursor, types)
    first, more, second = _locations(cursor)
    if not values_first:
        values = _values(cursor, types)
    _require_labels_only(cursor)
    depths = np.ones(len(first), np.int64)
    depths[more] = COMPILER_DEPTH
    ends = np.cumsum(depths)
    location_ids = np.empty(depths.sum(), np.int64)
    location_ids[ends - depths] = first
    location_ids[ends[more] - 1] = second
    no_labels = np.zeros((0, 4), np.int64)
    return Samples(values, depths, location_ids, no_labels, np.zeros(len(depths) + 1, np.int64))


def _locations(cursor: Cursor) -> tuple[Ints, Ints, Ints]:
    """Read location ids: each sample's first, which samples have a second, and the second ids."""
    tags = cursor.tags()
    packed = tags == LOCATIONS
    require(cursor.left() & (packed | (tags == LOCATION)))
    # Of a packed list the number behind the tag is its size, else the first id.
    cursor.pass_tag()
    first = cursor.varints()
    ids = Cursor(cursor.octets, cursor.at, np.where(packed, cursor.at + first, cursor.stop))
    require((ids.at <= ids.stop) & (ids.stop <= cursor.stop))
    again = np.flatnonzero(packed)
    part = ids.take(again)
    first[again] = part.varints()
    ids.at[again] = part.at
    more = np.flatnonzero(ids.left() & (packed | (ids.tags() == LOCATION)))
    part = ids.take(more)
    part.at += ~packed[more]  # of ids one by one, each has a tag
    second = part.varints()
    ids.at[more] = part.at
    require(ids.at <= ids.stop)
    cursor.at = np.where(packed, ids.stop, ids.at)
    return first, more, second


def _values(cursor: Cursor, types: int) -> Ints:
    """Read (samples, types) the values, which must be all packed or all one by one."""
    if types > MOST_TYPES:
        raise UnusualError
    packed = bool(np.all(cursor.tags() == VALUES))
    numbers = cursor.enter() if packed else cursor
    values = np.empty((len(cursor), types), np.int64)
    for index in range(types):
        require(numbers.left())
        if not packed:
            require(numbers.tags() == VALUE)
            numbers.pass_tag()
        values[:, index] = numbers.varints()
    if packed:
        numbers.require_end()
    require(cursor.at <= cursor.stop)
    return values


def _require_labels_only(cursor: Cursor) -> None:
    """Check that nothing but labels follows."""
    for _ in range(MOST_LABELS):
        left = np.flatnonzero(cursor.left())
        if not len(left):
            break
        cursor = cursor.take(left)
        require(cursor.tags() == LABEL)
        cursor.enter()
    cursor.require_end()
