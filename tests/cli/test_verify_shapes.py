"""``fleetpgo verify`` in repositories of several shapes, each with a failure that was made to happen."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import yaml
from click.testing import CliRunner

from fleetpgo.cli.main import cli
from tests.conftest import ROOT, TINY
from tests.pprof.messages import message
from tests.proposal.wiring.shapes import CALLS, MODULE, SHAPES, SIDE, profile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FILES = {shape.name: {**MODULE, **shape.files} for shape in SHAPES}


@dataclass(frozen=True)
class Failure:
    """What goes wrong in a repository, and what is said of it.

    Attributes:
        shape: name of the repository's shape.
        package: the main package, from `source`.
        code: the exit code.
        said: what is said, in part.
        edits: files that are edited after the profile was committed.
        calls: of the profile.
        source: directory of the module.
        content: of the profile, in place of the calls.
        more: further options.
        profile: its path; "": default.pgo beside the package.
    """

    shape: str
    package: str
    code: int
    said: str
    edits: Mapping[str, str] = field(default_factory=dict)
    calls: Sequence[object] = CALLS
    source: str = "."
    content: bytes | None = None
    more: Sequence[str] = ("--no-build",)
    profile: str = ""


GONE = ([[("strings.gone", 9, 10)], [("strings.Contains", 5, 6)]], 9_000)
FOREIGN = ([[("example.com/other.f", 1, 2)], [("example.com/other.g", 1, 2)]], 900)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1234\n"
USING_SIDE = ([[("example.com/side.Of", 3, 3)], [("main.main", 18, 18)]], 900)

FAILURES = (
    Failure(
        "two mains, one line", "./cmd/worker", 1, "the profile cannot be read", content=b"<<<<<<< HEAD\n"
    ),
    Failure("profiles in Git LFS", "./cmd/api", 1, "fetch it with `git lfs pull`", content=POINTER),
    Failure(
        "a recursive make in an inner module of a workspace",
        ".",
        3,
        "main.total calls main.square.area: the caller is gone",
        edits={"inner/main.go": TINY.replace("total(", "sumOf(")},
        source="inner",
    ),
    Failure(
        "vendoring",
        "./cmd/api",
        3,
        "main.main calls example.com/side.Of: the callee is gone",
        edits={
            "vendor/example.com/side/side.go": SIDE.replace("Of", "From"),
            "cmd/api/main.go": str(FILES["vendoring"]["cmd/api/main.go"]).replace("side.Of", "side.From"),
        },
        calls=[USING_SIDE],
    ),
    Failure(
        "the line of a Makefile",
        "./cmd/api",
        3,
        "another version of Go than go1.",
        calls=[*CALLS, GONE],
        profile="pgo/api.pprof",
    ),
    Failure(
        "a build in another directory",
        "./cmd/api",
        3,
        "or it is another program's",
        calls=[FOREIGN],
    ),
    Failure(
        "two mains, a line each, and a tool of another module",
        "./cmd/api",
        4,
        "`go build -race` fails with the profile",
        edits={"cmd/api/race.go": "//go:build race\n\npackage main\n\nvar x = undefined\n"},
        more=("--race",),
    ),
)


def put(work, failure):
    """Write the repository with its profile, as it was when all was well."""
    place = failure.profile or os.path.normpath(f"{failure.source}/{failure.package}/default.pgo")
    for name, text in FILES[failure.shape].items():
        if text is not None:
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(text)
    (work / place).parent.mkdir(parents=True, exist_ok=True)
    (work / place).write_bytes(message(failure.calls).SerializeToString())
    return work / place


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(each, id=each.shape, marks=[] if "--no-build" in each.more else [pytest.mark.slow])
        for each in FAILURES
    ],
)
def test_a_failure_of_each_shape_is_found(failure, tmp_path, monkeypatch, go_cache):
    monkeypatch.setenv("GOCACHE", str(go_cache / "go-build"))
    place = put(tmp_path, failure)
    command = ["verify", str(tmp_path / failure.source), "--package", failure.package]
    command += ["--profile", str(place)] if failure.profile else []
    if failure.shape not in ("the line of a Makefile", "a build in another directory"):
        before = CliRunner().invoke(cli, [*command, "--no-build"])
        assert before.exit_code == 0, before.output

    for name, text in failure.edits.items():
        (tmp_path / name).write_text(text)
    if failure.content is not None:
        place.write_bytes(failure.content)
    done = CliRunner().invoke(cli, [*command, *failure.more])

    assert done.exit_code == failure.code, done.output
    assert failure.said in done.stdout


def test_the_action_verifies_as_the_command_does(tmp_path, go_cache):
    """What a runner of GitHub does: inputs become text in `env`, and the step runs in bash.

    The step before it, which installs fleetpgo, takes minutes: here fleetpgo is installed already.
    """
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    _, step = action["runs"]["steps"]
    work = tmp_path / "work"
    inputs = {name: each["default"] for name, each in action["inputs"].items()}
    inputs |= {"source": str(work), "package": "./cmd/api", "arguments": "--no-build --tags=a"}
    for name, text in FILES["two mains, one line"].items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(text)
    (tmp_path / "fleetpgo").symlink_to(sys.prefix)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GOCACHE": str(go_cache / "go-build"),
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_ACTION_PATH": str(ROOT),
    } | {
        name: inputs[value.removeprefix("${{ inputs.").removesuffix(" }}")]
        for name, value in step["env"].items()
    }

    def verify(content):
        (work / "cmd/api/default.pgo").write_bytes(content)
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    fine, broken = verify(profile()), verify(b"no profile")

    assert (fine.returncode, broken.returncode) == (0, 1), fine.stderr
    assert "call edges can be read" in fine.stdout
    assert f"::error file={work}/cmd/api/default.pgo,title=PGO profile::the profile cannot" in broken.stdout
