"""Go modules of functions and stacks, which tell one program's profile from another's.

Most servers' stacks hold no function of package main: they begin in net/http, in grpc or in a goroutine of
some package. Nearly all of them pass through the program's own module, though, and no other program's do.
So left out here are the standard library, package main (its import path is not in its functions' names) and
whatever the function's file says is a dependency: a module cache has ``@version`` in its paths, with
``-trimpath`` and from a vendor folder as well. Where files do not tell, dependencies count as modules, too.

Where a module's path ends within an import path is nowhere in a profile. What is taken for it: the first
three elements where the host is a forge's (``github.com/owner/repo``), else the first two
(``example.com/app``), and the first one alone where that is no host (``app``). Two programs of one module are
not told apart.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.pprof.numbering import starts_of
from fleetpgo.pprof.showing import shown

if TYPE_CHECKING:
    from fleetpgo.pprof.columns import Columns, Ints

STD = frozenset(
    b"archive bufio builtin bytes cmd cmp compress container context crypto database debug embed encoding "
    b"errors expvar flag fmt go hash html image index internal io iter log main maps math mime net os path "
    b"plugin reflect regexp runtime simd slices sort strconv strings structs sync syscall testing text time "
    b"type unicode unique unsafe uuid vendor weak".split()
)
"""First elements of the import paths of Go's own packages, of package main, and of what the compiler makes
(``type:.eq…``). Source: ``go list std`` of Go 1.27."""

FORGES = (b"git", b"bitbucket", b"code")
"""Parts of hosts' names whose projects have an owner: github.com, gitlab.example.com, codeberg.org …"""

OF_A_DEPENDENCY = (b"@v", b"/vendor/", b"/external/")
"""Parts of the path of a dependency's file: in a module cache, a vendor folder, a Bazel build."""

LONGEST_PATH = 512
"""Bytes of a name within which its import path must end."""

MOST = 62
"""Modules of a profile that count: those of most functions. A stack's are bits of one number."""


def modules_of_samples(profiles: Columns) -> tuple[Ints, list[list[str]]]:
    """Return which modules' functions are in each sample's stack.

    Returns:
        (samples,) a number each, whose bit i says that the profile's module i is there; and of each profile
        its modules, those with the most functions first, MOST at the most.
    """
    of_functions = np.zeros(len(profiles.functions) + 1, np.int64)  # the last one is that of NONE
    names = []
    texts = list(
        profiles.strings
    )  # all at once: most are needed, and one by one they take five times as long
    for start, stop in pairwise(profiles.function_starts.tolist()):
        modules = _of_functions(texts, profiles.functions[start:stop])
        counts = Counter(module for module in modules if module)
        kept = sorted(counts, key=lambda module: (-counts[module], module))[:MOST]
        bits = {module: 1 << place for place, module in enumerate(kept)}
        of_functions[start:stop] = [bits.get(module, 0) for module in modules]
        names.append(list(map(shown, kept)))
    if not of_functions.any():
        return np.zeros(len(profiles.depths), np.int64), names
    of_locations = _any_bits(of_functions[profiles.lines[:, 0]], profiles.line_starts)
    return _any_bits(of_locations.take(profiles.stacks), starts_of(profiles.depths)), names


def _any_bits(bits: Ints, starts: Ints) -> Ints:
    """(starts - 1,) the bits that are set in any of the numbers from each start up to the next one."""
    found = np.zeros(len(starts) - 1, np.int64)
    given = np.flatnonzero(np.diff(starts))
    if len(given):
        found[given] = np.bitwise_or.reduceat(bits, starts[given])
    return found


def _of_functions(texts: list[bytes], functions: Ints) -> list[bytes]:
    """The module of each function, empty for what does not tell programs apart."""
    files = functions[:, 2].tolist()
    outside = {row for row in set(files) if any(mark in texts[row] for mark in OF_A_DEPENDENCY)}
    names = {row: module_of(texts[row][:LONGEST_PATH]) for row in set(functions[:, 0].tolist())}
    of_names = zip(functions[:, 0].tolist(), files, strict=True)
    return [b"" if file in outside else names[name] for name, file in of_names]


@lru_cache(maxsize=1 << 15)  # instances of one program have the same names
def module_of(name: bytes) -> bytes:
    """Return what is taken for the path of a function's module; empty for Go's own packages and for C.

    Args:
        name: the function's linker symbol, or its beginning.
    """
    path = name.partition(b"[")[0]  # type arguments hold paths of their own
    end = path.find(b".", path.rfind(b"/") + 1)
    first, *others = path[: max(end, 0)].split(b"/")
    if not first or first in STD:
        return b""
    depth = 0
    if b"." in first:
        depth = 2 if any(forge in first for forge in FORGES) else 1
    return b"/".join([first, *others[:depth]])
