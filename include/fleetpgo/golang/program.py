"""The functions of a Go binary: their names, start lines, and what is at which address.

:mod:`fleetpgo.golang.pclntab` reads them from the binary. numpy decodes the records of all functions at once;
the tables of one function (:mod:`fleetpgo.golang.unwinding`) are decoded on request.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.errors import BuildError
from fleetpgo.golang.calls import direct_calls
from fleetpgo.golang.symbols import without_type_arguments
from fleetpgo.golang.unwinding import Called, Code, Steps, highest, read_steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from fleetpgo.golang.unwinding import Frame

    Words = NDArray[np.uint32]
    Ints = NDArray[np.int64]

_RECORD = 11
"""Words of a function's record (``_func``)."""

_NAME, _FILES, _LINES, _TABLES, _UNIT, _START, _LAST = 1, 5, 6, 7, 8, 9, 10
"""Words of it: nameOff, pcfile, pcln, npcdata, cuOffset, startLine; and its last four bytes: funcID, flag, a
pad, nfuncdata."""

_TREE, _CALLS = 3, 2
"""FUNCDATA_InlTree, PCDATA_InlTreeIndex."""

CALL = 16
"""Bytes of a call in an inline tree (``inlinedCall``): funcID, three pads, nameOff, parentPc, startLine."""

ABSENT = 0xFFFFFFFF


@dataclass(frozen=True, eq=False)
class Program:
    """The functions of a Go binary.

    Attributes:
        name: of the file.
        build_ids: what profilers call its build id: the GNU one in hexadecimal digits, Go's own, and the
            digits of that one's letters.
        text: address of its code, as the file counts; None: it lies in several parts, so no address can be
            looked up.
        places: (segments, 3): offset in the file, bytes and address of what is loaded.
        quantum: bytes of the smallest instruction.
        order: byte order, as numpy writes it.
        names: the functions' names, each with a 0 behind it.
        files: the files' names, likewise.
        units: offsets in ``files``; those of a compilation unit one behind the other.
        tables: what is at which place of each function.
        functions: where each function's code starts and its record is; then the records.
        count: how many functions.
        trees: the inline trees, and whatever else functions have below ``go:func.*``.
        code: of the functions, from ``text`` on; nothing where that is None.
        machine: the processor, by its number in ELF.
    """

    name: str
    build_ids: frozenset[str]
    text: int | None
    places: NDArray[np.uint64]
    quantum: int
    order: str
    names: bytes
    files: bytes
    units: Words
    tables: bytes
    functions: Words
    count: int
    trees: bytes
    code: bytes
    machine: int
    _codes: dict[int, Code] = field(default_factory=dict, init=False, repr=False)
    _stacks: dict[bytes, frozenset[tuple[Frame, ...]]] = field(default_factory=dict, init=False, repr=False)
    _calls: dict[bytes, frozenset[tuple[bytes, int, bytes]]] = field(
        default_factory=dict, init=False, repr=False
    )

    @cached_property
    def start_lines(self) -> Mapping[bytes, tuple[int, ...]]:
        """The start lines of each function by its name, inlined ones included; rising.

        Without wrappers, which the compiler gives the name of what they call.
        """
        _, records = self._entries
        records = records[self._octet(records, 0) != self._wrapper]
        names = np.concatenate([self.functions[records + _NAME], self._inlined[:, 0]])
        lines = np.concatenate([self.functions[records + _START], self._inlined[:, 1]])
        found: dict[bytes, set[int]] = defaultdict(set)
        for offset, line in np.unique(np.stack((names, lines), axis=1), axis=0).tolist():
            if 0 < line < 1 << 31 and (name := self._name_at.get(offset)):
                found[name].add(line)
        return {name: tuple(sorted(starts)) for name, starts in found.items()}

    @cached_property
    def known(self) -> frozenset[bytes]:
        """The names of all functions, also of those that are inlined wherever they are called."""
        return frozenset(self._name_at.values()) - {b""}

    def candidates(self, name: bytes) -> Sequence[bytes]:
        """Return the functions that have this name but for their type arguments, sorted."""
        return self._generic.get(_plain(name), ())

    @cached_property
    def _generic(self) -> Mapping[bytes, tuple[bytes, ...]]:
        """The names with type arguments, by what is left without these.

        Go 1.20 wrote ``[...]`` for all of them, which is nobody's name to its compiler.
        """
        found: dict[bytes, list[bytes]] = defaultdict(list)
        for name in sorted(self.known):
            if b"[" in name and b"[...]" not in name:
                found[_plain(name)].append(name)
        return {plain: tuple(names) for plain, names in found.items()}

    def address_of(self, offset: int) -> int | None:
        """Return the address, as the file counts, of a byte of the file; None: it is not loaded."""
        for start, size, address in self.places.tolist():
            if start <= offset < start + size:
                return int(offset - start + address)
        return None

    def frames(self, address: int) -> tuple[Frame, ...] | None:
        """Return the functions at an address, the innermost inlined one first, without wrappers.

        Args:
            address: of a byte of an instruction, as the file counts.

        Returns:
            None if no function of Go is there; nothing if a wrapper alone is.
        """
        if self.text is None:
            return None
        entries, _ = self._entries
        place = address - self.text
        row = int(np.searchsorted(entries, place, side="right")) - 1 if place >= 0 else -1
        if row < 0 or place >= self._end(row):
            return None
        return self._code(row).frames(place - int(entries[row]))

    def stacks_of(self, name: bytes) -> frozenset[tuple[Frame, ...]]:
        """Return the frames at each place of a function's code: what is inlined there, and itself last."""
        if name not in self._stacks:
            stacks = (self._code(row).stacks() for row in self._rows.get(name, ()))
            self._stacks[name] = frozenset(stack for each in stacks for stack in each)
        return self._stacks[name]

    def calls_of(self, name: bytes) -> frozenset[tuple[bytes, int, bytes]]:
        """Return the direct calls in the code of a function: who calls, on which line, and which function.

        Who calls is the function itself, or one that is inlined there. Of processors that
        :mod:`fleetpgo.golang.calls` does not know there are none.
        """
        if name not in self._calls:
            self._calls[name] = frozenset(
                call for row in self._rows.get(name, ()) for call in self._calls_in(row)
            )
        return self._calls[name]

    def _calls_in(self, row: int) -> Iterator[tuple[bytes, int, bytes]]:
        entries, records = self._entries
        start = int(entries[row])
        for place, target in direct_calls(self.code[start : self._end(row)], self.machine):
            there = int(np.searchsorted(entries, start + target))
            if there < self.count and entries[there] == start + target:
                for frame in self._code(row).frames(place)[:1]:
                    called = int(self.functions[records[there] + _NAME])
                    yield frame.name, frame.line, self._name_at.get(called, b"")

    @cached_property
    def _name_at(self) -> Mapping[int, bytes]:
        """Each name by where it starts."""
        at, found = 0, {}
        for name in self.names.split(b"\0"):
            found[at] = name
            at += len(name) + 1
        return found

    @cached_property
    def _entries(self) -> tuple[Ints, Ints]:
        """Where the code of each function starts, and the word at which its record does."""
        table = self.functions[: 2 * self.count].reshape(-1, 2).astype(np.int64)
        entries, records = table[:, 0], table[:, 1] // 4
        if np.any(records + _RECORD > len(self.functions)) or np.any(np.diff(entries) < 0):
            raise self._damaged()
        return entries, records

    @cached_property
    def _rows(self) -> Mapping[bytes, list[int]]:
        """The numbers of the functions of each name: one of Go and one of assembly may share it."""
        found: dict[bytes, list[int]] = defaultdict(list)
        _, records = self._entries
        for row, offset in enumerate(self.functions[records + _NAME].tolist()):
            found[self._name_at.get(offset, b"")].append(row)
        return found

    @cached_property
    def _inlined(self) -> Words:
        """(calls, 2): name and start line of whatever was inlined, from all inline trees."""
        starts, counts = self._trees
        rows = np.repeat(starts - (np.cumsum(counts) - counts) * CALL, counts)
        rows += np.arange(len(rows)) * CALL
        octets = np.frombuffer(self.trees, np.uint8)
        words = [
            octets[rows[:, None] + np.arange(place, place + 4)].view(f"{self.order}u4").ravel()
            for place in (4, 12)
        ]
        return np.stack(words, axis=1).astype(np.uint32)

    @cached_property
    def _trees(self) -> tuple[Ints, Ints]:
        """Where the inline trees start, rising, and how many calls each holds.

        A tree does not say that. The table of what is inlined where names its calls by number.
        """
        _, records = self._entries
        tables = records + _RECORD
        funcdata = tables + self.functions[records + _TABLES]
        if np.any(funcdata + self._octet(records, 3) > len(self.functions)):
            raise self._damaged()
        rows = np.flatnonzero(
            (self._octet(records, 3) > _TREE) & (self.functions[records + _TABLES] > _CALLS)
        )
        starts = self.functions[funcdata[rows] + _TREE].astype(np.int64)
        given = starts + CALL <= len(self.trees)  # which ABSENT is not
        starts, rows = starts[given], rows[given]
        counts = highest(self.tables, self.functions[tables[rows] + _CALLS].astype(np.int64)) + 1
        order = np.lexsort((-counts, starts))  # of functions that share a tree, the one that uses most of it
        starts, first = np.unique(starts[order], return_index=True)
        room = np.diff(np.append(starts, len(self.trees))) // CALL
        return starts, np.minimum(counts[order][first], room)

    @cached_property
    def _wrapper(self) -> int:
        """The kind of what the compiler made to call a function otherwise (FuncIDWrapper).

        Its number grew with the list of kinds. It is the last of them, and every program has wrappers.
        """
        _, records = self._entries
        return int(self._octet(records, 0).max(initial=0))

    def _octet(self, records: Ints, place: int) -> Ints:
        """One of the last four bytes of some records."""
        shift = 8 * (place if self.order == "<" else 3 - place)
        return (self.functions[records + _LAST] >> np.uint32(shift)).astype(np.int64) & 0xFF

    def _end(self, row: int) -> int:
        """Where a function's code ends: where the next one's starts."""
        return int(self.functions[2 * (row + 1)])

    def _code(self, row: int) -> Code:
        if row not in self._codes:
            self._codes[row] = self._read_code(row)
        return self._codes[row]

    def _read_code(self, row: int) -> Code:
        entries, records = self._entries
        record = int(records[row])
        words = self.functions[record : record + _RECORD].tolist()
        size, tables = self._end(row) - int(entries[row]), words[_TABLES]

        def steps(offset: int) -> Steps:
            return read_steps(self.tables, offset, size, self.quantum)

        def extra(number: int, count: int, first: int) -> int:
            at = record + _RECORD + first + number
            return int(self.functions[at]) if number < count and at < len(self.functions) else 0

        (kind,), (others,) = (self._octet(records[row : row + 1], place).tolist() for place in (0, 3))
        tree = extra(_TREE, others, tables) if others > _TREE else ABSENT
        return Code(
            Called(self._name_at.get(words[_NAME], b""), 0, words[_START], wraps=kind == self._wrapper),
            lines=steps(words[_LINES]),
            files=steps(words[_FILES]),
            calls=steps(extra(_CALLS, tables, 0)),
            called=lambda number: self._called(tree, number),
            file=lambda number: self._file(words[_UNIT], number),
        )

    def _called(self, tree: int, number: int) -> Called | None:
        at = tree + number * CALL
        if tree == ABSENT or at + CALL > len(self.trees):
            return None
        call = np.frombuffer(self.trees, f"{self.order}u4", 4, at).tolist()
        name = self._name_at.get(call[1], b"")
        return Called(name, call[2], call[3], wraps=self.trees[at] == self._wrapper)

    def _file(self, unit: int, number: int) -> bytes:
        at = unit + number
        if unit == ABSENT or number < 0 or at >= len(self.units):
            return b""
        start = int(self.units[at])
        return self.files[start : max(self.files.find(b"\0", start), start)]

    def _damaged(self) -> BuildError:
        return BuildError(
            f"the function table of {self.name} is damaged", hint="name the file as `go build` wrote it"
        )


def _plain(name: bytes) -> bytes:
    return without_type_arguments(name.decode("latin-1")).encode("latin-1")
