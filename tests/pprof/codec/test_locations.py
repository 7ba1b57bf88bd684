"""Locations are read from their bytes as the protobuf runtime reads them, however they are written."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings

from fleetpgo.pprof import profile_pb2
from fleetpgo.pprof.codec.arrays import NONE
from fleetpgo.pprof.codec.decoding import parse
from fleetpgo.pprof.codec.reading import Limits, message
from tests.pprof.codec.test_leaves import one_by_one, varint
from tests.pprof.messages import message as profile_of
from tests.pprof.test_callgraph import profiles

pytestmark = pytest.mark.usefixtures("kernel")

LIMITS = Limits()


def given_numbers(*fields: tuple[int, int]) -> bytes:
    """Numbers that are not 0, as Go's runtime and the protobuf runtime write them."""
    return b"".join(one_by_one(field, [number]) for field, number in fields if number)


def lines_of(location, *, column: int = 0) -> bytes:
    lines = (given_numbers((1, each.function_id), (2, each.line), (3, column)) for each in location.line)
    return b"".join(b"\x22" + varint(len(each)) + each for each in lines)


STYLES = {
    "in the order of the fields": lambda at: (
        given_numbers((1, at.id), (2, at.mapping_id), (3, at.address)) + lines_of(at)
    ),
    "Go's runtime": lambda at: (
        given_numbers((1, at.id), (3, at.address)) + lines_of(at) + given_numbers((2, at.mapping_id))
    ),
    "zeros too": lambda at: (
        one_by_one(1, [at.id]) + one_by_one(2, [at.mapping_id]) + one_by_one(3, [at.address]) + lines_of(at)
    ),
    "lines first": lambda at: lines_of(at) + given_numbers((1, at.id), (2, at.mapping_id), (3, at.address)),
    "mapping twice": lambda at: (
        given_numbers((1, at.id), (2, 9), (3, at.address)) + lines_of(at) + one_by_one(2, [at.mapping_id])
    ),
    "mapping twice, none at last": lambda at: (
        given_numbers((1, at.id), (2, 9), (3, at.address)) + lines_of(at) + one_by_one(2, [0])
    ),
    "with an unknown field": lambda at: (
        given_numbers((1, at.id), (2, at.mapping_id), (3, at.address), (9, 7)) + lines_of(at)
    ),
    "with long tags": lambda at: b"\x88\x00" + varint(at.id) + given_numbers((3, at.address)) + lines_of(at),
}


def written(profile, style) -> bytes:
    """The profile's message, its locations written in a style; a message may come in parts."""
    locations = list(map(STYLES[style], profile.location))
    rest = type(profile)()
    rest.CopyFrom(profile)
    del rest.location[:]
    return rest.SerializeToString() + b"".join(b"\x22" + varint(len(each)) + each for each in locations)


def as_the_runtime_reads(message: bytes) -> tuple[list[object], list[object]]:
    """Locations and lines of the message, as of :class:`Columns`."""
    profile = profile_pb2.Profile.FromString(message)
    mappings = {each.id: row for row, each in enumerate(profile.mapping)}
    functions = {each.id: row for row, each in enumerate(profile.function)}
    signed = np.array([each.address for each in profile.location], np.uint64).view(np.int64)
    locations = [
        [mappings.get(each.mapping_id, NONE), address, each.is_folded]
        for each, address in zip(profile.location, signed.tolist(), strict=True)
    ]
    lines = [
        [[functions.get(line.function_id, NONE), line.line, line.column] for line in each.line]
        for each in profile.location
    ]
    return locations, lines


def as_we_read(message: bytes) -> tuple[list[object], list[object]]:
    found = parse([message], LIMITS)
    starts = found.line_starts.tolist()
    lines = [found.lines[a:b].tolist() for a, b in pairwise(starts)]
    return found.locations.tolist(), lines


@pytest.mark.parametrize("style", STYLES)
@settings(max_examples=25)
@given(profiles)
def test_locations_are_read_however_they_are_written(style, profile):
    raw = written(profile, style)
    assert as_we_read(raw) == as_the_runtime_reads(raw)


@pytest.mark.parametrize(
    "change",
    [
        {"is_folded": True},
        {"address": 0xFFFF_FFFF_8100_0000},
        {"mapping_id": 0},
        {"address": (1 << 56) - 1},
        {"address": 1 << 56},
    ],
    ids=str,
)
def test_a_location_of_an_unusual_kind_is_read(change):
    profile = profile_of([([[("main.a", 1, 2)], [("main.b", 3, 4)]], 3)])
    for name, value in change.items():
        setattr(profile.location[1], name, value)
    raw = profile.SerializeToString()
    assert as_we_read(raw) == as_the_runtime_reads(raw)


def test_a_line_below_zero_and_one_with_a_column_are_read():
    profile = profile_of([([[("main.a", 1, 2)], [("main.b", 3, 4)]], 3)])
    profile.location[0].line[0].line = -7
    profile.location[1].line[0].column = 80
    raw = profile.SerializeToString()
    assert as_we_read(raw) == as_the_runtime_reads(raw)


@pytest.mark.parametrize("depth", [64, 65, 200])
def test_any_number_of_inlined_calls_is_read(depth):
    raw = profile_of([([[("main.a", 1, 2)] * depth], 3)]).SerializeToString()
    assert as_we_read(raw) == as_the_runtime_reads(raw)


def test_locations_of_real_profiles_are_read(real):
    raw = message(real, LIMITS)
    assert as_we_read(raw) == as_the_runtime_reads(raw)
