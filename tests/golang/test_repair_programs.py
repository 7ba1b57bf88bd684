"""Profiles of three programs that others, and the demo, publish: stripped, position-independent, with cgo."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from fleetpgo import pprof
from fleetpgo.golang.pclntab import read_program
from fleetpgo.golang.preprofile import preprofile
from tests.repairing import addresses, build_ids, damaged, functions, go_build, start_lines, type_arguments
from tests.wshim import profile_under_load

pytestmark = pytest.mark.slow

DEMO = Path(__file__).parents[2] / "demo"
LUA = "local t = 0 for i = 1, 6e6 do t = t + string.len(tostring(i)) end print(t)"
SECONDS = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(scope="module")
def install(folder, go_cache):
    """Build a program from the module proxy, as its users do."""
    environment = {
        **os.environ,
        "GOCACHE": str(go_cache / "go-build"),
        "GOBIN": str(folder),
        "CGO_ENABLED": "0",
    }

    def run(package, flag):
        command = ["go", "install", flag, package]
        done = subprocess.run(
            command, env={**environment, "GOFLAGS": "-mod=mod"}, capture_output=True, check=False, cwd=folder
        )
        assert done.returncode == 0, done.stderr.decode()
        return folder / package.partition("@")[0].rpartition("/")[2]

    return run


def stripped(folder, install, go_cache):
    binary, profile = (
        install("github.com/yuin/gopher-lua/cmd/glua@v1.1.2", "-ldflags=-s -w"),
        folder / "glua.pprof",
    )
    subprocess.run([binary, "-p", profile, "-e", LUA], check=True, capture_output=True)
    return binary, profile.read_bytes()


def pie(folder, install, go_cache):
    binary, profile = (
        install("golang.org/x/tools/cmd/goimports@v0.38.0", "-buildmode=pie"),
        folder / "goimports.pprof",
    )
    told = subprocess.run(["go", "env", "GOROOT"], capture_output=True, text=True, check=True)
    source = Path(told.stdout.strip()) / "src"
    subprocess.run(
        [binary, "-cpuprofile", profile, "-l", source / "net", source / "encoding", source / "crypto"],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    return binary, profile.read_bytes()


def cgo(folder, install, go_cache):
    if not shutil.which("gcc"):
        pytest.skip("there is no C compiler")
    binary = go_build(go_cache, DEMO / "wshim", folder / "wshim", CGO_ENABLED="1")
    loadgen = go_build(go_cache, DEMO / "loadgen", folder / "loadgen")
    return binary, profile_under_load(binary, loadgen, SECONDS)


@pytest.fixture(
    scope="module", params=[stripped, pie, cgo], ids=["glua, stripped", "goimports, PIE", "wshim, cgo"]
)
def program(request, folder, install, go_cache):
    binary, profile = request.param(folder, install, go_cache)
    return read_program(binary), profile


@pytest.mark.parametrize("losses", [(start_lines,), (start_lines, addresses, build_ids), (functions,)])
def test_the_compiler_sees_what_it_saw_before_the_loss(program, losses):
    binary, profile = program
    repaired = pprof.repair(pprof.decode(damaged(profile, *losses)), binary)
    assert preprofile(repaired.profile.data) == preprofile(profile)
    assert repaired.left == ()


def test_type_arguments_come_back_without_addresses(program):
    binary, profile = program
    whole = pprof.call_edges(pprof.decode(profile))
    lossy = pprof.decode(damaged(profile, type_arguments, addresses, build_ids))

    def kept(weights):
        return sum(min(weight, weights.get(edge, 0)) for edge, weight in whole.weights.items()) / whole.total

    repaired = pprof.repair(lossy, binary)
    after = kept(pprof.call_edges(repaired.profile).weights)
    assert (
        kept(pprof.call_edges(lossy).weights) < after or not repaired.names
    )  # glua runs no generic function
    assert after > 0.99
    assert after + sum(left.share for left in repaired.left) == pytest.approx(1)
