import dataclasses
import gzip
import json
import logging
import re
import subprocess
from pathlib import Path

import pytest

from fleetpgo.config import Service
from fleetpgo.errors import BuildError, ForgeError, RepositoryError
from fleetpgo.forges.local import LocalForge
from fleetpgo.proposal import Proposed, digest, propose
from fleetpgo.pullrequest import Marker, Provenance, marker
from fleetpgo.repository import git

TESTDATA = Path(__file__).parent / "testdata"

PROVENANCE = Provenance(run="run-1", query="up", selected=6, missing={"a:1": "timeout"}, samples=1_234)


@pytest.fixture
def forge(origin):
    return LocalForge(str(origin), "tiny")


@pytest.fixture
def bare(origin):
    return origin / "tiny.git"


@pytest.fixture
def run(forge, go_profile, go_cache):
    """Propose as a run does; what a test does not name is as in the tiny service."""

    def propose_it(*, profile=go_profile, provenance=PROVENANCE, forge=forge, dry_run=False, **changes):
        return propose(tiny(**changes), forge, profile, provenance, dry_run=dry_run, cache=go_cache)

    return propose_it


@pytest.fixture
def another_profile():
    """A profile of another program: few of its edges are those of the Go compiler's."""
    return (TESTDATA / "profiles" / "go1.27.3.pb.gz").read_bytes()


def tiny(command="make build", binary="bin/tiny", unchanged_above=0.95):
    return Service.model_validate(
        {
            "name": "tiny",
            "prometheus": {"connection": "prometheus"},
            "selection": {"cpu": "up"},
            "repository": {"forge": "local", "connection": "forge", "project": "tiny"},
            "build": {"command": command, "binary": binary, "timeout": "3m"},
            "profile": {"unchanged_above": unchanged_above},
            "rollout": {"fraction": "up"},
            "measurement": {"cpu": "up"},
        }
    )


def edit(bare, tmp_path, files):
    """Commit files to the base, as a developer does; None removes one."""
    work = tmp_path / "work"
    git(tmp_path, "clone", "--quiet", bare.as_uri(), str(work))
    for name, text in files.items():
        if text is None:
            (work / name).unlink()
        else:
            (work / name).write_text(text)
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message", "Edit")
    git(work, "push", "--quiet", "origin", "main")


def repacked(profile):
    """The same profile in other bytes."""
    return gzip.compress(gzip.decompress(profile), mtime=0)


def stable(proposed):
    """A result without what differs from build to build."""
    return dataclasses.replace(proposed, seconds_without=0.0, seconds_with=0.0)


def test_a_profile_is_built_pushed_and_proposed(run, forge, bare, go_profile):
    proposed = run()

    head = git(bare, "rev-parse", "fleetpgo/tiny")
    pull_request = forge.get(1)
    assert stable(proposed) == Proposed(
        branch="fleetpgo/tiny",
        base="main",
        profile=digest(go_profile),
        unchanged=False,
        dry_run=False,
        head=head,
        pull_request=1,
        url=pull_request.url,
        toolchain=proposed.toolchain,
        size_without=proposed.size_without,
        size_with=proposed.size_with,
        seconds_without=0.0,
        seconds_with=0.0,
    )
    assert re.fullmatch(r"go1\.\d+(\.\d+)?", proposed.toolchain)
    assert proposed.size_without < proposed.size_with
    assert (head, "open") == (pull_request.head, pull_request.state)
    assert Marker("run-1", digest(go_profile)) == marker(pull_request.body)


def test_the_commit_holds_the_profile_and_the_wired_makefile(run, bare, go_profile):
    run()

    def blob(name):
        return subprocess.run(
            ["git", "cat-file", "blob", f"fleetpgo/tiny:{name}"], cwd=bare, capture_output=True, check=True
        ).stdout

    assert git(bare, "diff", "--name-only", "main", "fleetpgo/tiny") == "Makefile\npgo/profile.pprof"
    assert go_profile == blob("pgo/profile.pprof")
    assert blob("Makefile") == b"build:\n\tgo build -pgo=pgo/profile.pprof -o bin/tiny .\n"


def test_the_result_survives_json(run):
    proposed = run(dry_run=True)

    assert proposed == Proposed(**json.loads(json.dumps(dataclasses.asdict(proposed))))


def test_a_second_run_leaves_one_commit_and_one_pull_request(run, forge, bare):
    first = run()
    second = run(provenance=dataclasses.replace(PROVENANCE, run="run-2"))

    assert stable(first) == stable(second)
    assert [each.number for each in forge.pull_requests()] == [1]
    assert marker(forge.get(1).body).run == "run-2"
    assert git(bare, "rev-list", "--count", "main..fleetpgo/tiny") == "1"


def test_another_profile_updates_the_same_pull_request(run, forge, bare, go_profile):
    run()
    other = repacked(go_profile)
    second = run(profile=other)

    assert (1, digest(other)) == (second.pull_request, second.profile)
    assert second.head == forge.get(1).head
    assert git(bare, "rev-list", "--count", "main..fleetpgo/tiny") == "1"


def test_what_the_base_holds_already_is_not_proposed(run, forge, go_profile):
    run()
    forge.merge(1)

    assert run() == Proposed(
        "fleetpgo/tiny",
        "main",
        digest(go_profile),
        unchanged=True,
        dry_run=False,
        reason="nothing changed for the compiler since the profile on main",
        overlap=1.0,
    )
    assert [each.number for each in forge.pull_requests()] == [1]


def test_a_profile_with_the_same_edges_in_other_bytes_is_not_proposed(run, forge, go_profile):
    run()
    forge.merge(1)

    assert run(profile=repacked(go_profile)).unchanged
    assert [each.number for each in forge.pull_requests()] == [1]


def test_a_profile_that_overlaps_beyond_the_threshold_is_not_proposed(run, forge, another_profile):
    run()
    forge.merge(1)
    proposed = run(profile=another_profile, unchanged_above=0.0)

    assert proposed.reason.endswith("profile.unchanged_above is 0")
    assert [each.number for each in forge.pull_requests()] == [1]


def test_after_a_merge_the_next_profile_gets_a_new_pull_request(run, forge, go_profile, another_profile):
    run()
    forge.merge(1)
    proposed = run(profile=another_profile)

    assert (proposed.pull_request, proposed.unchanged) == (2, False)
    assert f"- Overlap with the current profile: `{proposed.overlap:.2f}`" in forge.get(2).body
    assert f"| current | `{digest(go_profile)}` | {len(go_profile):,} |" in forge.get(2).body
    assert [each.state for each in forge.pull_requests()] == ["merged", "open"]


def test_a_dry_run_builds_but_leaves_no_trace(run, forge, bare):
    proposed = run(dry_run=True)

    assert (proposed.head, proposed.pull_request, proposed.url) == (None, None, None)
    assert proposed.size_with > proposed.size_without > 0
    assert git(bare, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
    assert forge.pull_requests() == []


def test_a_push_without_a_pull_request_is_completed(run, bare, origin):
    class Down(LocalForge):
        """A forge that goes down after the push."""

        def create(self, *arguments, **named):
            raise ForgeError("the forge is down")

    with pytest.raises(ForgeError, match="the forge is down"):
        run(forge=Down(str(origin), "tiny"))
    pushed = git(bare, "rev-parse", "fleetpgo/tiny")

    proposed = run()

    assert (pushed, 1) == (proposed.head, proposed.pull_request)


def test_a_build_that_breaks_proposes_nothing(run, forge, bare, tmp_path, caplog):
    edit(bare, tmp_path, {"main.go": "package main\n\nfunc main() { missing() }\n"})
    caplog.set_level(logging.INFO)

    with pytest.raises(BuildError, match="undefined: missing"):
        run()

    assert "./main.go:3:15: undefined: missing" in caplog.messages
    assert git(bare, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
    assert forge.pull_requests() == []


def test_a_profile_that_go_refuses_proposes_nothing(run, forge):
    with pytest.raises(BuildError, match="failed with exit status"):
        run(profile=b"no profile")

    assert forge.pull_requests() == []


def test_a_build_that_bypasses_the_makefile_is_found_out(run):
    with pytest.raises(BuildError, match=r"bin/tiny was built without -pgo, not with pgo/profile\.pprof"):
        run(command="go build -o bin/tiny .")


def test_a_build_with_another_profile_is_found_out(run, bare, tmp_path):
    makefile = "PROFILE = other.pgo\nbuild:\n\tgo build -pgo=$(PROFILE) -o bin/tiny .\n"
    edit(bare, tmp_path, {"Makefile": makefile, "other.pgo": ""})

    with pytest.raises(BuildError, match=r"bin/tiny was built with -pgo=.*/other\.pgo, not with pgo/profile"):
        run()


@pytest.mark.slow  # new flags: all of the standard library is compiled anew, twice
def test_a_build_that_keeps_only_the_name_of_the_profile_passes(run, bare, tmp_path):
    edit(bare, tmp_path, {"Makefile": "build:\n\tgo build -trimpath -o bin/tiny .\n"})

    assert run(dry_run=True).size_with


def test_a_binary_that_make_holds_for_up_to_date_is_built_again(run, bare, tmp_path):
    edit(bare, tmp_path, {"Makefile": "bin/tiny: main.go\n\tgo build -o bin/tiny .\n"})

    proposed = run(dry_run=True, command="make bin/tiny")

    assert proposed.size_without < proposed.size_with


def test_a_repository_without_a_makefile_is_told_so(run, bare, tmp_path):
    edit(bare, tmp_path, {"Makefile": None})

    with pytest.raises(RepositoryError, match="there is no Makefile on main"):
        run()


def test_a_build_script_sees_no_secret(run, bare, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("AIRFLOW_CONN_FORGE", "planted-secret")
    monkeypatch.setenv("FLEETPGO_TOKEN", "planted-secret")
    edit(bare, tmp_path, {"Makefile": "build:\n\tenv\n\tgo build -o bin/tiny .\n"})
    caplog.set_level(logging.DEBUG)

    run(dry_run=True)

    assert any(message.startswith("GOCACHE=") for message in caplog.messages)
    assert "planted-secret" not in caplog.text
