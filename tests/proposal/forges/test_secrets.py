"""A token in the forge's connection, and one in the environment: where a run leaves traces, neither is."""

import json
import logging
import os
import shutil
from base64 import b64encode

import pytest

from fleetpgo.proposal.git import git
from fleetpgo.run.artifacts import ProposedProfile
from fleetpgo.run.store import RunStore
from fleetpgo.steps.propose_run import propose_profile
from fleetpgo_airflow import hooks
from tests.proposal.forges.doubles import PROJECT, TOKEN
from tests.run.artifacts import manifest
from tests.tiny import tiny

SECRETS = (TOKEN, b64encode(f"x-access-token:{TOKEN}".encode()).decode(), "planted-elsewhere")


@pytest.fixture
def service():
    return tiny(repository={"forge": "github", "project": PROJECT})


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """Every git that is started, with its arguments, its children's, and the repository's configuration."""
    seen = tmp_path / "git.txt"
    directory = tmp_path / "bin"
    directory.mkdir()
    wrapper = directory / "git"
    wrapper.write_text(
        "#!/bin/sh\n"
        f"{{ tr '\\0' ' ' < /proc/$$/cmdline; echo; cat .git/config 2> /dev/null; }} >> {seen}\n"
        f'GIT_TRACE={seen} exec {shutil.which("git")} "$@"\n'
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    return seen


@pytest.fixture
def store(tmp_path, go_profile):
    """What a run left before it proposes."""
    made = RunStore(tmp_path / "store", "tiny", "run-1")
    made.write(ProposedProfile(go_profile))
    made.write(manifest())
    return made


def add_to_makefile(bare, tmp_path):
    """A build that shows its environment."""
    work = tmp_path / "work"
    git(tmp_path, "clone", "--quiet", bare.as_uri(), str(work))
    (work / "Makefile").write_text("build:\n\tenv\n\tgo build -o bin/tiny .\n")
    git(work, "commit", "--quiet", "--all", "--message", "Show the environment")
    git(work, "push", "--quiet", "origin", "main")


def test_a_secret_is_in_no_trace_of_a_run(
    serve, service, watched, store, tmp_path, monkeypatch, caplog, go_cache
):
    double = serve("github")
    add_to_makefile(double.bare, tmp_path)
    connection = {"conn_type": "generic", "host": double.address, "password": TOKEN}
    monkeypatch.setenv("AIRFLOW_CONN_FORGE", json.dumps(connection))
    monkeypatch.setenv("FLEETPGO_TOKEN", "planted-elsewhere")
    caplog.set_level(logging.DEBUG)

    forge = hooks.forge(service)
    proposed = propose_profile(service, store, forge, dry_run=False, cache=go_cache)
    forge.comment(1, "Saved 3 %", "measurement")

    pull = double.pull(1)
    traces = {
        "logs": caplog.text,
        "git": watched.read_text(),
        "store and XCom": "".join(
            file.read_bytes().decode(errors="replace")
            for file in (tmp_path / "store").rglob("*.*")
            if file.is_file()
        ),
        "repository": double.kept,
        "pull request": f"{pull} {proposed}",
        "objects": f"{forge!r} {vars(service)}",
    }
    # Each has what it should have, so that a secret in it would be seen.
    assert "GOCACHE=" in traces["logs"]
    assert "remote-https" in traces["git"]
    assert f"url = {double.address}/{PROJECT}.git" in traces["git"]
    assert '"pull_request": 1' in traces["store and XCom"]
    assert "Signed-off-by" in traces["repository"]
    assert "Saved 3 %" in traces["pull request"]
    assert [(where, secret) for where, text in traces.items() for secret in SECRETS if secret in text] == []
