"""``fleetpgo verify`` in repositories of several shapes, each with a failure that was made to happen."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from fleetpgo.cli.main import cli
from tests.conftest import TINY
from tests.pprof.messages import message
from tests.proposal.wiring.shapes import CALLS, MODULE, SHAPES, SIDE

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
