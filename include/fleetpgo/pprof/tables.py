"""What a merge has met so far: every different string, function, mapping, location and stack, numbered.

A record is looked up by its bytes in a dict: the rows of one profile are first rewritten, all at once, from
the profile's own numbers to the ones here, so equal records are equal bytes. Numbers are given in the order
of arrival; :mod:`fleetpgo.pprof.writing` brings them in an order that does not depend on it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from fleetpgo.errors import ProfileError
from fleetpgo.pprof.columns import NONE, Columns, Header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fleetpgo.pprof.columns import Ints

Key = TypeVar("Key")

PAGE = 0x1000
"""Sizes of mappings are compared in whole pages, as google/pprof does."""

FRACTION = 1 << 10
"""Weighted values are summed in 1024ths: whole numbers, so that their sum does not depend on the order."""

MOST = float(1 << 62)

STACK_DTYPE = np.dtype(np.int32)
"""Location numbers in the key of a stack."""


class Numbering(dict[Key, int]):
    """Keys and their numbers; an unknown key gets the next number when it is looked up."""

    def __missing__(self, key: Key) -> int:
        number = self[key] = len(self)
        return number

    def of(self, keys: Iterable[Key], count: int) -> Ints:
        """(count,) the number of each key."""
        return np.fromiter(map(self.__getitem__, keys), np.int64, count)


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
        self.weighted = weighted
        self.keep_labels = keep_labels
        self.strings: Numbering[bytes] = Numbering({b"": 0})
        self.functions: Numbering[bytes] = Numbering()
        self.locations: Numbering[bytes] = Numbering()
        self.stacks: Numbering[bytes] = Numbering()
        self.label_sets: Numbering[tuple[Label, ...]] = Numbering()
        self.mappings: Numbering[tuple[int, int, bytes]] = Numbering()
        # The mapping to write for each key: start, limit, offset, file, build id, four flags.
        self.mapping_records: list[tuple[int, int, int, bytes, bytes, int, int, int, int]] = []
        self.first_mappings: Counter[int] = Counter()
        self.sums = np.zeros((0, 0), np.int64)
        self.magnitude = 0.0
        self.headers: list[Header] = []
        self.comments: set[str] = set()

    def add(self, profile: Columns, factor: float) -> None:
        """Add one profile, its values multiplied by ``factor``.

        Raises:
            ProfileError: ``incompatible`` or ``overflow``.
        """
        self._add_header(profile.header)
        kept = profile.values.any(axis=1)
        stacks = profile.stacks if kept.all() else profile.stacks[np.repeat(kept, profile.depths)]
        depths, values = profile.depths[kept], profile.values[kept]
        used = _used(stacks, len(profile.locations))
        numbers = np.zeros(len(profile.locations), STACK_DTYPE)
        numbers[used] = self._number_locations(profile, used)
        stops = np.cumsum(depths) * numbers.itemsize
        keys = _slices(numbers[stacks].tobytes(), stops)
        if self.keep_labels:
            # The number of a sample's labels goes behind its stack's locations.
            sets = self.label_sets.of(_labels(profile, np.flatnonzero(kept)), len(keys)).astype(STACK_DTYPE)
            keys = [key + label_set.tobytes() for key, label_set in zip(keys, sets, strict=True)]
        rows = self.stacks.of(keys, len(keys))
        self._add_values(rows, values, factor)

    def profile(self) -> Columns:
        """The sum of what was added."""
        sums = self.sums[: len(self.stacks)]
        if self.weighted:
            # What was seen stays seen, however small its factor.
            rounded = np.rint(sums / FRACTION).astype(np.int64)
            sums = np.where(rounded == 0, np.sign(sums), rounded)
        keys, label_sets = list(self.stacks), list(self.label_sets)
        labels: list[tuple[Label, ...]] = [()] * len(keys)
        if self.keep_labels:
            labels = [label_sets[np.frombuffer(key, STACK_DTYPE)[-1]] for key in keys]
            keys = [key[: -STACK_DTYPE.itemsize] for key in keys]
        depths = np.fromiter(map(len, keys), np.int64, len(keys)) // STACK_DTYPE.itemsize
        stacks = np.frombuffer(b"".join(keys), STACK_DTYPE).astype(np.int64)

        rows = np.frombuffer(b"".join(self.locations), np.int64).reshape(-1, 3).copy()
        sizes = np.fromiter(map(len, self.locations), np.int64, len(self.locations)) // rows.strides[0]
        is_head = np.zeros(len(rows), np.bool_)
        is_head[np.cumsum(sizes) - sizes] = True
        locations = rows[is_head]
        mappings, places = self._mappings()
        locations[:, 0] = places[locations[:, 0]]
        # Addresses were counted from their mapping's start; the last start is that of NONE.
        locations[:, 1] += np.append(mappings[:, 0], 0)[locations[:, 0]]
        label_rows = [
            (self.strings[label.key], self.strings[label.text], label.number, self.strings[label.unit])
            for of_stack in labels
            for label in of_stack
        ]
        functions = np.frombuffer(b"".join(self.functions), np.int64).reshape(-1, 4)
        return Columns(
            header=self._header(),
            message_bytes=0,
            strings=list(self.strings),
            functions=functions,
            mappings=mappings,
            locations=locations,
            line_starts=_starts(sizes - 1),
            lines=rows[~is_head],
            values=sums,
            depths=depths,
            stacks=stacks,
            labels=np.array(label_rows, np.int64).reshape(-1, 4),
            label_starts=_starts(np.fromiter(map(len, labels), np.int64, len(labels))),
        )

    def _header(self) -> Header:
        first = self.headers[0]

        def agreed(field: str) -> str:
            found = {getattr(header, field) for header in self.headers}
            return str(found.pop()) if len(found) == 1 else ""

        return Header(
            sample_types=first.sample_types,
            period_type=first.period_type,
            period=max(header.period for header in self.headers),
            time=min((header.time for header in self.headers if header.time), default=0),
            duration=sum(header.duration for header in self.headers),
            comments=tuple(sorted(self.comments)),
            drop_frames=agreed("drop_frames"),
            keep_frames=agreed("keep_frames"),
            default_sample_type=agreed("default_sample_type"),
            doc_url=agreed("doc_url"),
        )

    def _mappings(self) -> tuple[Ints, Ints]:
        """The mappings, the most frequent first one first, and the row of each number in them."""
        records = self.mapping_records
        order = sorted(
            range(len(records)), key=lambda number: (-self.first_mappings[number], records[number])
        )
        places = np.full(len(records) + 1, NONE, np.int64)  # the last one is that of NONE
        places[order] = np.arange(len(records))
        rows = []
        for number in order:
            start, limit, offset, file, build_id, *flags = records[number]
            rows.append((start, limit, offset, self.strings[file], self.strings[build_id], *flags))
        return np.array(rows, np.int64).reshape(-1, 9), places

    def _add_header(self, header: Header) -> None:
        if not self.headers:
            self.sums = np.zeros((1024, len(header.sample_types)), np.int64)
        else:
            first = self.headers[0]
            for what, ours, theirs in (
                ("sample types", first.sample_types, header.sample_types),
                ("the period type", (first.period_type,), (header.period_type,)),
            ):
                if ours != theirs:
                    raise ProfileError(
                        f"The profile differs from the first one in {what}: "
                        f"{', '.join(map(str, theirs))} instead of {', '.join(map(str, ours))}.",
                        reason="incompatible",
                        hint="Merge profiles of one kind only.",
                    )
        self.headers.append(header)
        self.comments.update(header.comments)

    def _add_values(self, rows: Ints, values: Ints, factor: float) -> None:
        if self.weighted:
            values = np.rint(values * (factor * FRACTION)).astype(np.int64)
        self.magnitude += float(np.abs(values.astype(np.float64)).sum())
        if self.magnitude > MOST:
            raise ProfileError(
                "The profile's values are so large that their sum does not fit into 64 bits.",
                reason="overflow",
                hint="No CPU profile counts that far: leave it out.",
            )
        while len(self.stacks) > len(self.sums):
            self.sums = np.concatenate((self.sums, np.zeros_like(self.sums)))
        np.add.at(self.sums, rows, values)

    def _number_locations(self, profile: Columns, used: Ints) -> Ints:
        """Numbers of the locations ``used``: rows (mapping, address in it, folded), then its lines."""
        counts = np.diff(profile.line_starts)[used]
        lines = profile.lines[_ranges(profile.line_starts[used], counts)]
        lines[:, 0] = _renumber(
            lines[:, 0], len(profile.functions), lambda rows: self._number_functions(profile, rows)
        )
        heads = profile.locations[used]
        starts = np.append(profile.mappings[:, 0], 0)  # the last one is that of NONE
        heads[:, 1] -= starts[heads[:, 0]]
        heads[:, 0] = self._number_mappings(profile, heads[:, 0])
        stops = np.cumsum(counts + 1)
        table = np.empty((len(used) + len(lines), 3), np.int64)
        is_head = np.zeros(len(table), np.bool_)
        is_head[stops - counts - 1] = True
        table[is_head] = heads
        table[~is_head] = lines
        return self.locations.of(_slices(table.tobytes(), stops * table.strides[0]), len(used))

    def _number_functions(self, profile: Columns, rows: Ints) -> Ints:
        table = profile.functions[rows]
        texts = table[:, :3]
        table[:, :3] = _renumber(
            texts.ravel(),
            len(profile.strings),
            lambda used: self.strings.of(map(profile.strings.__getitem__, used.tolist()), len(used)),
        ).reshape(texts.shape)
        return self.functions.of(table.view(f"V{table.strides[0]}").ravel().tolist(), len(rows))

    def _number_mappings(self, profile: Columns, rows: Ints) -> Ints:
        # The first mapping is the main binary, whether a sample lies in it or not.
        used = sorted({0, *np.unique(rows).tolist()} - {NONE}) if len(profile.mappings) else []
        numbers = np.full(len(profile.mappings) + 1, NONE, np.int64)
        for row in used:
            start, limit, offset, file, build_id, *flags = profile.mappings[row].tolist()
            name, build = profile.strings[file], profile.strings[build_id]
            number = self.mappings[(limit - start + PAGE - 1) // PAGE, offset, build or name]
            record = (start, limit, offset, name, build, *flags)
            if number == len(self.mapping_records):
                self.mapping_records.append(record)
            # Of mappings that are one, the least is written: any rule will do that does not ask who came
            # first.
            self.mapping_records[number] = min(self.mapping_records[number], record)
            numbers[row] = number
        if used:
            self.first_mappings[int(numbers[0])] += 1
        return numbers[rows]


def _renumber(rows: Ints, count: int, number: Callable[[Ints], Ints]) -> Ints:
    """``rows`` of a table of ``count`` rows, with each used row as ``number`` has it; NONE stays."""
    used = _used(rows[rows != NONE], count)
    numbers = np.full(count + 1, NONE, np.int64)  # the last one is that of NONE
    numbers[used] = number(used)
    renumbered: Ints = numbers[rows]
    return renumbered


def _used(rows: Ints, count: int) -> Ints:
    """The rows of a table of ``count`` rows that occur in ``rows``, rising."""
    marks = np.zeros(count, np.bool_)
    marks[rows] = True
    return np.flatnonzero(marks)


def _starts(counts: Ints) -> Ints:
    """Where in a list of lists each list of these sizes starts, and where the last one ends."""
    starts: Ints = np.concatenate(([0], np.cumsum(counts)))
    return starts


def _ranges(starts: Ints, counts: Ints) -> Ints:
    """``starts[0] … + counts[0]``, then ``starts[1] …``, one behind the other."""
    stops = np.cumsum(counts)
    rows: Ints = np.arange(stops[-1] if len(stops) else 0) + np.repeat(starts - (stops - counts), counts)
    return rows


def _slices(data: bytes, stops: Ints) -> list[bytes]:
    """``data`` cut at ``stops``."""
    ends = stops.tolist()
    return [data[start:stop] for start, stop in zip([0, *ends], ends, strict=False)]


def _labels(profile: Columns, samples: Ints) -> list[tuple[Label, ...]]:
    """The labels of some samples, sorted."""
    strings = profile.strings
    labels = [
        Label(strings[key], strings[text], number, strings[unit])
        for key, text, number, unit in profile.labels.tolist()
    ]
    starts = profile.label_starts.tolist()
    return [tuple(sorted(labels[starts[row] : starts[row + 1]])) for row in samples.tolist()]
