"""An ELF file: its segments, sections, notes and relocations, of either byte order and word size.

The file is not trusted: a build made it, or a user named it. Only requested parts are read, and at most
:data:`MOST_BYTES` at once. A part that extends past the end of the file is an error.

Sources: the ELF specification (https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html); build ids:
cmd/link/internal/ld/elf.go. Why it is no library: docs/decisions/0410.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from fleetpgo.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

MOST_BYTES = 1 << 30
"""Of one part of the file that is read. The symbol tables of Kubernetes' largest program have 40 MB."""

MOST_TABLE = 4096
"""Segments, and sections, that are looked at."""

_LONGEST_NAME = 64
"""Bytes of a section's name that are read."""

_IDENTITY = 16
_ELF = re.compile(rb"\x7fELF[\1\2][\1\2].{10}", re.DOTALL)
"""How such a file begins: its word size and its byte order are 1 or 2 each."""

_LOAD, _NOTE = 1, 4
_WRITABLE = 2
_RELA, _NOTES, _NO_BITS = 4, 7, 8


class Segment(NamedTuple):
    """A part of the file that is loaded, or that holds notes: ``size`` bytes at ``offset`` of the file.

    In memory it is at ``address``, as the file counts.
    """

    kind: int
    flags: int
    offset: int
    address: int
    size: int


class Section(NamedTuple):
    """A part of the file with a name."""

    name: bytes
    kind: int
    address: int
    offset: int
    size: int


Part = TypeVar("Part", Segment, Section)


@dataclass(frozen=True)
class Elf:
    """An open ELF file.

    Attributes:
        descriptor: of the file.
        name: of the file, for messages.
        length: bytes of the file.
        order: ``<`` or ``>``: the byte order, as :mod:`struct` and numpy write it.
        word: bytes of an address: 4 or 8.
    """

    descriptor: int
    name: str
    length: int
    order: str
    word: int

    @property
    def wide(self) -> bool:
        """Whether addresses have 64 bits."""
        return self.word == 8  # noqa: PLR2004 -- bytes

    def at(self, offset: int, size: int) -> bytes:
        """Read a part of the file.

        Raises:
            BuildError: it is not in the file, or larger than MOST_BYTES.
        """
        if offset < 0 or size < 0 or offset + size > self.length or size > MOST_BYTES:
            raise self.damaged(f"{size:,} bytes at {offset:,} are not in it")
        data = os.pread(self.descriptor, size, offset)
        while len(data) < size:
            more = os.pread(self.descriptor, size - len(data), offset + len(data))
            if not more:
                raise self.damaged("it was truncated while it was read")
            data += more
        return data

    def damaged(self, why: str) -> BuildError:
        """Return the error of a file that contradicts itself."""
        return BuildError(
            f"{self.name} is damaged: {why}",
            hint="take the file that `go build` wrote, not a packed form of it",
        )

    @cached_property
    def _header(self) -> tuple[int, ...]:
        shape = f"{self.order}HHI{'QQQ' if self.wide else 'III'}IHHHHHH"
        return struct.unpack(shape, self.at(_IDENTITY, struct.calcsize(shape)))

    @property
    def machine(self) -> int:
        """The processor, by its number in ELF (``e_machine``)."""
        return self._header[1]

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The segments that are loaded or hold notes."""
        offset, size, count = self._header[4], self._header[8], self._header[9]
        if self.wide:
            shape, order = "IIQQQQQQ", (0, 1, 2, 3, 5)
        else:
            shape, order = "IIIIIIII", (0, 6, 1, 2, 4)
        found = (
            Segment(*(record[place] for place in order)) for record in self._table(offset, size, count, shape)
        )
        return self._apart([each for each in found if each.kind in (_LOAD, _NOTE)])

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """The sections that have bytes in the file; none where they were stripped."""
        offset, size, count, names = self._header[5], *self._header[10:13]
        if not offset or not count:
            return ()
        word = "Q" if self.wide else "I"
        records = list(self._table(offset, size, count, f"II{word * 4}II{word * 2}"))
        if names >= len(records):
            return ()
        texts = self.at(records[names][4], records[names][5])
        found = (
            Section(
                texts[record[0] : record[0] + _LONGEST_NAME].partition(b"\0")[0],
                *(record[place] for place in (1, 3, 4, 5)),
            )
            for record in records
        )
        return self._apart([each for each in found if each.kind != _NO_BITS])

    def _apart(self, parts: Sequence[Part]) -> tuple[Part, ...]:
        """Return parts of the file unless they overlap so much that to read them all would have no end."""
        if sum(each.size for each in parts) > 2 * self.length:
            raise self.damaged("its parts overlap")
        return tuple(parts)

    def _table(self, offset: int, size: int, count: int, shape: str) -> Iterator[tuple[int, ...]]:
        own = struct.calcsize(self.order + shape)
        if count > MOST_TABLE or size < own:
            raise self.damaged("its header is invalid")
        data = self.at(offset, size * count)
        for start in range(0, size * count, size):
            yield struct.unpack(self.order + shape, data[start : start + own])

    def section(self, *names: bytes) -> Section | None:
        """Return the first section with one of these names that has bytes in the file."""
        return next((each for each in self.sections if each.name in names), None)

    @property
    def loaded(self) -> tuple[Segment, ...]:
        """The segments that are loaded."""
        return tuple(each for each in self.segments if each.kind == _LOAD)

    @property
    def writable(self) -> tuple[Segment, ...]:
        """The segments that are loaded, and can be written to."""
        return tuple(each for each in self.loaded if each.flags & _WRITABLE)

    def address_of(self, offset: int) -> int | None:
        """Return the address, as the file counts, at which a byte of the file is loaded; None: it is not."""
        for each in self.loaded:
            if each.offset <= offset < each.offset + each.size:
                return offset - each.offset + each.address
        return None

    def from_address(self, address: int, size: int | None = None) -> bytes:
        """Read what is loaded at an address; without a size, to the end of its segment.

        Raises:
            BuildError: it is not in the file.
        """
        for each in self.loaded:
            left = each.address + each.size - address
            if 0 <= address - each.address and left > 0 and (size is None or size <= left):
                return self.at(each.offset + address - each.address, left if size is None else size)
        raise self.damaged(f"nothing is loaded at {address:#x}")

    def words(self, address: int, count: int) -> NDArray[np.uint64]:
        """Return (count,) words at an address, as the loader leaves them in a program loaded at 0.

        A position-independent program has its pointers in its relocations.
        """
        data = self.from_address(address, count * self.word)
        found = np.frombuffer(data, f"{self.order}u{self.word}").astype(np.uint64)
        places, addends = self._relocations
        first, stop = np.searchsorted(places, [address, address + count * self.word])
        at = places[first:stop] - np.uint64(address)
        whole = at % self.word == 0
        found[(at[whole] // self.word).astype(np.int64)] = addends[first:stop][whole]
        return found

    @cached_property
    def _relocations(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Where the loader writes an address of the program itself, rising, and which.

        Such relocations name no symbol, whatever number a processor gives them (R_X86_64_RELATIVE …). Those
        of other kinds (REL, RELR) have the address in its place.
        """
        places, addends = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
        for each in self.sections:
            if each.kind == _RELA and each.address:
                size = each.size - each.size % (3 * self.word)
                table = np.frombuffer(self.at(each.offset, size), f"{self.order}u{self.word}").reshape(-1, 3)
                own = table[table[:, 1] >> (32 if self.wide else 8) == 0]
                places.append(own[:, 0].astype(np.uint64))
                addends.append(own[:, 2].astype(np.uint64))
        at, values = np.concatenate(places), np.concatenate(addends)
        order = np.argsort(at, kind="stable")
        return at[order], values[order]

    def notes(self) -> Iterator[tuple[bytes, int, bytes]]:
        """Each note: who made it, its kind, and what it says.

        Go's linker leaves the GNU build id out of the segments: only its section names it.
        """
        of_segments = ((each.offset, each.size) for each in self.segments if each.kind == _NOTE)
        of_sections = ((each.offset, each.size) for each in self.sections if each.kind == _NOTES)
        for offset, length in {*of_segments, *of_sections}:
            data, at = self.at(offset, length), 0
            while at + 12 <= len(data):
                name_size, size, kind = struct.unpack_from(f"{self.order}III", data, at)
                start = at + 12
                after = start + (name_size + 3) // 4 * 4
                yield data[start : start + name_size].rstrip(b"\0"), kind, data[after : after + size]
                at = after + (size + 3) // 4 * 4


@contextmanager
def open_elf(path: Path) -> Iterator[Elf]:
    """Open an ELF file for reading.

    Raises:
        BuildError: there is none, or it is something else.
    """
    try:
        # Not blocking: to open a named pipe waits for whoever writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BuildError(
            f"{path} cannot be read: {error.strerror}", hint="name the program's binary"
        ) from error
    try:
        found = os.fstat(descriptor)
        begins = os.pread(descriptor, _IDENTITY, 0) if stat.S_ISREG(found.st_mode) else b""
        if not _ELF.match(begins):
            raise BuildError(
                f"{path.name} is not an ELF binary",
                hint="name what `go build` wrote for Linux; fleetpgo cannot read binaries of other systems",
            )
        order, word = "<" if begins[5] == 1 else ">", 4 if begins[4] == 1 else 8
        yield Elf(descriptor, path.name, found.st_size, order, word)
    finally:
        os.close(descriptor)
