"""A profile as stacks of function names, and the difference of two such profiles.

A flame graph cannot show a negative width. So the difference of two profiles is two profiles: what grew, and
what shrank, each stack with the share of all CPU that it gained or lost.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from fleetpgo.pprof import profile_pb2
from fleetpgo.pprof.codec.arrays import NONE
from fleetpgo.pprof.codec.texts import go_bytes, go_name
from fleetpgo.pprof.codec.writing import gzipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fleetpgo.pprof.codec.columns import Columns
    from fleetpgo.pprof.profile import Profile

    Stack = tuple[str, ...]

SCALE = 1_000_000
"""Shares are written in millionths: values of a profile are whole numbers."""


def stacks(profile: Columns) -> Iterator[tuple[int, Stack]]:
    """Weight and function names of each sample, leaf first, inlined calls included."""
    weights = profile.values[:, profile.value_index].tolist()
    frames = _frames(profile)
    locations, stop = profile.stacks.tolist(), 0
    for weight, depth in zip(weights, profile.depths.tolist(), strict=True):
        start, stop = stop, stop + depth
        yield weight, tuple(name for location in locations[start:stop] for name in frames[location])


def stack_difference(old: Profile, new: Profile) -> tuple[bytes, bytes]:
    """Return a profile of the stacks whose share of the CPU grew, and one of those whose share shrank.

    Both are gzipped. Their one value type is ``share/millionths``: of all CPU, not of what changed.

    Raises:
        ProfileError: one of them counts no CPU samples (``no-cpu-samples``).
    """
    before, after = (_shares(each.columns) for each in (old, new))
    changes = {
        stack: after.get(stack, 0.0) - before.get(stack, 0.0) for stack in before.keys() | after.keys()
    }
    return (
        _written({stack: change for stack, change in changes.items() if change > 0}),
        _written({stack: -change for stack, change in changes.items() if change < 0}),
    )


def _shares(profile: Columns) -> dict[Stack, float]:
    weights: Counter[Stack] = Counter()
    for weight, stack in stacks(profile):
        weights[stack] += weight
    total = weights.total() or 1
    return {stack: weight / total for stack, weight in weights.items()}


def _written(shares: Mapping[Stack, float]) -> bytes:
    """Return a profile with one location for each function."""
    message = profile_pb2.Profile(string_table=[b"", b"share", b"millionths"])
    message.sample_type.add(type=1, unit=2)
    message.mapping.add(id=1, has_functions=True)
    ids: dict[str, int] = {}
    for stack, share in sorted(shares.items()):
        if not (value := round(share * SCALE)):
            continue
        for name in stack:
            if name not in ids:
                ids[name] = len(ids) + 1
                message.string_table.append(go_bytes(name))
                message.function.add(id=ids[name], name=len(message.string_table) - 1)
                message.location.add(id=ids[name], mapping_id=1).line.add(function_id=ids[name])
        message.sample.add(location_id=[ids[name] for name in stack], value=[value])
    return gzipped(message.SerializeToString())


def _frames(profile: Columns) -> list[list[str]]:
    """Return the function names of each location, innermost call first."""
    rows = profile.functions[:, 0].tolist()
    texts = {row: go_name(profile.strings[row]) for row in set(rows)}  # many functions may share one
    names = [texts[row] for row in rows]
    names.append("")  # the last one is that of NONE
    of_line = [names[function] for function in profile.lines[:, 0].tolist()]
    starts = profile.line_starts.tolist()
    return [of_line[start:stop] or [names[NONE]] for start, stop in pairwise(starts)]
