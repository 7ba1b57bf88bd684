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

Memory: one input at a time and the merged result, however many inputs there are.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

from fleetpgo.errors import ProfileError
from fleetpgo.pprof.callgraph import COMPILER_DEPTH, edges_of
from fleetpgo.pprof.decoding import parse
from fleetpgo.pprof.reading import Limits, message
from fleetpgo.pprof.tables import Tables
from fleetpgo.pprof.writing import write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fleetpgo.pprof.columns import Columns
    from fleetpgo.pprof.edges import Edges

Weights = Literal["none", "equal"]

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
    return write(_sum(profiles, weights, limits, depth=None, keep_labels=keep_labels))


def merge_edges(
    profiles: Iterable[bytes],
    *,
    weights: Weights | Sequence[float] = "none",
    limits: Limits = Limits(),  # noqa: B008 -- frozen
) -> Edges:
    """The call edges of ``merge(profiles)``, without making that profile; arguments and errors as there."""
    return edges_of(_sum(profiles, weights, limits, depth=COMPILER_DEPTH, keep_labels=False))


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


def _sum(
    profiles: Iterable[bytes],
    weights: Weights | Sequence[float],
    limits: Limits,
    *,
    depth: int | None,
    keep_labels: bool,
) -> Columns:
    tables = Tables(weighted=weights != "none", keep_labels=keep_labels)
    count = 0
    for number, raw in enumerate(_unzipped(profiles, limits)):
        try:
            profile = parse(raw, limits, depth=depth)
            tables.add(profile, _factor(profile, weights, number))
        except ProfileError as error:
            raise _numbered(error, number) from error
        count += 1
    if not count:
        raise ProfileError(
            "There are no profiles to merge.", reason="no-profiles", hint="Name at least one profile."
        )
    if weights != "none":
        tables.comments.add(f"fleetpgo merge: weights {weights if isinstance(weights, str) else 'given'}")
    return tables.profile()


def _factor(profile: Columns, weights: Weights | Sequence[float], number: int) -> float:
    if weights == "none":
        return 1.0
    if weights == "equal":
        total = int(profile.values[:, 0].sum())
        return EQUAL_SAMPLES / total if total > 0 else 1.0
    return float(weights[number])


def _unzipped(profiles: Iterable[bytes], limits: Limits) -> Iterator[bytes]:
    """The message of each profile; while one is merged, a second thread unzips the next."""
    with ThreadPoolExecutor(max_workers=1) as unzipper:
        ahead = None
        for number, data in enumerate(profiles):
            following = unzipper.submit(_message, data, limits, number)
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()


def _message(data: bytes, limits: Limits, number: int) -> bytes:
    try:
        return message(data, limits)
    except ProfileError as error:
        raise _numbered(error, number) from error


def _numbered(error: ProfileError, number: int) -> ProfileError:
    return ProfileError(f"Profile {number}: {error.message}", reason=error.reason, hint=error.hint)
