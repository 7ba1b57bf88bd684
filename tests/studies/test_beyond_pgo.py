"""The study of what comes after PGO, but for its builds and measurements; those are made by hand (`make`)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetpgo import pprof
from fleetpgo.errors import BuildError
from studies.beyond_pgo import (
    bolt,
    builds,
    caddy,
    linking,
    measuring,
    nats,
    prometheus,
    rounds,
    serving,
    study,
    tables,
    wshim,
)
from studies.beyond_pgo.builds import DoesNotWorkError, Made, key_of
from studies.beyond_pgo.measuring import DiedError, MachineError, Measured, panic
from studies.beyond_pgo.ratios import Ratio, ratio
from studies.beyond_pgo.servers import SERVERS, LoadError
from studies.beyond_pgo.variants import AGAIN, BOLT, FEW, FULL, NONE, WITH_C

SERVER = replace(wshim.WSHIM, name="broker", module="example.com/broker", version="v1.2.3", load="messages")


def test_a_ratio_is_the_geometric_mean_with_student_s_interval():
    # Logarithms 0 and ln 0.81: mean ln 0.9, standard error ln 0.9; t of one degree of freedom is 12.706.
    found = ratio([2.0, 1.62], [2.0, 2.0])
    half = 12.7062 * abs(np.log(0.9))
    assert (found.mean, found.rounds) == (pytest.approx(0.9), 2)
    assert [found.low, found.high] == pytest.approx([0.9 * np.exp(-half), 0.9 * np.exp(half)], rel=1e-4)


@given(st.lists(st.tuples(st.floats(1, 1e9), st.floats(0.5, 2)), min_size=2, max_size=20))
def test_what_both_share_in_a_round_is_not_in_the_ratio(drawn):
    disturbances, shares = zip(*drawn, strict=True)
    found = ratio(np.multiply(disturbances, shares), disturbances)
    assert found.mean == pytest.approx(np.exp(np.log(shares).mean()))
    assert found.low <= found.mean <= found.high


@given(st.floats(1e-17, 0.4), st.floats(0, 0.4), st.sampled_from([-1, 1]))
def test_an_interval_without_1_is_not_printed_as_if_it_held_1(end, width, sign):
    near, far = 1 + sign * end, 1 + sign * (end + width)
    found = Ratio((near + far) / 2, min(near, far), max(near, far), 12)
    low, high = re.fullmatch(r"\S+ \[(\S+), (\S+)\]", str(found)).groups()
    assert (float(low) <= 1 <= float(high)) == found.holds_one


def test_a_ratio_has_three_digits_or_as_many_as_it_takes():
    assert str(Ratio(0.9875, 0.9755, 0.99967, 12)) == "0.9875 [0.9755, 0.9997]"
    assert str(Ratio(0.9, 0.8, 1.0, 12)) == "0.900 [0.800, 1.000]"


def test_one_round_has_no_interval():
    with pytest.raises(ValueError, match="two rounds"):
        ratio([1.0], [1.0])


def test_intervals_hold_the_truth_as_often_as_they_say():
    random = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        base, variant = random.lognormal(0, 0.03, (2, 12))
        found = ratio(0.95 * variant, base)
        held += found.low <= 0.95 <= found.high
    assert 0.92 <= held / 400 <= 0.98


def test_cpu_is_that_of_another_process_and_of_all_its_threads():
    before = measuring.cpu_ns(os.getpid())
    spent = time.process_time_ns()
    while time.process_time_ns() - spent < 20_000_000:
        pass
    assert 20_000_000 <= measuring.cpu_ns(os.getpid()) - before
    assert measuring.cpu_ns(1) >= 0


def test_samples_are_written_as_bolt_reads_them():
    symbols = bolt.read_symbols(
        "  401000          0 T runtime.text\n"
        "  401000         64 T main.(*parser).next\n"
        "  401040         16 t main.sum[go.shape.struct { A int }]\n"
        "  500000          8 D main.table\n"
    )
    counts = Counter({0x401003: 5, 0x401041: 2, 0x40103F: 1, 0x401050: 9, 0x400FFF: 9, 0x500000: 9})
    assert bolt.fdata(counts, symbols).splitlines() == [
        "no_lbr cycles:",
        "1 main.(*parser).next 3 5",
        "1 main.(*parser).next 3f 1",
        "1 main.sum[go.shape.struct\\ {\\ A\\ int\\ }] 1 2",
    ]


@pytest.fixture(scope="module")
def profile(go_profile):
    return pprof.decode(go_profile)


def test_addresses_on_top_of_the_stacks_have_all_of_the_profile_s_samples(profile):
    assert sum(bolt.leaves(profile).values()) == pprof.facts(profile.data).samples


def test_functions_are_placed_by_their_own_samples(profile):
    ranks = {rank.function: rank.flat for rank in pprof.top(profile, 1 << 30)}
    placed = linking.order(profile)
    assert [ranks[name] for name in placed] == sorted((n for n in ranks.values() if n), reverse=True)


def test_the_linker_gets_one_step_and_loses_nothing():
    source = f"before\n{linking.ANCHOR}after\n"
    assert linking.patched(source).replace(linking.STEP, "") == source
    assert linking.patched(source).index(linking.STEP) < linking.patched(source).index(linking.ANCHOR)


def test_another_linker_is_not_patched():
    with pytest.raises(linking.CannotPatchError, match="no longer has the line"):
        linking.patched("something else")


def test_the_demo_s_server_still_has_the_places_where_c_is_called():
    told = (wshim.DEMO / "wshim" / "server.go").read_text()
    assert "fingerprint.Of(batch)" in wshim.with_c(told)


def test_a_server_s_source_is_copied_once_and_by_its_content(tmp_path):
    copy = wshim.WSHIM_C.source(tmp_path)
    (copy / "kept").touch()
    assert wshim.WSHIM_C.source(tmp_path) == copy
    assert (copy / "kept").exists()
    assert (copy / "internal/fingerprint/kinds.c").exists()
    assert wshim.WSHIM.source(tmp_path) != copy


@pytest.mark.parametrize("variants", [FULL, FEW, WITH_C])
def test_each_set_of_variants_has_a_base_and_the_same_again(variants):
    names = [each.name for each in variants]
    assert names[:2] == [NONE, AGAIN]
    assert len(set(names)) == len(names)
    assert replace(variants[1], name=NONE) == variants[0]


def test_a_binary_is_known_by_all_that_went_into_it(monkeypatch):
    none, _, pgo = FEW[:3]
    monkeypatch.setattr("studies.beyond_pgo.builds.go_version", lambda: "go1")
    keys = [
        key_of(SERVER, none, None, [], None),
        key_of(SERVER, pgo, b"one", [], None),
        key_of(SERVER, pgo, b"two", [], None),
        key_of(SERVER, pgo, b"two", ["main.main"], None),
        key_of(replace(SERVER, version="v1.2.4"), none, None, [], None),
    ]
    assert key_of(SERVER, none, None, [], None) == keys[0]
    monkeypatch.setattr("studies.beyond_pgo.builds.go_version", lambda: "go2")
    keys.append(key_of(SERVER, none, None, [], None))
    assert len(set(keys)) == len(keys)


def test_another_load_is_another_key(tmp_path, monkeypatch):
    load = tmp_path / "broker.py"
    monkeypatch.setattr(type(SERVER), "written_in", lambda _: [load])
    keys = []
    for text in ("PUB", "PUB", "SUB"):
        load.write_text(text)
        keys.append(key_of(SERVER, FEW[0], None, [], None))
    assert keys[0] == keys[1] != keys[2]


def test_a_load_is_written_in_the_servers_own_module_and_in_what_they_share():
    for server, module in zip(SERVERS, (caddy, nats, prometheus), strict=True):
        assert server.written_in() == [Path(module.__file__), Path(serving.__file__)]
    assert {"wshim.py", "serving.py", "main.go", "batches.go"} <= {
        file.name for file in wshim.WSHIM.written_in()
    }


@pytest.fixture
def workshop(monkeypatch, tmp_path):
    """Builds that take no compiler: each writes a file, and BOLT's dies; what was built, by name."""
    built = []

    def build(server, variant, source, binary, small, order):
        built.append(variant.name)
        binary.write_text(variant.name)

    def works(server, binary, told):
        if "bolt" in binary.name:
            raise builds.DoesNotWorkError(f"{told}\nfatal error")

    def rewrite(base, profile, into):
        into.touch()
        return "BOLT-WARNING: careful"

    monkeypatch.setattr(builds, "_build", build)
    monkeypatch.setattr(builds, "works", works)
    monkeypatch.setattr(bolt, "rewrite", rewrite)
    return built


SOME = tuple(each for each in FULL if each.name in {NONE, AGAIN, "pgo", BOLT})


def prepare(into, go_profile, monkeypatch):
    monkeypatch.setattr(builds, "take", lambda *args, **_: args[2].write_bytes(go_profile))
    return builds.prepare(wshim.WSHIM, SOME, into, seconds=1, say=lambda _: None)


def test_what_is_built_is_kept_and_what_does_not_work_too(workshop, tmp_path, go_profile, monkeypatch):
    first = prepare(tmp_path, go_profile, monkeypatch)
    assert prepare(tmp_path, go_profile, monkeypatch) == first
    assert workshop == [NONE, "pgo"]
    assert [each.samples > 0 for each in first] == [each.profile for each in SOME]
    by_name = {each.variant: each for each in first}
    assert Path(by_name[AGAIN].binary).read_text() == NONE
    assert (by_name[BOLT].binary, by_name[BOLT].told) == ("", "BOLT-WARNING: careful\nfatal error")


def test_another_go_builds_all_anew(workshop, tmp_path, go_profile, monkeypatch):
    prepare(tmp_path, go_profile, monkeypatch)
    monkeypatch.setattr(builds, "go_version", lambda: "go version go9")
    prepare(tmp_path, go_profile, monkeypatch)
    assert workshop == [NONE, "pgo", NONE, "pgo"]


def test_without_a_plain_build_there_is_nothing_to_compare(workshop, tmp_path, go_profile, monkeypatch):
    def fails(*_):
        raise builds.DoesNotWorkError("it does not serve")

    monkeypatch.setattr(builds, "works", fails)
    with pytest.raises(builds.DoesNotWorkError):
        prepare(tmp_path, go_profile, monkeypatch)


def test_what_fails_for_another_reason_is_tried_again(workshop, tmp_path, go_profile, monkeypatch):
    build = builds._build

    def fails(server, variant, *others):
        if variant.name == "pgo":
            raise BuildError("dial tcp: connection refused")
        build(server, variant, *others)

    monkeypatch.setattr(builds, "_build", fails)
    with pytest.raises(BuildError):
        prepare(tmp_path, go_profile, monkeypatch)
    monkeypatch.setattr(builds, "_build", build)
    assert all(each.binary for each in prepare(tmp_path, go_profile, monkeypatch)[:3])
    assert workshop == [NONE, "pgo"]


@pytest.mark.parametrize(
    ("body", "error", "told"),
    [
        ("var x int = `a`", DoesNotWorkError, "cannot use `a`"),
        ('import _ "example.com/absent"', BuildError, "module lookup disabled"),
        ("var x int = `no space left on device`", MachineError, "no space left on device"),
    ],
)
def test_a_build_that_fails_is_the_variant_s_fault_if_the_compiler_says_so(
    tmp_path, monkeypatch, body, error, told
):
    monkeypatch.setenv("GOPROXY", "off")
    monkeypatch.setenv("GOFLAGS", "-mod=mod")
    source = tmp_path / "source"
    source.mkdir()
    (source / "go.mod").write_text("module example.com/broker\n\ngo 1.26\n")
    (source / "main.go").write_text(f"package main\n\n{body}\n\nfunc main() {{}}\n")
    server = replace(SERVER, package=".")
    with pytest.raises(error, match=told) as raised:
        builds._build(server, FEW[0], source, tmp_path / "a.bin", None, [])
    assert raised.type is error


@pytest.mark.parametrize(
    ("script", "error", "told"),
    [
        ("echo BOLT-ERROR: no .text; exit 1", bolt.BoltError, "BOLT-ERROR: no .text"),
        ("seq 99; echo write: No space left on device; exit 1", MachineError, "No space left"),
        ("kill -9 $$", MachineError, "was killed"),
    ],
)
def test_bolt_has_refused_a_binary_only_if_it_had_room_to_work(
    tmp_path, monkeypatch, profile, script, error, told
):
    for name, text in {"llvm-bolt": script, "go": "echo"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(error, match=told):
        bolt.rewrite(tmp_path / "none.bin", profile, tmp_path / "bolt.bin")


@pytest.mark.parametrize(
    ("lines", "told"), [(["# cmd/link", "data.go:1: undefined: sort"], True), (["go: no module"], False)]
)
def test_tools_speak_below_the_name_of_their_package(lines, told):
    assert linking.tool_said(lines) == told


def test_of_a_panic_the_words_are_shown_and_not_the_stack():
    log = (
        "2026/11/30 21:16:00 wshim serves\n"
        "runtime: g 14: unexpected return pc for bufio.(*Reader).ReadByte called from 0x3fce641f4c00\n"
        "stack: frame={sp:0x3fce64245398, fp:0x3fce642453a8}\n"
        "                   7 6 5 4  3 2 1 0   f e d c  b a 9 8  0123456789abcdef\n"
        "00003fce64245290:                    00000000 00000000          ........\n"
        "                                     ^ <compress/flate.(*decompressor).moreBits+0x24>\n"
        "fatal error: unknown caller pc\n"
    )
    assert panic(log).splitlines() == [
        "runtime: g 14: unexpected return pc for bufio.(*Reader).ReadByte called from 0x3fce641f4c00",
        "stack: frame={sp:0x3fce64245398, fp:0x3fce642453a8}",
        "fatal error: unknown caller pc",
    ]


class Playing:
    """A server of Python that burns CPU for each request; the one called ``dies`` gives up at a seed."""

    name = "playing"

    def start(self, binary, directory):
        if binary.name == "absent":
            raise LoadError("no such file")
        process = subprocess.Popen(
            [sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        (directory / "server.log").write_text("fatal error: unknown caller pc\n")
        return PlayingProcess(process, binary.name)

    def drive(self, running, requests, seed):
        if running.name == "dies" and seed % 1000 == measuring.WARM + 1:
            raise LoadError("connection reset")
        running.process.stdin.write(b"x" * requests)
        running.process.stdin.flush()
        assert len(running.process.stdout.read(requests)) == requests


BURN = """
import sys
while one := sys.stdin.buffer.read(1):
    sum(range(20_000))
    sys.stdout.buffer.write(one)
    sys.stdout.buffer.flush()
"""


@dataclass
class PlayingProcess:
    process: subprocess.Popen
    name: str

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def test_all_variants_answer_in_turn_and_one_that_dies_leaves_the_others():
    binaries = {name: Path(name) for name in (NONE, "dies", "absent")}
    found = measuring.measure(Playing(), binaries, 30, 3, 1)
    assert list(found) == [NONE, "dies", "absent"]
    assert found[NONE].requests == 90
    assert found[NONE].cpu_ns > 1_000_000
    assert found[NONE].wall_s > 0
    assert not found[NONE].said
    assert found["dies"].said == "fatal error: unknown caller pc"
    assert found["dies"].cpu_ns == 0
    assert found["absent"].said == "no such file"


class Failing:
    """A server that cannot be started."""

    name = "failing"

    def __init__(self, error, log=""):
        self._error, self._log = error, log

    def start(self, binary, directory):
        (directory / "server.log").write_text(self._log)
        raise self._error


def test_an_error_that_is_not_about_the_server_s_answers_is_not_its_death():
    with pytest.raises(PermissionError):
        measuring.measure(Failing(PermissionError("no")), {NONE: Path(NONE)}, 1, 1, 1)


def test_a_server_that_has_no_room_on_disk_has_not_died_of_its_binary():
    server = Failing(LoadError("it ended"), "begins\nwrite wal: no space left on device\nfatal error: exit\n")
    with pytest.raises(MachineError, match=r"^write wal: no space left on device$"):
        measuring.measure(server, {NONE: Path(NONE)}, 1, 1, 1)


def test_a_server_that_ends_at_once_is_about_the_server(tmp_path):
    with pytest.raises(LoadError, match="ended with status 1"):
        serving.launch(["/bin/false"], tmp_path, address="", ready="http://127.0.0.1:9/", pprof="")


def made(variant, key="k", **others):
    return Made("broker", variant, key, f"/bin/{variant}", size=12_300_000, **others)


COST = {NONE: 100_000, AGAIN: 100_000, "pgo": 90_000}
V3 = "pgo, GOAMD64=v3"


KIND = "2 × a processor"


class Machine:
    """Measures nothing: each round is by so much slower than the one before, and the variants differ."""

    def __init__(self, stop_after=None, dies=("", 0)):
        self.asked = []
        self._stop_after = stop_after
        self._dies = dies

    def measure(self, server, binaries, requests, slices, seed):
        if len(self.asked) == self._stop_after:
            raise KeyboardInterrupt
        self.asked.append(server.name)
        found = {}
        for variant in binaries:
            noise = 1 + 0.001 * (-1) ** seed * (variant != NONE)
            cpu = round(COST.get(variant, 81_000) * requests * slices * (1 + seed) * noise)
            said = "fatal error: unknown caller pc" if (variant, seed) == self._dies else ""
            found[variant] = Measured(requests * slices, 0 if said else cpu, 2.5, said)
        return found

    def run(self, file, pairs, count):
        return rounds.run(
            file, pairs, rounds=count, seconds=2.5, machine=KIND, say=lambda _: None, measure=self.measure
        )


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(rounds, "calibrate", lambda *_, **__: 1000)
    return tmp_path / "rounds.jsonl"


PAIRS = [(SERVER, made(variant, samples=5_432 * (variant == "pgo"))) for variant in COST]
OTHER = replace(SERVER, name="proxy")


def test_a_run_that_was_stopped_goes_on_with_the_round_that_is_not_finished(file):
    pairs = [*PAIRS, (OTHER, made(NONE))]
    stopped = Machine(stop_after=5)
    with pytest.raises(KeyboardInterrupt):
        stopped.run(file, pairs, 4)
    rest = Machine()
    finished = rest.run(file, pairs, 4)
    assert [each.number for each in finished] == [1, 2, 3, 4]
    assert len(rest.asked) == 2 * 2
    assert Machine().run(file, pairs, 4) == finished
    assert len(file.read_text().splitlines()) == 4


def test_rounds_of_other_binaries_do_not_count(file):
    Machine().run(file, PAIRS, 2)
    assert rounds.read(file, [*PAIRS[:2], (SERVER, made("pgo", key="new"))], 2.5, KIND) == []
    assert len(rounds.read(file, PAIRS, 2.5, KIND)) == 2


def test_rounds_of_another_length_of_slices_or_machine_do_not_count(file, monkeypatch):
    Machine().run(file, PAIRS, 2)
    assert rounds.read(file, PAIRS, 1.0, KIND) == []
    assert rounds.read(file, PAIRS, 2.5, "4 × a processor") == []
    monkeypatch.setattr(rounds, "SLICE_S", 0.2)
    assert rounds.read(file, PAIRS, 2.5, KIND) == []


def test_a_round_that_does_not_say_its_machine_does_not_count(file):
    Machine().run(file, PAIRS, 1)
    told = json.loads(file.read_text())
    del told["machine"], told["slice_s"]
    file.write_text(json.dumps(told) + "\n")
    assert rounds.read(file, PAIRS, 2.5, KIND) == []


@pytest.mark.parametrize("cut", [1, 2, 300])
def test_a_round_whose_line_was_cut_off_is_measured_anew(file, cut):
    finished = [
        replace(each, began="", load_before=0, load_after=0) for each in Machine().run(file, PAIRS, 3)
    ]
    file.write_text(file.read_text()[:-cut])
    again = Machine()
    assert [
        replace(each, began="", load_before=0, load_after=0) for each in again.run(file, PAIRS, 3)
    ] == finished
    assert len(again.asked) == 1
    assert len(rounds.read(file, PAIRS, 2.5, KIND)) == 3


def test_another_length_of_slices_is_calibrated_anew(file, monkeypatch):
    asked = []
    monkeypatch.setattr(rounds, "calibrate", lambda *args, **_: asked.append(args[2]) or 1000)
    Machine().run(file, PAIRS, 1)
    Machine().run(file, PAIRS, 2)
    monkeypatch.setattr(rounds, "SLICE_S", 0.25)
    Machine().run(file, PAIRS, 1)
    assert asked == [0.1, 0.25]


def test_the_order_differs_from_round_to_round_and_can_be_repeated(file, tmp_path):
    pairs = [*PAIRS, (OTHER, made(NONE))]
    first, second = Machine(), Machine()
    first.run(file, pairs, 6)
    second.run(tmp_path / "another.jsonl", pairs, 6)
    assert first.asked == second.asked
    assert len({tuple(first.asked[at : at + 2]) for at in range(0, 12, 2)}) == 2


def test_the_table_has_ratios_within_rounds_and_what_those_said_that_do_not_work(file):
    finished = Machine().run(file, PAIRS, 4)
    dead = Made("broker", "BOLT", "k", "", told="fatal error: invalid runtime symbol table")
    found = tables.rows("broker", [*(each for _, each in PAIRS), dead], finished)
    assert tables.table(SERVER, found).splitlines() == [
        "**broker** v1.2.3, messages; its profile has 5,432 samples:",
        "",
        "| variant | CPU per request | against none | | binary, MB |",
        "|---|--:|---|---|--:|",
        "| none | 331.0 µs | 1 | | 12.3 |",
        "| none again | 331.0 µs | 1.000 [0.998, 1.002] | ~ | 12.3 |",
        "| pgo | 297.9 µs | 0.900 [0.898, 0.902] | less | 12.3 |",
        "| BOLT | – | does not work | see below | – |",
        "",
        "BOLT:",
        "",
        "```text",
        "fatal error: invalid runtime symbol table",
        "```",
    ]
    assert list(tables.disturbed([(SERVER, found)])) == []


def test_pgo_with_something_more_has_its_ratio_to_pgo_too(file):
    pairs = [*PAIRS, (SERVER, made(V3))]
    found = tables.rows("broker", [each for _, each in pairs], Machine().run(file, pairs, 4))
    assert tables.table(SERVER, found).splitlines()[2:] == [
        "| variant | CPU per request | against none | | against pgo | | binary, MB |",
        "|---|--:|---|---|---|---|--:|",
        "| none | 331.0 µs | 1 | | | | 12.3 |",
        "| none again | 331.0 µs | 1.000 [0.998, 1.002] | ~ | | | 12.3 |",
        "| pgo | 297.9 µs | 0.900 [0.898, 0.902] | less | 1 | | 12.3 |",
        "| pgo, GOAMD64=v3 | 268.1 µs | 0.810 [0.809, 0.811] | less | 0.900 [0.900, 0.900] | less | 12.3 |",
    ]


def test_where_pgo_dies_nothing_is_compared_with_it(file):
    pairs = [*PAIRS, (SERVER, made(V3))]
    finished = Machine(dies=("pgo", 2)).run(file, pairs, 3)
    assert [row.beyond for row in tables.rows("broker", [each for _, each in pairs], finished)] == [None] * 4


def test_a_variant_that_dies_in_one_round_has_no_figure_and_the_others_go_on(file):
    finished = Machine(dies=("pgo", 2)).run(file, PAIRS, 3)
    assert rounds.read(file, PAIRS, 2.5, KIND) == finished
    assert len({len(each.measured) for each in finished}) == 1
    table = tables.table(SERVER, tables.rows("broker", [each for _, each in PAIRS], finished))
    assert "| pgo | – | dies | see below | 12.3 |" in table
    assert table.endswith("```text\nIt died in 1 of 3 rounds:\nfatal error: unknown caller pc\n```")
    assert "| none again | 288." in table


def test_a_base_that_dies_ends_the_study(file):
    with pytest.raises(DiedError):
        Machine(dies=(NONE, 1)).run(file, PAIRS, 3)


def test_the_readme_has_the_real_servers_only(file):
    found = tables.rows("broker", [each for _, each in PAIRS], Machine().run(file, PAIRS, 4))
    *_, line = tables.readme([(wshim.WSHIM, found), (SERVER, found)], "2026-11-30").splitlines()
    assert line == "| broker: messages | 0.900 [0.898, 0.902] | – | 1.000 [0.998, 1.002] |"


def test_a_base_that_differs_from_itself_is_told():
    row = tables.Row(made(AGAIN), 1.0, Ratio(1.02, 1.01, 1.03, 12))
    assert list(tables.disturbed([(SERVER, [row])])) == [
        "broker: the same build again has 1.020 [1.010, 1.030], which does not hold 1"
    ]


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (Ratio(0.9, 0.8, 0.99, 12), "less"),
        (Ratio(0.9, 0.8, 1.0, 12), "~"),
        (Ratio(1.2, 1.1, 1.3, 12), "more"),
    ],
)
def test_a_difference_is_told_only_if_the_interval_leaves_no_doubt(found, word):
    assert tables.verdict(found) == word


def test_the_heading_says_that_few_rounds_are_no_result(file):
    machine = {"machine": KIND, "BOLT": ""}
    few, enough = (tables.heading(Machine().run(file, PAIRS, count), machine) for count in (2, tables.FEWEST))
    assert "a trial, no result. machine: 2 × a processor. Load average" in few
    assert "no result" not in enough


class Docs:
    """Pages with marks, and a run of the study that builds and measures nothing."""

    def __init__(self, folder, monkeypatch):
        self._folder = folder
        (folder / "docs").mkdir()
        self._pages = (folder / "docs" / "beyond-pgo.md", folder / "README.md")
        for page in self._pages:
            page.write_text(f"{tables.BEGIN}\nold\n{tables.END}\n")
        monkeypatch.setattr(study, "prepare", self._prepare)
        monkeypatch.setattr(study, "c_version", lambda: "gcc")
        monkeypatch.setattr(rounds, "run", partial(rounds.run, measure=Machine().measure))

    def _prepare(self, server, variants, into, **_):
        return [replace(made(variant), server=server.name) for variant in COST]

    def run(self, *options):
        study.main([f"--into={self._folder}", f"--write={self._folder / 'docs'}", *options])
        return ["old" not in page.read_text() for page in self._pages]


@pytest.fixture
def docs(tmp_path, monkeypatch, file):
    return Docs(tmp_path, monkeypatch)


def test_a_whole_run_is_written_into_the_pages(docs, capsys):
    assert docs.run() == [True, True]
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--rounds=9", "9 rounds are fewer than 10"),
        ("--servers=wshim,wshim with C,NATS", "it is without Caddy, Prometheus"),
    ],
)
def test_a_trial_is_not_written_and_says_why(docs, capsys, option, reason):
    assert docs.run(option) == [False, False]
    told = capsys.readouterr()
    assert "this run writes no tables into" in told.err
    assert told.err.endswith(f": {reason}\n")
    assert "| none again |" in told.out


def test_without_a_c_compiler_the_tables_are_a_part(docs, capsys, monkeypatch):
    monkeypatch.setattr(study, "c_version", lambda: "")
    assert docs.run() == [False, False]
    assert "it is without wshim with C" in capsys.readouterr().err


def test_a_failure_ends_a_run_with_its_sentence(docs, monkeypatch):
    def fails(*_, **__):
        raise MachineError("write wal: no space left on device")

    monkeypatch.setattr(study, "prepare", fails)
    with pytest.raises(SystemExit, match="no space left on device\nWhat is finished is kept"):
        docs.run()


def test_pages_are_written_between_their_marks_only():
    page = f"above\n{tables.BEGIN}\nold\n{tables.END}\nbelow"
    assert tables.put(page, "new") == f"above\n{tables.BEGIN}\n\nnew\n\n{tables.END}\nbelow"
    with pytest.raises(ValueError, match="should have"):
        tables.put("no marks", "new")


def test_a_recorded_round_is_read_back_as_it_was(file):
    finished = Machine().run(file, PAIRS, 1)
    assert json.loads(file.read_text())["measured"][0]["requests"] == 25 * 1000
    assert rounds.read(file, PAIRS, 2.5, KIND) == finished
