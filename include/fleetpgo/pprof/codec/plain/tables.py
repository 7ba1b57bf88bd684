"""Tables of a sum in Python: what :class:`fleetpgo.pprof.codec.kernel.Tables` describes."""

from __future__ import annotations

from array import array
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.pprof.codec.arrays import NONE, starts_of
from fleetpgo.pprof.codec.plain.decoding import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.kernel import Buffer, RawHeader

PAGE = 0x1000
"""Sizes of mappings are compared in whole pages, as google/pprof does."""

OCTETS = 8
"""Of each number."""

RETURNED = ("octets", "string_ends", "table_ends", "values", "sample_ends")
"""Columns of the profiles that are returned as they are."""


class Tables:
    """Every different record of the profiles that were added, numbered."""

    def __init__(self) -> None:
        # All keys are bytes: Python salts their hashes, and not those of numbers.
        self._strings: dict[bytes, int] = {}
        self._functions: dict[bytes, int] = {}
        self._locations: dict[bytes, int] = {}
        self._stacks: dict[bytes, int] = {}
        self._label_sets: dict[bytes, int] = {}
        self._by_key: dict[bytes, int] = {}
        self._mappings: list[Sequence[int]] = []
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
        depths, stacks = profiles.depths[kept], profiles.stacks[np.repeat(kept, profiles.depths)]
        used, places = np.unique(stacks, return_inverse=True)
        of_samples = [profiles.labels[row] for row in np.flatnonzero(kept).tolist()] if labels else []
        texts, numbers = self._number_locations(profiles, used.tolist(), of_samples)
        stacks = np.array(numbers, np.int64)[places]
        if labels:
            sets = [self._number_labels(each, texts) for each in of_samples]
            stacks, depths = np.insert(stacks, np.cumsum(depths), sets), depths + 1
        octets, cuts = stacks.tobytes(), (OCTETS * starts_of(depths)).tolist()
        rows = np.full(len(kept), NONE, np.int64)
        rows[kept] = [_number(self._stacks, octets[start:end]) for start, end in pairwise(cuts)]
        return headers, {name: raw[name] for name in RETURNED} | {"rows": rows.tobytes()}

    def all(self) -> dict[str, Buffer]:
        """Return all records, by name."""
        return {
            "octets": b"".join(self._strings),
            "string_ends": _ends(self._strings, 1),
            "functions": _columns(self._functions, 4),
            "mappings": np.array(self._mappings, np.int64).reshape(-1, 9).T.tobytes(),
            "firsts": np.array(self._firsts, np.int64).tobytes(),
            "locations": _columns(self._locations, 3),
            "location_ends": _ends(self._locations, 3 * OCTETS),
            "stacks": b"".join(self._stacks),
            "stack_ends": _ends(self._stacks, OCTETS),
            "labels": _columns(self._label_sets, 4),
            "label_ends": _ends(self._label_sets, 4 * OCTETS),
        }

    def _number_locations(
        self, profiles: _Decoded, used: Sequence[int], labels: Iterable[Sequence[Sequence[int]]]
    ) -> tuple[dict[int, int], list[int]]:
        """Return the numbers of all used texts by row, and those of the used locations."""
        # The first mapping is the main binary, whether a sample lies in it or not.
        firsts = [start for start, end in pairwise(profiles.mapping_cuts) if start < end]
        mappings = {*firsts, *(profiles.locations[row][0] for row in used)} - {NONE}
        functions = {line[0] for row in used for line in profiles.lines[row]} - {NONE}
        strings = {text for row in functions for text in profiles.functions[row][:3]}
        strings |= {text for row in mappings for text in profiles.mappings[row][3:5]}
        strings |= {text for each in labels for key, value, _, unit in each for text in (key, value, unit)}

        texts = {row: _number(self._strings, profiles.strings[row]) for row in sorted(strings)}
        numbers = {NONE: NONE}
        for row in sorted(functions):
            name, system_name, file, start_line = profiles.functions[row]
            function = texts[name], texts[system_name], texts[file], start_line
            numbers[row] = _number(self._functions, _key(function))
        of_mappings = self._number_mappings(profiles, sorted(mappings), texts)
        for first in firsts:
            self._firsts[of_mappings[first]] += 1
        locations = []
        for row in used:
            mapping, address, folded = profiles.locations[row]
            start = 0 if mapping == NONE else profiles.mappings[mapping][0]
            key = [of_mappings.get(mapping, NONE), folded, _signed(address - start)]
            for called, line, column in profiles.lines[row]:
                key += numbers[called], line, column
            locations.append(_number(self._locations, _key(key)))
        return texts, locations

    def _number_mappings(
        self, profiles: _Decoded, used: Sequence[int], texts: Mapping[int, int]
    ) -> dict[int, int]:
        strings, numbers = list(self._strings), {}

        def order(mapping: Sequence[int]) -> tuple[object, ...]:
            start, limit, offset, file, build, *flags = mapping
            return start, limit, offset, strings[file], strings[build], *flags

        for row in used:
            start, limit, offset, file, build, *flags = profiles.mappings[row]
            own = (start, limit, offset, texts[file], texts[build], *flags)
            size = (limit - start + PAGE - 1) % (1 << 64) // PAGE
            name = texts[build] if strings[texts[build]] else texts[file]
            number = numbers[row] = _number(self._by_key, _key((size, offset, name)))
            if number == len(self._mappings):
                self._mappings.append(own)
                self._firsts.append(0)
            # Any rule will do that does not ask who came first.
            self._mappings[number] = min(self._mappings[number], own, key=order)
        return numbers

    def _number_labels(self, labels: Sequence[Sequence[int]], texts: Mapping[int, int]) -> int:
        rows = sorted([texts[key], texts[text], number, texts[unit]] for key, text, number, unit in labels)
        return _number(self._label_sets, _key([number for row in rows for number in row]))


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


def _number(known: dict[bytes, int], key: bytes) -> int:
    return known.setdefault(key, len(known))


def _key(numbers: Sequence[int]) -> bytes:
    return array("q", numbers).tobytes()


def _signed(number: int) -> int:
    """Return a number of 64 bits with sign that has the same lowest bits."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def _columns(keys: Iterable[bytes], width: int) -> bytes:
    """Return rows of so many numbers, one or more of them in each key, column by column."""
    return np.frombuffer(b"".join(keys), np.int64).reshape(-1, width).T.tobytes()


def _ends(keys: Iterable[bytes], size: int) -> bytes:
    """Return where each key ends, in items of so many bytes."""
    return (np.cumsum(np.fromiter(map(len, keys), np.int64), dtype=np.int64) // size).tobytes()
