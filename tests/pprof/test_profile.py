"""A profile as a value: its bytes are at the edges only."""

from __future__ import annotations

import pytest

from fleetpgo.errors import ProfileError
from fleetpgo.pprof import GUARDS, Limits, call_edges, decode, guard, merge
from fleetpgo.pprof.guarding import SUFFIX
from tests.pprof.messages import message, packed

pytestmark = pytest.mark.usefixtures("kernel")

CALLER = [("main.caller", 10, 17)]


def test_a_decoded_profile_gives_the_bytes_that_it_was_given(real):
    assert decode(real).data == real


def test_a_merged_profile_says_the_same_before_and_after_it_is_written(reals):
    merged = merge(reals)
    assert call_edges(decode(merged.data)) == call_edges(merged)


def test_guarding_a_merged_profile_is_guarding_what_is_written_of_it():
    merged = merge([packed(message([([[(GUARDS[0].function, 50, 51)], CALLER], 3)]))])
    guarded, _ = guard(merged)
    assert guarded.data == guard(decode(merged.data))[0].data
    assert [edge.callee for edge in call_edges(guarded).weights] == [GUARDS[0].function + SUFFIX]


def test_a_profile_keeps_to_the_limits_that_it_was_decoded_with():
    data = packed(message([([[("main.leaf", 1, line)], CALLER], 1) for line in range(1, 40)]))
    with pytest.raises(ProfileError) as caught:
        call_edges(decode(data, limits=Limits(records=100)))
    assert caught.value.reason == "too-large"


def test_the_gzip_stream_says_neither_time_nor_name_and_always_the_same_system(reals):
    assert merge(reals).data[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\x03"
