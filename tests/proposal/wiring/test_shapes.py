"""Each shape is proposed to, merged and built by the real Go.

What is edited, what is said, and which profile does each binary get?
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fleetpgo.errors import FleetPGOError
from fleetpgo.golang.environment import build_environment
from fleetpgo.golang.toolchain import build_settings
from fleetpgo.proposal.body import Provenance
from fleetpgo.proposal.forges.local import LocalForge
from fleetpgo.proposal.git import git
from fleetpgo.steps.propose import propose
from tests.proposal.wiring.shapes import MODULE, SHAPES, SIDE, STAND_INS, profile, stand_in
from tests.tiny import tiny

PROVENANCE = Provenance(run="run-1", query="up", selected=1, missing={}, samples=1)
MAGE = "github.com/magefile/mage@v1.17.2"


@pytest.fixture
def need(tmp_path, monkeypatch):
    """Put a tool on the PATH: one that plays it, or the real one."""

    def put(tool):
        programs = tmp_path / "programs"
        programs.mkdir()
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        if tool in STAND_INS:
            (programs / tool).write_text(stand_in(tool, shutil.which("go")))
            (programs / tool).chmod(0o755)
        elif tool == "mage":
            environment = {**os.environ, "GOBIN": str(programs), "GOFLAGS": ""}
            subprocess.run(["go", "install", MAGE], env=environment, check=True)
        assert shutil.which(tool)

    return put


def write(work, files, links):
    for link, target in links.items():
        (work / link).parent.mkdir(parents=True, exist_ok=True)
        (work / link).symlink_to(target)
    for name, text in files.items():
        if text is not None:
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(text)


def begin(directory, files, links):
    """Make a repository."""
    directory.mkdir(parents=True)
    git(directory, "init", "--quiet", "--initial-branch=main")
    write(directory, files, links)
    git(directory, "add", ".")
    git(directory, "commit", "--quiet", "--message", "Begin")


def origin_of(shape, tmp_path):
    """The repository of a shape on a local forge."""
    work, forge = tmp_path / "work", tmp_path / "forge"
    begin(work, {**MODULE, **shape.files}, shape.links)
    forge.mkdir()
    if shape.submodule:
        begin(tmp_path / "side", {"go.mod": "module example.com/side\n\ngo 1.24\n", "side.go": SIDE}, {})
        git(tmp_path, "clone", "--quiet", "--bare", "side", "forge/side.git")
        local = {"protocol.file.allow": "always"}
        address = (forge / "side.git").as_uri()
        git(work, "submodule", "--quiet", "add", address, shape.submodule, config=local)
        git(work, "commit", "--quiet", "--message", "Add a submodule")
    git(tmp_path, "clone", "--quiet", "--bare", "work", "forge/tiny.git")
    return forge / "tiny.git"


def settings_of(shape, bare, tmp_path, go_cache):
    """The build settings of each binary that is built after the merges."""
    after = tmp_path / "after"
    git(
        tmp_path,
        *("clone", "--quiet", "--recurse-submodules", str(bare), "after"),
        config={"protocol.file.allow": "always"},
    )
    environment = build_environment(os.environ, go_cache, "shapes")
    commands = shape.build or "\n".join(each.command for each in shape.services)
    subprocess.run(["sh", "-ec", commands], cwd=after, env=environment, check=True)
    made = [file for folder in ("bin", "dist") for file in sorted((after / folder).glob("*"))]
    told = {file.name: build_settings(file, environment=environment) for file in made}
    profiles = {}
    for name, settings in told.items():
        used = Path(settings.get("-pgo", ""))
        inside = used.parent.resolve() / used.name if used.is_absolute() else used
        roots = (after, *(tmp_path / "programs").glob("*.root"))
        root = next((root for root in roots if inside.is_relative_to(root)), None)
        profiles[name] = inside.relative_to(root).as_posix() if root else inside.name
    return profiles


@pytest.mark.parametrize(
    "shape",
    [pytest.param(shape, id=shape.name, marks=[] if shape.quick else [pytest.mark.slow]) for shape in SHAPES],
)
def test_a_shape_is_edited_no_further_than_its_services_need(shape, tmp_path, go_cache, need):
    if shape.tool:
        need(shape.tool)
    bare = origin_of(shape, tmp_path)
    base = git(bare, "rev-parse", "main")
    forge = LocalForge(str(bare.parent), "tiny")
    paths = {}
    for number, each in enumerate(shape.services, 1):
        service = tiny(
            repository={"profile": each.profile}, build={"binary": each.binary, "command": each.command}
        ).model_copy(update={"name": f"service-{number}"})
        if shape.refused:
            with pytest.raises(FleetPGOError, match=shape.refused) as error:
                propose(service, forge, profile(), PROVENANCE, dry_run=False, cache=go_cache)
            assert shape.hint in error.value.hint
            continue
        made = propose(service, forge, profile(), PROVENANCE, dry_run=False, cache=go_cache)
        assert made.pull_request == number
        assert shape.said in forge.get(number).body
        paths[Path(each.binary).name] = made.path
        forge.merge(number)

    changed = [name for name in git(bare, "diff", "-z", "--name-only", base, "main").split("\0") if name]
    assert changed == sorted(shape.changed)
    for name in set(changed) - set(paths.values()):
        before, after = (git(bare, "show", f"{commit}:{name}") for commit in (base, "main"))
        assert re.sub(r" -pgo='.*?'| -pgo=\$\(or \$\(PGO\),\S+\)", "", after) == before
    if not shape.refused and shape.build != "true":
        wanted = dict.fromkeys(shape.others, "") | paths
        trimmed = "-trimpath" in str([*shape.files.values(), shape.tool, STAND_INS.get(shape.tool, "")])
        assert settings_of(shape, bare, tmp_path, go_cache) == (
            {name: Path(path).name for name, path in wanted.items()} if trimmed else wanted
        )
