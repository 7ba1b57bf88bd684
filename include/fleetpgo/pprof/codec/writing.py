"""Encode a profile, so that equal profiles have equal bytes.

Every table is sorted by content, not by order of arrival: strings by their bytes; functions, locations and
samples by the row numbers in them. Only the mappings keep their order, because the first one is the main
binary. The gzip stream has fixed settings, no file name and no time.
"""

from __future__ import annotations

import zlib
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fleetpgo.pprof.codec.arrays import NONE, ranges, starts_of, used_rows
from fleetpgo.pprof.codec.encoding import Varints, encoded, fields, framed, joined, texts
from fleetpgo.pprof.codec.reading import GZIP_WINDOW
from fleetpgo.pprof.codec.texts import go_bytes

if TYPE_CHECKING:
    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.columns import Columns, Header

GZIP_LEVEL = 6


def gzipped(message: bytes) -> bytes:
    """``message`` as a gzip stream: always the same settings, no file name, no time."""
    # Not the module gzip: from Python 3.13 on it writes another octet for the system.
    return zlib.compress(message, GZIP_LEVEL, GZIP_WINDOW)


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
    functions: Varints
    locations: Varints
    location_ids: Ints


def sort_tables(profile: Columns) -> Sorted:
    """Sort all tables but that of the samples."""
    texts, text_rows = _strings(profile)
    functions, function_ids = _functions(profile, text_rows)
    return Sorted(texts, text_rows, functions, *_locations(profile, function_ids))


def write(profile: Columns) -> bytes:
    """Return the profile, gzipped."""
    header = profile.header
    tables = sort_tables(profile)
    row_of = {text: row for row, text in enumerate(tables.texts)}

    def row(text: str) -> int:
        return row_of[go_bytes(text)]

    kinds = np.array([tuple(map(row, kind)) for kind in header.sample_types], np.int64).reshape(-1, 2)
    period_type = fields(_numbered(np.array([list(map(row, header.period_type))])))
    comments = np.array([row(comment) for comment in header.comments], np.int64)
    numbers = {
        7: row(header.drop_frames),
        8: row(header.keep_frames),
        9: header.time,
        10: header.duration,
        12: header.period,
        14: row(header.default_sample_type),
        15: row(header.doc_url),
    }
    single = {field: fields([(field, np.array([number]))]) for field, number in numbers.items()}
    single[11] = framed(11, period_type, empty=any(header.period_type))
    single[13] = framed(13, Varints(comments, np.array([len(comments)])), empty=False)
    parts = [
        framed(1, fields(_numbered(kinds))),
        _samples(profile, tables),
        _mappings(profile, tables.text_rows),
        tables.locations,
        tables.functions,
    ]
    before = b"".join(encoded(part.numbers) for part in parts)
    after = encoded(np.concatenate([single[field].numbers for field in sorted(single)]))
    return gzipped(before + texts(6, tables.texts) + after)


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


def _functions(profile: Columns, text_rows: Ints) -> tuple[Varints, Ints]:
    """Return the functions; and the id of each row of ``profile.functions``, 0 for NONE."""
    table = profile.functions.copy()
    table[:, :3] = text_rows[table[:, :3]]
    order = np.lexsort(table.T[::-1])
    return framed(5, fields(_with_ids(table[order]))), _ids(order)


def _mappings(profile: Columns, text_rows: Ints) -> Varints:
    table = profile.mappings.copy()
    table[:, 3:5] = text_rows[table[:, 3:5]]
    return framed(3, fields(_with_ids(table)))


def _locations(profile: Columns, function_ids: Ints) -> tuple[Varints, Ints]:
    """Return the locations; and the id of each row of ``profile.locations``."""
    heads = profile.locations.copy()
    heads[:, 0] += 1  # ids of mappings; 0 for NONE
    lines = profile.lines.copy()
    lines[:, 0] = function_ids[lines[:, 0]]
    starts = profile.line_starts
    counts = np.diff(starts)
    order = _order([(heads.ravel(), starts_of(np.full(len(heads), 3))), (lines.ravel(), 3 * starts)])
    lines = lines[ranges(starts[order], counts[order])]
    heads = heads[order]
    of_lines = framed(4, fields(_numbered(lines))).grouped(starts_of(counts[order]))
    records = joined(fields(_with_ids(heads[:, :2])), of_lines, fields([(5, heads[:, 2])]))
    return framed(4, records), _ids(order)


def _samples(profile: Columns, tables: Sorted) -> Varints:
    kept = np.flatnonzero(np.logical_or.reduce(profile.values.T != 0))
    labels = profile.labels.copy()
    labels[:, [0, 1, 3]] = tables.text_rows[labels[:, [0, 1, 3]]]
    stacks, stack_starts = tables.location_ids[profile.stacks], starts_of(profile.depths)
    order = kept[sort_samples(profile, tables.location_ids, tables.text_rows, kept)]
    depths, label_counts = profile.depths[order], np.diff(profile.label_starts)[order]
    labels = labels[ranges(profile.label_starts[order], label_counts)]
    values = profile.values[order]
    records = joined(
        framed(1, Varints(stacks[ranges(stack_starts[order], depths)], depths), empty=False),
        framed(2, Varints(values.ravel(), np.full(len(values), values.shape[1])), empty=False),
        framed(3, fields(_numbered(labels))).grouped(starts_of(label_counts)),
    )
    return framed(2, records)


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


def _numbered(table: Ints) -> list[tuple[int, Ints]]:
    """Return the columns of a table as fields, from 1."""
    return list(enumerate(table.T, start=1))


def _with_ids(table: Ints) -> list[tuple[int, Ints]]:
    """Return the columns of a table as fields behind the records' ids, which are from 1."""
    return list(enumerate((_from_one(table), *table.T), start=1))


def _from_one(records: Ints) -> Ints:
    return np.arange(1, len(records) + 1)


def _ids(order: Ints) -> Ints:
    """Ids from 1 for rows in that order, by row; the last one, 0, is that of NONE."""
    ids = np.zeros(len(order) + 1, np.int64)
    ids[order] = _from_one(order)
    return ids
