"""Merge many profiles into one.

The contract is that of google/pprof's ``profile.Merge``, for CPU profiles:

- All profiles must be of the same kind: equal sample types in the same order, equal period type.
- Samples with the same stack are merged, and their values summed. Samples with only zeros are left out.
- Mappings are merged if their build id (or file name, if there is no build id) and size are equal, whatever
  their load address; addresses are adjusted. Equal locations, functions and strings are merged. Records that
  no sample uses are left out.
- The period is the maximum, the duration the sum, the time the earliest of the inputs.

It differs in two ways. Labels are dropped unless requested, because they keep equal stacks apart and the
compiler does not read them. And the result does not depend on the order of the inputs: every table is sorted,
and a header field in which the inputs differ is left empty.

Memory: a few inputs at a time and the merged result, however many inputs there are.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from fleetpgo.errors import ProfileError
from fleetpgo.pprof.codec.leaves import parse_leaves
from fleetpgo.pprof.codec.reading import JOINT_BYTES, Limits, message
from fleetpgo.pprof.codec.texts import TextNumbers
from fleetpgo.pprof.describing import require_cpu_samples
from fleetpgo.pprof.edgetable import own_edges
from fleetpgo.pprof.profile import MERGED_LIMITS, Profile
from fleetpgo.pprof.sampling import count
from fleetpgo.pprof.tables import Tables, check_compatible

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from fleetpgo.pprof.codec.arrays import Ints
    from fleetpgo.pprof.codec.columns import Columns, Header, Samples
    from fleetpgo.pprof.edgetable import OwnEdges


Part = TypeVar("Part", "Columns", "Samples")
"""Some profiles as they are read."""

Weights = Literal["none", "equal"]

TOGETHER, LEAVES_TOGETHER = 4, 8
"""Profiles that are read together: Python's and numpy's calls cost as much as what they do for one.

With no more than their leaves, profiles take half the memory.
"""

NO_PROFILES = "no-profiles"

EQUAL_SAMPLES = 10_000
"""What each profile counts for with ``weights="equal"``, in samples: a hundred seconds of one core."""


def merge(
    profiles: Iterable[bytes],
    *,
    weights: Weights | Sequence[float] = "none",
    keep_labels: bool = False,
    limits: Limits = Limits(),  # noqa: B008 -- frozen
) -> Profile:
    """Add profiles up to one.

    Args:
        profiles: gzipped or not; taken one by one, and not kept.
        weights: ``none``: a sample is a sample, so busy instances count for more, as they do on the bill.
            ``equal``: each profile counts for EQUAL_SAMPLES. Numbers: what to multiply each profile
            by, in their order. All but ``none`` is noted in the result's comments.
        keep_labels: keep samples apart that differ in their labels.
        limits: what each profile may be.

    Returns:
        The merged profile. The same profiles in any order give the same bytes.

    Raises:
        ProfileError: a profile cannot be read, is none of CPU samples, has ``negative-values``, is
            ``incompatible`` with the first one, or has the largest
            part in sums that ``overflow`` 64 bits: it has its number, from 0. Or there are ``no-profiles``.
    """
    tables, largest = Tables(weighted=weights != "none", keep_labels=keep_labels), _Largest()
    with (
        largest.blamed(),
        closing(_read(profiles, weights, limits, tables, largest)) as parts,
    ):
        for part, factors in parts:
            tables.add(part, factors)
        if weights != "none":
            tables.comments.add(f"fleetpgo merge: weights {weights if isinstance(weights, str) else 'given'}")
        return Profile(tables.profile(), MERGED_LIMITS)


def edges_of_each(
    profiles: Iterable[bytes],
    *,
    limits: Limits = Limits(),  # noqa: B008 -- frozen
) -> Generator[OwnEdges]:
    """Yield the call edges of each profile; all name functions by the same numbers.

    Args:
        profiles: gzipped or not; taken some at a time, and not kept.
        limits: what each profile may be.

    Raises:
        ProfileError: a profile cannot be read, or is none of CPU samples: it has its number, from 0.
    """
    names = TextNumbers()
    with closing(_ahead(_parts(profiles, limits, LEAVES_TOGETHER))) as ahead:
        for part in _columns(ahead, limits, parse_leaves):
            yield from own_edges(part, names, names.some(part.strings, part.functions[:, 0]))


def _read(
    profiles: Iterable[bytes],
    weights: Weights | Sequence[float],
    limits: Limits,
    tables: Tables,
    largest: _Largest,
) -> Generator[tuple[Samples, list[float]]]:
    """Some profiles at a time, and the factor of each.

    Raises:
        ProfileError: a profile cannot be read, is ``incompatible`` with the first one, or there are
            ``no-profiles``.
    """
    first: Header | None = None
    number = 0
    # Closed here, also after an error: else the garbage collector does it, maybe in the thread to be ended.
    with closing(_ahead(_parts(profiles, limits, TOGETHER))) as ahead:
        for part in _columns(ahead, limits, tables.read):
            factors = []
            for header, values in zip(part.headers, _values(part), strict=True):
                first = first or header
                with _numbered(number):
                    check_compatible(first, header)
                factors.append(_factor(header, values, weights, number))
                # Before it is multiplied: what counts too far makes the factors of all others large.
                counted = float(np.abs(values.astype(np.float64)).sum())
                largest.see(number, max(counted, abs(header.duration)))
                number += 1
            yield part, factors
    if not number:
        raise ProfileError(
            "There are no profiles to merge.", reason=NO_PROFILES, hint="Name at least one profile."
        )


def _values(part: Samples) -> list[Ints]:
    """Return the values of each profile's samples."""
    return np.split(part.values, part.sample_starts[1:-1])


def _factor(header: Header, values: Ints, weights: Weights | Sequence[float], number: int) -> float:
    if weights == "none":
        return 1.0
    if weights == "equal":
        samples = count(header, values).samples
        return EQUAL_SAMPLES / samples if samples > 0 else 1.0
    return float(weights[number])


def _parts(profiles: Iterable[bytes], limits: Limits, together: int) -> Iterator[list[bytes]]:
    """Yield the messages of some profiles at a time, as many as are small enough together."""
    part: list[bytes] = []
    for number, data in enumerate(profiles):
        with _numbered(number):
            raw = message(data, limits)
        if part and (len(part) == together or sum(map(len, part)) + len(raw) > JOINT_BYTES):
            yield part
            part = []
        part.append(raw)
    if part:
        yield part


def _ahead(parts: Iterator[list[bytes]]) -> Generator[list[bytes]]:
    """Yield the same parts; a thread prepares the next part while the current one is read.

    All of this lets go of Python's lock, but for decoding without the native code.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(next, parts, None)
        while part := coming.result():
            coming = thread.submit(next, parts, None)
            yield part


def _columns(
    parts: Iterator[list[bytes]], limits: Limits, parser: Callable[[Sequence[bytes], Limits], Part]
) -> Iterator[Part]:
    """CPU profiles as columns: those of a part together, or one by one where one of them is bad."""

    def checked(messages: Sequence[bytes]) -> Part:
        columns = parser(messages, limits)
        require_cpu_samples(columns)
        return columns

    number = 0
    for part in parts:
        columns = None
        if len(part) > 1:
            # What is refused here is refused below, too: what a sum has taken of it until then is of no use.
            with suppress(ProfileError):
                columns = checked(part)
        if columns:
            yield columns
        else:
            for place, raw in enumerate(part, start=number):
                with _numbered(place):
                    alone = checked([raw])
                yield alone
        number += len(part)


@contextmanager
def _numbered(number: int) -> Iterator[None]:
    """Add the profile's number to an error."""
    try:
        yield
    except ProfileError as error:
        raise _of_profile(number, error) from error


def _of_profile(number: int, error: ProfileError) -> ProfileError:
    return ProfileError(
        f"Profile {number}: {error.message}", reason=error.reason, hint=error.hint, profile=number
    )


class _Largest:
    """The profile with the largest values so far; it is blamed if the sum overflows."""

    def __init__(self) -> None:
        self._number, self._size = 0, -1.0

    def see(self, number: int, size: float) -> None:
        if size > self._size:
            self._number, self._size = number, size

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Name this profile in a ProfileError that is raised inside and names none."""
        try:
            yield
        except ProfileError as error:
            if error.profile is not None or error.reason == NO_PROFILES:
                raise
            raise _of_profile(self._number, error) from error
