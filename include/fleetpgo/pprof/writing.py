"""Writing a profile, so that equal profiles are equal bytes.

Every table is sorted by what its records say, not by when they came. Strings are in the order of their bytes,
then functions, locations and samples in that of the numbers that these give them. Only the mappings stay as
they are: the first one is the main binary. The gzip stream has fixed settings, no file name and no time.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.pprof import profile_pb2
from fleetpgo.pprof.columns import NONE
from fleetpgo.pprof.edges import go_bytes

if TYPE_CHECKING:
    from fleetpgo.pprof.columns import Columns, Ints

GZIP_LEVEL = 6


def gzipped(message: bytes) -> bytes:
    """``message`` as a gzip stream: always the same settings, no file name, no time."""
    return gzip.compress(message, compresslevel=GZIP_LEVEL, mtime=0)


def write(profile: Columns) -> bytes:
    """The profile, gzipped."""
    message = profile_pb2.Profile()
    string_rows = _write_strings(message, profile)
    function_ids = _write_functions(message, profile, string_rows)
    _write_mappings(message, profile, string_rows)
    location_ids = _write_locations(message, profile, function_ids)
    _write_samples(message, profile, location_ids, string_rows)
    return gzipped(message.SerializeToString())


def _write_strings(message: profile_pb2.Profile, profile: Columns) -> Ints:
    """Write header and string table. Returns where each row of ``profile.strings`` is now, or NONE."""
    header, strings = profile.header, profile.strings
    value_types = (*header.sample_types, header.period_type)
    header_texts = [text for kind in value_types for text in kind]
    header_texts += [header.drop_frames, header.keep_frames, header.default_sample_type, header.doc_url]
    header_texts += header.comments
    used = np.concatenate(
        [
            profile.functions[:, :3].ravel(),
            profile.mappings[:, 3:5].ravel(),
            profile.labels[:, [0, 1, 3]].ravel(),
        ]
    )
    texts = {strings[row] for row in np.unique(used).tolist()} | set(map(go_bytes, header_texts)) | {b""}
    message.string_table.extend(sorted(texts))
    row_of = {text: row for row, text in enumerate(message.string_table)}

    def row(text: str) -> int:
        return row_of[go_bytes(text)]

    for kind in header.sample_types:
        message.sample_type.add(type=row(kind.type), unit=row(kind.unit))
    if any(header.period_type):
        message.period_type.type, message.period_type.unit = map(row, header.period_type)
    message.period, message.time_nanos, message.duration_nanos = header.period, header.time, header.duration
    message.comment.extend(map(row, header.comments))
    message.drop_frames, message.keep_frames = row(header.drop_frames), row(header.keep_frames)
    message.default_sample_type, message.doc_url = row(header.default_sample_type), row(header.doc_url)
    return np.array([row_of.get(text, NONE) for text in strings], np.int64)


def _write_functions(message: profile_pb2.Profile, profile: Columns, string_rows: Ints) -> Ints:
    """Returns the id of each row of ``profile.functions``, and 0 for NONE."""
    table = profile.functions.copy()
    table[:, :3] = string_rows[table[:, :3]]
    order = np.lexsort(table.T[::-1])
    for number, (name, system_name, filename, start_line) in enumerate(table[order].tolist(), start=1):
        message.function.add(
            id=number, name=name, system_name=system_name, filename=filename, start_line=start_line
        )
    return _ids(order)


def _write_mappings(message: profile_pb2.Profile, profile: Columns, string_rows: Ints) -> None:
    for number, (start, limit, offset, file, build_id, *flags) in enumerate(
        profile.mappings.tolist(), start=1
    ):
        functions, filenames, line_numbers, inline_frames = map(bool, flags)
        message.mapping.add(
            id=number,
            memory_start=_unsigned(start),
            memory_limit=_unsigned(limit),
            file_offset=_unsigned(offset),
            filename=string_rows[file],
            build_id=string_rows[build_id],
            has_functions=functions,
            has_filenames=filenames,
            has_line_numbers=line_numbers,
            has_inline_frames=inline_frames,
        )


def _write_locations(message: profile_pb2.Profile, profile: Columns, function_ids: Ints) -> Ints:
    """Returns the id of each row of ``profile.locations``."""
    lines = profile.lines.copy()
    lines[:, 0] = function_ids[lines[:, 0]]
    heads, starts = profile.locations.tolist(), profile.line_starts.tolist()
    rows = lines.tolist()
    records = [
        (*head, rows[start:stop]) for head, start, stop in zip(heads, starts, starts[1:], strict=False)
    ]
    order = sorted(range(len(records)), key=records.__getitem__)
    for number, row in enumerate(order, start=1):
        mapping, address, folded, of_location = records[row]
        location = message.location.add(
            id=number, mapping_id=mapping + 1, address=_unsigned(address), is_folded=bool(folded)
        )
        for function_id, line, column in of_location:
            location.line.add(function_id=function_id, line=line, column=column)
    return _ids(np.array(order, np.int64))


def _write_samples(
    message: profile_pb2.Profile, profile: Columns, location_ids: Ints, string_rows: Ints
) -> None:
    labels = profile.labels.copy()
    labels[:, [0, 1, 3]] = string_rows[labels[:, [0, 1, 3]]]
    label_rows, label_starts = labels.tolist(), profile.label_starts.tolist()
    ids, values, stop = location_ids[profile.stacks].tolist(), profile.values.tolist(), 0
    records = []
    for number, depth in enumerate(profile.depths.tolist()):
        start, stop = stop, stop + depth
        of_sample = label_rows[label_starts[number] : label_starts[number + 1]]
        if any(values[number]):
            records.append((ids[start:stop], of_sample, values[number]))
    records.sort()
    for stack, of_sample, counts in records:
        sample = message.sample.add(location_id=stack, value=counts)
        for key, text, number, unit in of_sample:
            sample.label.add(key=key, str=text, num=number, num_unit=unit)


def _ids(order: Ints) -> Ints:
    """Ids from 1 for rows in that order, by row; the last one, 0, is that of NONE."""
    ids = np.zeros(len(order) + 1, np.int64)
    ids[order] = np.arange(1, len(order) + 1)
    return ids


def _unsigned(number: int) -> int:
    """64 bits with sign as 64 bits without."""
    return number % (1 << 64)
