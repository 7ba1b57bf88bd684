"""Check that a profile is a CPU profile that a build can use: its facts, or the reason why not."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from fleetpgo.errors import ProfileError
from fleetpgo.pprof.codec.reading import JOINT_BYTES, Limits, message
from fleetpgo.pprof.codec.showing import shown
from fleetpgo.pprof.describing import Checked, Facts, facts_together
from fleetpgo.pprof.programs import KnownNames

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


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
    known: KnownNames | None = None,
    edges: bool = False,
) -> list[Checked | ProfileError]:
    """Check some profiles; those that are read at once take less time than each by itself.

    Args:
        profiles: gzipped or not. They are read at once as far as they have JOINT_BYTES together, unzipped.
        limits: what each may be.
        seconds: the duration that was asked for; None: any.
        known: names of functions in earlier profiles; whoever checks many profiles saves time by giving it
            again. It is for one thread at a time.
        edges: whether to derive their call edges, too; they name functions by the numbers of ``known``.

    Returns:
        For each its facts and edges, or the error that :func:`check` raises, without where it was raised.
    """
    found: list[Checked | ProfileError] = []
    for each in _facts_of_each(profiles, limits, known or KnownNames(), edges=edges):
        try:
            if isinstance(each, Checked):
                _require_useful(each.facts, limits, seconds)
            found.append(each)
        except ProfileError as error:
            found.append(_bare(error))
    return found


def facts(data: bytes, *, limits: Limits = Limits()) -> Facts:  # noqa: B008 -- frozen
    """Return the facts of a CPU profile, without a check whether it is useful.

    Raises:
        ProfileError: it cannot be read, is no CPU profile (``no-cpu-samples``, or ``heap-profile`` and other
        kinds),
            has ``no-samples``, ``negative-values``, or a function with a ``bad-name``.
    """
    (found,) = facts_together([len(data)], [message(data, limits)], limits, KnownNames())
    return found.facts


def _facts_of_each(
    profiles: Sequence[bytes], limits: Limits, known: KnownNames, *, edges: bool
) -> Iterator[Checked | ProfileError]:
    """Yield the facts of some profiles, read as many at once as are small enough together."""
    sizes: list[int] = []
    messages: list[bytes] = []
    for data in profiles:
        try:
            raw = message(data, limits)
        except ProfileError as error:
            yield from _each_together(sizes, messages, limits, known, edges=edges)
            yield _bare(error)
            sizes, messages = [], []
            continue
        if sum(map(len, messages)) + len(raw) > JOINT_BYTES:
            yield from _each_together(sizes, messages, limits, known, edges=edges)
            sizes, messages = [], []
        sizes.append(len(data))
        messages.append(raw)
    yield from _each_together(sizes, messages, limits, known, edges=edges)


def _each_together(
    sizes: Sequence[int], messages: Sequence[bytes], limits: Limits, known: KnownNames, *, edges: bool
) -> Iterator[Checked | ProfileError]:
    """Yield the facts of some profiles, read at once, or one by one if one of them is bad."""
    if len(messages) > 1:
        with suppress(ProfileError):
            yield from facts_together(sizes, messages, limits, known, edges=edges)
            return
    for size, raw in zip(sizes, messages, strict=True):
        try:
            yield from facts_together([size], [raw], limits, known, edges=edges)
        except ProfileError as error:
            yield _bare(error)


def _bare(error: ProfileError) -> ProfileError:
    """Return the error without its traceback, which would keep the profile in memory."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


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
            "No function of the profile that calls another one has a start_line; the compiler cannot place "
            "any call.",
            reason="no-start-line",
            hint="Build the program with Go 1.20 or newer; `go tool pprof` loses start_line unless "
            "-symbolize=none.",
        )
    if found.start_line_share < limits.start_line_share:
        raise ProfileError(
            f"Only {100 * found.start_line_share:.1f} % of the weight is in calls whose caller has a "
            "start_line; the compiler would use wrong lines for the rest.",
            reason="partial-start-line",
            hint="Was it merged with profiles from before Go 1.20, or symbolized again?",
        )
    if main_package is not None and found.main_package not in ("", shown(main_package)):
        raise ProfileError(
            f"The profile is of {found.main_package}, not of {main_package}.",
            reason="another-binary",
            hint="Check which process answers at this address.",
        )
