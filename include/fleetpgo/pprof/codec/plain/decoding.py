"""Decode messages to columns in Python, with the protobuf runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from google.protobuf.message import DecodeError

from fleetpgo.pprof import profile_pb2
from fleetpgo.pprof.codec.arrays import NONE, used_rows
from fleetpgo.pprof.codec.wire import Walk, numbers_in, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.kernel import Buffer, RawHeader

    Record = profile_pb2.Function | profile_pb2.Mapping | profile_pb2.Location
    Columns = dict[str, list[Ints]]

NUMBERS = 8
"""Numbers in all samples, and in all locations, for each record that a profile may have. Tags and lengths
count as well. The Go compiler's own profile has 42,000 records, and 328,000 numbers in its samples."""

SMALL_MESSAGE = 2 << 20
"""Bytes up to which any message fits in memory, whatever is in it; a longer one is looked through first."""

COMPILER_DEPTH = 2
"""Locations of a stack that the compiler reads, from the leaf."""

TABLES = ("sample", "mapping", "location", "function", "string_table", "comment")

HEADER_FIELDS = {
    7: "drop_frames",
    8: "keep_frames",
    9: "time_nanos",
    10: "duration_nanos",
    12: "period",
    14: "default_sample_type",
    15: "doc_url",
}

LAST_LINE = (1 << 31) - 1
"""No source file has more lines: so that lines can be subtracted from each other."""

NUMBER_FIELDS = 16
"""Length of the numbers of a header, which are by field."""


class Refused(Exception):  # noqa: N818 -- the native one's name
    """A profile is refused: reason, table, and two numbers for the sentence."""


def decode(
    messages: Sequence[bytes],
    leaves: bool,  # noqa: FBT001 -- the native one's arguments
    records: int,
    depth: int,
) -> tuple[list[RawHeader], dict[str, Buffer]]:
    """Decode messages to columns."""
    profiles = _Profiles(leaves=leaves, depth=depth)
    for message in messages:
        profiles.add(_parsed(message, records))
    return profiles.headers, profiles.columns()


def _parsed(message: bytes, records: int) -> profile_pb2.Profile:
    if len(message) > SMALL_MESSAGE:
        _require_whole(message, records)
    profile = profile_pb2.Profile()
    try:
        profile.ParseFromString(message)
    except DecodeError as error:
        _require_whole(message, records)
        raise Refused("not-a-profile", "", 0, 0) from error
    if sum(len(getattr(profile, table)) for table in TABLES) > records:
        raise Refused("too-large", "", 0, 0)
    if not profile.string_table or profile.string_table[0]:
        raise Refused("no-strings", "", 0, 0)
    return profile


def _require_whole(message: bytes, records: int) -> None:
    """Check that a message has whole fields, and not too many of them."""
    found, most = walk(message, records), NUMBERS * records
    if found is Walk.NO_MESSAGE:
        raise Refused("not-a-profile", "", 0, 0)
    if found is Walk.TOO_MANY or (len(message) > most and numbers_in(message) > most):
        raise Refused("too-large", "", 0, 0)
    if found is Walk.CUT_OFF:
        raise Refused("truncated", "", 0, 0)


class _Profiles:
    """Columns of profiles, which grow."""

    def __init__(self, *, leaves: bool, depth: int) -> None:
        self.leaves, self.depth = leaves, depth
        self.headers: list[RawHeader] = []
        self.strings: list[bytes] = []
        self.parts: Columns = {}
        self.lengths = dict.fromkeys(("functions", "mappings", "locations", "lines", "labels", "depths"), 0)

    def _put(self, name: str, part: Ints) -> None:
        self.parts.setdefault(name, []).append(part)
        if name in self.lengths:
            self.lengths[name] += len(part)

    def add(self, profile: profile_pb2.Profile) -> None:
        """Add a profile."""
        places = np.arange(len(profile.string_table))
        texts = _Ids(places, len(self.strings), "string")
        self.strings += profile.string_table
        functions = _table(
            ((each.name, each.system_name, each.filename, each.start_line) for each in profile.function),
            "i8,i8,i8,i8",
        )
        texts.replace(functions, 0, 1, 2)
        _require_line_numbers(functions[:, 3])
        of_function = _Ids(_ids(profile.function), self.lengths["functions"], "function")
        self._put("functions", functions)
        of_mapping = _Ids(_ids(profile.mapping), self.lengths["mappings"], "mapping")
        self._put("mappings", _mappings(profile, texts))
        types = len(profile.sample_type)
        if self.headers and len(self.headers[0][0]) != 2 * types:
            raise Refused("incompatible", "", 0, 0)
        used = self._add_samples(profile, types, texts)
        self._add_locations(profile, used, of_function, of_mapping)
        numbers = [0] * NUMBER_FIELDS
        for field, name in HEADER_FIELDS.items():
            numbers[field] = getattr(profile, name)
        kinds = [number for kind in profile.sample_type for number in (kind.type, kind.unit)]
        period = [profile.period_type.type, profile.period_type.unit]
        self.headers.append((kinds, period, list(profile.comment), numbers))
        for name, length in (
            ("sample_ends", self.lengths["depths"]),
            ("function_ends", self.lengths["functions"]),
            ("mapping_ends", self.lengths["mappings"]),
            ("table_ends", len(self.strings)),
        ):
            self._put(name, np.array([length]))

    def _add_samples(self, profile: profile_pb2.Profile, types: int, texts: _Ids) -> Ints:
        """Add the samples; return which locations of the profile are needed."""
        samples = profile.sample
        depths = _ints(len(sample.location_id) for sample in samples)
        if depths.max(initial=0) > self.depth and not self.leaves:
            raise Refused("too-deep", "", int(depths.max()), 0)
        for sample in samples:
            if len(sample.value) != types:
                raise Refused("wrong-value-count", "", types, len(sample.value))
        most = COMPILER_DEPTH if self.leaves else self.depth
        depths = np.minimum(depths, most)
        ids = _Ids(_ids(profile.location), 0, "location")
        rows = ids.rows(_signed(number for sample in samples for number in sample.location_id[:most]))
        used = np.arange(len(profile.location))
        if self.leaves:
            used = used_rows(rows, len(used))
            rows = np.searchsorted(used, rows)
        self._put("stacks", rows + self.lengths["locations"])
        self._put("depths", depths)
        self._put("values", _ints(number for sample in samples for number in sample.value))
        labelled = () if self.leaves else samples
        labels = _table(
            ((one.key, one.str, one.num, one.num_unit) for sample in labelled for one in sample.label),
            "i8,i8,i8,i8",
        )
        texts.replace(labels, 0, 1, 3)
        counts = np.zeros(len(depths), np.int64)
        if not self.leaves:
            counts = _ints(len(sample.label) for sample in samples)
        self._put("label_ends", self.lengths["labels"] + np.cumsum(counts))
        self._put("labels", labels)
        return used

    def _add_locations(
        self, profile: profile_pb2.Profile, used: Ints, functions: _Ids, mappings: _Ids
    ) -> None:
        chosen = (
            profile.location
            if len(used) == len(profile.location)
            else [profile.location[row] for row in used.tolist()]
        )
        locations = _table(((each.mapping_id, each.address, each.is_folded) for each in chosen), "u8,u8,i8")
        locations[:, 0] = mappings.rows_or_none(locations[:, 0])
        lines = _table(
            ((line.function_id, line.line, line.column) for each in chosen for line in each.line), "u8,i8,i8"
        )
        lines[:, 0] = functions.rows_or_none(lines[:, 0])
        _require_line_numbers(lines[:, 1])
        counts = _ints(len(each.line) for each in chosen)
        self._put("line_ends", self.lengths["lines"] + np.cumsum(counts))
        self._put("lines", lines)
        self._put("locations", locations)

    def columns(self) -> dict[str, Buffer]:
        """Return all columns by name, which are let go of here."""
        sizes, octets = _ints(map(len, self.strings)), b"".join(self.strings)
        self.strings.clear()
        found: dict[str, Buffer] = {"octets": octets, "string_ends": np.cumsum(sizes).tobytes()}
        while self.parts:
            name, parts = self.parts.popitem()
            found[name] = bytearray(np.concatenate(parts).T.tobytes())
        return found


def _require_line_numbers(lines: Ints) -> None:
    bad = np.flatnonzero((lines < -LAST_LINE) | (lines > LAST_LINE))
    if len(bad):
        raise Refused("bad-line", "", int(lines[bad[0]]), 0)


def _mappings(profile: profile_pb2.Profile, texts: _Ids) -> Ints:
    table = _table(
        (
            (
                each.memory_start,
                each.memory_limit,
                each.file_offset,
                each.filename,
                each.build_id,
                each.has_functions,
                each.has_filenames,
                each.has_line_numbers,
                each.has_inline_frames,
            )
            for each in profile.mapping
        ),
        "u8,u8,u8,i8,i8,i8,i8,i8,i8",
    )
    texts.replace(table, 3, 4)
    return table


class _Ids:
    """The rows of a table by the ids that a message gives its records.

    Args:
        ids: (records,)
        first: the row of the first one.
        table: what the table is of, for errors.
    """

    def __init__(self, ids: Ints, first: int, table: str) -> None:
        self.first, self.table = first, table
        self.order = np.argsort(ids, kind="stable")
        self.known = ids[self.order]
        rises = bool(np.all(self.known[1:] > self.known[:-1]))
        if table != "string" and (not rises or np.any(self.known == 0)):
            raise Refused("duplicate-id", table, 0, 0)

    def rows(self, ids: Ints) -> Ints:
        """Return the row of each id."""
        places = np.searchsorted(self.known, ids)
        inside = places < len(self.known)
        inside[inside] = self.known[places[inside]] == ids[inside]
        if not inside.all():
            raise Refused("bad-reference", self.table, int(ids[~inside][0]), 0)
        rows: Ints = self.order[places] + self.first
        return rows

    def replace(self, table: Ints, *columns: int) -> None:
        """Replace the ids in some columns by rows, one after the other: tables may be large."""
        for column in columns:
            table[:, column] = self.rows(table[:, column])

    def rows_or_none(self, ids: Ints) -> Ints:
        """Return the row of each id, and NONE for id 0."""
        rows = np.full(len(ids), NONE, np.int64)
        rows[ids != 0] = self.rows(ids[ids != 0])
        return rows


def _ids(records: Sequence[Record]) -> Ints:
    return _signed(each.id for each in records)


def _ints(numbers: Iterable[int]) -> Ints:
    return np.fromiter(numbers, np.int64)


def _signed(numbers: Iterable[int]) -> Ints:
    """Return numbers without sign as those with one that have the same bits."""
    return np.fromiter(numbers, np.uint64).view(np.int64)


def _table(rows: Iterable[tuple[int, ...]], kinds: str) -> Ints:
    """Return (records, numbers). None is kept as an object: of some records there are millions."""
    return np.fromiter(rows, np.dtype(kinds)).view(np.int64).reshape(-1, len(kinds.split(",")))
