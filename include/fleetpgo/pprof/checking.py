"""Is this a CPU profile that a build can use? Its facts, or the named reason why not."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fleetpgo.errors import ProfileError
from fleetpgo.pprof.columns import CPU_VALUE_TYPES, require_few_lines
from fleetpgo.pprof.decoding import parse
from fleetpgo.pprof.leaves import shortened
from fleetpgo.pprof.modules import modules_of_samples
from fleetpgo.pprof.numbering import require_64_bits
from fleetpgo.pprof.reading import JOINT_BYTES, Limits, message
from fleetpgo.pprof.showing import listed, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from fleetpgo.pprof.columns import Columns, Ints
    from fleetpgo.pprof.texts import Texts

SAMPLES = CPU_VALUE_TYPES[0]
NANOSECONDS = 1e-9
MAIN = b"main."
"""What the symbols of package main start with, whatever its import path is."""

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
        samples: CPU samples in it.
        stacks: sample records in it: different stacks, or stacks with different labels.
        weight: Σ of the value that the compiler reads: samples, or nanoseconds.
        duration_seconds: how long was profiled; 0: it does not say.
        period: nanoseconds of CPU time between two samples; 0: it does not say.
        cores: mean number of cores in use: samples × period ÷ duration; 0: unknown.
        build_id: of the main binary; "": none.
        binary: file name of the main binary, without its folder.
        main_package: import path of package main, or its folder if the binary was built without
            ``-trimpath``, from the file of its functions; "": none was seen.
        kind: what it counts and how often, in a few words; profiles of one kind can be merged.
        modules: module → samples whose stack holds a function of it; what counts as one, and which are left
            out, is said in :mod:`fleetpgo.pprof.modules`. The one with the most samples comes first.
        outside: samples whose stack holds a function of any of ``modules``.
        main_share: share of the weight whose stack has a function of package main.
        start_line_share: share of the weight whose COMPILER_DEPTH leaf-most locations carry ``start_line``
            throughout.
        functions: number of functions.
        comments: comments in the profile, the first MOST_COMMENTS.

    Texts are as :func:`fleetpgo.pprof.showing.shown` gives them: a profile's may be as long as itself.
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
    binary: str
    main_package: str
    kind: str
    modules: Mapping[str, int]
    outside: int
    main_share: float
    start_line_share: float
    functions: int
    comments: tuple[str, ...]


def check(
    data: bytes,
    *,
    limits: Limits = Limits(),  # noqa: B008 -- frozen
    seconds: float | None = None,
    main_package: str | None = None,
) -> Facts:
    """Check a profile.

    Args:
        data: the profile, gzipped or not.
        limits: what it may be.
        seconds: the duration that was asked for; None: any.
        main_package: the binary that was asked for, as ``Facts.main_package`` names it; None: any. A profile
            in which no function of package main was seen passes.

    Raises:
        ProfileError: what :func:`facts` raises, or one of ``wrong-duration``, ``no-start-line``,
            ``partial-start-line`` and ``another-binary``.
    """
    found = facts(data, limits=limits)
    _require_useful(found, limits, seconds, main_package)
    return found


def check_each(
    profiles: Sequence[bytes],
    *,
    limits: Limits = Limits(),  # noqa: B008 -- frozen
    seconds: float | None = None,
) -> list[Facts | ProfileError]:
    """Check some profiles; those that are read at once take less time than each by itself.

    Args:
        profiles: gzipped or not. They are read at once as far as they have JOINT_BYTES together, unzipped.
        limits: what each may be.
        seconds: the duration that was asked for; None: any.

    Returns:
        For each its facts, or the error that :func:`check` raises, without where it was raised.
    """
    found: list[Facts | ProfileError] = []
    for each in _facts_of_each(profiles, limits):
        try:
            if isinstance(each, Facts):
                _require_useful(each, limits, seconds)
            found.append(each)
        except ProfileError as error:
            found.append(_bare(error))
    return found


def facts(data: bytes, *, limits: Limits = Limits()) -> Facts:  # noqa: B008 -- frozen
    """The facts of a CPU profile, whether it is any good or not.

    Raises:
        ProfileError: it cannot be read, is no CPU profile (``no-cpu-samples``, or ``heap-profile`` and other
        kinds),
            has ``no-samples``, ``negative-values``, or a function with a ``bad-name``.
    """
    (found,) = _facts([len(data)], [message(data, limits)], limits)
    return found


def _facts_of_each(profiles: Sequence[bytes], limits: Limits) -> Iterator[Facts | ProfileError]:
    """The facts of some profiles, read as many at once as are small enough together."""
    sizes: list[int] = []
    messages: list[bytes] = []
    for data in profiles:
        try:
            raw = message(data, limits)
        except ProfileError as error:
            yield from _facts_together(sizes, messages, limits)
            yield _bare(error)
            sizes, messages = [], []
            continue
        if sum(map(len, messages)) + len(raw) > JOINT_BYTES:
            yield from _facts_together(sizes, messages, limits)
            sizes, messages = [], []
        sizes.append(len(data))
        messages.append(raw)
    yield from _facts_together(sizes, messages, limits)


def _facts_together(
    sizes: Sequence[int], messages: Sequence[bytes], limits: Limits
) -> Iterator[Facts | ProfileError]:
    """The facts of some profiles, read at once, or one by one if one of them is bad."""
    if len(messages) > 1:
        with suppress(ProfileError):
            yield from _facts(sizes, messages, limits)
            return
    for size, raw in zip(sizes, messages, strict=True):
        try:
            yield from _facts([size], [raw], limits)
        except ProfileError as error:
            yield _bare(error)


def _bare(error: ProfileError) -> ProfileError:
    """The error without where it was raised, which would keep the profile in memory as long as itself."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _facts(sizes: Sequence[int], messages: Sequence[bytes], limits: Limits) -> list[Facts]:
    """The facts of profiles that are read at once; errors are those of :func:`facts`, whichever is bad."""
    columns = parse(messages, limits)
    _require_cpu(columns)
    require_few_lines(columns, MOST_LINES * limits.records)
    all_weights = columns.values[:, columns.value_index]
    if np.any(all_weights < 0):
        raise ProfileError(
            "The profile has samples with negative values.",
            reason="negative-values",
            hint="It is the difference of two profiles (pprof -base or -diff_base): take either of them.",
        )
    _require_countable(columns)
    _require_names(columns)
    main = columns.strings.starting(MAIN).take(columns.functions[:, 0])
    in_main = _any_location(columns, _any_line(columns, np.append(main, [False])))
    lacks_start = _any_line(columns, np.append(columns.functions[:, 3] == 0, [True]))
    lacks_start |= np.diff(columns.line_starts) == 0
    has_start = ~_any_location(shortened(columns, limits), lacks_start)

    marks = _Marks(all_weights, main, in_main, has_start, *modules_of_samples(columns))
    return [_facts_of(columns, number, marks, size) for number, size in enumerate(sizes)]


class _Marks(NamedTuple):
    """What was found out about all profiles at once.

    Args:
        weights: (samples,) the value that the compiler reads.
        main: (functions,) whether it is of package main.
        in_main: (samples,) whether a function of package main is in the stack.
        has_start: (samples,) whether the leaf-most locations have ``start_line``.
        in_modules: (samples,) as bits, which of its profile's modules are in the stack.
        modules: of each profile.
    """

    weights: Ints
    main: NDArray[np.bool_]
    in_main: NDArray[np.bool_]
    has_start: NDArray[np.bool_]
    in_modules: Ints
    modules: Sequence[Sequence[str]]


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


def _facts_of(columns: Columns, number: int, marks: _Marks, size: int) -> Facts:
    """The facts of one of the profiles."""
    samples_of, functions_of, mappings_of = (
        slice(*starts[number : number + 2].tolist())
        for starts in (columns.sample_starts, columns.function_starts, columns.mapping_starts)
    )
    header, weights = columns.headers[number], marks.weights[samples_of]
    weight = sum(weights.tolist())  # as Python's integers, which do not overflow
    if not weight:
        raise ProfileError(
            "The profile has no samples: the process used no CPU while it was profiled.",
            reason="no-samples",
            hint="Profile a busier instance, or for longer.",
        )
    period = header.period if header.period_type == ("cpu", "nanoseconds") else 0
    counted = header.sample_types[columns.value_index]
    samples = weight if counted == SAMPLES or not period else weight // period
    seconds = header.duration * NANOSECONDS
    binary = next(iter(columns.mappings[mappings_of][:1].tolist()), None)
    files = columns.functions[functions_of, 2][marks.main[functions_of]]
    in_modules = marks.in_modules[samples_of]

    def counted_in(bits: int) -> int:
        found: int = round(sum(weights[in_modules & bits != 0].tolist()) * samples / weight)
        return found

    modules = {name: counted_in(1 << place) for place, name in enumerate(marks.modules[number])}
    of_types = listed(header.sample_types, len(header.sample_types))
    shown_comments = {comment: shown(comment) for comment in set(header.comments[:MOST_COMMENTS])}
    return Facts(
        bytes=size,
        message_bytes=columns.message_bytes[number],
        sample_types=tuple((shown(kind.type), shown(kind.unit)) for kind in header.sample_types[:MOST_TYPES]),
        samples=samples,
        stacks=len(weights),
        weight=weight,
        duration_seconds=seconds,
        period=period,
        cores=samples * period * NANOSECONDS / seconds if seconds > 0 else 0.0,
        build_id=shown(columns.strings[binary[4]]) if binary else "",
        binary=shown(columns.strings[binary[3]].rpartition(b"/")[2]) if binary else "",
        main_package=shown(_common_folder(columns.strings, files)),
        kind=f"{of_types} each {shown(str(header.period_type))}",
        modules=dict(sorted(modules.items(), key=lambda item: (-item[1], item[0]))),
        outside=counted_in(-1),
        main_share=_share(weights, marks.in_main[samples_of]),
        start_line_share=_share(weights, marks.has_start[samples_of]),
        functions=functions_of.stop - functions_of.start,
        comments=tuple(shown_comments[comment] for comment in header.comments[:MOST_COMMENTS]),
    )


def _require_useful(
    found: Facts, limits: Limits, seconds: float | None, main_package: str | None = None
) -> None:
    if seconds is not None and abs(found.duration_seconds - seconds) > limits.duration_tolerance * seconds:
        raise ProfileError(
            f"The profile covers {found.duration_seconds:.1f} s; {seconds:g} s were asked for.",
            reason="wrong-duration",
            hint="A proxy may answer from a cache, or the server limits the duration.",
        )
    if not found.start_line_share:
        raise ProfileError(
            "No function of the profile has a start_line; the compiler refuses such a profile.",
            reason="no-start-line",
            hint="Build the program with Go 1.20 or newer; `go tool pprof` loses start_line unless "
            "-symbolize=none.",
        )
    if found.start_line_share < limits.start_line_share:
        raise ProfileError(
            f"Only {found.start_line_share:.1%} of the weight is in functions with a start_line; the "
            "compiler would take wrong lines for the rest.",
            reason="partial-start-line",
            hint="Was it merged with profiles from before Go 1.20, or symbolized again?",
        )
    if main_package is not None and found.main_package not in ("", shown(main_package)):
        raise ProfileError(
            f"The profile is of {found.main_package}, not of {main_package}.",
            reason="another-binary",
            hint="Check which process answers at this address.",
        )


def _require_cpu(columns: Columns) -> None:
    types = columns.header.sample_types
    for kind in types:
        if kind.type in OTHER_KINDS:
            reason = OTHER_KINDS[kind.type]
            raise ProfileError(
                f"This is a {reason.replace('-', ' ')}: it counts {', '.join(map(str, types))}.",
                reason=reason,
                hint="Go's CPU profile is at /debug/pprof/profile.",
            )


def _common_folder(strings: Texts, files: Ints) -> bytes:
    """The folder that most files lie in: that of package main, if they are its functions'."""
    folders: Counter[bytes] = Counter()
    for row, count in Counter(files.tolist()).items():
        folders[strings[row].rpartition(b"/")[0]] += count
    return max(folders, key=lambda folder: (folders[folder], folder), default=b"")


def _any_line(profile: Columns, of_function: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(locations,) whether one of its lines is in such a function; the last one of those is that of NONE."""
    return _any_between(of_function[profile.lines[:, 0]], profile.line_starts[:-1], profile.line_starts[1:])


def _any_location(profile: Columns, of_location: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(samples,) whether one of the locations of its stack is such."""
    if not of_location.any():
        return np.zeros(len(profile.depths), np.bool_)
    ends = np.cumsum(profile.depths)
    return _any_between(of_location.take(profile.stacks), ends - profile.depths, ends)


def _any_between(marked: NDArray[np.bool_], starts: Ints, ends: Ints) -> NDArray[np.bool_]:
    """(starts,) whether one of those from each start up to its end is marked."""
    before = np.zeros(len(marked) + 1, np.int64)
    np.cumsum(marked, out=before[1:])
    found: NDArray[np.bool_] = before[ends] > before[starts]
    return found


def _share(weights: Ints, chosen: NDArray[np.bool_]) -> float:
    total = float(weights.sum(dtype=np.float64))
    return float(weights[chosen].sum(dtype=np.float64)) / total
