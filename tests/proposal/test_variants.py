"""Benchmarks of build variants that fail: each variant says so for itself, and the run goes on."""

from __future__ import annotations

import os

import pytest

from fleetpgo.golang import timing
from fleetpgo.golang.environment import build_environment
from fleetpgo.proposal.builds import Runner
from fleetpgo.proposal.variants import try_variants
from tests.tiny import tiny

# Each builds the service and what `testing` needs, with flags of its own.
pytestmark = pytest.mark.slow

BENCHMARK = """\
package main

import "testing"

func BenchmarkTotal(b *testing.B) {
	round(b)
	for b.Loop() {
		total([]shape{square{2}})
	}
}
"""
ENDS = """\
//go:build %s

package main

import (
	"os"
	"testing"
)

func round(b *testing.B) {
	file, _ := os.OpenFile("%s", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	file.WriteString("x")
	if told, _ := file.Stat(); told.Size() > 2 {
		b.Fatal("no third round")
	}
}
"""
STEADY = """\
//go:build !(%s)

package main

import "testing"

func round(*testing.B) {}
"""
RUN_HERE, OWN_RUN_HERE, REPEATED = (
    "its benchmarks do not run here: ",
    "it was not benchmarked, as the benchmarks of the build with the profile do not run here: ",
    "it was not benchmarked, as the build with the profile fails when it is repeated: ",
)


@pytest.fixture
def attempt(go_module, go_cache, tmp_path, monkeypatch):
    """Try variants of the tiny module; where the build tags are `ends`, its benchmark has but two rounds."""
    # What is measured is of no interest here.
    monkeypatch.setattr(timing, "_BENCHTIME", "1x")

    def try_them(variants, *, ends="ends", begin=lambda: None):
        (go_module / "Makefile").write_text("build:\n\tgo build -o bin/tiny .\n")
        (go_module / "main_test.go").write_text(BENCHMARK)
        (go_module / "ends_test.go").write_text(ENDS % (ends, tmp_path / "rounds"))
        (go_module / "steady_test.go").write_text(STEADY % ends)
        (go_module / "empty.pprof").touch()
        rules = tiny(build={"variants": variants, "benchmark": "Total", "timeout": "3m"}).build
        environment = build_environment(os.environ, go_cache, "local/forge/tiny")
        return try_variants(
            list(variants),
            Runner(go_module, rules, environment),
            begin,
            module=go_module,
            profile=go_module / "empty.pprof",
            digest_with="",
        )

    return try_them


def at_call(number, act):
    """A function that acts when it is called that often."""
    calls = []

    def begin():
        calls.append(begin)
        if len(calls) == number:
            act()

    return begin


def test_a_variant_whose_benchmark_fails_in_a_later_round_leaves_the_others_theirs(attempt):
    ends, other = attempt({"ends": {"flags": "-tags=ends"}, "other": {"flags": "-trimpath"}})

    assert ends.failed.startswith(RUN_HERE)
    assert "no third round" in ends.failed
    assert (ends.benchmarks, other.failed) == ((), "")
    assert [each.benchmark for each in other.benchmarks] == ["BenchmarkTotal"]


def test_a_variant_is_not_blamed_for_a_benchmark_that_fails_in_the_build_with_the_profile(attempt):
    (steady,) = attempt({"steady": {"flags": "-tags=steady"}}, ends="!steady")

    assert steady.failed.startswith(OWN_RUN_HERE)
    assert steady.size


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("main.go", "package main\n\nfunc main() { nothing() }\n", REPEATED),
        ("main_test.go", BENCHMARK.replace("round(b)", 'b.Fatal("flaky")'), OWN_RUN_HERE),
    ],
)
def test_a_build_with_the_profile_that_fails_when_it_is_repeated_is_a_sentence_of_each_variant(
    attempt, go_module, file, text, said
):
    spoil = at_call(3, lambda: (go_module / file).write_text(text))

    tried = attempt({"one": {"flags": "-trimpath"}, "two": {"flags": "-ldflags=-s"}}, begin=spoil)

    assert [each.failed.startswith(said) for each in tried] == [True, True]
    assert all(each.size for each in tried)


@pytest.mark.parametrize("others", [True, False])
def test_a_variant_without_the_benchmarks_of_the_build_says_so(attempt, go_module, others):
    def leave_out():
        text = BENCHMARK.replace("\tround(b)\n", "")
        (go_module / "main_test.go").write_text(f"//go:build !without\n\n{text}")
        if not others:
            (go_module / "ends_test.go").unlink()
            (go_module / "steady_test.go").unlink()

    (without,) = attempt({"without": {"flags": "-tags=without"}}, begin=at_call(2, leave_out))

    assert without.failed == "it was not benchmarked: no benchmark ran in all rounds with both builds"
