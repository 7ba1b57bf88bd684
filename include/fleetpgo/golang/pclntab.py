"""Read the function tables of a Go binary.

Go's runtime needs these tables for tracebacks and profiles, so every binary has them, even a stripped one:

- The *pclntab*: a header, the names of functions and files, and a record for each function with its start
  line and its tables that map a PC to file, line and inlined call.
- The *inline trees*, below ``go:func.*``: in the pclntab since Go 1.26, in the read-only data before.
- The *moduledata*, which holds the addresses of both. It is found by its first two words, which point into
  the pclntab.

Sources: src/runtime/symtab.go, symtabinl.go and runtime2.go, src/internal/abi/symtab.go,
src/cmd/link/internal/ld/pcln.go and symtab.go, of Go 1.20 to 1.27. Between these, only the place of
``gofunc`` in the moduledata has changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fleetpgo.errors import BuildError
from fleetpgo.golang.elf import open_elf
from fleetpgo.golang.program import Program

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fleetpgo.golang.elf import Elf

_MAGIC = 0xFFFFFFF1
"""Magic number of a pclntab since Go 1.20 (``Go120PCLnTabMagic``)."""

_EARLIER = (0xFFFFFFFB, 0xFFFFFFFA, 0xFFFFFFF0)
"""Magic numbers of earlier Go versions, whose tables have no start lines."""

_SECTIONS = (b".gopclntab", b".data.rel.ro.gopclntab")

_HEADER = 8
"""Words of the header after its first eight bytes: nfunc, nfiles, textStart, and five offsets."""

_WORDS = 48
"""Number of words that are read from the moduledata."""

_TEXT = 22
_GO_FUNC, _GO_FUNC_BEFORE = 43, 40
"""Word index of ``gofunc`` since Go 1.27, and before. ``epclntab`` follows it since Go 1.26."""


class _Table(NamedTuple):
    """The pclntab: where it is, and its bytes; then what its header says."""

    address: int
    data: bytes
    quantum: int
    functions: int
    starts: tuple[int, ...]

    def part(self, number: int) -> bytes:
        """Names, units, files, tables or functions."""
        starts = (*self.starts, len(self.data))
        return self.data[starts[number] : starts[number + 1]]


def read_program(path: Path) -> Program:
    """Read a Go program's functions from its binary.

    Args:
        path: an ELF binary of Go 1.20 or newer; stripped or not, position-independent or not.

    Raises:
        BuildError: the file is not such a binary, or is damaged.
    """
    with open_elf(path) as elf:
        table = _find_table(elf)
        module = _find_module(elf, table)
        go_func, parts = _go_func(elf, table, module)
        end = table.address + len(table.data)
        inside = table.address <= go_func < end
        order = elf.order
        return Program(
            name=elf.name,
            build_ids=frozenset(_build_ids(elf)),
            text=int(module[_TEXT]) if parts <= 1 else None,
            places=np.array([(each.offset, each.size, each.address) for each in elf.loaded], np.uint64),
            quantum=table.quantum,
            order=order,
            names=table.part(0),
            units=_words(table.part(1), order),
            files=table.part(2),
            tables=table.part(3),
            functions=_words(table.part(4), order),
            count=table.functions,
            code=_code(elf, int(module[_TEXT]), table) if parts <= 1 else b"",
            machine=elf.machine,
            trees=table.data[go_func - table.address :] if inside else elf.from_address(go_func),
        )


def _code(elf: Elf, text: int, table: _Table) -> bytes:
    """Return the machine code of all functions; empty if the function table points outside the file."""
    end = int.from_bytes(table.part(4)[8 * table.functions :][:4], "little" if elf.order == "<" else "big")
    return elf.from_address(text, end)


def _words(data: bytes, order: str) -> NDArray[np.uint32]:
    return np.frombuffer(data, f"{order}u4", len(data) // 4).astype(np.uint32)


def _find_table(elf: Elf) -> _Table:
    section = elf.section(*_SECTIONS)
    if section:
        return _table(elf, section.address, elf.at(section.offset, section.size))
    start = _MAGIC.to_bytes(4, "little" if elf.order == "<" else "big") + b"\0\0"
    for segment in elf.loaded:
        data, at = elf.at(segment.offset, segment.size), -1
        while (at := data.find(start, at + 1)) >= 0:
            if at % elf.word == 0 and data[at + 7 : at + 8] == bytes([elf.word]):
                return _table(elf, segment.address + at, data[at:])
    raise BuildError(
        f"{elf.name} has no Go function table (pclntab)",
        hint="name a binary as `go build` of Go 1.20 or newer wrote it; a packed one (UPX) cannot be read",
    )


def _table(elf: Elf, address: int, data: bytes) -> _Table:
    """Read the header of a pclntab (``pcHeader`` in src/runtime/symtab.go)."""
    size = 8 + _HEADER * elf.word
    if len(data) < size:
        raise elf.damaged("its function table is too short")
    magic = int(np.frombuffer(data, f"{elf.order}u4", 1)[0])
    if magic in _EARLIER:
        raise BuildError(
            f"{elf.name} was built with a Go version before 1.20; its function table has no start lines",
            hint="build it with Go 1.20 or newer",
        )
    if magic != _MAGIC or data[7] != elf.word or data[6] not in (1, 2, 4):
        raise BuildError(
            f"{elf.name} has a function table of an unknown format (magic number {magic:#x})",
            hint="update fleetpgo: a newer version may read it",
        )
    count, _, _, *starts = np.frombuffer(data, f"{elf.order}u{elf.word}", _HEADER, 8).tolist()
    if sorted(starts) != starts or starts[-1] + 8 * count + 4 > len(data):
        raise elf.damaged("its function table is inconsistent")
    return _Table(address, data, data[6], count, tuple(starts))


def _find_module(elf: Elf, table: _Table) -> NDArray[np.uint64]:
    """Return the first words of the moduledata."""
    begins = table.address, table.address + table.starts[0]
    for segment in elf.writable:
        words = elf.words(segment.address, segment.size // elf.word)
        for row in np.flatnonzero((words[:-1] == begins[0]) & (words[1:] == begins[1])).tolist():
            found = words[row : row + _WORDS]
            if len(found) == _WORDS:
                return found
    raise BuildError(
        f"{elf.name} has no moduledata, which says where its function tables are",
        hint="name the file as `go build` wrote it",
    )


def _go_func(elf: Elf, table: _Table, module: NDArray[np.uint64]) -> tuple[int, int]:
    """Return the address of ``go:func.*``, and the number of text sections."""
    end = table.address + len(table.data)
    for place in (_GO_FUNC, _GO_FUNC_BEFORE):
        address, after = int(module[place]), int(module[place + 1])
        if table.address <= address <= after <= end:
            return address, int(module[place + 3])
    address = int(module[_GO_FUNC_BEFORE])
    if any(each.address <= address < each.address + each.size for each in elf.loaded):
        return address, int(module[_GO_FUNC_BEFORE + 2])
    raise BuildError(
        f"{elf.name} was built with a Go version that fleetpgo does not know",
        hint="update fleetpgo: a newer version may read it",
    )


def _build_ids(elf: Elf) -> set[str]:
    found = set()
    for name, kind, content in elf.notes():
        if (name, kind) == (b"GNU", 3):
            found.add(content.hex())
        elif (name, kind) == (b"Go", 4):
            found |= {content.decode(errors="replace").rstrip("\0"), content.hex()}
    return found - {""}
