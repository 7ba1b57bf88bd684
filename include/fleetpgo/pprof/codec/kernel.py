"""The two inner loops: decode messages to numbers, and number equal records.

They are in Rust in the package ``fleetpgo-kernel`` (``kernel/``), and in Python in
:mod:`fleetpgo.pprof.codec.plain`, for machines where the package is not installed. Both do the same:
docs/decisions/0104.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from fleetpgo.errors import FleetPGOError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleetpgo.pprof.codec.arrays import Ints

    Buffer = bytes | bytearray
    RawHeader = tuple[list[int], list[int], list[int], list[int]]

PACKAGE = "fleetpgo_kernel"

FORM = 1
"""Of what the functions take and return. A package of another form is refused."""

_ANEW = "install it anew: pip install ./kernel; or remove it: pip uninstall fleetpgo-kernel"


class Distinct(Protocol):
    """Different strings of bytes, numbered in the order in which they first come."""

    def __len__(self) -> int:
        """Return how many there are."""

    def of(self, octets: Buffer, ends: Buffer, rows: Buffer | None = None) -> Buffer:
        """Return the number of each item, or of those in some rows.

        Args:
            octets: all items one behind the other.
            ends: the end of each.
            rows: of items.
        """

    def octets(self) -> bytes:
        """Return all items one behind the other."""

    def ends(self) -> Buffer:
        """Return the end of each item."""


class Kernel(Protocol):
    """What both have. Numbers are of 64 bits, in the machine's order."""

    __name__: str
    FORM: int
    Refused: type[Exception]
    """Raised with a reason, the name of a table, and two numbers."""
    Distinct: type[Distinct]

    def decode(
        self,
        messages: Sequence[bytes],
        leaves: bool,  # noqa: FBT001 -- positional, as it is in Rust
        records: int,
        depth: int,
        /,
    ) -> tuple[Sequence[RawHeader], Mapping[str, Buffer]]:
        """Decode messages to columns.

        Args:
            messages: one for each profile.
            leaves: read of each stack no more than its two innermost locations, and only those locations.
            records: most samples, locations, functions, mappings and strings together.
            depth: most locations in one sample.

        Returns:
            Of each profile: sample types, period type, comments, and numbers by field; texts as places in its
            string table. And the columns of :class:`fleetpgo.pprof.codec.columns.Columns` by name, those of a
            table one behind the other; in place of starts, ends.
        """


def _chosen() -> Kernel:
    try:
        kernel = importlib.import_module(PACKAGE)
    except ModuleNotFoundError:
        kernel = importlib.import_module("fleetpgo.pprof.codec.plain")
    except ImportError as error:
        raise FleetPGOError(
            f"The installed package fleetpgo-kernel cannot be loaded: {error}.", hint=_ANEW
        ) from error
    form = getattr(kernel, "FORM", None)
    if form != FORM:
        raise FleetPGOError(
            f"The installed package fleetpgo-kernel is of form {form}; this version needs {FORM}.", hint=_ANEW
        )
    return cast("Kernel", kernel)


KERNEL = _chosen()
"""The one that is used."""


def is_native() -> bool:
    """Return whether the inner loops are native code."""
    return KERNEL.__name__ == PACKAGE


def numbers(data: Buffer) -> Ints:
    """Return numbers as an array."""
    return np.frombuffer(data, np.int64)
