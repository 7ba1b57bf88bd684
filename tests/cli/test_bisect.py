"""``fleetpgo bisect`` on a planted culprit: a function with a large frame, inlined in a recursion."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from click.testing import CliRunner

from fleetpgo.cli.bisect import guard_lines
from fleetpgo.cli.main import cli
from fleetpgo.golang.timing import Interval
from fleetpgo.proposal.git import git
from fleetpgo.service.files import load_named
from tests.pprof.messages import message, packed

DEEP = """\
// Package deep walks down a chain of calls on a goroutine of its own.
package deep

// Walk calls itself depth times, and returns a sum.
func Walk(depth int, seed uint64) uint64 {
	if depth == 0 {
		return seed
	}
	if seed == 1 {
		seed += spill(seed)
	}
	return Walk(depth-1, mix(seed)) + 1
}

// spill has a frame of 4 KB. Where it is inlined, each call of Walk has it.
func spill(seed uint64) uint64 {
	var room [512]uint64
	for i := range room {
		room[i] = seed * uint64(i)
		seed = seed<<7 ^ seed>>3 ^ seed<<11 ^ seed>>5
	}
	for i := range room {
		room[i] ^= room[511-i] ^ seed<<(uint64(i)%17)
		seed += room[i]<<7 ^ room[i]>>3 ^ room[511-i]<<11
	}
	sum := uint64(0)
	for i := range room {
		sum ^= room[(sum+uint64(i))%512]
		sum += sum<<3 ^ sum>>9
	}
	return sum
}

// Work is flat, and gains by each of its calls that is inlined.
func Work(seed uint64) uint64 {
	seed = mix(seed)
	seed = stir(seed)
	seed = fold(seed)
	return seed | 2
}

func mix(seed uint64) uint64 {
	for i := range uint64(6) {
		seed ^= seed << 13
		seed ^= seed >> 7
		seed ^= seed << (17 + i%3)
		seed += seed >> 3
		seed ^= seed<<5 ^ seed>>11 ^ seed<<19 ^ seed>>23
		seed += seed<<21 ^ seed>>23 ^ seed<<27 ^ seed>>22 ^ seed<<1 ^ seed>>4
		seed ^= seed<<8 ^ seed>>26 ^ seed<<24 ^ seed>>9 ^ seed<<6 ^ seed>>14
	}
	return seed | 2
}

func stir(seed uint64) uint64 {
	for i := range uint64(5) {
		seed ^= seed << 11
		seed ^= seed >> 9
		seed ^= seed << (7 + i%5)
		seed += seed >> 5
		seed ^= seed<<3 ^ seed>>13 ^ seed<<17 ^ seed>>29
		seed += seed<<31 ^ seed>>33 ^ seed<<37 ^ seed>>32 ^ seed<<1 ^ seed>>4
		seed ^= seed<<8 ^ seed>>36 ^ seed<<34 ^ seed>>9 ^ seed<<6 ^ seed>>14
	}
	return seed
}

func fold(seed uint64) uint64 {
	for i := range uint64(4) {
		seed ^= seed << 9
		seed ^= seed >> 5
		seed ^= seed << (3 + i%7)
		seed += seed >> 7
		seed ^= seed<<2 ^ seed>>17 ^ seed<<15 ^ seed>>31
		seed += seed<<41 ^ seed>>43 ^ seed<<47 ^ seed>>42 ^ seed<<1 ^ seed>>4
		seed ^= seed<<8 ^ seed>>46 ^ seed<<44 ^ seed>>9 ^ seed<<6 ^ seed>>14
	}
	return seed
}
"""

DEEP_TEST = """\
package deep

import "testing"

func BenchmarkWalk(b *testing.B) {
	for b.Loop() {
		done := make(chan uint64)
		go func() { done <- Walk(1000, 7) }()
		<-done
	}
}

func BenchmarkWork(b *testing.B) {
	seed := uint64(7)
	for b.Loop() {
		seed = Work(seed)
	}
}
"""

MAIN = """\
package main

import "example.com/tiny/deep"

func main() { println(deep.Walk(10, 7)) }
"""

SERVICE = """\
prometheus: {connection: prometheus}
selection: {cpu: up}
repository: {forge: local, connection: forge, project: tiny, profile: pgo/profile.pprof}
build: {binary: bin/tiny, timeout: 10m}
rollout: {fraction: up}
"""

WALK, WORK = "example.com/tiny/deep.Walk", "example.com/tiny/deep.Work"
SPILL = "example.com/tiny/deep.spill"


def line_of(text):
    """Number of the first line of the source that holds a text."""
    return 1 + next(n for n, line in enumerate(DEEP.splitlines()) if text in line)


def profile():
    """A fleet's profile, in which all calls are hot: there the rare case is a usual one."""
    walk, work = line_of("func Walk"), line_of("func Work")
    calls = [
        (SPILL, (WALK, walk, line_of("spill(seed)"))),
        ("example.com/tiny/deep.mix", (WALK, walk, line_of("mix(seed)) + 1"))),
        ("example.com/tiny/deep.mix", (WORK, work, line_of("seed = mix"))),
        ("example.com/tiny/deep.stir", (WORK, work, line_of("seed = stir"))),
        ("example.com/tiny/deep.fold", (WORK, work, line_of("seed = fold"))),
    ]
    return packed(
        message(
            [
                ([[(callee, line_of(f"func {callee.rpartition('.')[2]}("), 40)], [caller]], 1000)
                for callee, caller in calls
            ]
        )
    )


@pytest.fixture
def call(tmp_path, origin, go_cache, monkeypatch):
    """Call the command with what it takes from the environment; the result."""
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "tiny.yaml").write_text(SERVICE)
    monkeypatch.setenv("FLEETPGO_SERVICES", str(tmp_path / "services"))
    environment = {"FLEETPGO_FORGE": str(origin), "FLEETPGO_CACHE": str(go_cache)}
    return lambda *arguments: CliRunner(env=environment).invoke(cli, arguments)


@pytest.fixture
def planted(bare, tmp_path):
    """The base holds the culprit, and the profile with which it is inlined."""
    work = tmp_path / "work"
    git(tmp_path, "clone", "--quiet", bare.as_uri(), str(work))
    (work / "deep").mkdir()
    (work / "pgo").mkdir()
    (work / "main.go").write_text(MAIN)
    (work / "deep" / "deep.go").write_text(DEEP)
    (work / "deep" / "deep_test.go").write_text(DEEP_TEST)
    (work / "pgo" / "profile.pprof").write_bytes(profile())
    git(work, "add", "--all", "--force")
    git(work, "commit", "--quiet", "--message", "Plant")
    git(work, "push", "--quiet", "origin", "main")


@pytest.mark.slow  # builds what `testing` needs with two profiles, and times benchmarks
@pytest.mark.timeout(1500)
def test_the_planted_culprit_is_found_and_its_guard_in_the_service_file_helps(call, planted, tmp_path):
    done = call("bisect", "tiny", "--benchmark", "BenchmarkW")

    assert done.exit_code == 0, done.output
    assert f"{WALK} → {SPILL} (deep/deep.go:{line_of('spill(seed)')}) costs" in done.stdout
    _, _, lines = done.stdout.partition("For the service file:\n\n")
    (tmp_path / "services" / "tiny.yaml").write_text(SERVICE + lines)
    assert [each.function for each in load_named("tiny").profile.guards] == [SPILL]

    # With that guard the profile is no worse any more, and the other benchmark was never.
    again = call("bisect", "tiny", "--benchmark", "BenchmarkW", "--json")
    assert json.loads(again.stdout)["outcome"] in ("no worse", "uncertain"), again.output
    assert json.loads(again.stdout)["slower"]["estimate"] < 2


@pytest.mark.slow  # builds what `testing` needs
@pytest.mark.timeout(1500)
def test_a_compiler_without_pgohash_is_an_error_that_says_what_to_do(call, planted, tmp_path, monkeypatch):
    old = tmp_path / "old"
    old.mkdir()
    (old / "go").write_text(
        f"""#!/bin/sh
case "$*" in *pgohash*) echo 'flag -d: unknown debug key pgohash' >&2; exit 2;; esac
exec {shutil.which("go")} "$@"
"""
    )
    (old / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{old}:{os.environ['PATH']}")

    done = call("bisect", "tiny", "--benchmark", "BenchmarkWalk")

    assert "this Go's compiler has no -d=pgohash" in str(done.exception)


def test_without_a_benchmark_the_key_of_the_service_file_is_named(call):
    done = call("bisect", "tiny")

    assert "build.benchmark (" in str(done.exception)
    assert "of tiny is empty: without a benchmark nothing tells" in str(done.exception)


def test_a_base_without_a_profile_is_an_error_that_names_the_path(call):
    done = call("bisect", "tiny", "--benchmark", "Walk")

    assert "main of tiny holds no profile at pgo/profile.pprof" in str(done.exception)


def test_a_run_needs_a_store(call):
    done = call("bisect", "tiny", "--run", "r1")

    assert (done.exit_code, "--run needs --store" in done.output) == (2, True)


def test_a_name_with_quotes_stays_one_name_in_the_lines(tmp_path, monkeypatch):
    name = 'gopkg.in/a%2ev1.(*T[go.shape."x"]).g'
    (tmp_path / "tiny.yaml").write_text(SERVICE + guard_lines(name, "BenchmarkF", Interval(10, 11, 12)))
    monkeypatch.setenv("FLEETPGO_SERVICES", str(tmp_path))

    (guard,) = load_named("tiny").profile.guards

    assert guard.function == name
    assert guard.issue == "fleetpgo bisect: BenchmarkF takes 11 times as long because of it"
