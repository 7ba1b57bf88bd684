"""One program, built in three ways, what it says of itself, and what may be lost of that."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from fleetpgo.golang.pclntab import read_program
from fleetpgo.golang.symbols import without_type_arguments
from tests.pprof.messages import packed, unpacked

SOURCE = Path(__file__).parent / "testdata" / "repair"

BUILDS = {
    "stripped": (["-trimpath", "-ldflags=-s -w"], "0"),
    "pie": (["-buildmode=pie"], "0"),
    "cgo": ([], "1"),
}


@dataclass
class Built:
    """A binary, and a profile that it wrote of itself."""

    binary: Path

    @cached_property
    def profile(self) -> bytes:
        file = self.binary.with_suffix(".pb.gz")
        subprocess.run([self.binary, file], check=True)
        return file.read_bytes()

    @cached_property
    def program(self):
        return read_program(self.binary)


def go_build(go_cache, source, output, *flags, **environment):
    known = {**os.environ, "GOCACHE": str(go_cache / "go-build"), "GOFLAGS": "-buildvcs=false", **environment}
    done = subprocess.run(
        ["go", "build", *flags, "-o", output, "."], cwd=source, env=known, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return Path(output)


@pytest.fixture(scope="session")
def builds(tmp_path_factory, go_cache):
    """Return a build of the program by how it is built; each is made when it is first asked for."""
    folder, made = tmp_path_factory.mktemp("repair"), {}

    def build(kind: str) -> Built:
        if kind == "cgo" and not shutil.which("gcc"):
            pytest.skip("there is no C compiler")
        if kind not in made:
            flags, cgo = BUILDS[kind]
            made[kind] = Built(go_build(go_cache, SOURCE, folder / kind, *flags, CGO_ENABLED=cgo))
        return made[kind]

    return build


# For PIE, Go builds the standard library anew.
@pytest.fixture(params=["stripped", pytest.param("pie", marks=pytest.mark.slow), "cgo"])
def built(request, builds) -> Built:
    """The program, built in each way in turn."""
    return builds(request.param)


def damaged(data: bytes, *losses) -> bytes:
    """The profile after some losses, of a second: on a busy machine it takes longer to end."""
    profile = unpacked(data)
    profile.duration_nanos = 10**9
    for lose in losses:
        lose(profile)
    return packed(profile)


def start_lines(profile):
    for function in profile.function:
        function.start_line = 0


def type_arguments(profile):
    """Take them out of names, as Pyroscope does."""
    for row in {each.name for each in profile.function}:
        name = without_type_arguments(profile.string_table[row].decode())
        profile.string_table[row] = name.encode()


def functions(profile):
    """Leave addresses alone."""
    for location in profile.location:
        location.ClearField("line")
    profile.ClearField("function")


def addresses(profile):
    """Forget them and their mappings' ranges, as Pyroscope does."""
    for location in profile.location:
        location.address = 0
    for mapping in profile.mapping:
        mapping.memory_start = mapping.memory_limit = mapping.file_offset = 0


def build_ids(profile):
    for mapping in profile.mapping:
        mapping.build_id = 0
