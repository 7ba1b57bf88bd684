import os
import shutil
import subprocess
from pathlib import Path

from fleetpgo import pprof
from fleetpgo.golang.asking import asked, asking, hot_packages
from fleetpgo.golang.decisions import Decisions
from fleetpgo.golang.environment import build_environment
from fleetpgo.golang.toolchain import build_settings
from fleetpgo.pprof import Edge, Edges

PROFILES = Path(__file__).parents[1] / "testdata" / "profiles"


def test_packages_of_hot_callers_are_asked_the_heaviest_first():
    edges = Edges.of(
        {
            Edge("gopkg.in/yaml%2ev3.(*T).f", "strings.Index", 1): 500,
            Edge("main.main", "strings.Index", 1): 300,
            Edge("net/http.(*conn).serve", "bufio.f", 1): 199,
            Edge("cold.f", "bufio.f", 1): 1,
        }
    )

    assert hot_packages(edges) == ["gopkg.in/yaml.v3", "net/http"]


def test_a_generic_caller_is_asked_where_it_is_instantiated():
    edges = Edges.of(
        {
            Edge("slices.sort[go.shape.int]", "cmp.less", 1): 900,
            Edge("slices.Sort[go.shape.int]", "slices.sort[go.shape.int]", 1): 2,
            Edge("example.com/a.f", "slices.Sort[go.shape.int]", 1): 1,
        }
    )

    assert hot_packages(edges) == ["slices", "example.com/a"]


def test_a_name_that_is_no_import_path_is_not_asked():
    edges = Edges.of(
        {Edge(f"{name}.f", "p.g", 1): 9 for name in ("a' -toolexec=x '", "-a", "a=b", "", "a b")}
    )

    assert hot_packages(edges) == []


def build(directory, environment, *flags):
    """Build; what it tells, and the settings of what it made."""
    done = subprocess.run(
        ["go", "build", "-v", *flags, "-o", "made", "."],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr.splitlines(), build_settings(directory / "made", environment=environment)


def test_the_compiler_says_what_it_did_and_compiles_only_what_is_asked(tmp_path, go_cache):
    program = shutil.copytree(PROFILES / "program", tmp_path / "program")
    shutil.copy(PROFILES / "go1.27.3.pb.gz", program / "p.pprof")
    edges = pprof.call_edges(pprof.decode((PROFILES / "go1.27.3.pb.gz").read_bytes()))
    environment = build_environment(os.environ, go_cache, "tiny")
    build(program, environment, "-pgo=p.pprof")
    packages = hot_packages(edges)

    lines, settings = build(program, asking(environment, packages), "-pgo=p.pprof")

    decisions = Decisions()
    for line in lines:
        decisions.read(line)
    told = decisions.optimised(edges)
    named = {(call.change, call.caller, call.callee) for call in told.hottest}
    assert asked(settings)
    assert {
        ("devirtualised", "main.work", "main.square.area"),
        ("inlined", "main.fibonacci", "main.fibonacci"),
    } <= named
    compiled = {line for line in lines if " " not in line and "=" not in line}
    assert compiled <= {*packages, settings["path"]}


def test_flags_of_the_build_s_own_are_noticed(go_module, go_cache):
    environment = build_environment(os.environ, go_cache, "tiny")
    _, settings = build(go_module, asking(environment, ["runtime"]), "-gcflags=-l")

    assert not asked(settings)


def test_the_caller_s_flags_stay():
    assert asking({"GOFLAGS": "-trimpath"}, ["a"])["GOFLAGS"] == (
        "-trimpath '-gcflags=a=-m -d=pgodebug=2' '-gcflags=-m -d=pgodebug=2'"
    )
