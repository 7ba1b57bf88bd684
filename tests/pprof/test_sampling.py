"""How many samples a profile holds, whatever it says its period is."""

from __future__ import annotations

import pytest

from fleetpgo.pprof import check, facts
from tests.pprof.corpus import LEAF, changed
from tests.pprof.messages import message, packed

CALLER = [("main.caller", 10, 17)]
NANOSECONDS = (("cpu", "nanoseconds"),)


def of_nanoseconds(*values: int, period: int) -> bytes:
    """A profile that counts nothing but nanoseconds, as stores answer."""
    profile = message(
        [([[("main.leaf", 50, line)], CALLER], value) for line, value in enumerate(values, start=51)],
        types=NANOSECONDS,
        duration=10**10,
    )
    profile.period = period
    return packed(profile)


@pytest.mark.parametrize(
    ("values", "period", "samples"),
    [
        pytest.param((50 * 10**7, 3 * 10**7), 10**7, 53, id="Go's period"),
        pytest.param((280 * 10**7, 10**7), 10**9, 281, id="a second, whatever it was"),
        pytest.param((280 * 10**7, 10**7), 1, 281, id="a nanosecond"),
        pytest.param((280 * 10**7, 10**7), 0, 281, id="none"),
        pytest.param((20 * 10**6, 3 * 10**6), 10**7, 23, id="a thousand a second, and Go's period"),
        pytest.param((19 * 52_631_578, 52_631_578), 10**9, 20, id="nineteen a second"),
        pytest.param((40 * 10**6, 20 * 10**6), 10**7, 6, id="values that have more in common"),
        pytest.param((123_456_789, 376_543_210), 10**7, 50, id="values of a weighted merge"),
        pytest.param((123_456_789, 376_543_210), 10**9, 50, id="the same, with an impossible period"),
    ],
)
def test_nanoseconds_are_counted_in_samples(values, period, samples):
    found = facts(of_nanoseconds(*values, period=period))
    assert (found.samples, found.weight) == (samples, sum(values))


def test_cores_are_of_the_cpu_time_and_not_of_the_period():
    assert facts(of_nanoseconds(500 * 10**7, period=10**9)).cores == 0.5


def test_the_column_of_samples_counts_wherever_it_stands():
    profile = message([([LEAF], 7)], types=(("cpu", "nanoseconds"), ("samples", "count")))
    profile.sample[0].value[:] = [7 * 10**7, 7]
    profile.period = 10**9
    found = facts(packed(profile))
    assert (found.samples, found.weight, found.period) == (7, 7 * 10**7, 10**7)


def test_of_samples_alone_the_period_says_the_cpu_time():
    profile = message([([LEAF], 200)], types=(("samples", "count"),), duration=10**10)
    found = facts(packed(profile))
    assert (found.samples, found.period, found.cores) == (200, 10**7, 0.2)


def test_a_period_without_a_type_is_not_needed_where_nanoseconds_are_counted():
    assert check(changed(lambda p: p.ClearField("period_type"))).period == 10**7
