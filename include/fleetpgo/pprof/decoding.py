"""From the bytes of a profile to its columns.

ptars reads the message straight into Arrow columns; here they become plain numpy arrays, and every
reference in them is checked and resolved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import ptars

from fleetpgo.errors import ProfileError
from fleetpgo.pprof import profile_pb2
from fleetpgo.pprof.columns import NONE, NOT_A_PROFILE, Columns, Header, ValueType
from fleetpgo.pprof.edges import go_name
from fleetpgo.pprof.reading import Limits, message
from fleetpgo.pprof.wire import Walk, walk

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]  # it has no stubs

    from fleetpgo.pprof.columns import Ints

NESTED_TAGS = (bytes([4 << 3 | 2]), bytes([3 << 3 | 2]))
"""What each Line of a Location, and each Label of a Sample, begins with."""

SMALL_MESSAGE = 2 << 20
"""Bytes up to which any message fits in memory, whatever is in it; a longer one is looked through first."""

_POOL = ptars.HandlerPool([profile_pb2.DESCRIPTOR])
_PROFILE = _POOL.get_for_message(profile_pb2.Profile.DESCRIPTOR)

_MAPPING_FIELDS = ("memory_start", "memory_limit", "file_offset", "filename", "build_id")
_MAPPING_FLAGS = ("has_functions", "has_filenames", "has_line_numbers", "has_inline_frames")

_REFETCH = "Fetch the profile again; if it stays so, whatever wrote it does not keep to the pprof format."


def read(data: bytes, limits: Limits, *, depth: int | None = None) -> Columns:
    """Read a profile, gzipped or not; see :func:`parse`."""
    return parse(message(data, limits), limits, depth=depth)


def parse(raw: bytes, limits: Limits, *, depth: int | None = None) -> Columns:
    """Read a profile's message.

    Args:
        raw: the unzipped message.
        limits: what it may be.
        depth: keep only this many leaf-most locations of each stack; None: all.

    Raises:
        ProfileError: the bytes are no well-formed pprof message within ``limits``.
    """
    batch = _decode(raw, limits)
    # A batch of one row, so the values of its list columns are the tables.
    strings: list[bytes] = batch.column("string_table").values.to_pylist()
    if not strings or strings[0]:
        raise ProfileError(
            "The bytes are not a profile: there is no string table that starts with the empty string.",
            reason="not-a-profile",
            hint=NOT_A_PROFILE,
        )
    samples, functions, mappings, locations = (
        batch.column(table).values for table in ("sample", "function", "mapping", "location")
    )
    function_table = _table(functions, "name", "system_name", "filename", "start_line")
    mapping_table = _table(mappings, *_MAPPING_FIELDS, flags=_MAPPING_FLAGS)
    _check_rows(function_table[:, :3], "string", len(strings))
    _check_rows(mapping_table[:, 3:5], "string", len(strings))

    line_lists = locations.field("line")
    lines = _table(line_lists.values, "function_id", "line", "column")
    lines[:, 0] = _Ids(functions, "function").rows_or_none(lines[:, 0])
    location_table = _table(locations, "mapping_id", "address", flags=("is_folded",))
    location_table[:, 0] = _Ids(mappings, "mapping").rows_or_none(location_table[:, 0])

    header = _header(batch, strings)
    depths, stacks = _stacks(samples, _Ids(locations, "location"), limits.stack_depth, depth)
    label_lists = samples.field("label")
    labels = _table(label_lists.values, "key", "str", "num", "num_unit")
    _check_rows(labels[:, [0, 1, 3]], "string", len(strings))
    return Columns(
        header=header,
        message_bytes=len(raw),
        strings=strings,
        functions=function_table,
        mappings=mapping_table,
        locations=location_table,
        line_starts=_offsets(line_lists),
        lines=lines,
        values=_values(samples, len(header.sample_types)),
        depths=depths,
        stacks=stacks,
        labels=labels,
        label_starts=_offsets(label_lists),
    )


def _decode(raw: bytes, limits: Limits) -> pa.RecordBatch:
    if len(raw) > SMALL_MESSAGE:
        # There are no more nested records than bytes that could be their tag.
        nested = max(map(raw.count, NESTED_TAGS))
        if nested > limits.records or walk(raw, limits.records) is Walk.TOO_MANY:
            raise ProfileError(
                f"The profile holds more than {limits.records:,} records.",
                reason="too-large",
                hint="Real profiles hold some ten thousand; raise the limit for a source that you trust.",
            )
    try:
        return _PROFILE.list_to_record_batch([raw])
    except ValueError as error:
        failure: BaseException = error
    except BaseException as error:  # a panic in Rust code is none of Python's exceptions
        if type(error).__name__ != "PanicException":
            raise
        failure = error
    if walk(raw, limits.records) is Walk.CUT_OFF:
        raise ProfileError(
            f"The profile ends inside a record, after {len(raw):,} bytes.",
            reason="truncated",
            hint="Fetch it again with a timeout well above the profile's duration.",
        ) from failure
    raise ProfileError(
        f"The {len(raw):,} bytes are not a profile: they are no protobuf message of that kind.",
        reason="not-a-profile",
        hint=NOT_A_PROFILE,
    ) from failure


def _numbers(column: pa.Array) -> Ints:
    """A column without nulls, as 64 bits with sign. ``to_numpy`` imports pandas: a second."""
    if not len(column):
        return np.zeros(0, np.int64)
    return np.frombuffer(column.buffers()[1], np.int64, len(column))


def _offsets(lists: pa.ListArray) -> Ints:
    """(lists + 1,) where in its values each list of a column starts, and where the last one ends."""
    if not len(lists):
        return np.zeros(1, np.int64)
    return np.frombuffer(lists.buffers()[1], np.int32, len(lists) + 1).astype(np.int64)


def _table(records: pa.StructArray, *fields: str, flags: tuple[str, ...] = ()) -> Ints:
    """(records, fields and flags) of a struct column, as 64 bits with sign."""
    table = np.empty((len(records), len(fields) + len(flags)), np.int64)
    for index, field in enumerate(fields):
        table[:, index] = _numbers(records.field(field))
    for index, flag in enumerate(flags, start=len(fields)):
        if len(records):
            bits = np.frombuffer(records.field(flag).buffers()[1], np.uint8)
            table[:, index] = np.unpackbits(bits, count=len(records), bitorder="little")
    return table


class _Ids:
    """The rows of a table by the ids that the message gives them."""

    def __init__(self, records: pa.StructArray, table: str) -> None:
        ids = _numbers(records.field("id"))
        self.table = table
        self.count = len(ids)
        # Go numbers from 1; others may not.
        self.dense = np.array_equal(ids, np.arange(1, len(ids) + 1))
        if self.dense:
            return
        self.order = np.argsort(ids, kind="stable")
        self.sorted = ids[self.order]
        if np.any(self.sorted == 0) or np.any(self.sorted[1:] == self.sorted[:-1]):
            raise ProfileError(
                f"Two {table}s of the profile have the same id, or one has id 0.",
                reason="duplicate-id",
                hint=_REFETCH,
            )

    def rows(self, ids: Ints) -> Ints:
        """The row of each id."""
        if self.dense:
            rows = ids - 1
            known = rows.view(np.uint64) < self.count
        else:
            place = np.minimum(np.searchsorted(self.sorted, ids), self.count - 1)
            rows = self.order[place]
            known = self.sorted[place] == ids
        if not known.all():
            raise _bad_reference(self.table, int(ids[np.argmin(known)]))
        return rows

    def rows_or_none(self, ids: Ints) -> Ints:
        """The row of each id, and NONE for id 0."""
        given = ids != 0
        rows = np.full(len(ids), NONE, np.int64)
        rows[given] = self.rows(ids[given])
        return rows


def _stacks(samples: pa.StructArray, ids: _Ids, deepest: int, depth: int | None) -> tuple[Ints, Ints]:
    """(samples,) depths, and the rows of all locations."""
    lists = samples.field("location_id")
    offsets, location_ids = _offsets(lists), _numbers(lists.values)
    depths = np.diff(offsets)
    if len(depths) and depths.max() > deepest:
        raise ProfileError(
            f"A stack has {depths.max():,} locations; the limit is {deepest:,}.",
            reason="too-deep",
            hint="Go's runtime writes at most 128: check where the profile comes from.",
        )
    if depth is not None:
        depths = np.minimum(depths, depth)
        stops = np.cumsum(depths)
        location_ids = location_ids[
            np.arange(depths.sum()) + np.repeat(offsets[:-1] - stops + depths, depths)
        ]
    return depths, ids.rows(location_ids)


def _values(samples: pa.StructArray, types: int) -> Ints:
    lists = samples.field("value")
    counts = np.diff(_offsets(lists))
    wrong = counts != types
    if wrong.any():
        raise ProfileError(
            f"The profile has {types} sample types, but a sample with {counts[wrong][0]} values.",
            reason="wrong-value-count",
            hint=_REFETCH,
        )
    return _numbers(lists.values).reshape(len(counts), types)


def _header(batch: pa.RecordBatch, strings: list[bytes]) -> Header:
    def number(field: str) -> int:
        found: int = batch.column(field)[0].as_py()
        return found

    def text(row: int) -> str:
        if not 0 <= row < len(strings):
            raise _bad_reference("string", row)
        return go_name(strings[row])

    def value_type(fields: dict[str, int] | None) -> ValueType:
        return ValueType(text(fields["type"]), text(fields["unit"])) if fields else ValueType("", "")

    return Header(
        sample_types=tuple(map(value_type, batch.column("sample_type")[0].as_py())),
        period_type=value_type(batch.column("period_type")[0].as_py()),
        period=number("period"),
        time=number("time_nanos"),
        duration=number("duration_nanos"),
        comments=tuple(map(text, batch.column("comment")[0].as_py())),
        drop_frames=text(number("drop_frames")),
        keep_frames=text(number("keep_frames")),
        default_sample_type=text(number("default_sample_type")),
        doc_url=text(number("doc_url")),
    )


def _check_rows(rows: Ints, table: str, count: int) -> None:
    outside = (rows < 0) | (rows >= count)
    if outside.any():
        raise _bad_reference(table, int(rows[outside][0]))


def _bad_reference(table: str, number: int) -> ProfileError:
    return ProfileError(
        f"The profile refers to {table} {number}, which it does not hold.",
        reason="bad-reference",
        hint=_REFETCH,
    )
