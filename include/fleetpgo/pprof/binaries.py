"""What a profile's repair needs to know of the binary that was profiled.

Reading a binary is :mod:`fleetpgo.golang.pclntab`'s part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet


class Frame(Protocol):
    """One function at an address: its linker symbol, its file, the line, and the line of its ``func``."""

    @property
    def name(self) -> bytes: ...  # noqa: D102
    @property
    def file(self) -> bytes: ...  # noqa: D102
    @property
    def line(self) -> int: ...  # noqa: D102
    @property
    def start_line(self) -> int: ...  # noqa: D102


class Binary(Protocol):
    """The functions of a Go binary; :class:`fleetpgo.golang.program.Program` says what each member is."""

    @property
    def build_ids(self) -> AbstractSet[str]: ...  # noqa: D102
    @property
    def known(self) -> AbstractSet[bytes]: ...  # noqa: D102
    @property
    def start_lines(self) -> Mapping[bytes, Sequence[int]]: ...  # noqa: D102
    def candidates(self, name: bytes, /) -> Sequence[bytes]: ...  # noqa: D102
    def address_of(self, offset: int, /) -> int | None: ...  # noqa: D102
    def frames(self, address: int, /) -> Sequence[Frame] | None: ...  # noqa: D102
    def calls_of(self, name: bytes, /) -> AbstractSet[tuple[bytes, int, bytes]]: ...  # noqa: D102
    def stacks_of(self, name: bytes, /) -> AbstractSet[tuple[Frame, ...]]: ...  # noqa: D102
