"""The search, on benchmarks that are simulated: what each call costs is known, and each time has noise."""

from dataclasses import replace

import numpy as np
import pytest

from fleetpgo.golang.culprit import search
from fleetpgo.golang.pgohash import Choice
from fleetpgo.golang.timing import in_turn

NAME = "example.com/a", "BenchmarkA"


def choices(count):
    return [
        Choice("example.com/a", f"a.go:{n}:2", "inline", "a.F", f"a.callee{n}", f"{n:016x}")
        for n in range(count)
    ]


def race_of(cost, noise=0.03):
    """Run benchmarks whose time depends on the choices that are made: `cost` gives it."""
    chance = np.random.default_rng(5)

    def race(sides, decided):
        def side(denied):
            names = {each.callee for each in denied}
            return lambda: {NAME: cost(names) * chance.lognormal(0, noise)}

        found = in_turn(
            {name: side(denied) for name, denied in sides.items()}, lambda times: decided(times[NAME])
        )
        return found[NAME]

    return race


@pytest.mark.parametrize("guilty", [0, 13, 36])
def test_the_one_call_that_costs_is_found(guilty):
    made = choices(37)

    found = search(made, race_of(lambda denied: 1.0 if f"a.callee{guilty}" in denied else 1.2))

    assert found == [made[guilty]]


def test_calls_that_save_do_not_hide_the_one_that_costs():
    made = choices(16)

    def cost(denied):
        return (1.0 if "a.callee3" in denied else 1.3) + 0.02 * len(denied - {"a.callee3"})

    assert search(made, race_of(cost)) == [made[3]]


def test_of_two_that_cost_the_dearer_one_is_found():
    made = choices(16)

    def cost(denied):
        return 1.0 + 0.5 * ("a.callee2" not in denied) + 0.2 * ("a.callee12" not in denied)

    assert search(made, race_of(cost)) == [made[2]]


def test_of_two_that_cost_the_same_one_is_found():
    made = choices(16)

    def cost(denied):
        return 1.0 + 0.3 * ("a.callee2" not in denied) + 0.3 * ("a.callee12" not in denied)

    (found,) = search(made, race_of(cost))

    assert found in (made[2], made[12])


def test_a_function_that_costs_wherever_it_is_inlined_is_found_with_all_its_calls():
    made = choices(9)
    # The first and the last call are of one function; either alone costs all.
    made[8] = replace(made[8], callee=made[0].callee)

    def race(sides, decided):
        chance = np.random.default_rng(5)

        def side(denied):
            cost = 1.0 if {made[0], made[8]} <= set(denied) else 1.4
            return lambda: {NAME: cost * chance.lognormal(0, 0.03)}

        timed = {name: side(denied) for name, denied in sides.items()}
        return in_turn(timed, lambda times: decided(times[NAME]))[NAME]

    assert search(made, race) == [made[0], made[8]]


def test_two_functions_of_which_either_costs_all_stay_suspect():
    made = choices(8)

    def cost(denied):
        return 1.0 if {"a.callee1", "a.callee6"} <= denied else 1.4

    assert search(made, race_of(cost)) == made


def test_noise_larger_than_the_cost_names_no_call():
    made = choices(8)

    assert search(made, race_of(lambda denied: 1.0 if "a.callee1" in denied else 1.002, noise=0.2)) == made
