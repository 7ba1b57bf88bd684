from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpgo.golang import timing
from fleetpgo.golang.timing import LOOKS, Bench, Interval, Times, duration, exactly, in_turn, median

NAME = "example.com/a", "BenchmarkA"


def sides(**means):
    """Sides whose times vary by a few per cent around means, the same in each run of the test."""
    chance = np.random.default_rng(1)
    return {side: lambda mean=mean: {NAME: mean * chance.normal(1, 0.03)} for side, mean in means.items()}


def test_a_clear_difference_is_certain_at_the_first_look():
    found = in_turn(sides(slow=11, fast=10), lambda times: times[NAME].faster("fast", "slow"))

    assert found[NAME].rounds == LOOKS[0]
    assert found[NAME].ratio("slow", "fast").estimate == pytest.approx(1.1, abs=0.03)


def test_what_does_not_differ_is_run_until_the_last_look():
    found = in_turn(sides(one=10, two=10), lambda times: times[NAME].faster("one", "two"))

    ratio = found[NAME].ratio("one", "two")
    assert (found[NAME].rounds, ratio.low < 1 < ratio.high) == (LOOKS[-1], True)


def test_a_benchmark_that_one_side_does_not_run_is_left_out():
    both = {"one": lambda: {NAME: 1.0, ("p", "BenchmarkB"): 1.0}, "two": lambda: {NAME: 2.0}}

    assert list(in_turn(both, lambda _: True)) == [NAME]


def test_the_sides_take_turns_in_going_first():
    order = []

    def side(name):
        def run():
            order.append(name)
            return {NAME: 1.0}

        return run

    in_turn({"one": side("one"), "two": side("two")}, lambda _: True)

    assert order[:4] == ["one", "two", "two", "one"]


def test_a_ratio_is_that_of_times_in_the_same_round():
    # The machine slows down tenfold, and the ratio stays.
    times = Times({"one": [1.0 * 2**n for n in range(8)], "two": [2.0 * 2**n for n in range(8)]})

    assert times.ratio("two", "one") == Interval(2.0, 2.0, 2.0)


def test_three_disturbed_rounds_of_eighteen_do_not_move_the_answer():
    times = Times({"one": [10.0] * 15 + [500.0] * 3, "two": [11.0] * 18})

    assert times.faster("one", "two")


@given(st.lists(st.floats(1, 1e9), min_size=8, max_size=40))
def test_an_interval_lies_around_its_estimate_and_within_the_values(values):
    found = median(values)

    assert min(values) <= found.low <= found.estimate <= found.high <= max(values)


@pytest.mark.parametrize("seed", range(3))
def test_eight_rounds_without_a_difference_are_rarely_called_different(seed):
    # Of 200 medians of eight at 99 %, more than 12 beside the truth have a chance of one in 100 million.
    chance = np.random.default_rng(seed)
    intervals = [median([chance.normal(0, 1) for _ in range(8)]) for _ in range(200)]

    assert sum(not each.low <= 0 <= each.high for each in intervals) <= 12


def test_a_benchmark_s_name_is_no_pattern():
    assert exactly("BenchmarkA/b=[1]") == r"^BenchmarkA$/^b=\[1\]$"


@pytest.mark.parametrize(
    ("nanoseconds", "said"),
    [(0.5, "0.5 ns"), (1234, "1.23 µs"), (3_940_000, "3.94 ms"), (2.5e9, "2.5 s")],
)
def test_durations_are_written_as_go_does(nanoseconds, said):
    assert duration(nanoseconds) == said


def test_a_benchmark_that_prints_for_ever_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "_MOST_RESULTS", 3)
    lines = ["pkg: example.com/a", *["noise"] * 9, *(f"BenchmarkF{n}-2 10 5 ns/op" for n in range(9))]
    monkeypatch.setattr(timing, "run", lambda *_, seen, **__: [seen(line) for line in lines])
    bench = Bench(tmp_path, tmp_path, {}, timedelta(minutes=1), 1 << 30)
    assert list(bench.time(tmp_path / "a.test", tmp_path, "F")) == [
        ("example.com/a", "BenchmarkF0"),
        ("example.com/a", "BenchmarkF1"),
    ]


def test_where_no_benchmark_runs_the_first_look_is_the_last():
    asked = []
    assert in_turn({"a": lambda: asked.append(1) or {}}, lambda _: False) == {}
    assert len(asked) == LOOKS[0]
