"""Profiles without the part of their stacks that the compiler does not read.

Most of a profile's bytes are the locations of its stacks, and of each stack the compiler reads the two next
to the leaf. So ptars hands over the samples as they are, and numpy reads the beginning of all of them at
once. It reads them as Go's runtime and google/pprof write them: location ids in one packed list, or at most
two of them one by one; before or behind them the values, all packed or all one by one; then labels. Profiles
with any other sample are read whole, and then shortened.

Locations that no sample has there are left out, too. What is left out is not checked either: a wrong
reference in it goes unseen.
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
from fleetpgo.pprof.codec.records import (
    UnusualError,
    at_places,
    list_ends,
    octets_of,
    offsets,
    require,
    tag,
    varints,
)
from fleetpgo.pprof.codec.wire import LENGTH_DELIMITED, VARINT

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa  # type: ignore[import-untyped]  # it has no stubs

    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.columns import Columns
    from fleetpgo.pprof.codec.reading import Limits
    from fleetpgo.pprof.codec.records import Octets

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
    """The profiles with the two leaf-most locations of each stack.

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
    """The locations that the samples' ids name, and the rows that the samples' stacks have among them."""
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
    """The samples; their stacks are ids of locations as yet, not rows."""
    octets, starts = octets_of(records)
    at, stop = starts[:-1], starts[1:]
    tags = at_places(octets, at)
    values_first = bool(np.all((tags == VALUE) | (tags == VALUES)))
    if values_first:
        values, at = _values(octets, at, stop, types)
    first, more, second, at = _locations(octets, at, stop)
    if not values_first:
        values, at = _values(octets, at, stop, types)
    _require_labels_only(octets, at, stop)
    depths = np.ones(len(first), np.int64)
    depths[more] = COMPILER_DEPTH
    ends = np.cumsum(depths)
    location_ids = np.empty(depths.sum(), np.int64)
    location_ids[ends - depths] = first
    location_ids[ends[more] - 1] = second
    no_labels = np.zeros((0, 4), np.int64)
    return Samples(values, depths, location_ids, no_labels, np.zeros(len(depths) + 1, np.int64))


def _locations(octets: Octets, at: Ints, stop: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """The locations that are written at ``at``.

    Returns:
        The first id of each sample, which samples have a second one, these, and the place behind the list.
    """
    tags = at_places(octets, at)
    packed = tags == LOCATIONS
    require((at < stop) & (packed | (tags == LOCATION)))
    # Of a packed list the number behind the tag is its size, else the first id.
    first, at = varints(octets, at + 1)
    list_stop = np.where(packed, at + first, stop)
    require((at <= list_stop) & (list_stop <= stop))
    again = np.flatnonzero(packed)
    first[again], at[again] = varints(octets, at[again])
    more = np.flatnonzero((at < list_stop) & (packed | (at_places(octets, at) == LOCATION)))
    second, at[more] = varints(octets, at[more] + ~packed[more])
    require(at <= list_stop)
    return first, more, second, np.where(packed, list_stop, at)


def _values(octets: Octets, at: Ints, stop: Ints, types: int) -> tuple[Ints, Ints]:
    """(samples, types) the values that are written at ``at``, and the places behind them."""
    if types > MOST_TYPES:
        raise UnusualError
    packed, list_stop = bool(np.all(at_places(octets, at) == VALUES)), stop
    if packed:
        at, list_stop = list_ends(octets, at + 1, stop)
    values = np.empty((len(at), types), np.int64)
    for index in range(types):
        require(at < list_stop)
        if not packed:
            require(at_places(octets, at) == VALUE)
            at = at + 1
        values[:, index], at = varints(octets, at)
    require(at == list_stop if packed else at <= stop)
    return values, at


def _require_labels_only(octets: Octets, at: Ints, stop: Ints) -> None:
    """See that nothing but labels follows."""
    for _ in range(MOST_LABELS):
        left = at < stop
        if not left.any():
            break
        at, stop = at[left], stop[left]
        require(at_places(octets, at) == LABEL)
        _, at = list_ends(octets, at + 1, stop)
    require(at == stop)
