"""Services of a group, and their runs without builds; git is real."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from fleetpgo.proposal import membership, sections
from fleetpgo.proposal.git import git
from fleetpgo.proposal.novelty import left_alone, pointless
from fleetpgo.run.digest import digest
from fleetpgo.run.proposed import Proposed
from fleetpgo.service.files import load_named
from fleetpgo.steps import propose as step
from tests.proposal.test_body import FIRST

BRANCH = "fleetpgo/group.shop"


@pytest.fixture
def short_pauses(monkeypatch):
    monkeypatch.setattr(membership, "PAUSES", (0.05, 0.1, 0.2))


@pytest.fixture
def services(tmp_path, monkeypatch):
    """Write the file of a service of the group; changes are of the repository's section and others'."""
    directory = tmp_path / "services"
    directory.mkdir()
    monkeypatch.setenv("FLEETPGO_SERVICES", str(directory))

    def write(name, repository=None, **more):
        own = {"forge": "local", "connection": "forge", "project": "tiny", "group": "shop"}
        rules = {
            "selection": {"cpu": "up"},
            "build": {"binary": f"bin/{name}"},
            "rollout": {"fraction": "up"},
            "repository": {**own, "profile": path_of(name), **(repository or {})},
        }
        (directory / f"{name}.yaml").write_text(json.dumps({**rules, **more}))

    for name in ("api", "job", "web"):
        write(name)
    return write


def path_of(name):
    return f"cmd/{name}/default.pgo"


@pytest.fixture
def prepare(monkeypatch):
    """Everything but the builds: what is proposed is set."""
    nothing = {}

    def prepared(checkout, service, forge, found, profile, provenance, **_):
        proposed = Proposed(service.branch, "main", digest(profile), unchanged=False, dry_run=False)
        why = left_alone(forge, checkout, found, profile, service, again=False)
        why = why or pointless(forge, checkout, found, nothing.get(service.name, ""), service)
        if why:
            return dataclasses.replace(proposed, unchanged=True, reason=why), None, {}
        path = nothing.get("path", {}).get(service.name) or path_of(service.name)
        proposal = dataclasses.replace(
            FIRST,
            service=service.name,
            branch=service.branch,
            path=path,
            profile=digest(profile),
            provenance=provenance,
        )
        wired = nothing.get("files", {}).get(service.name, {})
        return proposed, proposal, {path: profile, **wired}

    monkeypatch.setattr(step, "_prepare", prepared)
    return nothing


@pytest.fixture
def run_on(services, prepare, short_pauses, tmp_path):
    """Propose a profile of a service on a forge, as its run does."""

    def run_it(forge, name, profile=b"one", run="run-1"):
        provenance = dataclasses.replace(FIRST.provenance, run=run)
        return step.propose(
            load_named(name), forge, profile, provenance, dry_run=False, cache=tmp_path / "cache"
        )

    return run_it


def commits(bare, branch=BRANCH):
    """The services of the branch's commits, the oldest first, and the files of each."""
    shas = git(bare, "rev-list", "--reverse", f"main..{branch}").split()
    return [
        (
            git(bare, "log", "-1", "--format=%(trailers:key=Fleetpgo-Service,valueonly)", sha),
            git(bare, "diff-tree", "-r", "--no-commit-id", "--name-only", sha).split(),
        )
        for sha in shas
    ]


def live(body):
    """The services whose section says that their commit is on the branch."""
    return list(sections.live(body))


def make_commit(bare, parent, files, message, person):
    """Make a commit in the bare repository; path → text. Return its full SHA."""
    lines = git(bare, "ls-tree", "-r", parent).splitlines()
    entries = {line.partition("\t")[2]: line for line in lines}
    with tempfile.TemporaryDirectory() as directory:
        for name, text in files.items():
            (Path(directory) / "file").write_text(text)
            blob = git(bare, "hash-object", "-w", f"{directory}/file")
            entries[name] = f"100644 blob {blob}\t{name}"
        index = {"GIT_INDEX_FILE": f"{directory}/index", "PATH": os.environ["PATH"]}
        told = "\n".join(entries.values())
        for command, given in ((("update-index", "--index-info"), f"{told}\n"), (("write-tree",), "")):
            done = subprocess.run(
                ["git", *command],
                cwd=bare,
                env=index,
                input=given,
                text=True,
                capture_output=True,
                check=True,
            )
    who = {"user.name": person[0], "user.email": person[1]}
    return git(bare, "commit-tree", "-p", parent, "-m", message, done.stdout.strip(), config=who)


def content(bare, name, branch=BRANCH):
    return git(bare, "show", f"{branch}:{path_of(name)}")
