"""The inner loops: decode messages to numbers, add profiles up, and number equal records.

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

FORM = 2
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


class Tables(Protocol):
    """Every different string, function, mapping, location and stack of some profiles, numbered.

    Samples with only zeros are left out, and all that no other sample uses, but for the first mappings.
    Records are equal if all that they say and refer to is, with two exceptions. Mappings are one if they are
    equal in their sizes in whole pages, their offsets and their build ids, or their file names where there
    is no build id. And the address of a location is counted from its mapping's start.
    """

    def add(
        self,
        messages: Sequence[bytes],
        labels: bool,  # noqa: FBT001 -- positional, as it is in Rust
        records: int,
        depth: int,
        /,
    ) -> tuple[Sequence[RawHeader], Mapping[str, Buffer]]:
        """Add profiles.

        Args:
            messages: one for each profile. If one is refused, what :meth:`all` returns is of no use.
            labels: whether samples with different labels have different stacks.
            records: as in :meth:`Kernel.decode`.
            depth: likewise.

        Returns:
            Of each profile its header, and by name the columns ``octets``, ``string_ends``, ``table_ends``,
            ``values`` and ``sample_ends``, as :meth:`Kernel.decode` has them; and ``rows``: (samples,) the
            number of each sample's stack, NONE if all its values are 0.
        """

    def all(self) -> Mapping[str, Buffer]:
        """Return all records by name, tables column by column. Texts are numbers of strings.

        Returns:
            ``octets``, ``string_ends``: all strings.
            ``functions``: (functions, 4) name, system name, file; start line.
            ``mappings``: (mappings, 9) as :meth:`Kernel.decode` has them. Of those that are one the least, in
            the order of these columns, texts by their bytes.
            ``firsts``: (mappings,) how many profiles have each as their first one.
            ``locations``: (rows, 3) of each location its mapping or NONE, 1 if it is folded, address; then of
            each of its lines function or NONE, line, column.
            ``location_ends``: (locations,) where the rows of each end.
            ``stacks``, ``stack_ends``: of each the locations, the leaf first; then, if labels are kept, the
            number of its set of labels.
            ``labels``: (labels, 4) key, text, number, unit.
            ``label_ends``: where the rows of each set end.
        """


class Kernel(Protocol):
    """What both have. Numbers are of 64 bits, in the machine's order."""

    __name__: str
    FORM: int
    Refused: type[Exception]
    """Raised with a reason, the name of a table, and two numbers."""
    Distinct: type[Distinct]
    Tables: type[Tables]

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
