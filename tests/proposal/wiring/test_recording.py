import os
import subprocess
from pathlib import Path

import pytest

from fleetpgo.golang.environment import build_environment
from fleetpgo.proposal.wiring.recording import parse_call, recording

HERE = Path("/repository")


@pytest.fixture
def go(tmp_path):
    """A directory with a program that stands in for Go and says what it is called with."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "go").write_text('#!/bin/sh\necho "$@"\nexit 3\n')
    (programs / "go").chmod(0o755)
    return programs


def run(command, tmp_path, go):
    with recording({"PATH": f"{go}:/usr/bin:/bin"}) as (environment, calls):
        done = subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, check=False
        )
    return done, calls


def test_a_call_is_noted_and_becomes_the_real_one(tmp_path, go):
    done, (call,) = run("go build -o 'a b' ./cmd", tmp_path, go)

    assert (done.stdout, done.returncode) == (b"build -o a b ./cmd\n", 3)
    assert (call.directory, call.arguments) == (tmp_path, ("-o", "a b", "./cmd"))
    assert (call.flags, call.packages) == ({"o": "a b"}, ("./cmd",))


def test_each_call_has_its_own_directory_and_variables(tmp_path, go):
    (tmp_path / "sub").mkdir()
    _, calls = run(
        "(cd sub && GOFLAGS='-trimpath -pgo=off' go build); GOBIN=/bin go install ./x & go vet; wait",
        tmp_path,
        go,
    )

    assert {(each.directory, each.installs, each.into, each.pgo) for each in calls} == {
        (tmp_path / "sub", False, "", "off"),
        (tmp_path, True, "/bin", ""),
    }


def test_nothing_of_the_environment_can_lead_the_record_elsewhere(tmp_path, go):
    done, calls = run(
        "PWD=/elsewhere TMPDIR=/nowhere HOME=/nowhere; export PWD TMPDIR HOME; go build .", tmp_path, go
    )

    assert [each.directory for each in calls] == [tmp_path]
    assert done.returncode == 3


@pytest.mark.parametrize("command", [("go", "run", "./mage"), ("go", "tool", "mage")])
def test_what_go_runs_is_recorded(tmp_path, go_cache, command):
    module = "module example.com/x\n\ngo 1.24\n\ntool example.com/x/mage\n"
    (tmp_path / "go.mod").write_text(module)
    (tmp_path / "mage").mkdir()
    (tmp_path / "mage/mage.go").write_text(
        'package main\n\nimport (\n\t"os"\n\t"os/exec"\n)\n\nfunc main() {\n'
        '\tif exec.Command("go", "build", "-o", os.Args[1], "./mage").Run() != nil {\n\t\tpanic(1)\n\t}\n}\n'
    )
    environment = build_environment(os.environ, go_cache, "tiny")

    with recording(environment) as (recorded, calls):
        subprocess.run([*command, "a b"], cwd=tmp_path, env=recorded, check=True)

    assert [(str(call), call.flags) for call in calls] == [("go build -o 'a b' ./mage", {"o": "a b"})]


def test_a_tool_of_go_s_own_is_run(tmp_path, go_cache):
    environment = build_environment(os.environ, go_cache, "tiny")

    with recording(environment) as (recorded, _):
        command = ["go", "tool", "nm", "-h"]
        done = subprocess.run(command, cwd=tmp_path, env=recorded, capture_output=True, check=False)

    assert done.stderr.startswith(b"usage: go tool nm")


@pytest.mark.parametrize(
    ("words", "builds"),
    [
        ([], False),
        (["./cmd/api"], True),
        (["-C", "cmd", "./api"], True),
        (["-C", "cmd/api"], True),
        (["./cmd/..."], True),
        (["./..."], True),
        (["./tools/..."], False),
        (["./cmd/worker", "./cmd/api"], True),
        (["example.com/shop/cmd/api"], True),
        (["example.com/shop/cmd/worker"], False),
        (["cmd/api/main.go"], True),
        (["cmd/worker/main.go"], False),
        (["/repository/cmd/api"], True),
    ],
)
def test_a_call_builds_what_its_packages_name(words, builds):
    made = parse_call(HERE, ["build", *words])

    assert made.builds(HERE / "cmd/api", "example.com/shop/cmd/api") is builds


def test_what_a_build_writes_into_the_record_is_no_call(tmp_path, go):
    _, calls = run(
        'notes=$(dirname "$(dirname "$(command -v go)")")/notes; printf "9\\0x\\0" >$notes/1; '
        "echo rubbish >$notes/2; ln -s /dev/zero $notes/3; go build .",
        tmp_path,
        go,
    )

    assert [each.arguments for each in calls] == [(".",)]


def test_without_go_nothing_is_recorded(tmp_path):
    with recording({"PATH": str(tmp_path)}) as (environment, calls):
        assert environment["PATH"].endswith(f":{tmp_path}")
    assert calls == []


@pytest.mark.parametrize(
    ("words", "binary", "made"),
    [
        (["-o", "bin/api", "."], "bin/api", True),
        (["-o", "./bin/../bin/api", "."], "bin/api", True),
        (["-o=bin/api"], "bin/api", True),
        (["--o", "/repository/bin/api"], "bin/api", True),
        (["-C", "cmd", "-o", "../bin/api"], "bin/api", True),
        (["-o", "bin/", "./cmd/..."], "bin/api", True),
        (["-race", "-tags", "x", "./cmd/api"], "api", True),
        (["-o", "bin/worker", "."], "bin/api", False),
        (["./a", "./b"], "a", False),
        (["./cmd/api"], "bin/api", False),
    ],
)
def test_what_a_call_writes_is_known_from_its_flags(words, binary, made):
    assert parse_call(HERE, ["build", *words]).makes(HERE / binary) is made


@pytest.mark.parametrize(("into", "made"), [("/repository/bin", True), ("/elsewhere", False), ("", False)])
def test_go_install_writes_where_gobin_says(into, made):
    assert parse_call(HERE, ["install", "./cmd/api"], gobin=into).makes(HERE / "bin/api") is made


def test_the_command_line_goes_before_the_variable():
    call = parse_call(HERE, ["build", "-pgo", "a.pgo", "--pgo=b.pgo", "."], goflags="-pgo=off")

    assert (call.pgo, call.packages) == ("b.pgo", (".",))
