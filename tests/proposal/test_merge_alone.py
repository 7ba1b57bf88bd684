from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fleetpgo.proposal.forges.local import LocalForge
from fleetpgo.proposal.merge_alone import what_else
from fleetpgo.service.rules import ServiceRules


def git(directory: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=directory, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def source(tmp_path):
    """A repository in which `commit` adds a change, and its bare copy that a forge keeps."""
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "api.git")
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "work")
    git(tmp_path / "work", "remote", "add", "origin", "../api.git")
    return tmp_path / "work"


def commit(source, name):
    (source / name).write_text(f"{name}\n")
    git(source, "add", ".")
    git(source, "commit", "--quiet", "--message", name)
    return git(source, "rev-parse", "HEAD")


def merge(source, *names):
    """Merge a branch that brings those files, as a forge does."""
    git(source, "checkout", "--quiet", "-b", "refresh")
    for name in names:
        commit(source, name)
    git(source, "checkout", "--quiet", "main")
    git(source, "merge", "--quiet", "--no-ff", "--message", "Merge", "refresh")
    return git(source, "rev-parse", "HEAD")


def between(source, merged, before, after):
    git(source, "push", "--quiet", "origin", "main")
    service = ServiceRules.model_validate(
        {
            "name": "api",
            "prometheus": {"connection": "prometheus"},
            "selection": {"cpu": "cpu"},
            "repository": {"forge": "local", "connection": "forge", "project": "api"},
            "build": {"binary": "bin/api"},
            "rollout": {"fraction": "up"},
            "measurement": {"cpu": "cpu"},
        }
    )
    return what_else(service, LocalForge(str(source.parent), "api"), merged, {before}, {after})


def test_the_base_and_the_merge_on_top_of_it_differ_by_the_profile_alone(source):
    before = commit(source, "one")
    merged = merge(source, "profile")
    assert between(source, merged, before[:10], merged[:10]) == ""


def test_a_squashed_merge_is_no_other_commit(source):
    before = commit(source, "one")
    squashed = commit(source, "profile")
    assert between(source, squashed, before, squashed) == ""


def test_an_older_release_before_the_merge_is_another_change(source):
    before = commit(source, "one")
    commit(source, "feature")
    merged = merge(source, "profile")
    assert between(source, merged, before, merged) == (
        f"1 other commit(s) lie between revisions {before} and {merged}"
    )


def test_a_release_after_the_merge_is_another_change(source):
    before = commit(source, "one")
    merged = merge(source, "profile")
    after = commit(source, "feature")
    assert "1 other commit(s)" in between(source, merged, before, after)


def test_what_somebody_added_to_the_pull_request_is_another_change(source):
    before = commit(source, "one")
    merged = merge(source, "profile", "feature")
    assert between(source, merged, before, merged) == (
        f"the profile's merge {merged[:12]} brought 1 other commit(s)"
    )


def test_a_rollout_without_the_merge_is_another_change(source):
    before = commit(source, "one")
    after = commit(source, "feature")
    merged = merge(source, "profile")
    assert "does not lie between" in between(source, merged, before, after)


@pytest.mark.parametrize("revision", ["0123abcd", "--all", "main..main", "v1 v2"])
def test_a_revision_that_git_does_not_have_is_said(source, revision):
    commit(source, "one")
    merged = merge(source, "profile")
    assert between(source, merged, revision, merged) == f"revision {revision} is not in the history of main"


def test_a_forge_that_does_not_tell_the_merge_leaves_it_open(source):
    before = commit(source, "one")
    assert "does not say which commit" in between(source, None, before, before)
