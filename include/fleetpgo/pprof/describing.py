"""What a CPU profile says about itself."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fleetpgo.errors import ProfileError
from fleetpgo.pprof.builds import build_ids
from fleetpgo.pprof.codec.columns import require_few_lines
from fleetpgo.pprof.codec.decoding import parse
from fleetpgo.pprof.codec.leaves import shortened
from fleetpgo.pprof.codec.numbering import require_64_bits
from fleetpgo.pprof.codec.showing import listed, shown
from fleetpgo.pprof.programs import IN_MAIN, marks_of_samples
from fleetpgo.pprof.sampling import count
from fleetpgo.pprof.startlines import have_start_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.columns import Columns
    from fleetpgo.pprof.codec.reading import Limits
    from fleetpgo.pprof.codec.texts import Texts
    from fleetpgo.pprof.programs import Marks

SECONDS = 1e-9
"""In a nanosecond."""

ON_A_DISK = re.compile(rb"[/.\\]|[A-Za-z]:")
"""The beginning of a folder that is no import path."""

MOST_LINES = 40
"""Lines of all stacks for each record that a profile may have. The Go compiler's own profile has four."""

ROOM = 1 << 9
"""Profiles as large as one may be whose sum still fits into 64 bits: 2⁵³ nanoseconds are 3,475 cores for a
month."""

MOST_TYPES, MOST_COMMENTS = 16, 100
"""Sample types and comments that are told. Go writes two and none."""

OTHER_KINDS = {
    "inuse_space": "heap-profile",
    "alloc_space": "heap-profile",
    "contentions": "contention-profile",
    "goroutine": "goroutine-profile",
    "threadcreate": "thread-profile",
    "wall": "wall-profile",
    "time": "wall-profile",
}
"""A sample type that only such profiles have → the reason for refusing them."""


@dataclass(frozen=True)
class Facts:
    """What a profile says about itself.

    Args:
        bytes: size as given.
        message_bytes: size after unzipping.
        sample_types: (type, unit) of each value of a sample.
        samples: CPU samples in it, as :mod:`fleetpgo.pprof.sampling` counts them.
        stacks: sample records in it: different stacks, or stacks with different labels.
        weight: Σ of the value that the compiler reads: samples, or nanoseconds.
        duration_seconds: how long was profiled; 0: it does not say.
        period: nanoseconds of CPU time between two samples; 0: unknown.
        cores: mean number of cores in use: CPU time ÷ duration; 0: unknown.
        build_id: of the main binary; "": none.
        other_builds: build ids of further Go programs in it: a store's window has them across a deploy.
        binary: file name of the main binary, without its folder.
        main_package: import path of package main, from the file of its functions. Only a binary that was
            built with ``-trimpath`` has it there; "": unknown.
        kind: what it counts and how often, in a few words; profiles of one kind can be merged.
        modules: module → samples whose stack holds a function of it; what counts as one, and which are left
            out, is said in :mod:`fleetpgo.pprof.programs`. The one with the most samples comes first.
        main_functions: function of package main → samples whose stack holds it, likewise.
        outside: samples whose stack holds any of ``modules`` and ``main_functions``.
        main_share: share of the weight whose stack has a function of package main.
        start_line_share: share of the weight whose calls the compiler places rightly, see
            :mod:`fleetpgo.pprof.startlines`; 0 where no function next to a leaf has a ``start_line``.
        functions: number of functions.
        comments: comments in the profile, the first MOST_COMMENTS.

    Texts are as :func:`fleetpgo.pprof.codec.showing.shown` gives them: a profile's may be as long as itself.
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


def facts_together(sizes: Sequence[int], messages: Sequence[bytes], limits: Limits) -> list[Facts]:
    """Return the facts of profiles that are read at once.

    Args:
        sizes: bytes of each as given.
        messages: unzipped.
        limits: what each may be.

    Raises:
        ProfileError: as of :func:`fleetpgo.pprof.facts`, whichever is bad.
    """
    columns = parse(messages, limits)
    require_cpu_samples(columns)
    require_few_lines(columns, MOST_LINES * limits.records)
    _require_countable(columns)
    _require_names(columns)
    placed = have_start_lines(shortened(columns, limits))
    marks, builds = marks_of_samples(columns), build_ids(columns)
    return [
        _facts_of(columns, number, marks, placed, builds[number], size) for number, size in enumerate(sizes)
    ]


def _require_countable(columns: Columns) -> None:
    """Check that what the profiles count can be added to what any number of others count.

    Raises:
        ProfileError: ``overflow``.
    """
    counted = np.abs(columns.values.astype(np.float64))
    totals = [part.sum() for part in np.split(counted, columns.sample_starts[1:-1])]
    times = [number for header in columns.headers for number in (header.duration, header.period)]
    require_64_bits(ROOM * max([*totals, *map(abs, times)]))


def _require_names(columns: Columns) -> None:
    """Check that the functions' names can be handed on.

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
            hint="No Go symbol has such a name, and Go hands names to the compiler line by line.",
        )


def _facts_of(
    columns: Columns,
    number: int,
    marks: Marks,
    placed: NDArray[np.bool_],
    builds: Sequence[str],
    size: int,
) -> Facts:
    """The facts of one of the profiles."""
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
    build_id = shown(columns.strings[binary[4]]) if binary else ""
    files = columns.functions[functions_of, 2][marks.main[functions_of]]
    bits = marks.bits[samples_of]

    def counted_in(chosen: int) -> int:
        return round(int(weights[bits & chosen != 0].sum()) * counts.samples / weight)

    def by_samples(names: Sequence[str], first: int) -> dict[str, int]:
        found = {name: counted_in(1 << place) for place, name in enumerate(names, start=first)}
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    modules, main_functions = marks.modules[number], marks.main_functions[number]
    of_types = listed(header.sample_types, len(header.sample_types))
    shown_comments = {comment: shown(comment) for comment in set(header.comments[:MOST_COMMENTS])}
    return Facts(
        bytes=size,
        message_bytes=columns.message_bytes[number],
        sample_types=tuple((shown(kind.type), shown(kind.unit)) for kind in header.sample_types[:MOST_TYPES]),
        samples=counts.samples,
        stacks=len(weights),
        weight=weight,
        duration_seconds=seconds,
        period=counts.period,
        cores=counts.nanoseconds * SECONDS / seconds if seconds > 0 else 0.0,
        build_id=build_id,
        other_builds=tuple(each for each in builds if each != build_id),
        binary=shown(columns.strings[binary[3]].rpartition(b"/")[2]) if binary else "",
        main_package=shown(_import_path(columns.strings, files)),
        kind=f"{of_types} each {shown(str(header.period_type))}",
        modules=by_samples(modules, 1),
        main_functions=by_samples(main_functions, 1 + len(modules)),
        outside=counted_in(~IN_MAIN),
        main_share=_share(weights, bits & IN_MAIN != 0),
        start_line_share=_share(weights, placed[samples_of]),
        functions=functions_of.stop - functions_of.start,
        comments=tuple(shown_comments[comment] for comment in header.comments[:MOST_COMMENTS]),
    )


def require_cpu_samples(columns: Columns) -> None:
    """Check that profiles count CPU samples, and none of them less than zero.

    Raises:
        ProfileError: ``no-cpu-samples``, the name of another kind, or ``negative-values``.
    """
    types = columns.header.sample_types
    for kind in types:
        if kind.type in OTHER_KINDS:
            reason = OTHER_KINDS[kind.type]
            raise ProfileError(
                f"This is a {reason.replace('-', ' ')}: it counts {', '.join(map(str, types))}.",
                reason=reason,
                hint="Go's CPU profile is at /debug/pprof/profile.",
            )
    if np.any(columns.values[:, columns.value_index] < 0):
        raise ProfileError(
            "The profile has samples with negative values.",
            reason="negative-values",
            hint="It is the difference of two profiles (pprof -base or -diff_base): take either of them.",
        )


def _import_path(strings: Texts, files: Ints) -> bytes:
    """The import path of package main, if its functions' files say one; a folder on a disk is none."""
    folders: Counter[bytes] = Counter()
    for row, times in Counter(files.tolist()).items():
        folders[strings[row].rpartition(b"/")[0]] += times
    path = max(folders, key=lambda folder: (folders[folder], folder), default=b"")
    return b"" if ON_A_DISK.match(path) else path


def _share(weights: Ints, chosen: NDArray[np.bool_]) -> float:
    total = float(weights.sum(dtype=np.float64))
    return float(weights[chosen].sum(dtype=np.float64)) / total
