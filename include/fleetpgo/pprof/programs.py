"""Find the marks of the program in a profile: functions that only this program's stacks contain.

Two kinds of function names distinguish programs:

- *Modules.* The stacks of most servers have no function of package main: they begin in net/http, in grpc or
  in a goroutine of some package. Nearly all of them contain functions of the program's own module, and stacks
  of other programs do not. The standard library and dependencies are left out. The file of a function shows
  that it is a dependency: a module cache has ``@version`` in its paths, with ``-trimpath`` and in a vendor
  directory as well. If files do not show it, dependencies count as modules, too.
- *Functions of package main.* Their names do not contain its import path, but they differ between programs.
  ``main.main`` and ``main.init`` are left out, because every program has them. Methods count as their type,
  closures as the function that contains them.

A profile does not say where in an import path the module's path ends. fleetpgo takes the first three elements
if the host is a forge (``github.com/owner/repo``), else the first two (``example.com/app``), and only the
first one if it is not a host (``app``).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fleetpgo.pprof.codec.arrays import starts_of
from fleetpgo.pprof.codec.numbering import Numbering
from fleetpgo.pprof.codec.showing import shown
from fleetpgo.pprof.codec.texts import TextNumbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.columns import Columns

STD = frozenset(
    b"archive bufio builtin bytes cmd cmp compress container context crypto database debug embed encoding "
    b"errors expvar flag fmt go hash html image index internal io iter log main maps math mime net os path "
    b"plugin reflect regexp runtime simd slices sort strconv strings structs sync syscall testing text time "
    b"type unicode unique unsafe uuid vendor weak".split()
)
"""First elements of the import paths of Go's own packages, of package main, and of what the compiler makes
(``type:.eq…``). Source: ``go list std`` of Go 1.27."""

NO_PACKAGES = frozenset((b"main", b"go", b"type", b"vendor"))
"""Those in STD that are no package of Go's own, or not always: go:buildid, type:.eq."""

FORGES = (b"git", b"bitbucket", b"code")
"""What the host's name holds where projects have an owner: github.com, gitlab.example.com, codeberg.org …"""

OF_A_DEPENDENCY = (b"@v", b"/vendor/", b"/external/")
"""What the path of a dependency's file holds: in a module cache, in a vendor folder, in a Bazel build."""

LONGEST_PATH = 512
"""Bytes of a name within which its import path must end."""

MAIN = b"main."
"""What the symbols of package main start with, whatever its import path is."""

OF_EVERY_PROGRAM = (b"main.main", b"main.init")

MOST_MODULES, MOST_MAIN = 40, 22
"""Modules, and functions of package main, that count in a profile. A stack's are bits of one number."""

MOST_KNOWN = 1 << 22
"""Bytes of names beyond which all are forgotten. Those in a large program's profiles have a tenth of that."""

IN_MAIN = 1
"""The lowest bit of a stack's number: it holds a function of package main, whichever."""

SIZES: tuple[type[np.signedinteger], ...] = (np.int8, np.int16, np.int32, np.int64)
"""The fewer bytes a number has, the faster the numbers of a million frames are combined."""


class Marks(NamedTuple):
    """Modules and main functions in the stacks of some profiles.

    Args:
        main: (functions,) whether each is of package main.
        bits: (samples,) a number each: IN_MAIN, and bit i + 1 for the profile's mark i.
        modules: of each profile its first marks: those with the most functions, the most frequent first.
        main_functions: of each profile the marks that follow.
    """

    main: NDArray[np.bool_]
    bits: NDArray[np.signedinteger]
    modules: Sequence[Sequence[str]]
    main_functions: Sequence[Sequence[str]]


class KnownNames:
    """Function names seen before, with the key of each. Instances of one program have the same names."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._names = TextNumbers()
        self._keys: Numbering[bytes] = Numbering({b"": 0})
        self._of_names = np.zeros(1, np.int64)

    @property
    def names(self) -> TextNumbers:
        """The names that are known; another object once there were too many."""
        return self._names

    def numbers_of(self, profiles: Columns) -> Ints:
        """Return (functions,) the number of each function's name."""
        if self._names.size() > MOST_KNOWN:
            self._forget()
        return self._names.some(profiles.strings, profiles.functions[:, 0])

    def keys_of(self, profiles: Columns) -> tuple[list[bytes], Ints]:
        """Return all keys seen so far, and (functions,) the number of the key of each function's name."""
        numbers = self.numbers_of(profiles)
        first, names = len(self._of_names), self._names.all()
        new = (key_of(names[row][:LONGEST_PATH]) for row in range(first, len(names)))
        of_new = self._keys.of(new, len(names) - first)
        self._of_names = np.concatenate((self._of_names, of_new))
        return list(self._keys), self._of_names[numbers]


def marks_of_samples(profiles: Columns, known: KnownNames) -> Marks:
    """Return which modules' and which main functions are in each sample's stack."""
    keys, of_functions = _keys(profiles, known)
    in_main = np.fromiter((key.startswith(MAIN) for key in keys), np.bool_, len(keys))
    bits = np.zeros(len(of_functions) + 1, np.int64)  # the last one is that of NONE
    modules, main_functions, longest = [], [], 0
    for start, stop in pairwise(profiles.function_starts.tolist()):
        own = of_functions[start:stop]
        counts = np.bincount(own, minlength=len(keys))
        found = sorted(np.flatnonzero(counts).tolist(), key=lambda key: (-counts[key], keys[key]))
        kept = [key for key in found if keys[key] and not in_main[key]][:MOST_MODULES]
        of_main = [key for key in found if in_main[key] and keys[key] != MAIN][:MOST_MAIN]
        of_keys = in_main.astype(np.int64) * IN_MAIN
        for place, key in enumerate([*kept, *of_main], start=1):
            of_keys[key] |= 1 << place
        bits[start:stop] = of_keys[own]
        longest = max(longest, len(kept) + len(of_main) + 1)
        modules.append([shown(keys[key]) for key in kept])
        main_functions.append([shown(keys[key]) for key in of_main])
    if not bits.any():
        return Marks(bits[:-1] != 0, np.zeros(len(profiles.depths), np.int64), modules, main_functions)
    small = bits.astype(next(size for size in SIZES if longest < np.iinfo(size).bits))
    of_locations = _any_bits(small[profiles.lines[:, 0]], profiles.line_starts)
    stacks = _any_bits(of_locations.take(profiles.stacks), starts_of(profiles.depths))
    return Marks(bits[:-1] & IN_MAIN != 0, stacks, modules, main_functions)


def _any_bits(bits: NDArray[np.signedinteger], starts: Ints) -> NDArray[np.signedinteger]:
    """Return (starts - 1,) the bits that are set in any of the numbers from each start up to the next one."""
    given = starts[1:] > starts[:-1]
    if given.all():
        return np.bitwise_or.reduceat(bits, starts[:-1]) if len(given) else bits[:0]
    found = np.zeros(len(given), bits.dtype)
    if given.any():
        found[given] = np.bitwise_or.reduceat(bits, starts[:-1][given])
    return found


def _keys(profiles: Columns, known: KnownNames) -> tuple[list[bytes], Ints]:
    """Return keys without repetition, and (functions,) the number of each function's key."""
    keys, numbers_of = known.keys_of(profiles)
    modules = _are_modules(keys)
    if modules.any():
        rows = np.flatnonzero(modules[numbers_of])
        files, of_rows = profiles.strings.distinct(profiles.functions[rows, 2])
        foreign = (any(mark in file for mark in OF_A_DEPENDENCY) for file in files)
        numbers_of[rows[np.fromiter(foreign, np.bool_, len(files))[of_rows]]] = 0
    return keys, numbers_of


def _are_modules(keys: Iterable[bytes]) -> NDArray[np.bool_]:
    return np.array([bool(key) and not key.startswith(MAIN) for key in keys])


def is_std(name: bytes) -> bool:
    """Return whether a function is of one of Go's own packages."""
    path = name.partition(b"[")[0]
    end = path.find(b".", path.rfind(b"/") + 1)
    return end > 0 and path[:end].partition(b"/")[0] in STD - NO_PACKAGES


def key_of(name: bytes) -> bytes:
    """Return what tells a function's program apart.

    Args:
        name: the function's linker symbol, or its beginning.

    Returns:
        What is taken for the path of its module; of package main the function, or MAIN for what every program
        has; nothing for Go's own packages and for C.
    """
    path = name.partition(b"[")[0]  # type arguments hold paths of their own
    if path.startswith(MAIN):
        function = MAIN + path[len(MAIN) :].partition(b".")[0]
        return MAIN if function in OF_EVERY_PROGRAM else function
    end = path.find(b".", path.rfind(b"/") + 1)
    first, *others = path[: max(end, 0)].split(b"/")
    if not first or first in STD:
        return b""
    depth = 0
    if b"." in first:
        depth = 2 if any(forge in first for forge in FORGES) else 1
    return b"/".join([first, *others[:depth]])
