"""Many profiles to one.

The contract is that of google/pprof's ``profile.Merge``:

- All profiles must count the same things: equal sample types in the same order, equal period type.
- Samples with the same stack become one, value by value their sum; samples that are all zero are left out.
- Mappings are one where build id (or file name, without one) and size agree, wherever they were loaded;
  addresses move along. Locations, functions and strings are one where they are equal. What no sample uses is
  left out.
- The period is the largest, the duration the sum, the time the earliest.

Two things differ from it. Labels are dropped unless they are asked for, as they keep equal stacks apart and
the compiler reads none. And the result does not depend on the order of the inputs: every table is sorted, and
a header field that the inputs do not agree on is left empty.

Memory: a few inputs at a time and the merged result, however many inputs there are.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Literal

import numpy as np

from fleetpgo.errors import ProfileError
from fleetpgo.pprof.callgraph import CallGraph
from fleetpgo.pprof.decoding import parse
from fleetpgo.pprof.leaves import parse_leaves
from fleetpgo.pprof.reading import Limits, message
from fleetpgo.pprof.tables import Tables, check_compatible
from fleetpgo.pprof.writing import write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fleetpgo.pprof.columns import Columns, Header, Ints
    from fleetpgo.pprof.edges import Edges

    Parser = Callable[[Sequence[bytes], Limits], Columns]

Weights = Literal["none", "equal"]

TOGETHER, LEAVES_TOGETHER = 4, 8
"""Profiles that are read and added together: numpy's calls cost as much as what they do for one.

With no more than their leaves, profiles take half the memory.
"""

AHEAD = 8
"""Profiles that are unzipped ahead."""

EQUAL_SAMPLES = 10_000
"""What each profile counts for with ``weights="equal"``, in samples: a hundred seconds of one core."""


def merge(
    profiles: Iterable[bytes],
    *,
    weights: Weights | Sequence[float] = "none",
    keep_labels: bool = False,
    limits: Limits = Limits(),  # noqa: B008 -- frozen
) -> bytes:
    """Add profiles up to one.

    Args:
        profiles: gzipped or not; taken one by one, and not kept.
        weights: ``none``: a sample is a sample, so busy instances count for more, as they do on the bill.
            ``equal``: each profile counts for as much as any other. Numbers: what to multiply each profile
            by, in their order; :func:`stratum_factors` makes them for strata. All but ``none`` is noted in
            the result's comments.
        keep_labels: keep samples apart that differ in their labels.
        limits: what each profile may be.

    Returns:
        The merged profile, gzipped. The same profiles in any order give the same bytes.

    Raises:
        ProfileError: a profile cannot be read (its number, from 0, is in the message), is ``incompatible``
        with the
            first one, or the sums ``overflow`` 64 bits; or there are ``no-profiles``.
    """
    tables = Tables(weighted=weights != "none", keep_labels=keep_labels)
    for part, factors in _read(profiles, weights, limits, parse, TOGETHER):
        tables.add(part, factors)
    if weights != "none":
        tables.comments.add(f"fleetpgo merge: weights {weights if isinstance(weights, str) else 'given'}")
    return write(tables.profile())


def merge_edges(
    profiles: Iterable[bytes],
    *,
    weights: Weights | Sequence[float] = "none",
    limits: Limits = Limits(),  # noqa: B008 -- frozen
) -> Edges:
    """The call edges of ``merge(profiles)``, without making that profile; arguments and errors as there.

    With ``weights``, an edge is rounded to whole samples once, and not each of its stacks.
    """
    graph = CallGraph(weighted=weights != "none")
    for part, factors in _read(profiles, weights, limits, parse_leaves, LEAVES_TOGETHER):
        graph.add(part, factors)
    return graph.edges()


def stratum_factors(weights: Sequence[int], strata: Sequence[str]) -> list[float]:
    """Factors for :func:`merge` by which every stratum counts for as much as any other.

    Within a stratum a sample is a sample. The mean factor over all samples is 1.

    Args:
        weights: each profile's weight (``Facts.weight``).
        strata: each profile's stratum, for instance its datacenter.
    """
    totals: dict[str, int] = {}
    for weight, stratum in zip(weights, strata, strict=True):
        totals[stratum] = totals.get(stratum, 0) + weight
    share = sum(weights) / len(totals)
    return [share / totals[stratum] for stratum in strata]


def _read(
    profiles: Iterable[bytes],
    weights: Weights | Sequence[float],
    limits: Limits,
    parser: Parser,
    together: int,
) -> Iterator[tuple[Columns, list[float]]]:
    """Some profiles at a time, and the factor of each.

    Raises:
        ProfileError: a profile cannot be read, is ``incompatible`` with the first one, or there are
            ``no-profiles``.
    """
    first: Header | None = None
    number = 0
    for part in _columns(_messages(profiles, limits), limits, parser, together):
        factors = []
        for header, values in zip(part.headers, _values(part), strict=True):
            first = first or header
            with _numbered(number):
                check_compatible(first, header)
            factors.append(_factor(values, weights, number))
            number += 1
        yield part, factors
    if not number:
        raise ProfileError(
            "There are no profiles to merge.", reason="no-profiles", hint="Name at least one profile."
        )


def _values(part: Columns) -> list[Ints]:
    """The values of each profile's samples."""
    return np.split(part.values, part.sample_starts[1:-1])


def _factor(values: Ints, weights: Weights | Sequence[float], number: int) -> float:
    if weights == "none":
        return 1.0
    if weights == "equal":
        total = int(values[:, 0].sum())
        return EQUAL_SAMPLES / total if total > 0 else 1.0
    return float(weights[number])


def _messages(profiles: Iterable[bytes], limits: Limits) -> Iterator[bytes]:
    """The message of each profile.

    A thread takes and unzips them ahead: both let go of Python's lock, decoding does not.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        rest = iter(profiles)
        ahead = deque(thread.submit(_next, rest, limits) for _ in range(AHEAD))
        number = 0
        while True:
            with _numbered(number):
                raw = ahead.popleft().result()
            if raw is None:
                return
            ahead.append(thread.submit(_next, rest, limits))
            yield raw
            number += 1


def _next(profiles: Iterator[bytes], limits: Limits) -> bytes | None:
    data = next(profiles, None)
    return None if data is None else message(data, limits)


def _columns(messages: Iterator[bytes], limits: Limits, parser: Parser, together: int) -> Iterator[Columns]:
    """Profiles as columns: some together, or one by one where together they are too large or one is bad."""
    number = 0
    while part := list(islice(messages, together)):
        columns = None
        if sum(map(len, part)) <= limits.message_bytes:
            with suppress(ProfileError):
                columns = parser(part, limits)
        if columns:
            yield columns
        else:
            for place, raw in enumerate(part, start=number):
                with _numbered(place):
                    alone = parser([raw], limits)
                yield alone
        number += len(part)


@contextmanager
def _numbered(number: int) -> Iterator[None]:
    """Say of which profile an error is."""
    try:
        yield
    except ProfileError as error:
        raise ProfileError(
            f"Profile {number}: {error.message}", reason=error.reason, hint=error.hint
        ) from error
