"""The composite action for GitHub: its form, and what its steps do when bash runs them as a runner does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, TINY
from tests.proposal.wiring.shapes import profile

ACTION = yaml.safe_load((ROOT / "action.yml").read_text())


def check(schema, file):
    command = ["check-jsonschema", "--builtin-schema", f"vendor.{schema}", file]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_action_has_the_form_that_github_wants(tmp_path):
    """The schema is schemastore's, as check-jsonschema brings it."""
    broken = tmp_path / "action.yml"
    broken.write_text((ROOT / "action.yml").read_text().replace("      shell: bash\n", "", 1))

    assert check("github-actions", ROOT / "action.yml").returncode == 0
    assert check("github-actions", broken).returncode == 1


@pytest.mark.parametrize(("heading", "schema"), [("GitHub", "github-workflows"), ("GitLab", "gitlab-ci")])
def test_what_the_manual_shows_has_the_form_that_the_forge_wants(tmp_path, heading, schema):
    section = (ROOT / "docs/ci.md").read_text().partition(f"## {heading}\n")[2]
    shown = tmp_path / "shown.yml"
    shown.write_text(re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)[0])

    done = check(schema, shown)

    assert done.returncode == 0, done.stdout


def test_what_the_manual_passes_are_inputs_of_the_action():
    section = (ROOT / "docs/ci.md").read_text().partition("## GitHub\n")[2]
    shown = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)[0])
    *_, step = shown["jobs"]["profile"]["steps"]

    assert step["with"].keys() <= ACTION["inputs"].keys()


@pytest.fixture
def runner(tmp_path):
    """Run steps of the action on a module, as a runner of GitHub does; return the last step's result."""
    work = tmp_path / "a work tree"
    files = {"go.mod": "module example.com/shop\n\ngo 1.24\n", "cmd/the-api/main.go": TINY}
    for name, text in files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(text)
    (tmp_path / "temp").mkdir()

    def run(steps, environment, *, content=None, **inputs):
        (work / "cmd/the-api/default.pgo").write_bytes(profile() if content is None else content)
        values = {name: each["default"] for name, each in ACTION["inputs"].items()} | inputs
        runner = {"RUNNER_TEMP": str(tmp_path / "temp"), "GITHUB_WORKSPACE": str(work), **environment}
        for step in steps:
            assert step["shell"] == "bash"
            # Source: docs.github.com, "Workflow syntax", jobs.<job_id>.steps[*].shell.
            script = tmp_path / "step.sh"
            script.write_text(step["run"])
            own = {
                name: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda found: values[found[1]], value)
                for name, value in step.get("env", {}).items()
            }
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", script],
                cwd=work,
                env={**runner, **own},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                break
        return done

    return run


@pytest.fixture
def installed(tmp_path, runner, go_cache):
    """Run the last step alone: fleetpgo is where the first step would have put it."""
    (tmp_path / "temp/fleetpgo").symlink_to(sys.prefix)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GOCACHE": str(go_cache / "go-build")}

    def run(**inputs):
        return runner(ACTION["runs"]["steps"][-1:], environment, package="./cmd/the-api", **inputs)

    return run


def test_the_action_verifies_as_the_command_does(installed):
    fine = installed(arguments="--no-build --tags=a")
    broken = installed(arguments="--no-build", content=b"no profile")

    assert (fine.returncode, broken.returncode) == (0, 1), fine.stderr
    assert "call edges can be read" in fine.stdout
    annotation = "::error file=cmd/the-api/default.pgo,title=PGO profile::the profile cannot be read"
    assert annotation in broken.stdout


def test_an_input_of_the_action_runs_no_program(installed, tmp_path):
    hostile = f"$(touch {tmp_path}/run); `touch {tmp_path}/run`"

    done = installed(arguments="--no-build", profile=hostile)

    assert done.returncode == 1
    assert f"touch {tmp_path}/run" in done.stdout
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_action_installs_what_it_needs(runner, tmp_path, go_cache):
    # A copy: pip builds where the source is.
    copy = tmp_path / "action"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "action.yml"):
        shutil.copy(ROOT / name, copy)
    for name in ("include", "plugins", "dags"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    # The python3 of the machine, which has nothing of fleetpgo.
    base = {**os.environ, "PATH": f"{Path(sys.base_prefix) / 'bin'}:{os.environ['PATH']}"}
    environment = base | {"GITHUB_ACTION_PATH": str(copy), "GOCACHE": str(go_cache / "go-build")}

    done = runner(ACTION["runs"]["steps"], environment, package="./cmd/the-api")

    assert done.returncode == 0, done.stderr
    assert "`go build` works with the profile" in done.stdout
