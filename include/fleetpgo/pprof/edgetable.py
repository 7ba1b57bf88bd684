"""Call edges of many profiles as one table: what later steps need of profiles that have been read once.

The edges of each profile are derived once (:func:`own_edges`), those of some dozens are written as one pack
(:func:`pack`), and an :class:`EdgeTable` has those of a whole fleet. A pack is a zip archive of numpy arrays
(``.npz``). Its names are its own: packs know nothing of each other.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fleetpgo.errors import ArtifactError
from fleetpgo.pprof.callgraph import calls_in
from fleetpgo.pprof.codec.arrays import starts_of, used_rows
from fleetpgo.pprof.codec.numbering import Rows, encoded
from fleetpgo.pprof.codec.texts import TextNumbers, Texts, go_name
from fleetpgo.pprof.edges import Edge, Edges

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.columns import Columns

VERSION = 1
"""Of a pack's form. A pack of another version is not read: what is in it is derived anew."""

_NUMBERS = ("name_sizes", "callers", "callees", "offsets", "counts", "edges", "weights")
"""The columns of numbers in a pack."""

# What numpy raises for damaged archives and headers, besides zipfile's and zlib's own.
_UNREADABLE = (
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
)

MOST_BITS = 63
"""Of a number without its sign."""


class OwnEdges(NamedTuple):
    """The call edges of one profile, as columns; each edge once.

    Args:
        names: those that callers and callees are numbers of.
        callers: (edges,)
        callees: (edges,)
        offsets: (edges,)
        weights: (edges,)
    """

    names: TextNumbers
    callers: NDArray[Any]
    callees: NDArray[Any]
    offsets: NDArray[Any]
    weights: NDArray[Any]


def own_edges(profiles: Columns, names: TextNumbers, numbers: Ints) -> list[OwnEdges]:
    """Return the call edges of each profile.

    Args:
        profiles: 255 at the most; their stacks are cut to their two innermost locations.
        names: what numbers the functions' names.
        numbers: (functions,) the number of each function's name.

    Raises:
        ProfileError: ``no-cpu-samples`` or ``overflow``.
    """
    calls = calls_in(profiles, numbers)
    if not len(calls.weights):
        nothing = np.zeros(0, np.uint8)
        return [OwnEdges(names, nothing, nothing, nothing, nothing)] * len(profiles.headers)
    # Of each call one number, in which all that tells edges apart has its bits.
    lowest = int(calls.offsets.min())
    of_offset = int(calls.offsets.max() - lowest).bit_length()
    of_name = int(max(calls.callers.max(), calls.callees.max())).bit_length()
    sites, places, of_site = calls.callers << of_offset | (calls.offsets - lowest), None, of_name + of_offset
    if len(profiles.headers).bit_length() + of_site + of_name > MOST_BITS:
        places, sites = encoded(sites)
        of_site = len(places).bit_length()
    keys, of_calls = encoded((calls.profiles << of_site | sites) << of_name | calls.callees)
    weights = np.zeros(len(keys), np.int64)
    np.add.at(weights, of_calls, calls.weights)
    owners = keys >> (of_site + of_name)
    order = np.argsort(owners.astype(np.uint8), kind="stable")
    keys, weights = keys.take(order), weights.take(order)
    sites = keys >> of_name & ((1 << of_site) - 1)
    if places is not None:
        sites = places.take(sites)
    columns = (sites >> of_offset, keys & ((1 << of_name) - 1), (sites & ((1 << of_offset) - 1)) + lowest)
    small = [_narrow(column) for column in (*columns, weights)]
    starts = starts_of(np.bincount(owners, minlength=len(profiles.headers)))
    return [
        OwnEdges(names, *(column[start:stop] for column in small))
        for start, stop in pairwise(starts.tolist())
    ]


def _narrow(column: Ints) -> NDArray[Any]:
    """Return the column in as few bytes a number as hold all of them."""
    lowest, highest = int(column.min(initial=0)), int(column.max(initial=0))
    for kind in (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32):
        if np.iinfo(kind).min <= lowest and highest <= np.iinfo(kind).max:
            return column.astype(kind)
    return column.astype(np.int64)


def pack(profiles: Sequence[tuple[str, OwnEdges]]) -> bytes:
    """Return the edges of some profiles with their keys, as bytes.

    Args:
        profiles: key, in ASCII, and edges. All name functions by the same numbers.
    """
    every = [edges for _, edges in profiles]
    callers, callees, offsets, weights = (
        np.concatenate([edges[column] for edges in every]) for column in range(1, 5)
    )
    numbers = Rows()
    rows = numbers.of_table(np.column_stack((callers, callees, offsets)).astype(np.int64))
    callers, callees, offsets = _sites(numbers).T
    known = every[0].names.all()
    used = used_rows(np.concatenate((callers, callees)), len(known))
    places = np.zeros(len(known), np.int64)
    places[used] = np.arange(len(used))
    texts = known.taken(used)
    out = io.BytesIO()
    np.savez(
        out,
        version=np.array(VERSION),
        names=np.frombuffer(b"".join(texts), np.uint8),
        name_sizes=_narrow(texts.sizes()),
        callers=_narrow(places[callers]),
        callees=_narrow(places[callees]),
        offsets=_narrow(offsets),
        keys=np.array([key.encode() for key, _ in profiles]),
        counts=np.array([len(edges.weights) for edges in every], np.int64),
        edges=_narrow(rows),
        weights=_narrow(weights),
    )
    return out.getvalue()


@dataclass(frozen=True)
class _Pack:
    """What :func:`pack` has written.

    Args:
        names: the different names.
        sites: (edges, 3): caller and callee as rows of ``names``, offset; all different.
        keys: those of the profiles.
        starts: (profiles + 1,): where each profile's start in ``edges``, and where the last one's end.
        edges: rows of ``sites``.
        weights: as many.
    """

    names: Texts
    sites: Ints
    keys: Sequence[str]
    starts: Ints
    edges: NDArray[Any]
    weights: NDArray[Any]

    @classmethod
    def read(cls, data: bytes) -> _Pack:
        """Read a pack.

        Raises:
            ArtifactError: it is damaged, or of another version.
        """
        import zipfile  # noqa: PLC0415  # what only merges or checks does without
        import zlib  # noqa: PLC0415  # likewise

        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                if int(arrays["version"]) != VERSION:
                    raise _bad(f"it is of version {int(arrays['version'])}, and not {VERSION}")
                read = cls._of({name: arrays[name] for name in arrays.files})
        except (*_UNREADABLE, zipfile.BadZipFile, zlib.error) as error:
            raise _bad(str(error) or type(error).__name__) from error
        return read

    @classmethod
    def _of(cls, arrays: dict[str, Any]) -> _Pack:
        if arrays["names"].dtype != np.uint8 or not all(_are_numbers(arrays[name]) for name in _NUMBERS):
            raise _bad("a part of it is of another type")
        ends, starts = starts_of(arrays["name_sizes"]), starts_of(arrays["counts"])
        sites = np.column_stack([arrays[name].astype(np.int64) for name in ("callers", "callees", "offsets")])
        keys = [key.decode() for key in arrays["keys"].tolist()]
        edges, weights = arrays["edges"], arrays["weights"]
        if (
            (int(ends[-1]), len(starts)) != (len(arrays["names"]), len(keys) + 1)
            or {len(edges), len(weights)} != {int(starts[-1])}
            or not _are_rows(sites[:, :2], len(ends) - 1)
            or not _are_rows(edges, len(sites))
            or min(arrays[name].min(initial=0) for name in ("name_sizes", "counts")) < 0
            or min(ends.min(), starts.min()) < 0  # the sums are too large for their numbers
        ):
            raise _bad("its parts do not fit together")
        names = Texts(arrays["names"].tobytes(), ends)
        return cls(names, sites, keys, starts, edges, weights)


def _sites(edges: Rows) -> Ints:
    """Return (edges, 3): caller, callee and offset of each."""
    return edges.all()[0].reshape(-1, 3)


def _are_numbers(column: NDArray[Any]) -> bool:
    return column.ndim == 1 and column.dtype.kind in "iu" and np.can_cast(column.dtype, np.int64)


def _are_rows(numbers: NDArray[Any], count: int) -> bool:
    return not numbers.size or bool(0 <= numbers.min() <= numbers.max() < count)


def _bad(why: str) -> ArtifactError:
    return ArtifactError(
        f"the table of call edges cannot be read: {why}",
        hint="remove it: it is derived from the profiles again",
    )


class EdgeTable:
    """The call edges of profiles, by key: an edge has one number in all of them."""

    def __init__(self) -> None:
        self._names, self._edges = TextNumbers(), Rows()
        self._profiles: dict[str, tuple[Ints, NDArray[Any]]] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._profiles

    @property
    def profiles(self) -> int:
        """How many profiles there are."""
        return len(self._profiles)

    def __len__(self) -> int:
        """Return how many different edges there are."""
        return len(self._edges)

    def add(self, data: bytes, wanted: Collection[str] | None = None) -> None:
        """Add the profiles of a pack.

        Args:
            data: what :func:`pack` returned.
            wanted: keys of the profiles that are added; None: all.

        Raises:
            ArtifactError: it is damaged, or of another version.
        """
        read = _Pack.read(data)
        places = [
            place
            for place, key in enumerate(read.keys)
            if key not in self._profiles and (wanted is None or key in wanted)
        ]
        if not places:
            return
        names = self._names.of(read.names)
        callers, callees, offsets = read.sites.T
        # As long as numpy's own indices: smaller ones would be converted each time.
        numbers = self._edges.of_table(np.column_stack((names[callers], names[callees], offsets)))
        for place in places:
            own = slice(*read.starts[place : place + 2].tolist())
            self._profiles[read.keys[place]] = numbers[read.edges[own]], read.weights[own]

    def profile(self, key: str) -> tuple[Ints, NDArray[Any]]:
        """Return (n,) the numbers of a profile's edges, each once, and (n,) their weights."""
        return self._profiles[key]

    def sum(self, keys: Iterable[str]) -> Ints:
        """Return (edges,) the weight of each edge in some profiles together."""
        total = np.zeros(len(self), np.int64)
        for key in keys:
            rows, weights = self._profiles[key]
            total[rows] += weights
        return total

    def in_order(self) -> Ints:
        """Return (edges,) the numbers of all edges, ordered by caller, callee and offset."""
        names = self._names.all()
        places = np.empty(len(names), np.int64)
        texts = list(names)
        places[sorted(range(len(texts)), key=texts.__getitem__)] = np.arange(len(texts))
        callers, callees, offsets = _sites(self._edges).T
        return np.lexsort((offsets, places[callees], places[callers]))

    def edges(self, keys: Iterable[str]) -> Edges:
        """Return the call edges of some profiles together: those of their merge."""
        names, total = list(map(go_name, self._names.all())), self.sum(keys)
        given = np.flatnonzero(total)
        columns = zip(_sites(self._edges)[given].tolist(), total[given].tolist(), strict=True)
        return Edges.of(
            {
                Edge(names[caller], names[callee], offset): weight
                for (caller, callee, offset), weight in columns
            }
        )
