"""Profiles of real programs are told apart: three programs, two workspaces, a canary, two toolchains."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from fleetpgo import pprof
from fleetpgo.golang.packages import packages
from fleetpgo.golang.sourcematch import Sources
from fleetpgo.run.profiled import Record
from fleetpgo.steps.contributions import builds, contributions
from fleetpgo.steps.toolchains import toolchains
from tests.wshim import profile_under_load

pytestmark = pytest.mark.slow

DEMO = Path(__file__).parents[2] / "demo"
OLDER = "go1.26.6"
SECONDS = 8
TOOLS, TOOLS_VERSION = "golang.org/x/tools", "v0.38.0"
LUA = "local t = 0 for i = 1, 6e6 do t = t + string.len(tostring(i)) end print(t)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(scope="module")
def environment(folder, go_cache):
    # Of Go modules that others publish: built as their users do, from the module proxy.
    return {**os.environ, "GOCACHE": str(go_cache / "go-build"), "GOBIN": str(folder), "GOFLAGS": "-mod=mod"}


def run(environment, *command, cwd=None):
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.fixture(scope="module")
def wshim(folder, environment):
    """Take a profile of the demo's service under load, by where and with what it was built."""
    loadgen = folder / "loadgen"
    run(environment, "go", "build", "-o", loadgen, ".", cwd=DEMO / "loadgen")

    def profile(workspace, *, toolchain="local", edit=lambda text: text):
        source = Path(shutil.copytree(DEMO / "wshim", folder / workspace / "wshim"))
        (source / "server.go").write_text(edit((source / "server.go").read_text()))
        binary = folder / workspace / f"wshim-{workspace}"
        build = {**environment, "GOTOOLCHAIN": toolchain}
        run(build, "go", "build", "-ldflags", "-B gobuildid", "-o", binary, ".", cwd=source)
        return profile_under_load(binary, loadgen, SECONDS)

    return profile


@pytest.fixture(scope="module")
def goimports(folder, environment):
    """Take a profile of goimports at work, by what it was built with."""
    told = subprocess.run(["go", "env", "GOROOT"], capture_output=True, text=True, check=True)
    source = Path(told.stdout.strip()) / "src"

    def profile(*, toolchain="local"):
        where = folder / f"goimports-{toolchain}"
        build = {**environment, "GOTOOLCHAIN": toolchain, "GOBIN": str(where)}
        run(build, "go", "install", f"{TOOLS}/cmd/goimports@{TOOLS_VERSION}")
        run(
            environment,
            *(where / "goimports", "-cpuprofile", where / "profile", "-l"),
            *(source / "net", source / "encoding", source / "crypto"),
            cwd=where,
        )
        return (where / "profile").read_bytes()

    return profile


@pytest.fixture(scope="module")
def profiles(folder, environment, wshim, goimports):
    """One profile of each program and build."""
    run(environment, "go", "install", "github.com/yuin/gopher-lua/cmd/glua@v1.1.2")
    run(environment, folder / "glua", "-p", folder / "glua.pprof", "-e", LUA)

    def canary(text):
        found = text.replace("func newServer()", "// A line more.\nfunc newServer()", 1)
        assert found != text
        return found

    return {
        "glua": (folder / "glua.pprof").read_bytes(),
        "goimports": goimports(),
        "wshim": wshim("one"),
        "wshim, another workspace": wshim("two"),
        "wshim, canary": wshim("canary", edit=canary),
        "wshim, older Go": wshim("older", toolchain=OLDER),
    }


def judged(profiles, *names):
    return contributions([replace(record(profiles[name]), instance=name) for name in names])


def record(profile):
    facts = pprof.facts(profile)
    return Record(
        "",
        "ams",
        1.0,
        "fetched",
        samples=facts.samples,
        main_package=facts.main_package,
        kind=facts.kind,
        modules=facts.modules,
        outside=facts.outside,
        main_functions=facts.main_functions,
        build_id=facts.build_id,
        other_builds=facts.other_builds,
    )


def refused(profiles, *names):
    return {each.instance for each in judged(profiles, *names) if each.state == "refused"}


ONE, TWO, CANARY, OLD = "wshim", "wshim, another workspace", "wshim, canary", "wshim, older Go"


@pytest.mark.parametrize("other", ["glua", "goimports"])
def test_another_program_is_refused_whichever_is_the_fleet_s(profiles, other):
    assert refused(profiles, ONE, TWO, other) == {other}
    assert refused(profiles, other, ONE, other) == {ONE}


def test_two_programs_from_the_module_cache_are_told_apart(profiles):
    assert refused(profiles, "glua", "goimports", "glua") == {"goimports"}


def test_workspaces_a_canary_and_another_toolchain_are_one_program(profiles):
    assert refused(profiles, ONE, TWO, CANARY, OLD) == set()


def test_two_builds_in_one_round_are_said(profiles):
    (said,) = builds(judged(profiles, ONE, CANARY, ONE))
    assert said.startswith("the instances ran 2 builds of the program: 2 of build ")
    assert builds(judged(profiles, ONE, ONE)) == []


def test_a_window_across_a_deploy_is_said(profiles):
    window = pprof.merge([profiles[ONE], profiles[CANARY]]).data
    (said,) = builds(judged({"window": window}, "window"))
    assert said.startswith("the profiles are of 2 builds of the program: ")
    assert "1 of 1 hold several, such as that of window: a deploy lies in the window" in said


def test_two_toolchains_in_one_fleet_are_said(profiles):
    (said,) = toolchains(pprof.merge([profiles[ONE], profiles[OLD]]))
    assert "built by several versions of Go" in said
    assert toolchains(pprof.merge([profiles[ONE], profiles[TWO], profiles[CANARY]])) == []


def test_a_profile_of_before_the_bump_is_said(folder, profiles, goimports, environment):
    module = folder / "tools"
    module.mkdir()
    run(environment, "go", "mod", "init", "example.com/tools", cwd=module)
    run(environment, "go", "get", f"{TOOLS}/cmd/goimports@{TOOLS_VERSION}", cwd=module)
    source = Sources(packages(module, f"{TOOLS}/cmd/goimports", environment=environment))
    now = source.match(pprof.call_edges(pprof.decode(profiles["goimports"])))
    before = source.match(pprof.call_edges(pprof.decode(goimports(toolchain=OLDER))))
    assert now.other_go == ""
    assert "another version of Go than go1.27" in before.other_go
    assert before.share < now.share
