"""Services of one repository that one command builds share the build of its base."""

import json
import logging

import pytest

from fleetpgo.proposal.body import Provenance
from fleetpgo.proposal.checkout import Checkout
from fleetpgo.proposal.forges.local import LocalForge
from fleetpgo.proposal.git import git
from fleetpgo.proposal.sharing import Beside, built_alike, find_beside
from fleetpgo.service.files import load_named
from fleetpgo.steps.propose import propose
from tests.conftest import TINY
from tests.proposal.wiring.shapes import profile

RULES = {
    "prometheus": {"connection": "prometheus"},
    "selection": {"cpu": "up"},
    "repository": {"forge": "local", "connection": "shared", "project": "tiny"},
    "build": {"binary": "bin/api", "command": "make all", "explain": False},
    "rollout": {"fraction": "up"},
    "measurement": {"cpu": "up"},
}
FILES = {
    "go.mod": "module example.com/shop\n\ngo 1.24\n",
    "cmd/api/main.go": TINY,
    "cmd/worker/main.go": TINY,
    "Makefile": "all:\n\tgo build -o bin/ ./cmd/...\nworker:\n\tgo build -o bin/worker ./cmd/worker\n",
}


@pytest.fixture
def services(tmp_path, monkeypatch):
    """Write the files of services; what one does not name is as in RULES."""
    directory = tmp_path / "services"
    directory.mkdir()
    monkeypatch.setenv("FLEETPGO_SERVICES", str(directory))

    def write(**files):
        for name, sections in files.items():
            rules = {section: RULES[section] | sections.get(section, {}) for section in RULES}
            (directory / f"{name}.yaml").write_text(json.dumps(rules))
        return directory

    return write


@pytest.fixture
def repository(tmp_path):
    """A clone of FILES."""
    work = tmp_path / "work"
    for name, text in FILES.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(text)
    git(work, "init", "--quiet", "--initial-branch=main")
    git(work, "add", ".")
    git(work, "commit", "--quiet", "--message", "Begin")
    return work


WORKER = {"build": {"binary": "bin/worker"}}


def test_what_one_command_builds_is_built_alike(services):
    services(
        api={},
        worker=WORKER,
        commanded={"build": {"binary": "bin/worker", "command": "make worker"}},
        environed={"build": {"binary": "bin/worker", "environment": {"GOFLAGS": "-tags=x"}}},
        elsewhere={"repository": {"project": "other"}},
        older={"repository": {"base": "release"}},
    )

    assert [each.name for each in built_alike(load_named("api"))] == ["worker"]


def test_a_service_file_with_a_mistake_shares_nothing(services):
    (services(api={}, worker=WORKER) / "broken.yaml").write_text("build: 1\n")

    assert [each.name for each in built_alike(load_named("api"))] == ["worker"]


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"build": {"binary": "bin/worker"}}, Beside(("bin/worker",), ("cmd/worker/default.pgo",))),
        ({"build": {"binary": "bin/unlike"}}, Beside(("bin/unlike",))),
        ({"repository": {"profile": "pgo/x.pprof"}}, Beside(("bin/api",), ("pgo/x.pprof",))),
        ({"repository": {"profile": "go.mod"}}, Beside()),
        ({"build": {"binary": "Makefile"}}, Beside()),
        ({"build": {"binary": "cmd"}}, Beside()),
    ],
    ids=["likely", "unknown place", "named", "no profile", "a file of the repository", "a directory"],
)
def test_a_mistake_of_one_service_changes_no_build_of_another(services, repository, sections, expected):
    services(other=sections)
    checkout = Checkout(repository, "", "main", "", "bot", None, "", {})

    assert find_beside(checkout, ["cmd/api", "cmd/worker"], [load_named("other")]) == expected


@pytest.fixture
def proposing(services, repository, tmp_path, go_cache, caplog):
    """Propose to a service, and return the result and how often the base has been built so far."""
    caplog.set_level(logging.INFO)
    (tmp_path / "forge").mkdir()
    git(tmp_path, "clone", "--quiet", "--bare", "work", "forge/tiny.git")
    forge = LocalForge(str(tmp_path / "forge"), "tiny")
    provenance = Provenance(run="run-1", query="up", selected=1, missing={}, samples=1)

    def run(name):
        proposed = propose(load_named(name), forge, profile(), provenance, dry_run=False, cache=go_cache)
        return proposed, caplog.messages.count("building main with no profile")

    run.forge = forge
    return run


def test_services_of_one_command_share_the_build_of_a_base(services, proposing):
    services(api={}, worker=WORKER)

    api, before = proposing("api")
    worker, after = proposing("worker")

    assert (before, after) == (1, 1)
    assert (api.path, worker.path) == ("cmd/api/default.pgo", "cmd/worker/default.pgo")
    assert api.seconds_without == worker.seconds_without  # of the same build
    bodies = [proposing.forge.get(number).body for number in (1, 2)]
    assert ["An earlier run on the same commit" in body for body in bodies] == [False, True]


def test_services_of_other_commands_build_the_base_for_themselves(services, proposing):
    services(api={}, worker={"build": {"binary": "bin/worker", "command": "make worker"}})

    _, before = proposing("api")
    _, after = proposing("worker")

    assert (before, after) == (1, 2)
