"""Tables of a sum in Python: what :class:`fleetpgo.pprof.codec.kernel.Tables` describes."""

from __future__ import annotations

from itertools import chain, pairwise
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from fleetpgo.pprof.codec.arrays import NONE, starts_of
from fleetpgo.pprof.codec.plain.decoding import decode

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence, Sized

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
        self._locations: dict[tuple[tuple[int, ...], ...], int] = {}
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
        numbers = np.array(self._number_locations(profiles), np.int64)
        depths, stacks = profiles.depths[kept], numbers[profiles.stacks[np.repeat(kept, profiles.depths)]]
        if labels:
            sets = [self._number_labels(profiles, row) for row in np.flatnonzero(kept).tolist()]
            stacks, depths = np.insert(stacks, np.cumsum(depths), sets), depths + 1
        octets, cuts = stacks.tobytes(), (8 * starts_of(depths)).tolist()
        rows = np.full(len(kept), NONE, np.int64)
        rows[kept] = [_number(self._stacks, octets[start:end]) for start, end in pairwise(cuts)]
        return headers, {name: raw[name] for name in RETURNED} | {"rows": rows.tobytes()}

    def all(self) -> dict[str, Buffer]:
        """Return all records, by name."""
        stacks = [np.frombuffer(row, np.int64) for row in self._stacks]
        return {
            "octets": b"".join(self._strings),
            "string_ends": _ends(self._strings),
            "functions": _columns(self._functions, 4),
            "mappings": _columns(self._mappings, 9),
            "firsts": np.array(self._firsts, np.int64).tobytes(),
            "locations": _columns(chain.from_iterable(self._locations), 3),
            "location_ends": _ends(self._locations),
            "stacks": b"".join(self._stacks),
            "stack_ends": _ends(stacks),
            "labels": _columns(chain.from_iterable(self._label_sets), 4),
            "label_ends": _ends(self._label_sets),
        }

    def _number_locations(self, profiles: _Decoded) -> list[int]:
        texts = [_number(self._strings, text) for text in profiles.strings]
        functions = [
            _number(self._functions, (texts[name], texts[system_name], texts[file], start_line))
            for name, system_name, file, start_line in profiles.functions
        ]
        mappings = self._number_mappings(profiles, texts)
        numbers = []
        for (mapping, address, folded), lines in zip(profiles.locations, profiles.lines, strict=True):
            head = (NONE, folded, address)
            if mapping != NONE:
                head = (mappings[mapping], folded, _signed(address - profiles.mappings[mapping][0]))
            of_lines = (
                (NONE if function == NONE else functions[function], line, column)
                for function, line, column in lines
            )
            numbers.append(_number(self._locations, (head, *of_lines)))
        return numbers

    def _number_mappings(self, profiles: _Decoded, texts: Sequence[int]) -> list[int]:
        strings, numbers = list(self._strings), []

        def order(mapping: tuple[int, ...]) -> tuple[object, ...]:
            start, limit, offset, file, build, *flags = mapping
            return start, limit, offset, strings[file], strings[build], *flags

        for start, limit, offset, file, build, *flags in profiles.mappings:
            own = (start, limit, offset, texts[file], texts[build], *flags)
            size = (limit - start + PAGE - 1) % (1 << 64) // PAGE
            name = texts[build] if strings[texts[build]] else texts[file]
            number = _number(self._by_key, (size, offset, name))
            numbers.append(number)
            if number == len(self._mappings):
                self._mappings.append(own)
                self._firsts.append(0)
            # Any rule will do that does not ask who came first.
            self._mappings[number] = min(self._mappings[number], own, key=order)
        # The first mapping is the main binary, whether a sample lies in it or not.
        for first, end in pairwise(profiles.mapping_cuts):
            if first < end:
                self._firsts[numbers[first]] += 1
        return numbers

    def _number_labels(self, profiles: _Decoded, sample: int) -> int:
        rows = []
        for key, text, number, unit in profiles.labels[sample]:
            texts = [_number(self._strings, profiles.strings[each]) for each in (key, text, unit)]
            rows.append((texts[0], texts[1], number, texts[2]))
        return _number(self._label_sets, tuple(sorted(rows)))


class _Decoded:
    """Columns of profiles, as the kernel decodes them, row by row."""

    def __init__(self, raw: Mapping[str, Buffer], types: int) -> None:
        def numbers(name: str) -> Ints:
            return np.frombuffer(raw[name], np.int64)

        def rows(name: str, width: int) -> list[list[int]]:
            found: list[list[int]] = numbers(name).reshape(width, -1).T.tolist()
            return found

        def cuts(name: str) -> list[int]:
            return [0, *numbers(name).tolist()]

        octets, lines, labels = bytes(raw["octets"]), rows("lines", 3), rows("labels", 4)
        self.strings = [octets[start:end] for start, end in pairwise(cuts("string_ends"))]
        self.functions, self.mappings = rows("functions", 4), rows("mappings", 9)
        self.mapping_cuts = cuts("mapping_ends")
        self.locations = rows("locations", 3)
        self.lines = [lines[start:end] for start, end in pairwise(cuts("line_ends"))]
        self.labels = [labels[start:end] for start, end in pairwise(cuts("label_ends"))]
        self.depths, self.stacks = numbers("depths"), numbers("stacks")
        self.values = numbers("values").reshape(len(self.depths), types)


def _number(known: dict[Key, int], key: Key) -> int:
    return known.setdefault(key, len(known))


def _signed(number: int) -> int:
    """Return a number of 64 bits with sign that has the same lowest bits."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def _columns(rows: Iterable[Sequence[int]], width: int) -> bytes:
    return np.array([*rows], np.int64).reshape(-1, width).T.tobytes()


def _ends(items: Iterable[Sized]) -> bytes:
    return np.cumsum(np.fromiter(map(len, items), np.int64), dtype=np.int64).tobytes()
