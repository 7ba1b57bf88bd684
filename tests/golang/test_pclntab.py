"""Go's own tables of its functions, held against the profiles that Go itself writes by them."""

from __future__ import annotations

import os
import re
import struct
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from fleetpgo.errors import BuildError
from fleetpgo.golang.elf import open_elf
from fleetpgo.golang.pclntab import read_program
from tests.pprof.messages import unpacked
from tests.repairing import go_build

TINY = """\
package main

type square struct{ side int }

func (s square) area() int { return mul(s.side, s.side) }

func mul[T ~int](a, b T) T { return a * b }

func main() { println(square{len(Args())}.area()) }

//go:noinline
func Args() []int { return make([]int, 3) }
"""
STARTS = {b"main.square.area": (5,), b"main.mul[go.shape.int]": (7,), b"main.main": (9,), b"main.Args": (12,)}
OLDER = ["go1.24.11", "go1.25.5", "go1.26.6"]


def test_start_lines_are_those_of_go_s_own_profile(built):
    profile = unpacked(built.profile)
    told = {profile.string_table[each.name]: (each.start_line,) for each in profile.function}
    assert len(told) > 20
    assert {name: built.program.start_lines[name] for name in told} == told


def test_frames_at_a_call_are_those_of_go_s_own_profile(built):
    profile = unpacked(built.profile)
    text, functions = profile.string_table, {each.id: each for each in profile.function}
    main = profile.mapping[0]
    # Addresses of calls: of leaves, and of what a signal interrupted, Go writes another kind of address.
    names = {
        each.id: [text[functions[line.function_id].name] for line in each.line] for each in profile.location
    }
    others = {sample.location_id[0] for sample in profile.sample}
    for sample in profile.sample:
        for inner, outer in pairwise(sample.location_id):
            if names[inner] == [b"runtime.asyncPreempt"]:
                others.add(outer)
    compared = 0
    for location in profile.location:
        if location.mapping_id != main.id or location.id in others:
            continue
        of = [functions[line.function_id] for line in location.line]
        address = built.program.address_of(location.address - 1 - main.memory_start + main.file_offset)
        told = [
            (text[each.name], text[each.filename], line.line, each.start_line)
            for each, line in zip(of, location.line, strict=True)
        ]
        assert list(map(tuple, built.program.frames(address))) == told
        compared += 1
    assert compared > 10


def test_a_program_has_the_build_id_that_its_profiles_name(built):
    profile = unpacked(built.profile)
    assert profile.string_table[profile.mapping[0].build_id].decode() in built.program.build_ids


def test_calls_are_found_in_the_code(built):
    called = {target for _, _, target in built.program.calls_of(b"main.work") if b"mapped" in target}
    assert called == {
        b"main.mapped[go.shape.float64,go.shape.string]",
        b"main.mapped[go.shape.int,go.shape.float64]",
    }


def test_no_function_of_go_is_outside_the_code(built):
    assert built.program.frames(0) is None
    assert built.program.frames(1 << 40) is None


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "main.go").write_text(TINY)
    (folder / "go.mod").write_text("module example.com/tiny\n\ngo 1.24\n")
    return folder


def starts_of(binary):
    found = read_program(binary).start_lines
    assert not [name for name, lines in found.items() if len(lines) > 1]
    return {name: lines for name, lines in found.items() if name.startswith(b"main.") and b"init" not in name}


def test_a_binary_of_the_other_byte_order_is_read(tiny, go_cache):
    binary = go_build(go_cache, tiny, tiny / "s390x", GOARCH="s390x", CGO_ENABLED="0")
    assert starts_of(binary) == STARTS


@pytest.mark.slow  # Go builds the standard library anew for it
def test_pointers_that_only_the_loader_writes_are_read(builds, tmp_path):
    # GNU ld and Go's linker leave the pointers in their places as well; LLVM's lld does not.
    built = builds("pie")
    bare = bytearray(built.binary.read_bytes())
    with open_elf(built.binary) as elf:
        places, _ = elf._relocations
        for place in places.tolist():
            for each in elf.loaded:
                if each.address <= place < each.address + each.size:
                    at = each.offset + place - each.address
                    bare[at : at + 8] = bytes(8)
    (tmp_path / "bare").write_bytes(bare)
    assert len(places) > 1000
    assert read_program(tmp_path / "bare").start_lines == built.program.start_lines


def test_names_as_go_1_20_wrote_them_restore_nothing(builds):
    # Its binaries hold [...] for all type arguments.
    program = builds("stripped").program
    names = re.sub(
        rb"\[go\.shape[^\0]*\]([^\0]*\0)",
        lambda match: (b"[...]" + match[1]).ljust(len(match[0]), b"\0"),
        program.names,
    )
    assert program.candidates(b"main.double") != ()
    assert replace(program, names=names).candidates(b"main.double") == ()


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["mips", "ppc64", "arm", "386", "arm64", "riscv64"])
def test_binaries_of_other_processors_are_read(tiny, go_cache, arch):
    binary = go_build(go_cache, tiny, tiny / arch, GOARCH=arch, CGO_ENABLED="0")
    assert starts_of(binary) == STARTS
    if arch == "arm64":
        assert (b"main.main", 9, b"main.Args") in read_program(binary).calls_of(b"main.main")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["exe", "pie"])
@pytest.mark.parametrize("toolchain", OLDER)
def test_binaries_of_earlier_versions_of_go_are_read(tiny, go_cache, toolchain, mode):
    binary = go_build(
        go_cache,
        tiny,
        tiny / f"{toolchain}-{mode}",
        f"-buildmode={mode}",
        GOTOOLCHAIN=toolchain,
        CGO_ENABLED="0",
    )
    assert starts_of(binary) == STARTS


def test_what_is_no_binary_is_refused(tmp_path):
    (tmp_path / "script").write_text("#!/bin/sh\n" * 10)
    os.mkfifo(tmp_path / "pipe")
    for name, said in (
        ("script", "is not an ELF binary"),
        ("pipe", "is not an ELF binary"),
        ("none", "cannot be read"),
    ):
        with pytest.raises(BuildError, match=said):
            read_program(tmp_path / name)


def test_a_binary_of_another_language_is_refused():
    with pytest.raises(BuildError, match="has no Go function table"):
        read_program(Path("/bin/sh"))


@pytest.mark.parametrize(
    ("magic", "said"),
    [
        (b"\xf0\xff\xff\xff", "built with a Go version before 1.20"),
        (b"\xf7\xff\xff\xff", "of an unknown format"),
    ],
)
def test_other_versions_of_the_table_are_refused(builds, tmp_path, magic, said):
    # An older and a newer table begin otherwise (internal/abi/symtab.go).
    whole = builds("stripped").binary.read_bytes()
    at = whole.index(b"\xf1\xff\xff\xff\x00\x00")
    (tmp_path / "other").write_bytes(whole[:at] + magic + whole[at + 4 :])
    with pytest.raises(BuildError, match=said):
        read_program(tmp_path / "other")


def test_a_damaged_binary_ends_as_one_error(builds, tmp_path):
    whole = builds("stripped").binary.read_bytes()
    at = whole.index(b"\xf1\xff\xff\xff\x00\x00")
    damaged = tmp_path / "damaged"
    wrong = 0
    for place in (*range(16, 64, 2), *range(at + 8, at + 72, 4), at + 2_000, at + 400_000):
        damaged.write_bytes(whole[:place] + b"\xff\xff" + whole[place + 2 :])
        try:
            program = read_program(damaged)
            assert program.start_lines.keys() >= set()
            program.stacks_of(b"main.work")
        except BuildError:
            wrong += 1
    assert wrong > 10


def test_a_binary_that_is_cut_off_ends_as_one_error(builds, tmp_path):
    whole = builds("stripped").binary.read_bytes()
    for part in (20, 64, 1000, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut").write_bytes(whole[:part])
        with pytest.raises(BuildError):
            read_program(tmp_path / "cut")


@pytest.mark.parametrize("parts", ["segments", "sections"])
def test_a_binary_whose_parts_lie_on_each_other_is_not_read_again_and_again(tmp_path, parts):
    data = bytearray(10_000)
    data[:7] = b"\x7fELF\2\1\1"
    ends = (64, 0, 0, 64, 56, 3, 64, 0) if parts == "segments" else (0, 64, 0, 64, 56, 0, 64, 3)
    struct.pack_into("<HHIQQQIHHHHHH", data, 16, 2, 62, 1, 0, *ends, 0)
    for number in range(3):
        if parts == "segments":
            struct.pack_into("<IIQQQQQQ", data, 64 + 56 * number, 1, 2, 0, 0, 0, len(data), len(data), 0)
        else:
            struct.pack_into("<IIQQQQIIQQ", data, 64 + 64 * number, 0, 1, 0, 0, 0, len(data), 0, 0, 8, 0)
    (tmp_path / "api").write_bytes(data)
    with pytest.raises(BuildError, match="api is damaged: its parts overlap"):
        read_program(tmp_path / "api")
