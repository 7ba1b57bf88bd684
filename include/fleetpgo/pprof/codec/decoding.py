"""Decode the bytes of a profile to its columns.

ptars reads the message directly into Arrow columns, except the locations, for which numpy is faster
(:mod:`fleetpgo.pprof.codec.locations`). This module converts all of them to numpy arrays, and checks and
resolves every reference.
"""

from __future__ import annotations

import functools
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fleetpgo.errors import ProfileError
from fleetpgo.pprof.codec.arrays import NONE
from fleetpgo.pprof.codec.batches import LOCATIONS_AS_BYTES, PROFILE, decode
from fleetpgo.pprof.codec.columns import Columns, Header, ValueType, require_short_texts
from fleetpgo.pprof.codec.locations import Locations, usual_locations
from fleetpgo.pprof.codec.reading import message
from fleetpgo.pprof.codec.records import UnusualError, offsets
from fleetpgo.pprof.codec.texts import Texts, go_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa  # type: ignore[import-untyped]  # it has no stubs

    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.reading import Limits

LAST_LINE = (1 << 31) - 1

MAPPING_FIELDS = ("memory_start", "memory_limit", "file_offset", "filename", "build_id")
MAPPING_FLAGS = ("has_functions", "has_filenames", "has_line_numbers", "has_inline_frames")

_REFETCH = "Fetch the profile again; if it stays so, whatever wrote it does not keep to the pprof format."


def read(data: bytes, limits: Limits) -> Columns:
    """Read a profile, gzipped or not; see :func:`parse`."""
    return parse([message(data, limits)], limits)


def parse(messages: Sequence[bytes], limits: Limits) -> Columns:
    """Read the messages of one or more profiles.

    Args:
        messages: unzipped, one for each profile.
        limits: what each may be.

    Raises:
        ProfileError: one of them is no well-formed pprof message within ``limits``, or they do not count the
            same things (``incompatible``).
    """
    batch = decode(messages, limits, LOCATIONS_AS_BYTES)
    try:
        locations = usual_locations(batch.column("location"))
    except UnusualError:
        batch = decode(messages, limits, PROFILE)
        locations = _locations(batch.column("location"))
    return resolved(batch, messages, _samples(batch, limits.stack_depth, locations), locations)


class Samples(NamedTuple):
    """The samples of all profiles, one behind the other.

    Args:
        values: (samples, value types).
        depths: (samples,) how many of ``stacks`` are of each.
        stacks: rows of the locations; each stack leaf first.
        labels: (labels, 4): key, text, number, unit; texts as each profile numbers its strings.
        label_starts: (samples + 1,) where in ``labels`` each sample's start, and where the last one's end.
    """

    values: Ints
    depths: Ints
    stacks: Ints
    labels: Ints
    label_starts: Ints


def resolved(
    batch: pa.RecordBatch, messages: Sequence[bytes], samples: Samples, locations: Locations
) -> Columns:
    """Return the columns of a batch from :func:`decode`, every reference in it checked and resolved.

    Fields of a function that the batch's message does not have are taken as not given. The arrays of
    ``samples`` and ``locations`` are used for it and change.
    """
    strings = Records(offsets(batch.column("string_table")), "string")
    functions, mappings = (Records(offsets(batch.column(name)), name) for name in ("function", "mapping"))
    texts = Texts(batch.column("string_table").values)
    require_short_texts(texts)
    headers = _headers(batch, texts, strings)
    if len({(header.sample_types, header.period_type) for header in headers}) > 1:
        raise ProfileError(
            "The profiles do not count the same things.",
            reason="incompatible",
            hint="Read only profiles of one kind together.",
        )

    records = batch.column("function").values
    function_ids = _Ids(_numbers(records.field("id")), functions)
    function_table = _table(records, "name", "system_name", "filename", "start_line")
    function_table[:, :3] = strings.rows(function_table[:, :3], functions.starts)

    records = batch.column("mapping").values
    mapping_ids = _Ids(_numbers(records.field("id")), mappings)
    mapping_table = _table(records, *MAPPING_FIELDS, flags=MAPPING_FLAGS)
    mapping_table[:, 3:5] = strings.rows(mapping_table[:, 3:5], mappings.starts)

    location_table = np.empty((len(locations.ids), 3), np.int64, order="F")
    location_table[:, 0] = mapping_ids.rows_or_none(locations.mapping_ids, locations.starts)
    location_table[:, 1], location_table[:, 2] = locations.addresses, locations.folded
    lines = locations.lines
    lines[:, 0] = function_ids.rows_or_none(lines[:, 0], locations.line_starts[locations.starts])
    _require_line_numbers(lines[:, 1])
    _require_line_numbers(function_table[:, 3])

    sample_starts = offsets(batch.column("sample"))
    values, depths, stacks, labels, label_starts = samples
    labels[:, [0, 1, 3]] = strings.rows(labels[:, [0, 1, 3]], label_starts[sample_starts])
    return Columns(
        headers=headers,
        message_bytes=tuple(map(len, messages)),
        strings=texts,
        functions=function_table,
        mappings=mapping_table,
        locations=location_table,
        line_starts=locations.line_starts,
        lines=lines,
        values=values,
        depths=depths,
        stacks=stacks,
        labels=labels,
        label_starts=label_starts,
        sample_starts=sample_starts,
        function_starts=functions.starts,
        mapping_starts=mappings.starts,
    )


class Records:
    """The records of all profiles, one behind the other.

    Args:
        starts: (profiles + 1,) where those of each profile start, and where the last ones end.
        name: what one is called, for errors.
    """

    def __init__(self, starts: Ints, name: str) -> None:
        self.starts, self.name = starts, name
        self.counts = np.diff(starts)

    def rows(self, numbers: Ints, starts: Ints, *, lowest: int = 0) -> Ints:
        """Return the row of each number.

        Args:
            numbers: (n,) or (n, some): one profile's behind the other's.
            starts: (profiles + 1,) where the numbers of each profile start, and where the last ones end.
            lowest: number of each profile's first record.
        """
        rows = np.empty_like(numbers)
        of_profiles = zip(self.starts.tolist(), self.counts.tolist(), pairwise(starts.tolist()), strict=False)
        for first, count, (start, stop) in of_profiles:
            part = numbers[start:stop]
            if part.size and not lowest <= part.min() <= part.max() < lowest + count:
                unknown = (part < lowest) | (part >= lowest + count)
                raise _bad_reference(self.name, int(part[unknown][0]))
            np.add(part, first - lowest, out=rows[start:stop])
        return rows


def _require_line_numbers(lines: Ints) -> None:
    """See that lines can be subtracted from each other."""
    if len(lines) and not -LAST_LINE <= lines.min() <= lines.max() <= LAST_LINE:
        raise ProfileError(
            f"The profile names line {max(lines.tolist(), key=abs)}, which no source file has.",
            reason="bad-line",
            hint=_REFETCH,
        )


def _numbers(column: pa.Array) -> Ints:
    """Return a column without nulls, as 64 bits with sign. ``to_numpy`` imports pandas: a second."""
    if not len(column):
        return np.zeros(0, np.int64)
    return np.frombuffer(column.buffers()[1], np.int64, len(column))


def _table(records: pa.StructArray, *fields: str, flags: tuple[str, ...] = ()) -> Ints:
    """Return (records, fields and flags) of a struct column, as 64 bits with sign."""
    table = np.zeros((len(records), len(fields) + len(flags)), np.int64, order="F")
    given = {field.name for field in records.type}
    for index, field in enumerate(fields):
        if field in given:
            table[:, index] = _numbers(records.field(field))
    for index, flag in enumerate(flags, start=len(fields)):
        if flag in given and len(records):
            bits = np.frombuffer(records.field(flag).buffers()[1], np.uint8)
            table[:, index] = np.unpackbits(bits, count=len(records), bitorder="little")
    return table


class _Ids:
    """The rows of a table by the ids that each message gives its records.

    Args:
        ids: (records,) of all profiles.
        table: where they are.
    """

    def __init__(self, ids: Ints, table: Records) -> None:
        self.ids, self.table = ids, table
        # Go numbers from 1; others may not.
        self.dense = all(
            np.array_equal(ids[start:stop], np.arange(1, stop - start + 1))
            for start, stop in pairwise(table.starts.tolist())
        )

    def rows(self, ids: Ints, starts: Ints) -> Ints:
        """Return the row of each id; arguments as of ``Records.rows``."""
        if self.dense:
            return self.table.rows(ids, starts, lowest=1)
        rows = np.empty_like(ids)
        ends = self.table.starts
        for first, last, start, stop in zip(ends, ends[1:], starts, starts[1:], strict=False):
            rows[start:stop] = first + self._find(self.ids[first:last], ids[start:stop])
        return rows

    def rows_or_none(self, ids: Ints, starts: Ints) -> Ints:
        """Return the row of each id, and NONE for id 0."""
        given = ids != 0
        if given.all():
            return self.rows(ids, starts)
        rows = np.full(len(ids), NONE, np.int64)
        rows[given] = self.rows(ids[given], np.append(0, np.cumsum(given))[starts])
        return rows

    def _find(self, known: Ints, ids: Ints) -> Ints:
        """Return the index of each of ``ids`` in one profile's ``known`` ones."""
        order = np.argsort(known, kind="stable")
        rising = known[order]
        if np.any(rising == 0) or np.any(rising[1:] == rising[:-1]):
            raise ProfileError(
                f"Two {self.table.name}s of the profile have the same id, or one has id 0.",
                reason="duplicate-id",
                hint=_REFETCH,
            )
        place = np.minimum(np.searchsorted(rising, ids), len(rising) - 1)
        found = rising[place] == ids if len(rising) else np.zeros(len(ids), np.bool_)
        if not found.all():
            raise _bad_reference(self.table.name, int(ids[np.argmin(found)]))
        rows: Ints = order[place]
        return rows


def _samples(batch: pa.RecordBatch, deepest: int, locations: Locations) -> Samples:
    samples = batch.column("sample").values
    ids, labels = samples.field("location_id"), samples.field("label")
    starts = offsets(ids)
    depths = np.diff(starts)
    if len(depths) and depths.max() > deepest:
        raise ProfileError(
            f"A stack has {depths.max():,} locations; the limit is {deepest:,}.",
            reason="too-deep",
            hint="Go's runtime writes at most 128: check where the profile comes from.",
        )
    rows = _Ids(locations.ids, Records(locations.starts, "location"))
    return Samples(
        values=_values(samples, sample_types(batch)),
        depths=depths,
        stacks=rows.rows(_numbers(ids.values), starts[offsets(batch.column("sample"))]),
        labels=_table(labels.values, "key", "str", "num", "num_unit"),
        label_starts=offsets(labels),
    )


def _locations(column: pa.ListArray) -> Locations:
    records = column.values
    lines = records.field("line")
    ids, mapping_ids, addresses, folded = _table(
        records, "id", "mapping_id", "address", flags=("is_folded",)
    ).T
    line_table = _table(lines.values, "function_id", "line", "column")
    return Locations(offsets(column), ids, mapping_ids, addresses, folded, offsets(lines), line_table)


def sample_types(batch: pa.RecordBatch) -> int:
    """Return the number of values that each sample of the first profile must have."""
    return int(offsets(batch.column("sample_type"))[1])


def _values(samples: pa.StructArray, types: int) -> Ints:
    lists = samples.field("value")
    counts = np.diff(offsets(lists))
    wrong = counts != types
    if wrong.any():
        raise ProfileError(
            f"The profile has {types} sample types, but a sample with {counts[wrong][0]} values.",
            reason="wrong-value-count",
            hint=_REFETCH,
        )
    return _numbers(lists.values).reshape(len(counts), types)


HEADER_NUMBERS = ("period", "time_nanos", "duration_nanos")
HEADER_TEXTS = ("drop_frames", "keep_frames", "default_sample_type", "doc_url")


def _headers(batch: pa.RecordBatch, texts: Texts, strings: Records) -> tuple[Header, ...]:
    """Return each profile's fields outside its tables."""
    numbers = {field: _numbers(batch.column(field)).tolist() for field in (*HEADER_NUMBERS, *HEADER_TEXTS)}
    types, comments = batch.column("sample_type"), batch.column("comment")
    type_rows, type_starts = _table(types.values, "type", "unit").tolist(), offsets(types).tolist()
    comment_rows, comment_starts = _numbers(comments.values).tolist(), offsets(comments).tolist()
    # A period type that is not given is a pair of zeros: empty texts.
    period_types = _table(batch.column("period_type"), "type", "unit").tolist()

    def header(row: int, first: int, count: int) -> Header:
        @functools.cache  # one long text may be named by thousands of comments
        def text(place: int) -> str:
            if not 0 <= place < count:
                raise _bad_reference("string", place)
            return go_name(texts[first + place])

        own_types = type_rows[type_starts[row] : type_starts[row + 1]]
        own_comments = comment_rows[comment_starts[row] : comment_starts[row + 1]]
        period, time, duration = (numbers[field][row] for field in HEADER_NUMBERS)
        return Header(
            sample_types=tuple(ValueType(*map(text, kind)) for kind in own_types),
            period_type=ValueType(*map(text, period_types[row])),
            period=period,
            time=time,
            duration=duration,
            comments=tuple(map(text, own_comments)),
            **{field: text(numbers[field][row]) for field in HEADER_TEXTS},
        )

    return tuple(map(header, range(len(batch)), strings.starts.tolist(), strings.counts.tolist()))


def _bad_reference(table: str, number: int) -> ProfileError:
    return ProfileError(
        f"The profile refers to {table} {number}, which it does not hold.",
        reason="bad-reference",
        hint=_REFETCH,
    )
