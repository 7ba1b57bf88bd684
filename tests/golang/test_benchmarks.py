import os
from datetime import timedelta

import pytest

from fleetpgo.errors import BuildError
from fleetpgo.golang.benchmarks import ROUNDS, Benchmark, compare, read_results, run_benchmarks
from fleetpgo.golang.environment import build_environment

OUTPUT = """\
goos: linux
pkg: example.com/a
cpu: something
BenchmarkAdd-8         \t 1000000\t      1234 ns/op\t  16 B/op\t  1 allocs/op
BenchmarkAdd/long=3-8  \t     100\t     0.5 ns/op
BenchmarkOther-8       \t     100\t     7 ns/op
PASS
pkg: example.com/b
BenchmarkAdd-8  \t 10\t 8 ns/op
BenchmarkBroken-8 --- FAIL
""".splitlines()


def test_results_are_read_by_package_and_name():
    assert read_results([*OUTPUT, *OUTPUT]) == {
        ("example.com/a", "BenchmarkAdd"): [1234.0, 1234.0],
        ("example.com/a", "BenchmarkAdd/long=3"): [0.5, 0.5],
        ("example.com/a", "BenchmarkOther"): [7.0, 7.0],
        ("example.com/b", "BenchmarkAdd"): [8.0, 8.0],
    }


def test_on_one_processor_a_name_keeps_the_number_at_its_end():
    lines = ["pkg: a", "BenchmarkCopy/size-16 \t 10\t 8 ns/op", "BenchmarkCopy/size-32 \t 10\t 9 ns/op"]
    assert list(read_results(lines)) == [("a", "BenchmarkCopy/size-16"), ("a", "BenchmarkCopy/size-32")]


@pytest.mark.parametrize("time", ["1.2.3", "9" * 400, "."])
def test_a_time_that_is_no_number_is_no_result(time):
    assert read_results(["pkg: a", f"BenchmarkCopy-8 \t 10\t {time} ns/op"]) == {}


def test_a_clear_difference_is_told_with_the_exact_p():
    (found,) = compare({("p", "B"): [10, 11, 12, 13, 14, 15]}, {("p", "B"): [1, 2, 3, 4, 5, 6]})

    # Of the 924 ways to choose six of twelve, two are as extreme.
    assert found == Benchmark("p", "B", 12.5, 3.5, pytest.approx(2 / 924))
    assert found.change == pytest.approx(3.5 / 12.5 - 1)


@pytest.mark.parametrize(
    ("without", "with_profile"),
    [([1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5]), ([7, 7, 7, 7, 7, 7], [7, 7, 7, 7, 7, 7])],
    ids=["alike", "equal"],
)
def test_what_does_not_differ_significantly_has_no_change(without, with_profile):
    (found,) = compare({("p", "B"): without}, {("p", "B"): with_profile})

    assert found.change is None


def test_a_benchmark_of_one_side_only_is_not_compared():
    assert compare({("p", "A"): [1]}, {("p", "B"): [1]}) == []


@pytest.fixture
def benchmarks(go_module, go_profile, go_cache):
    (go_module / "p.pprof").write_bytes(go_profile)

    def run(pattern, test):
        (go_module / "main_test.go").write_text(f'package main\n\nimport "testing"\n\n{test}\n')
        return run_benchmarks(
            go_module,
            pattern,
            go_module / "p.pprof",
            timeout=timedelta(minutes=3),
            memory=4 << 30,
            environment=build_environment(os.environ, go_cache, "tiny"),
        )

    return run


@pytest.mark.slow  # builds what `testing` needs twice
def test_real_benchmarks_run_in_turn_on_both_sides(benchmarks, caplog):
    caplog.set_level("INFO")
    test = "func BenchmarkTotal(b *testing.B) { for b.Loop() { total([]shape{square{2}}) } }"
    (found,) = benchmarks("Total", test)

    assert (found.package, found.name) == ("example.com/tiny", "BenchmarkTotal")
    assert found.without > 0
    assert found.with_profile > 0
    assert sum(message.startswith("BenchmarkTotal") for message in caplog.messages) == 2 * ROUNDS


@pytest.mark.slow  # likewise
def test_a_pattern_that_names_no_benchmark_is_an_error(benchmarks):
    with pytest.raises(BuildError, match=r"`go test -bench=Nothing \./\.\.\.` ran no benchmark"):
        benchmarks("Nothing", "func BenchmarkTotal(b *testing.B) {}")
