"""The whole search on a bench that is simulated: what each build costs is known, and each time has noise."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from fleetpgo import pprof
from fleetpgo.errors import BuildError, ToolchainError
from fleetpgo.golang.bisection import DENIED, GUARDED, OFF, WITHOUT, Search
from fleetpgo.golang.culprit import WITH
from fleetpgo.golang.timing import Bench
from tests.pprof.messages import message, packed

NAME = "example.com/a", "BenchmarkF"
WILD = "example.com/a", "BenchmarkWild"
CALLEES = [f"example.com/a.callee{n}" for n in range(6)]


@dataclass(frozen=True)
class Build:
    """What the simulated compiler was told."""

    off: bool
    denied: frozenset[str]
    guarded: frozenset[str]

    def inlines(self, number):
        """Whether it inlines the callee of that number because of the profile."""
        return not self.off and CALLEES[number] not in self.denied | self.guarded


@dataclass(frozen=True)
class Simulated(Bench):
    """A bench whose benchmark takes what `cost` says of the build."""

    cost: object = None
    noise: float = 0.03
    choices: tuple[int, ...] = tuple(range(6))
    wild: float | None = None
    other: object = None
    renamed: str = ""
    unknown: bool = False
    chance: np.random.Generator = field(default_factory=lambda: np.random.default_rng(3))
    builds: dict[Path, Build] = field(default_factory=dict)

    def directory(self, package):
        return self.module

    def find(self, pattern):
        return [NAME]

    def compile(self, side, package, pgo, flags=(), *, seen):
        numbers = re.findall(r"x([0-9a-f]{10})", " ".join(flags))
        guarded = frozenset()
        if pgo != "off":
            told = {edge.callee for edge in pprof.call_edges(pprof.decode(Path(pgo).read_bytes())).weights}
            guarded = frozenset(CALLEES) - told
            if self.unknown:
                seen('invalid value "pgohash=vy" for flag -d: unknown debug key pgohash')
                raise BuildError("`go test` failed with exit status 2")
            seen("# example.com/a")
            for number in self.choices:
                seen(f"a.go:{number}:2 (inline) [bisect-match 0x{number:016x}]")
                callee = self.renamed if self.renamed and number == 4 else CALLEES[number]
                call = f"call {callee} (cost 99) at a.go:{number}:2 in function example.com/a.F"
                seen(f"hot-budget check allows inlining for {call}")
        binary = self.place / f"{side}.test"
        binary.touch()
        self.builds[binary] = Build(
            pgo == "off", frozenset(CALLEES[int(number, 16)] for number in numbers), guarded
        )
        return binary

    def time(self, binary, directory, pattern):
        cost = self.cost(self.builds[binary])
        times = {NAME: 1e6 * cost * self.chance.lognormal(0, self.noise)}
        if self.other is not None:
            times[WILD] = 1e6 * self.other(self.builds[binary]) * self.chance.lognormal(0, self.noise)
        if self.wild is not None:
            times[WILD] = 1e6 * self.chance.lognormal(0, self.wild)
        return times


@pytest.fixture
def find(tmp_path):
    """Search on a bench whose benchmark costs what a function says."""
    edges = [([[(callee, 9, 12)], [("example.com/a.F", 1, 3)]], 100) for callee in CALLEES]

    def search(cost, **bench):
        profile = pprof.decode(packed(message(edges)))
        made = Simulated(tmp_path, tmp_path, {}, timedelta(minutes=1), 1 << 30, cost, **bench)
        return Search(made, profile).run("F")

    return search


def test_the_culprit_is_found_and_its_guard_is_measured_beside_all_else(find):
    found = find(lambda build: 1.5 if build.inlines(4) else 1.0)

    assert (found.outcome, found.guard) == ("found", CALLEES[4])
    assert [each.callee for each in found.suspects] == [CALLEES[4]]
    assert list(found.times) == [OFF, WITH, WITHOUT, GUARDED]
    assert found.said.startswith(
        f"example.com/a.F → {CALLEES[4]} (a.go:4) costs: with it BenchmarkF takes 1."
    )
    assert found.cost.low > 1.3


def test_a_benchmark_that_gains_leaves_nothing_to_look_for(find):
    found = find(lambda build: 1.0 if build.off else 0.9)

    assert (found.outcome, found.guard) == ("no worse", "")
    assert found.said.startswith("no worse with the profile: nothing to look for. BenchmarkF is the one that")


def test_noise_that_hides_the_answer_is_said(find):
    found = find(lambda _: 1.0, noise=0.4)

    assert (found.outcome, found.rounds) == ("uncertain", 40)
    assert "after 40 rounds it is not certain that any benchmark is slower" in found.said


def test_a_benchmark_that_may_be_slower_is_not_hidden_by_one_that_is_not(find):
    found = find(lambda build: 1.0 if build.off else 0.99, noise=0.001, wild=0.4)

    assert (found.outcome, found.benchmark) == ("uncertain", "BenchmarkWild")


def test_a_slowness_that_does_not_come_again_is_not_called_a_call_s(find):
    runs = []

    def cost(build):
        # The first eight rounds of two sides are disturbed on one of them.
        runs.append(build)
        return 1.5 if len(runs) <= 16 and not build.off else 1.0

    found = find(cost)

    assert (found.outcome, found.suspects) == ("uncertain", ())
    assert "was slower with the profile in the first rounds, and in 40 further ones" in found.said


def test_a_cost_that_stays_when_nothing_is_inlined_is_no_call_s(find):
    found = find(lambda build: 1.0 if build.off else 1.5)

    assert (found.outcome, found.suspects) == ("not the calls", ())
    assert found.times[DENIED].low > found.times[OFF].high


def test_after_a_benchmark_that_was_slow_by_chance_the_next_one_is_looked_at(find):
    runs = []

    def cost(build):
        return 1.5 if build.inlines(4) else 1.0

    def wild(build):
        # Slowest in the first rounds of both sides, and never again.
        runs.append(build)
        return 3.0 if len(runs) <= 16 and not build.off else 1.0

    found = find(cost, other=wild)

    assert (found.outcome, found.benchmark, found.guard) == ("found", "BenchmarkF", CALLEES[4])


def test_less_than_two_percent_are_nothing_to_look_for(find):
    found = find(lambda build: 1.0 if build.off else 1.01, noise=0.0005)

    assert found.outcome == "no worse"
    assert found.slower.low > 1


def test_a_function_that_the_profile_does_not_name_is_said_to_be_so(find):
    found = find(lambda build: 1.5 if build.inlines(4) else 1.0, renamed="example.com/a.another")

    assert (found.outcome, found.guard) == ("guard costs", "")
    assert "The profile has no function example.com/a.another, so none can be guarded" in found.said
    assert list(found.times) == [OFF, WITH, WITHOUT]


def test_binaries_of_a_step_do_not_stay(find, tmp_path):
    find(lambda build: 1.5 if build.inlines(4) else 1.0)

    assert {path.name for path in tmp_path.glob("*.test")} == {"off.test", "with-1.test", "guarded.test"}


def test_two_functions_of_which_either_costs_all_are_both_named(find):
    found = find(lambda build: 1.5 if build.inlines(0) or build.inlines(5) else 1.0)

    assert (found.outcome, len(found.suspects)) == ("no single call", 6)
    assert found.said.startswith("6 calls are left of 6, and BenchmarkF is not certainly faster")


def test_a_guard_that_takes_more_than_it_gives_is_not_proposed(find):
    found = find(lambda build: 1.5 if build.inlines(4) or build.guarded else 1.0)

    assert (found.outcome, found.guard) == ("guard costs", "")
    assert f"A guard on {CALLEES[4]} does not help" in found.said


def test_what_is_left_after_the_guard_is_said(find):
    found = find(lambda build: 1.0 + 0.5 * build.inlines(4) + 0.2 * build.inlines(1))

    assert (found.outcome, found.guard) == ("found", CALLEES[4])
    assert "run this again, for there may be another culprit" in found.said


def test_a_profile_of_which_the_compiler_uses_nothing_is_an_error(find):
    with pytest.raises(BuildError, match="the profile is not used: in the benchmarks' binaries"):
        find(lambda _: 1.0, choices=())


def test_a_compiler_that_knows_no_pgohash_is_an_error(find):
    with pytest.raises(ToolchainError, match="this Go's compiler has no -d=pgohash"):
        find(lambda _: 1.0, unknown=True)
