"""Read the facts of a CPU profile: kind, size, samples, duration, program, modules."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fleetpgo.errors import ProfileError
from fleetpgo.pprof.builds import build_ids
from fleetpgo.pprof.codec.columns import require_few_lines
from fleetpgo.pprof.codec.decoding import parse
from fleetpgo.pprof.codec.leaves import shortened
from fleetpgo.pprof.codec.numbering import require_64_bits
from fleetpgo.pprof.codec.showing import listed, shown
from fleetpgo.pprof.edgetable import own_edges
from fleetpgo.pprof.programs import IN_MAIN, marks_of_samples
from fleetpgo.pprof.sampling import count
from fleetpgo.pprof.startlines import have_start_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.columns import Columns, Samples
    from fleetpgo.pprof.codec.reading import Limits
    from fleetpgo.pprof.codec.texts import Texts
    from fleetpgo.pprof.edgetable import OwnEdges
    from fleetpgo.pprof.programs import KnownNames, Marks

SECONDS = 1e-9
"""Seconds in a nanosecond."""

ON_A_DISK = re.compile(rb"[/.\\]|[A-Za-z]:")
"""Start of a directory name that is a file path and not an import path."""

MOST_LINES = 40
"""Most lines, over all stacks, per record that the limits allow. A profile of the Go compiler has four."""

ROOM = 1 << 5
"""Number of profiles of the largest allowed total whose sum must still fit into 64 bits. So one profile may
count about 2⁵⁷ nanoseconds: a datacenter's 238 cores for a week, which a store may answer with."""

MOST_TYPES, MOST_COMMENTS = 16, 100
"""Most sample types and comments that are reported. Go writes two sample types and no comments."""

OTHER_KINDS = {
    "inuse_space": "heap-profile",
    "alloc_space": "heap-profile",
    "contentions": "contention-profile",
    "goroutine": "goroutine-profile",
    "threadcreate": "thread-profile",
    "wall": "wall-profile",
    "time": "wall-profile",
}
"""Sample type that only another kind of profile has → the reason for refusing it."""


@dataclass(frozen=True)
class Facts:
    """Facts of one profile.

    Args:
        bytes: size as given, in bytes.
        message_bytes: size after unzipping, in bytes.
        sample_types: (type, unit) of each value of a sample.
        samples: number of CPU samples, as :mod:`fleetpgo.pprof.sampling` counts them.
        stacks: number of sample records: different stacks, or equal stacks with different labels.
        weight: sum of the value that the compiler reads: samples, or nanoseconds.
        duration_seconds: duration of profiling; 0 if the profile does not hold it.
        period: nanoseconds of CPU time between two samples; 0 if unknown.
        cores: mean number of cores in use: CPU time ÷ duration; 0 if unknown.
        build_id: build id of the main binary; "" if it has none.
        other_builds: build ids of other Go programs in the profile. A profile from a store has them if its
            window spans a deploy.
        binary: file name of the main binary, without its directory.
        main_package: import path of package main, from the file names of its functions. Only builds with
            ``-trimpath`` have it there; otherwise "".
        kind: sample types and period type as text. Only profiles of the same kind can be merged.
        modules: module → samples whose stack has a function of it, most samples first.
            :mod:`fleetpgo.pprof.programs` defines a module, and says which ones are left out.
        main_functions: function of package main → samples whose stack has it, most samples first.
        outside: samples whose stack has any of ``modules`` or ``main_functions``.
        main_share: share of the weight whose stack has a function of package main, 0 … 1.
        start_line_share: share of the weight whose call sites the compiler can locate, 0 … 1; see
            :mod:`fleetpgo.pprof.startlines`. 0 if no function next to a leaf has a ``start_line``.
        functions: number of functions.
        comments: the first MOST_COMMENTS comments of the profile.

    Texts are shortened and cleaned by :func:`fleetpgo.pprof.codec.showing.shown`.
    """

    bytes: int
    message_bytes: int
    sample_types: tuple[tuple[str, str], ...]
    samples: int
    stacks: int
    weight: int
    duration_seconds: float
    period: int
    cores: float
    build_id: str
    other_builds: tuple[str, ...]
    binary: str
    main_package: str
    kind: str
    modules: Mapping[str, int]
    main_functions: Mapping[str, int]
    outside: int
    main_share: float
    start_line_share: float
    functions: int
    comments: tuple[str, ...]


class Checked(NamedTuple):
    """A profile that was read.

    Args:
        facts: what is said of it.
        edges: its call edges, if they were asked for.
    """

    facts: Facts
    edges: OwnEdges | None


def facts_together(
    sizes: Sequence[int],
    messages: Sequence[bytes],
    limits: Limits,
    known: KnownNames,
    *,
    edges: bool = False,
) -> list[Checked]:
    """Return the facts of several profiles, parsed together.

    Args:
        sizes: size of each profile as given, in bytes.
        messages: the unzipped profiles.
        limits: largest allowed profile.
        known: names of functions of earlier profiles; it saves time to use it again.
        edges: whether to derive their call edges, too.

    Raises:
        ProfileError: as :func:`fleetpgo.pprof.facts`, if any profile is bad.
    """
    columns = parse(messages, limits)
    require_cpu_samples(columns)
    require_few_lines(columns, MOST_LINES * limits.records)
    _require_countable(columns)
    _require_names(columns)
    leaves = shortened(columns, limits)
    placed = have_start_lines(leaves)
    marks, builds = marks_of_samples(columns, known), build_ids(columns)
    show = cache(shown)  # a program's instances share nearly all texts
    found = [
        _facts_of(columns, number, marks, placed, builds[number], size, show)
        for number, size in enumerate(sizes)
    ]
    numbers = known.numbers_of(columns) if edges else None
    of_each = repeat(None) if numbers is None else own_edges(leaves, known.names, numbers)
    return list(map(Checked, found, of_each))


def _require_countable(columns: Columns) -> None:
    """Check that the totals are small enough to be summed over hundreds of profiles in 64 bits.

    Raises:
        ProfileError: ``overflow``.
    """
    counted = np.abs(columns.values.astype(np.float64))
    totals = [part.sum() for part in np.split(counted, columns.sample_starts[1:-1])]
    times = [number for header in columns.headers for number in (header.duration, header.period)]
    require_64_bits(ROOM * max([*totals, *map(abs, times)]))


def _require_names(columns: Columns) -> None:
    """Check that the functions' names are UTF-8 without line breaks, as Go's preprofile format needs.

    Raises:
        ProfileError: ``bad-name``.
    """
    if columns.strings.are_utf8() and not columns.strings.may_hold(b"\n"):
        return
    for name in columns.strings.cut(np.unique(columns.functions[:, 0])):
        try:
            name.decode()
        except UnicodeDecodeError:
            wrong = f"a function whose name is not UTF-8: {shown(name)}"
        else:
            if b"\n" not in name:
                continue
            wrong = "a function with a line break in its name"
        raise ProfileError(
            f"The profile has {wrong}.",
            reason="bad-name",
            hint="No Go symbol has such a name, and Go passes names to the compiler one per line.",
        )


def _facts_of(
    columns: Columns,
    number: int,
    marks: Marks,
    placed: NDArray[np.bool_],
    builds: Sequence[str],
    size: int,
    show: Callable[[bytes | str], str],
) -> Facts:
    """Return the facts of one of the profiles."""
    samples_of, functions_of, mappings_of = (
        slice(*starts[number : number + 2].tolist())
        for starts in (columns.sample_starts, columns.function_starts, columns.mapping_starts)
    )
    header, values = columns.headers[number], columns.values[samples_of]
    weights = values[:, columns.value_index]
    weight = int(weights.sum())  # it fits: see _require_countable
    if not weight:
        raise ProfileError(
            "The profile has no samples: the process used no CPU while it was profiled.",
            reason="no-samples",
            hint="Profile a busier instance, or for longer.",
        )
    counts = count(header, values)
    seconds = header.duration * SECONDS
    binary = next(iter(columns.mappings[mappings_of][:1].tolist()), None)
    build_id = show(columns.strings[binary[4]]) if binary else ""
    files = columns.functions[functions_of, 2][marks.main[functions_of]]
    bits = marks.bits[samples_of]

    def counted_in(chosen: int) -> int:
        return round(int(weights[bits & chosen != 0].sum()) * counts.samples / weight)

    def by_samples(names: Sequence[str], first: int) -> dict[str, int]:
        found = {name: counted_in(1 << place) for place, name in enumerate(names, start=first)}
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    modules, main_functions = marks.modules[number], marks.main_functions[number]
    of_types = listed(header.sample_types, len(header.sample_types))
    return Facts(
        bytes=size,
        message_bytes=columns.message_bytes[number],
        sample_types=tuple((show(kind.type), show(kind.unit)) for kind in header.sample_types[:MOST_TYPES]),
        samples=counts.samples,
        stacks=len(weights),
        weight=weight,
        duration_seconds=seconds,
        period=counts.period,
        cores=counts.nanoseconds * SECONDS / seconds if seconds > 0 else 0.0,
        build_id=build_id,
        other_builds=tuple(each for each in builds if each != build_id),
        binary=show(columns.strings[binary[3]].rpartition(b"/")[2]) if binary else "",
        main_package=show(_import_path(columns.strings, files)),
        kind=f"{of_types} each {show(str(header.period_type))}",
        modules=by_samples(modules, 1),
        main_functions=by_samples(main_functions, 1 + len(modules)),
        outside=counted_in(~IN_MAIN),
        main_share=_share(weights, bits & IN_MAIN != 0),
        start_line_share=_share(weights, placed[samples_of]),
        functions=functions_of.stop - functions_of.start,
        comments=tuple(map(show, header.comments[:MOST_COMMENTS])),
    )


def require_cpu_samples(profiles: Columns | Samples) -> None:
    """Check that the profiles are CPU profiles without negative values.

    Raises:
        ProfileError: with reason ``no-cpu-samples``, the name of another kind such as ``heap-profile``, or
            ``negative-values``.
    """
    types = profiles.header.sample_types
    for kind in types:
        if kind.type in OTHER_KINDS:
            reason = OTHER_KINDS[kind.type]
            raise ProfileError(
                f"This is a {reason.replace('-', ' ')}: it counts {', '.join(map(str, types))}.",
                reason=reason,
                hint="Go's CPU profile is at /debug/pprof/profile.",
            )
    if np.any(profiles.values[:, profiles.header.value_index] < 0):
        raise ProfileError(
            "The profile has samples with negative values.",
            reason="negative-values",
            hint="It is the difference of two profiles (pprof -base or -diff_base). Use one of the two.",
        )


def _import_path(strings: Texts, files: Ints) -> bytes:
    """Return the import path of package main, from its functions' files; "" if they hold a file path."""
    folders: Counter[bytes] = Counter()
    for row, times in Counter(files.tolist()).items():
        folders[strings[row].rpartition(b"/")[0]] += times
    path = max(folders, key=lambda folder: (folders[folder], folder), default=b"")
    return b"" if ON_A_DISK.match(path) else path


def _share(weights: Ints, chosen: NDArray[np.bool_]) -> float:
    total = float(weights.sum(dtype=np.float64))
    return float(weights[chosen].sum(dtype=np.float64)) / total
