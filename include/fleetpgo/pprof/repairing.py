"""Restore what a profile has lost and the compiler needs, from the binary that was profiled.

Profilers and profile stores lose three things: the functions at addresses
(:mod:`fleetpgo.pprof.symbolising`), type arguments (:mod:`fleetpgo.pprof.renaming`), and start lines. Go's
linker writes all of them into every binary.

A start line is looked up by the function's name. A binary of another version of the source would give a wrong
line, and nobody would notice. So, unless the build ids are equal, the lines of each function in the profile
are compared with those in the binary, physical or inlined. If the binary lacks more than a tenth of a file's
lines, it was built from another version of that file, and the file's functions are not repaired.

Nothing is guessed. What cannot be repaired is left unchanged, and :attr:`Repaired.left` counts it by reason.
:func:`fleetpgo.pprof.check` then decides whether the profile is good enough, as for any other profile.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.errors import ProfileError
from fleetpgo.pprof.checking import check
from fleetpgo.pprof.codec.reading import Limits
from fleetpgo.pprof.codec.showing import shown
from fleetpgo.pprof.codec.texts import go_bytes
from fleetpgo.pprof.profile import Profile, call_edges
from fleetpgo.pprof.renaming import rename, whole_names
from fleetpgo.pprof.startlines import are_foreign
from fleetpgo.pprof.symbolising import frames_at, mappings_of, symbolise

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from fleetpgo.pprof.binaries import Binary, Frame
    from fleetpgo.pprof.codec.columns import Columns
    from fleetpgo.pprof.describing import Facts

MOST_WRONG = 0.1
"""Share of a file's lines that may be missing in the binary: optimisation moves a few."""

NAMED = 3
"""Functions that are named for each reason."""

NOT_THERE = "the binary has no such function"
AMBIGUOUS = "the binary has several functions of that name but for type arguments"
ANOTHER_SOURCE = "their lines are not in the binary: it is of another source"
SEVERAL_STARTS = "the binary has several functions of that name"
NO_LINE = "the profile has no line, and names no build id that is the binary's"
NO_NAME = "addresses in no mapping with the binary's build id"


@dataclass(frozen=True)
class Left:
    """What was not repaired, for one reason.

    Attributes:
        reason: why.
        count: functions; of addresses, locations.
        share: of the weight of all call edges, those with such a function; 0 of addresses.
        examples: the first of them by name.
    """

    reason: str
    count: int
    share: float
    examples: tuple[str, ...]

    def __str__(self) -> str:
        """In a few words, for people."""
        if not self.examples:
            return f"{self.count:,} {self.reason}"
        named = ", ".join(self.examples)
        return f"{self.count:,} functions ({_percent(self.share)}), such as {named}: {self.reason}"


@dataclass(frozen=True)
class Repaired:
    """A profile, and what was done to it.

    Attributes:
        profile: the repaired one; the given one if nothing was done.
        symbolised: locations whose functions were named by their address.
        names: functions whose type arguments were restored.
        names_share: of the weight of all call edges, those with such a function.
        start_lines: functions whose start line was filled in.
        left: what could not be repaired, by reason; the heaviest first.
    """

    profile: Profile
    symbolised: int
    names: int
    names_share: float
    start_lines: int
    left: tuple[Left, ...]

    @property
    def done(self) -> tuple[str, ...]:
        """What was repaired, in a few words each; nothing if nothing was."""
        said = []
        if self.symbolised:
            said.append(f"the functions at {self.symbolised:,} addresses named")
        if self.names:
            said.append(f"type arguments of {self.names:,} functions restored ({_percent(self.names_share)})")
        if self.start_lines:
            said.append(f"start lines of {self.start_lines:,} functions filled in")
        return tuple(said)

    def require_useful(self, *, limits: Limits = Limits(), seconds: float | None = None) -> Facts:  # noqa: B008 -- frozen
        """Check the repaired profile, as :func:`fleetpgo.pprof.check` does.

        Raises:
            ProfileError: it still cannot be used; it says what could not be repaired, too.
        """
        try:
            return check(self.profile.data, limits=limits, seconds=seconds)
        except ProfileError as error:
            if not self.left:
                raise
            left = "; ".join(map(str, self.left))
            raise ProfileError(
                f"{error.message} Not repaired: {left}.",
                reason=error.reason,
                hint="give the binary that was profiled: its build id is in `fleetpgo profile info`",
            ) from error


def repair(profile: Profile, binary: Binary) -> Repaired:
    """Repair a profile of a Go program from its binary.

    Args:
        profile: one CPU profile, of whatever is missing in it.
        binary: that was profiled, or one that the same source and toolchain make.

    Raises:
        ProfileError: it counts no CPU samples (``no-cpu-samples``).
    """
    own = mappings_of(profile.columns, binary)
    named = symbolise(profile.columns, binary, own)
    renamed = rename(named.columns, binary, frames_at(named.columns, binary, own))
    filled = _fill(renamed.columns, binary, exact=bool(len(own)))
    if filled.count or renamed.restored or named.named:
        profile = Profile(filled.columns, profile.limits)
    edges = call_edges(profile)

    def share(names: AbstractSet[bytes]) -> float:
        found = sum(
            weight
            for edge, weight in edges.weights.items()
            if go_bytes(edge.caller) in names or go_bytes(edge.callee) in names
        )
        return found / edges.total if edges.total else 0.0

    reasons = {AMBIGUOUS: renamed.ambiguous, NOT_THERE: renamed.unknown, **filled.left}
    left = [
        Left(why, len(names), share(names), tuple(map(shown, sorted(names)[:NAMED])))
        for why, names in reasons.items()
        if names
    ]
    if named.unnamed:
        left.append(Left(NO_NAME, named.unnamed, 0.0, ()))
    return Repaired(
        profile=profile,
        symbolised=named.named,
        names=len(renamed.restored),
        names_share=share(renamed.restored),
        start_lines=filled.count,
        left=tuple(sorted(left, key=lambda each: (-each.share, each.reason))),
    )


@dataclass(frozen=True)
class _Filled:
    """A profile with more start lines: how many functions got one, and by reason those that did not."""

    columns: Columns
    count: int
    left: Mapping[str, AbstractSet[bytes]]


def _fill(columns: Columns, binary: Binary, *, exact: bool) -> _Filled:
    """Fill in the start lines of functions that have none.

    Args:
        columns: of the profile.
        binary: that knows them.
        exact: whether the binary is known to be the very one that was profiled.
    """
    rows = np.flatnonzero(columns.functions[:, 3] == 0)
    if not len(rows):
        return _Filled(columns, 0, {})
    names = columns.strings.cut(columns.functions[:, 0])
    lines = _lines_of_functions(columns)
    foreign = are_foreign(columns, np.arange(len(names)))
    wrong = frozenset() if exact else _of_another_source(columns, binary, names)
    functions, count = columns.functions.copy(), 0
    left: dict[str, set[bytes]] = defaultdict(set)
    for row in rows.tolist():
        name = names[row]
        starts = _starts(binary, name)
        if not starts:
            if not foreign[row]:
                left[NOT_THERE].add(name)
        elif len(starts) > 1:
            left[SEVERAL_STARTS].add(name)
        elif lines[row] <= 0 and not foreign[row]:
            left[NO_LINE].add(name)
        elif _file(columns, row, name) in wrong:
            left[ANOTHER_SOURCE].add(name)
        else:
            functions[row, 3] = starts.pop()
            count += 1
    return _Filled(replace(columns, functions=functions), count, left)


def _starts(binary: Binary, name: bytes) -> set[int]:
    """Return the lines at which a function may start; all instances of a generic one start at the same."""
    return {line for each in whole_names(binary, name) for line in binary.start_lines.get(each, ())}


def _lines_of_functions(columns: Columns) -> Sequence[int]:
    """Return (functions,) the least line of each function that the profile has."""
    least = np.full(len(columns.functions) + 1, np.iinfo(np.int64).max)
    np.minimum.at(least, columns.lines[:, 0], columns.lines[:, 1])
    found: list[int] = least[:-1].tolist()
    return found


def _file(columns: Columns, row: int, name: bytes) -> tuple[bytes, bytes]:
    """What tells a function's file: its package, and the file's name without its folder."""
    slash = name.partition(b"[")[0].rfind(b"/") + 1
    package = name[: slash + max(name[slash:].find(b"."), 0)]
    return package, columns.strings[int(columns.functions[row, 2])].rpartition(b"/")[2]


def _of_another_source(
    columns: Columns, binary: Binary, names: Sequence[bytes]
) -> AbstractSet[tuple[bytes, bytes]]:
    """Return the files of which the binary holds another source than the profile speaks of.

    A line counts once, wherever it was seen; what the binary does not have inlined there tells nothing.
    """
    fits: dict[tuple[int, int], bool] = {}
    known: dict[bytes, dict[bytes, set[int]]] = {}
    of_lines = columns.lines[:, :2].tolist()
    starts = columns.line_starts.tolist()
    for location in range(len(columns.locations)):
        lines = of_lines[starts[location] : starts[location + 1]]
        if not lines:
            continue
        physical = names[lines[-1][0]]
        if physical not in known:
            known[physical] = _lines_by_name(
                frame
                for each in whole_names(binary, physical)
                for stack in binary.stacks_of(each)
                for frame in stack
            )
        for function, line in lines:
            whole = whole_names(binary, names[function])
            there = [known[physical][each] for each in whole if each in known[physical]]
            if there:
                key = function, line
                fits[key] = fits.get(key, False) or any(line in each for each in there)
    for row, start in enumerate(columns.functions[:, 3].tolist()):
        if start and (of_binary := _starts(binary, names[row])):
            fits[row, 0] = start in of_binary
    counts: dict[tuple[bytes, bytes], list[int]] = defaultdict(lambda: [0, 0])
    for (function, _), fit in fits.items():
        told = counts[_file(columns, function, names[function])]
        told[0] += not fit
        told[1] += 1
    return {file for file, (missing, total) in counts.items() if missing > MOST_WRONG * total}


def _percent(share: float) -> str:
    return f"{100 * share:.1f} % of the weight"


def _lines_by_name(frames: Iterable[Frame]) -> dict[bytes, set[int]]:
    found: dict[bytes, set[int]] = defaultdict(set)
    for frame in frames:
        found[frame.name].add(frame.line)
    return found
