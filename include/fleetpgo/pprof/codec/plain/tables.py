"""Tables of a sum in Python: what :class:`fleetpgo.pprof.codec.kernel.Tables` describes."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from fleetpgo.pprof.codec.arrays import NONE, starts_of
from fleetpgo.pprof.codec.plain.decoding import decode

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.kernel import Buffer, RawHeader

Key = TypeVar("Key", bound="Hashable")

PAGE = 0x1000
"""Sizes of mappings are compared in whole pages, as google/pprof does."""

RETURNED = ("octets", "string_ends", "table_ends", "values", "sample_ends")
"""Columns of the profiles that are returned as they are."""


class Tables:
    """Every different record of the profiles that were added, numbered."""

    def __init__(self) -> None:
        self._strings: dict[bytes, int] = {}
        self._functions: dict[tuple[int, ...], int] = {}
        self._locations: dict[tuple[int, ...], int] = {}
        self._stacks: dict[bytes, int] = {}
        self._label_sets: dict[tuple[tuple[int, ...], ...], int] = {}
        self._by_key: dict[tuple[int, int, int], int] = {}
        self._mappings: list[tuple[int, ...]] = []
        self._firsts: list[int] = []

    def add(
        self,
        messages: Sequence[bytes],
        labels: bool,  # noqa: FBT001 -- the native one's arguments
        records: int,
        depth: int,
    ) -> tuple[list[RawHeader], dict[str, Buffer]]:
        """Add profiles."""
        headers, raw = decode(messages, False, records, depth)  # noqa: FBT003 -- likewise
        profiles = _Decoded(raw, len(headers[0][0]) // 2 if headers else 0)
        kept = np.any(profiles.values != 0, axis=1)
        depths = profiles.depths[kept]
        stacks = profiles.stacks[np.repeat(kept, profiles.depths)]
        used = np.unique(stacks)
        numbers = np.full(len(profiles.locations), NONE, np.int64)
        numbers[used] = self._number_locations(profiles, used.tolist())
        stacks = numbers[stacks]
        if labels:
            sets = [self._number_labels(profiles, row) for row in np.flatnonzero(kept).tolist()]
            stacks, depths = np.insert(stacks, np.cumsum(depths), sets), depths + 1
        octets, cuts = stacks.tobytes(), (8 * starts_of(depths)).tolist()
        rows = np.full(len(kept), NONE, np.int64)
        rows[kept] = [_number(self._stacks, octets[start:end]) for start, end in pairwise(cuts)]
        return headers, {name: raw[name] for name in RETURNED} | {"rows": rows.tobytes()}

    def all(self) -> dict[str, Buffer]:
        """Return all records, by name."""
        locations = [np.array(row, np.int64) for row in self._locations]
        stacks = [np.frombuffer(row, np.int64) for row in self._stacks]
        labels = [np.array(rows, np.int64).ravel() for rows in self._label_sets]
        return {
            "octets": b"".join(self._strings),
            "string_ends": _ends(self._strings),
            "functions": _joined(np.array(row, np.int64) for row in self._functions),
            "mappings": np.array(self._mappings, np.int64).reshape(-1, 9).T.tobytes(),
            "firsts": np.array(self._firsts, np.int64).tobytes(),
            "locations": _joined(locations),
            "location_ends": _ends(locations),
            "stacks": _joined(stacks),
            "stack_ends": _ends(stacks),
            "labels": _joined(labels),
            "label_ends": _ends(labels),
        }

    def _number_locations(self, profiles: _Decoded, used: Sequence[int]) -> list[int]:
        lines = [profiles.lines_of(row) for row in used]
        functions = self._number_functions(profiles, {line[0] for of_one in lines for line in of_one})
        heads = profiles.locations[used].tolist()
        mappings = self._number_mappings(profiles, {mapping for mapping, _, _ in heads})
        starts = profiles.mappings[:, 0].tolist()
        numbers = []
        for (mapping, address, folded), of_one in zip(heads, lines, strict=True):
            start = starts[mapping] if mapping != NONE else 0
            row = [mappings[mapping], _signed(address - start), folded]
            for function, line, column in of_one:
                row += functions[function], line, column
            numbers.append(_number(self._locations, tuple(row)))
        return numbers

    def _number_functions(self, profiles: _Decoded, rows: Iterable[int]) -> dict[int, int]:
        numbers = {NONE: NONE}
        for row in set(rows) - {NONE}:
            *texts, start_line = profiles.functions[row].tolist()
            key = (*(self._number_text(profiles, text) for text in texts), start_line)
            numbers[row] = _number(self._functions, key)
        return numbers

    def _number_mappings(self, profiles: _Decoded, rows: Iterable[int]) -> dict[int, int]:
        # The first mapping is the main binary, whether a sample lies in it or not.
        firsts = [start for start, end in pairwise(profiles.mapping_starts.tolist()) if start < end]
        texts, numbers = list(self._strings), {NONE: NONE}
        for row in sorted({*rows, *firsts} - {NONE}):
            start, limit, offset, *of_texts = profiles.mappings[row].tolist()
            file, build = (self._number_text(profiles, text) for text in of_texts[:2])
            texts = list(self._strings) if len(texts) < len(self._strings) else texts
            own = (start, limit, offset, file, build, *of_texts[2:])
            size = (limit - start + PAGE - 1) % (1 << 64) // PAGE
            number = numbers[row] = _number(self._by_key, (size, offset, build if texts[build] else file))
            if number == len(self._mappings):
                self._mappings.append(own)
                self._firsts.append(0)

            def order(mapping: tuple[int, ...], texts: Sequence[bytes] = texts) -> tuple[object, ...]:
                return (*mapping[:3], texts[mapping[3]], texts[mapping[4]], *mapping[5:])

            # Any rule will do that does not ask who came first.
            self._mappings[number] = min(self._mappings[number], own, key=order)
        for first in firsts:
            self._firsts[numbers[first]] += 1
        return numbers

    def _number_labels(self, profiles: _Decoded, sample: int) -> int:
        rows = []
        for key, text, number, unit in profiles.labels_of(sample):
            texts = [self._number_text(profiles, each) for each in (key, text, unit)]
            rows.append((texts[0], texts[1], number, texts[2]))
        return _number(self._label_sets, tuple(sorted(rows)))

    def _number_text(self, profiles: _Decoded, row: int) -> int:
        return _number(self._strings, profiles.text(row))


class _Decoded:
    """Columns of profiles, as the kernel decodes them."""

    def __init__(self, raw: Mapping[str, Buffer], types: int) -> None:
        def numbers(name: str) -> Ints:
            return np.frombuffer(raw[name], np.int64)

        def table(name: str, width: int) -> Ints:
            return numbers(name).reshape(width, -1).T

        self._octets = bytes(raw["octets"])
        self._text_cuts = [0, *numbers("string_ends").tolist()]
        self.functions, self.mappings = table("functions", 4), table("mappings", 9)
        self.locations = table("locations", 3)
        self._lines: list[list[int]] = table("lines", 3).tolist()
        self._line_cuts: list[int] = [0, *numbers("line_ends").tolist()]
        self._labels: list[list[int]] = table("labels", 4).tolist()
        self._label_cuts: list[int] = [0, *numbers("label_ends").tolist()]
        self.depths, self.stacks = numbers("depths"), numbers("stacks")
        self.values = numbers("values").reshape(len(self.depths), types)
        self.mapping_starts = np.concatenate((np.zeros(1, np.int64), numbers("mapping_ends")))

    def text(self, row: int) -> bytes:
        return self._octets[self._text_cuts[row] : self._text_cuts[row + 1]]

    def lines_of(self, location: int) -> list[list[int]]:
        return self._lines[self._line_cuts[location] : self._line_cuts[location + 1]]

    def labels_of(self, sample: int) -> list[list[int]]:
        return self._labels[self._label_cuts[sample] : self._label_cuts[sample + 1]]


def _number(known: dict[Key, int], key: Key) -> int:
    return known.setdefault(key, len(known))


def _signed(number: int) -> int:
    """Return a number of 64 bits with sign that has the same lowest bits."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def _joined(rows: Iterable[Ints]) -> bytes:
    return b"".join(row.tobytes() for row in rows)


def _ends(items: Iterable[Sequence[int] | Ints | bytes]) -> bytes:
    return np.cumsum(np.fromiter(map(len, items), np.int64), dtype=np.int64).tobytes()
