"""Encode a profile, so that equal profiles have equal bytes.

Every table is sorted by content, not by order of arrival: strings by their bytes; functions, locations and
samples by the row numbers in them. Only the mappings keep their order, because the first one is the main
binary. The gzip stream has fixed settings, no file name and no time.

ptars encodes the protobuf message from Arrow columns.
"""

from __future__ import annotations

import gzip
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # it has no stubs

from fleetpgo.pprof.codec.arrays import NONE, ranges, starts_of, used_rows
from fleetpgo.pprof.codec.batches import PROFILE
from fleetpgo.pprof.codec.decoding import MAPPING_FIELDS, MAPPING_FLAGS
from fleetpgo.pprof.codec.texts import Texts, go_bytes

if TYPE_CHECKING:
    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.columns import Columns, Header

GZIP_LEVEL = 6

Table = dict[str, Any]
"""The columns of a repeated message by field: (records,) arrays of numbers, or :data:`Lists`. Fields that are
left out are 0."""

Lists = tuple[Any, Any]
"""(records + 1,) where in the values each record's list starts, and the values: an array or a table."""


def gzipped(message: bytes) -> bytes:
    """``message`` as a gzip stream: always the same settings, no file name, no time."""
    return gzip.compress(message, compresslevel=GZIP_LEVEL, mtime=0)


class Sorted(NamedTuple):
    """The tables of a profile, sorted by what their records say.

    Args:
        texts: the string table.
        text_rows: where in it each row of ``profile.strings`` is, or NONE.
        functions: with ids from 1.
        locations: with ids from 1.
        location_ids: (locations + 1,) of each row of ``profile.locations``; the last one, 0, is that of NONE.
    """

    texts: list[bytes]
    text_rows: Ints
    functions: Table
    locations: Table
    location_ids: Ints


def sort_tables(profile: Columns) -> Sorted:
    """Sort all tables but that of the samples."""
    texts, text_rows = _strings(profile)
    functions, function_ids = _functions(profile, text_rows)
    return Sorted(texts, text_rows, functions, *_locations(profile, function_ids))


def write(profile: Columns) -> bytes:
    """Return the profile, gzipped."""
    header = profile.header
    texts, text_rows, functions, locations, location_ids = sort_tables(profile)
    row_of = {text: row for row, text in enumerate(texts)}

    def row(text: str) -> int:
        return row_of[go_bytes(text)]

    kinds = np.array([tuple(map(row, kind)) for kind in header.sample_types], np.int64).reshape(-1, 2)
    period_type = np.array([tuple(map(row, header.period_type))])
    fields: dict[str, Any] = {
        "sample_type": {"type": kinds[:, 0], "unit": kinds[:, 1]},
        "sample": _samples(profile, location_ids, text_rows),
        "mapping": _mappings(profile, text_rows),
        "location": locations,
        "function": functions,
        "string_table": texts,
        "period_type": _by_name(("type", "unit"), period_type) if any(header.period_type) else None,
        "period": header.period,
        "time_nanos": header.time,
        "duration_nanos": header.duration,
        "comment": np.array([row(comment) for comment in header.comments], np.int64),
        "drop_frames": row(header.drop_frames),
        "keep_frames": row(header.keep_frames),
        "default_sample_type": row(header.default_sample_type),
        "doc_url": row(header.doc_url),
    }
    schema = PROFILE.schema()
    columns = [_one(field.type, fields[field.name]) for field in schema]
    batch = pa.RecordBatch.from_arrays(columns, schema=schema)
    message: bytes = PROFILE.record_batch_to_array(batch)[0].as_py()
    return gzipped(message)


def _header_texts(header: Header) -> list[str]:
    of_types = [text for kind in (*header.sample_types, header.period_type) for text in kind]
    others = [header.drop_frames, header.keep_frames, header.default_sample_type, header.doc_url]
    return [*of_types, *others, *header.comments]


def _strings(profile: Columns) -> tuple[list[bytes], Ints]:
    """Return the string table, and where in it each row of ``profile.strings`` is now, or NONE."""
    used = np.concatenate(
        [
            profile.functions[:, :3].ravel(),
            profile.mappings[:, 3:5].ravel(),
            profile.labels[:, [0, 1, 3]].ravel(),
        ]
    )
    rows = used_rows(used, len(profile.strings)).tolist()
    of_tables = [profile.strings[row] for row in rows]
    texts = sorted({*of_tables, *map(go_bytes, _header_texts(profile.header)), b""})
    row_of = {text: row for row, text in enumerate(texts)}
    places = np.full(len(profile.strings), NONE, np.int64)
    places[rows] = [row_of[text] for text in of_tables]
    return texts, places


def _functions(profile: Columns, text_rows: Ints) -> tuple[Table, Ints]:
    """Return the functions; and the id of each row of ``profile.functions``, 0 for NONE."""
    table = profile.functions.copy()
    table[:, :3] = text_rows[table[:, :3]]
    order = np.lexsort(table.T[::-1])
    names = ("name", "system_name", "filename", "start_line")
    return {"id": _from_one(order), **_by_name(names, table[order])}, _ids(order)


def _mappings(profile: Columns, text_rows: Ints) -> Table:
    table = profile.mappings.copy()
    table[:, 3:5] = text_rows[table[:, 3:5]]
    return {"id": _from_one(table), **_by_name((*MAPPING_FIELDS, *MAPPING_FLAGS), table)}


def _locations(profile: Columns, function_ids: Ints) -> tuple[Table, Ints]:
    """Return the locations; and the id of each row of ``profile.locations``."""
    heads = profile.locations.copy()
    heads[:, 0] += 1  # ids of mappings; 0 for NONE
    lines = profile.lines.copy()
    lines[:, 0] = function_ids[lines[:, 0]]
    starts = profile.line_starts
    counts = np.diff(starts)
    order = _order([(heads.ravel(), starts_of(np.full(len(heads), 3))), (lines.ravel(), 3 * starts)])
    lines = lines[ranges(starts[order], counts[order])]
    table = {
        "id": _from_one(order),
        **_by_name(("mapping_id", "address", "is_folded"), heads[order]),
        "line": (starts_of(counts[order]), _by_name(("function_id", "line", "column"), lines)),
    }
    return table, _ids(order)


def _samples(profile: Columns, location_ids: Ints, text_rows: Ints) -> Table:
    kept = np.flatnonzero(np.logical_or.reduce(profile.values.T != 0))
    labels = profile.labels.copy()
    labels[:, [0, 1, 3]] = text_rows[labels[:, [0, 1, 3]]]
    stacks, stack_starts = location_ids[profile.stacks], starts_of(profile.depths)
    types = np.full(len(profile.values), profile.values.shape[1])
    order = kept[sort_samples(profile, location_ids, text_rows, kept)]
    depths, label_counts = profile.depths[order], np.diff(profile.label_starts)[order]
    labels = labels[ranges(profile.label_starts[order], label_counts)]
    return {
        "location_id": (starts_of(depths), stacks[ranges(stack_starts[order], depths)]),
        "value": (starts_of(types[order]), profile.values[order].ravel()),
        "label": (starts_of(label_counts), _by_name(("key", "str", "num", "num_unit"), labels)),
    }


def sort_samples(profile: Columns, location_ids: Ints, text_rows: Ints, rows: Ints) -> Ints:
    """Return how to sort some samples: by their stacks, labels and values.

    Args:
        profile: whose samples.
        location_ids: as of :class:`Sorted`.
        text_rows: likewise.
        rows: which of the samples.
    """
    labels = profile.labels.copy()
    labels[:, [0, 1, 3]] = text_rows[labels[:, [0, 1, 3]]]
    types = np.full(len(profile.values), profile.values.shape[1])
    # Ids count from 1: a 0 behind the last one ends a stack before any other that begins like it.
    ends = np.zeros(len(types), np.int64), np.arange(len(types) + 1)
    return _order(
        [
            (location_ids[profile.stacks], starts_of(profile.depths)),
            ends,
            (labels.ravel(), 4 * profile.label_starts),
            (profile.values.ravel(), starts_of(types)),
        ],
        rows,
    )


def _order(parts: list[tuple[Ints, Ints]], rows: Ints | None = None) -> Ints:
    """Return the order that sorts records, which are lists of numbers as ``(values, starts)``."""
    counts = [np.diff(starts) for _, starts in parts]
    sizes = np.sum(counts, axis=0)
    ends = starts_of(sizes)
    numbers = np.empty(ends[-1], np.int64)
    at = ends[:-1]
    for (values, _), count in zip(parts, counts, strict=True):
        numbers[ranges(at, count)] = values
        at = at + count
    # Without sign and with the highest byte first, bytes are in the order of the numbers.
    octets = (numbers.view(np.uint64) ^ np.uint64(1 << 63)).astype(">u8").tobytes()
    cuts = (8 * ends).tolist()
    keys = [octets[start:stop] for start, stop in pairwise(cuts)]
    if rows is not None:
        keys = [keys[row] for row in rows.tolist()]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)


def _by_name(names: tuple[str, ...], table: Ints) -> Table:
    return dict(zip(names, table.T, strict=True))


def _from_one(records: Ints) -> Ints:
    return np.arange(1, len(records) + 1)


def _ids(order: Ints) -> Ints:
    """Ids from 1 for rows in that order, by row; the last one, 0, is that of NONE."""
    ids = np.zeros(len(order) + 1, np.int64)
    ids[order] = _from_one(order)
    return ids


def _one(kind: pa.DataType, value: Any) -> pa.Array:  # noqa: ANN401  # what a field holds depends on its type
    """Return a column of one row: what the message says in that field."""
    if pa.types.is_list(kind):
        column = next(iter(value.values())) if isinstance(value, dict) else value
        count = len(column[0]) - 1 if isinstance(column, tuple) else len(column)
        return _array(kind, (np.array([0, count]), value), 1)
    if value is None:
        return pa.nulls(1, kind)
    return _array(kind, value if isinstance(value, dict) else np.array([value]), 1)


def _array(kind: pa.DataType, data: Any, count: int) -> pa.Array:  # noqa: ANN401  # as above
    """``count`` values of an Arrow type. ``pa.array`` of a numpy array would import pandas: a second."""
    if pa.types.is_struct(kind):
        none = np.zeros(count, np.int64)
        children = [_array(field.type, data.get(field.name, none), count) for field in kind]
        return pa.Array.from_buffers(kind, count, [None], children=children)
    if pa.types.is_list(kind):
        starts, values = data
        items = _array(kind.value_type, values, int(starts[-1]))
        return pa.Array.from_buffers(
            kind, count, [None, pa.py_buffer(starts.astype(np.int32))], children=[items]
        )
    if pa.types.is_binary(kind):
        return Texts.of(data).column
    bits = np.packbits(data.astype(np.bool_), bitorder="little") if pa.types.is_boolean(kind) else None
    return pa.Array.from_buffers(
        kind, count, [None, pa.py_buffer(np.ascontiguousarray(data) if bits is None else bits)]
    )
