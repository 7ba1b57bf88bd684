"""Tables of a merge: every different string, function, mapping, location and stack so far, numbered.

The rows of one profile are first rewritten, all at once, from the profile's own numbers to the ones here, so
equal records are equal rows; :mod:`fleetpgo.pprof.codec.numbering` finds them. Numbers are given in the order
of arrival; :mod:`fleetpgo.pprof.codec.writing` brings them in an order that does not depend on it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fleetpgo.errors import ProfileError
from fleetpgo.pprof.codec.arrays import NONE, ranges, renumbered, starts_of, used_rows
from fleetpgo.pprof.codec.columns import Columns, Header
from fleetpgo.pprof.codec.numbering import Numbering, Rows, Sums, require_64_bits
from fleetpgo.pprof.codec.showing import listed
from fleetpgo.pprof.codec.texts import TextNumbers, Texts
from fleetpgo.pprof.rounding import carried, parts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleetpgo.pprof.codec.arrays import Ints

PAGE = 0x1000
"""Sizes of mappings are compared in whole pages, as google/pprof does."""

LOCATION_ROW = 3
"""Numbers in each row of a location: first mapping, address in it, if folded; then those of each line."""


class Label(NamedTuple):
    """One label of a sample: a text or a number."""

    key: bytes
    text: bytes
    number: int
    unit: bytes


class Tables:
    """The sum of some profiles.

    Args:
        weighted: profiles are multiplied by something other than 1.
        keep_labels: samples with different labels stay apart.
    """

    def __init__(self, *, weighted: bool, keep_labels: bool) -> None:
        self.keep_labels = keep_labels
        self.strings = TextNumbers()
        self.functions, self.locations, self.stacks = Rows(np.int32), Rows(), Rows(np.int32)
        self.label_sets: Numbering[tuple[Label, ...]] = Numbering()
        self.mappings: Numbering[tuple[int, int, bytes]] = Numbering()
        # The mapping to write for each key: start, limit, offset, file, build id, four flags.
        self.mapping_records: list[tuple[int, int, int, bytes, bytes, int, int, int, int]] = []
        self.first_mappings: Counter[int] = Counter()
        self.weighted = weighted
        self.sums = Sums()
        self.header: Header | None = None
        self.comments: set[str] = set()

    def add(self, profiles: Columns, factors: Sequence[float]) -> None:
        """Add some profiles, the values of each multiplied by its factor.

        Raises:
            ProfileError: ``incompatible`` or ``overflow``.
        """
        self._add_headers(profiles.headers)
        stacks, depths, values = profiles.stacks, profiles.depths, profiles.values
        factor = np.repeat(factors, np.diff(profiles.sample_starts))
        kept = np.logical_or.reduce(values.T != 0)
        if not kept.all():
            stacks, depths = stacks[np.repeat(kept, depths)], depths[kept]
            values, factor = values[kept], factor[kept]
        stacks = renumbered(
            stacks, len(profiles.locations), lambda used: self._number_locations(profiles, used)
        )
        if self.keep_labels:
            # The number of a sample's labels goes behind its stack's locations.
            sets = self.label_sets.of(_labels(profiles, np.flatnonzero(kept)), len(depths))
            stacks, depths = np.insert(stacks, np.cumsum(depths), sets), depths + 1
        rows = self.stacks.of(stacks, depths)
        if self.weighted:
            parts = parts_of(profiles.header.sample_types)
            values = np.rint(values * (factor[:, None] * parts)).astype(np.int64)
        self.sums.add(rows, values, len(self.stacks))

    def profile(self) -> Columns:
        """Return the sum of what was added."""
        strings = self._strings()
        stacks, depths = self.stacks.all()
        labels: list[tuple[Label, ...]] = [()] * len(depths)
        if self.keep_labels:
            label_sets, last = list(self.label_sets), np.cumsum(depths) - 1
            labels = [label_sets[number] for number in stacks[last].tolist()]
            stacks, depths = np.delete(stacks, last), depths - 1
        data, counts = self.locations.all()
        rows, sizes = data.reshape(-1, LOCATION_ROW), counts // LOCATION_ROW
        is_head = np.zeros(len(rows), np.bool_)
        is_head[np.cumsum(sizes) - sizes] = True
        locations = rows[is_head]
        functions = self.functions.all()[0].reshape(-1, 4)
        mappings, places = self._mappings(strings)
        locations[:, 0] = places[locations[:, 0]]
        # Addresses were counted from their mapping's start; the last start is that of NONE.
        locations[:, 1] += np.append(mappings[:, 0], 0)[locations[:, 0]]
        label_rows = [
            (strings[label.key], strings[label.text], label.number, strings[label.unit])
            for of_stack in labels
            for label in of_stack
        ]
        total = Columns(
            headers=(self._header(),),
            message_bytes=(0,),
            strings=Texts.of(list(strings)),
            functions=functions,
            mappings=mappings,
            locations=locations,
            line_starts=starts_of(sizes - 1),
            lines=rows[~is_head],
            values=self.sums.of(len(depths)),
            depths=depths,
            stacks=stacks,
            labels=np.array(label_rows, np.int64).reshape(-1, 4),
            label_starts=starts_of(np.fromiter(map(len, labels), np.int64, len(labels))),
            sample_starts=np.array([0, len(depths)]),
            function_starts=np.array([0, len(functions)]),
            mapping_starts=np.array([0, len(mappings)]),
        )
        return carried(total) if self.weighted else total

    def _strings(self) -> Numbering[bytes]:
        """Return the number of each text."""
        return Numbering({text: number for number, text in enumerate(self.strings.all())})

    def _header(self) -> Header:
        if self.header is None:
            raise ValueError("nothing was added")
        require_64_bits(self.header.duration)
        return replace(self.header, comments=tuple(sorted(self.comments)))

    def _mappings(self, strings: Numbering[bytes]) -> tuple[Ints, Ints]:
        """Return the mappings, the most frequent first one first, and the row of each number in them."""
        records = self.mapping_records
        order = sorted(
            range(len(records)), key=lambda number: (-self.first_mappings[number], records[number])
        )
        places = np.full(len(records) + 1, NONE, np.int64)  # the last one is that of NONE
        places[order] = np.arange(len(records))
        rows = []
        for number in order:
            start, limit, offset, file, build_id, *flags = records[number]
            rows.append((start, limit, offset, strings[file], strings[build_id], *flags))
        return np.array(rows, np.int64).reshape(-1, 9), places

    def _add_headers(self, headers: tuple[Header, ...]) -> None:
        for header in headers:
            self.comments.update(header.comments)
            # One for all: those of ten thousand profiles take more memory than the profiles that are read.
            self.header = _both(self.header, header) if self.header else header

    def _number_locations(self, profile: Columns, used: Ints) -> Ints:
        """Numbers of the locations ``used``: rows (mapping, address in it, folded), then its lines."""
        counts = np.diff(profile.line_starts)[used]
        lines = np.take(profile.lines, ranges(profile.line_starts[used], counts), axis=0)
        lines[:, 0] = renumbered(
            lines[:, 0], len(profile.functions), lambda rows: self._number_functions(profile, rows)
        )
        heads = np.take(profile.locations, used, axis=0)
        starts = np.append(profile.mappings[:, 0], 0)  # the last one is that of NONE
        heads[:, 1] -= starts[heads[:, 0]]
        heads[:, 0] = self._number_mappings(profile, heads[:, 0])
        # Each location's lines go behind it.
        stops = np.cumsum(counts + 1)
        order = np.empty(len(heads) + len(lines), np.int64)
        order[stops - counts - 1] = np.arange(len(heads))
        order[ranges(stops - counts, counts)] = np.arange(len(heads), len(order))
        table = np.take(np.concatenate((heads, lines)), order, axis=0)
        return self.locations.of(table.ravel(), (counts + 1) * LOCATION_ROW)

    def _number_functions(self, profile: Columns, rows: Ints) -> Ints:
        table = np.take(profile.functions, rows, axis=0)
        table[:, :3] = self.strings.some(profile.strings, table[:, :3])
        return self.functions.of_table(table)

    def _number_mappings(self, profiles: Columns, rows: Ints) -> Ints:
        starts = profiles.mapping_starts
        # The first mapping is the main binary, whether a sample lies in it or not.
        firsts = starts[:-1][np.diff(starts) > 0]
        numbers = np.full(len(profiles.mappings) + 1, NONE, np.int64)  # the last one is that of NONE
        used = used_rows(np.append(firsts, rows[rows != NONE]), len(profiles.mappings))
        table = profiles.mappings[used]
        texts = zip(profiles.strings.cut(table[:, 3]), profiles.strings.cut(table[:, 4]), strict=True)
        for row, numbers_of, (name, build) in zip(used.tolist(), table.tolist(), texts, strict=True):
            start, limit, offset, _, _, *flags = numbers_of
            number = self.mappings[(limit - start + PAGE - 1) // PAGE, offset, build or name]
            record = (start, limit, offset, name, build, *flags)
            if number == len(self.mapping_records):
                self.mapping_records.append(record)
            # Of mappings that are one, the least is written: any rule will do that does not ask who came
            # first.
            self.mapping_records[number] = min(self.mapping_records[number], record)
            numbers[row] = number
        self.first_mappings.update(numbers[firsts].tolist())
        return numbers[rows]


def _both(one: Header, other: Header) -> Header:
    """Return the header of two profiles' sum, but for its comments.

    Raises:
        ProfileError: ``incompatible``.
    """
    check_compatible(one, other)

    def agreed(field: str) -> str:
        text: str = getattr(one, field)
        return text if text == getattr(other, field) else ""

    return Header(
        sample_types=one.sample_types,
        period_type=one.period_type,
        period=max(one.period, other.period),
        time=min(filter(None, (one.time, other.time)), default=0),
        duration=one.duration + other.duration,
        comments=(),
        drop_frames=agreed("drop_frames"),
        keep_frames=agreed("keep_frames"),
        default_sample_type=agreed("default_sample_type"),
        doc_url=agreed("doc_url"),
    )


def check_compatible(first: Header, other: Header) -> None:
    """See that two profiles count the same things.

    Raises:
        ProfileError: ``incompatible``.
    """
    for what, ours, theirs in (
        ("sample types", first.sample_types, other.sample_types),
        ("the period type", (first.period_type,), (other.period_type,)),
    ):
        if ours != theirs:
            raise ProfileError(
                f"The profile differs from the first one in {what}: "
                f"{listed(theirs, len(theirs))} instead of {listed(ours, len(ours))}.",
                reason="incompatible",
                hint="Merge profiles of one kind only.",
            )


def _labels(profile: Columns, samples: Ints) -> list[tuple[Label, ...]]:
    """Return the labels of some samples, sorted."""
    keys, texts, units = (profile.strings.cut(profile.labels[:, column]) for column in (0, 1, 3))
    labels = list(map(Label, keys, texts, profile.labels[:, 2].tolist(), units))
    starts = profile.label_starts.tolist()
    return [tuple(sorted(labels[starts[row] : starts[row + 1]])) for row in samples.tolist()]
