"""How a service's part in a group's pull request ends: left, rejected or merged; git is real."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from fleetpgo.cli.main import cli
from fleetpgo.errors import RepositoryError
from fleetpgo.golang import worktree
from fleetpgo.proposal import checkout as checkout_module
from fleetpgo.proposal import membership
from fleetpgo.proposal.blobs import read_at
from fleetpgo.proposal.checkout import clone
from fleetpgo.proposal.ensure import Marker, marker, marker_line
from fleetpgo.proposal.git import git
from fleetpgo.proposal.merge_alone import what_else
from fleetpgo.proposal.novelty import proposed_before
from fleetpgo.proposal.sections import marker_of, replaced, sections
from fleetpgo.proposal.signing import Identity
from fleetpgo.run.store import RunStore
from fleetpgo.service.files import load_named
from fleetpgo.steps import propose as step
from fleetpgo.steps.refresh import clean_up, refresh
from fleetpgo.steps.wait import look_for_merge
from tests.proposal.forges.merging import push_files
from tests.proposal.forges.test_killed import killed_after
from tests.proposal.grouped import (
    BRANCH,
    commits,
    content,
    live,
    make_commit,
    path_of,
    prepare,
    run_on,
    services,
    short_pauses,
)
from tests.proposal.test_body import FIRST
from tests.run.artifacts import manifest

__all__ = ["prepare", "run_on", "services", "short_pauses"]

NOW = datetime(2026, 1, 5, 6, tzinfo=UTC)
NOTHING = "nothing changed for the compiler"


@pytest.fixture
def run(run_on, forge):
    """Propose a profile of a service, as its run does."""
    return lambda name, *arguments: run_on(forge, name, *arguments)


@pytest.fixture
def stored(tmp_path):
    """The store of a run that has proposed."""

    def write(service, proposed, run="run-1"):
        store = RunStore(tmp_path / "store", service, run)
        store.write(proposed)
        return store

    return write


@pytest.fixture
def look(forge):
    """Look for the merge, as the wait of a service's run does."""
    return lambda store: look_for_merge(
        store, forge, load_named(store.service), now=NOW, patience=timedelta(days=7)
    )


# Whose commits are whose.


@pytest.mark.parametrize("joined", [False, True])
def test_another_services_author_is_a_person_on_a_branch_of_its_own(run, services, forge, bare, joined):
    author = ("Web Bot", "web@acme.example")
    services("web", commit={"author": "{} <{}>".format(*author)})
    services("api", {"group": None})
    run("api")
    made = make_commit(bare, "fleetpgo/api", {"main.go": "package main\n"}, "Edit", author)
    git(bare, "update-ref", "refs/heads/fleetpgo/api", made)
    if joined:
        services("api")
    out = run("api", b"newer", "run-2")

    assert (git(bare, "rev-parse", "fleetpgo/api"), forge.get(1).state) == (made, "open")
    assert out.unchanged is not joined


def test_a_service_that_has_left_a_group_merges_nothing_of_it(run, services, forge, stored, look, tmp_path):
    run("api")
    store = stored("web", run("web", b"two"))
    services("web", {"group": None}, review={"auto_merge": "squash"})
    found = look(store)
    done = refresh(load_named("web"), store, forge, cache=tmp_path, now=NOW)

    assert (found.state, done, forge.get(1).state) == (
        "waiting",
        "nothing is due any more about pull request 1",
        "open",
    )


def test_services_with_two_bases_are_no_group(run, services, forge, bare):
    git(bare, "branch", "trunk", "main")
    services("web", {"base": "trunk"})
    with pytest.raises(RepositoryError, match="the base of one is main, of the other trunk") as refused:
        run("api")

    assert "repository.base" in refused.value.hint
    assert forge.pull_requests() == []


# What people reject.


def test_who_joins_takes_back_that_it_is_closed_and_a_person_may_reject_it(
    run, forge, prepare, go_profile, stored, look
):
    run("api")
    prepare["api"] = NOTHING
    killed_after(forge, "comment", lambda: run("api", b"one", "run-2"))
    del prepare["api"]
    store = stored("web", run("web", go_profile, "run-3"), "run-3")
    said = forge.comments(1)["pointless"]
    forge.close(1)
    waits = look(store)
    again = run("web", go_profile, "run-4")

    assert "fleetpgo does not close this any more: `web` has joined" in said
    assert (waits.state, again.unchanged) == ("waiting", True)
    assert "which was closed unmerged" in again.reason


def test_one_that_is_not_closed_because_another_has_joined_is_a_persons_to_reject(
    run, forge, prepare, monkeypatch, go_profile
):
    run("api")
    delete_branch = membership.delete_branch

    def joined(*arguments):
        run("web", go_profile)
        delete_branch(*arguments)

    monkeypatch.setattr(membership, "delete_branch", joined)
    prepare["api"] = NOTHING
    run("api", b"one", "run-2")
    forge.close(1)

    assert "which was closed unmerged" in run("web", go_profile, "run-3").reason


# Who leaves.


def test_profiles_that_have_come_into_the_base_by_another_way_are_left_by_all(run, forge, bare, prepare):
    run("api")
    run("web", b"two")
    push_files(bare, "main", {path_of("api"): "one", path_of("web"): "two"})
    prepare["api"] = NOTHING
    run("api", b"one", "run-2")

    assert (forge.get(1).state, git(bare, "branch", "--list", BRANCH)) == ("closed", "")
    absent = [marker_of(name, forge.get(1).body).absent for name in ("api", "web")]
    assert absent == ["withdrawn", "conflict"]


def test_one_that_did_not_apply_when_the_last_one_left_is_proposed_again(
    run, forge, bare, prepare, stored, look
):
    run("api")
    store = stored("web", run("web", b"two"))
    push_files(bare, "main", {path_of("web"): "by a person"})
    prepare["api"] = NOTHING
    run("api", b"one", "run-2")
    found = look(store)

    assert (forge.get(1).state, found.state) == ("closed", "work")
    assert "it, 1, was closed for another service" in found.message


def test_the_command_asks_the_branch_who_is_left(run, forge, bare, origin):
    run("api")
    run("web", b"two")
    made = forge.get(1)
    only = replaced("", "shop", "api", sections(made.body)["api"])
    forge.update(1, made.title, only)
    told = CliRunner().invoke(cli, ["pr", "close", "api", "--forge", str(origin)], catch_exceptions=False)

    assert ("stays open for the others" in told.stdout, forge.get(1).state) == (True, "open")
    assert commits(bare) == [("web", [path_of("web")])]


# What is merged.


def test_a_merge_without_the_services_commit_is_not_its_own(run, forge, bare, stored, look):
    run("api")
    store = stored("web", run("web", b"two"))
    push_files(bare, "main", {path_of("web"): "by a person"})
    killed_after(step, "join", lambda: run("api", b"newer", "run-2"))
    claimed = live(forge.get(1).body)
    forge.merge(1)
    found = look(store)

    assert (claimed, found.state) == (["api", "web"], "skipped")
    assert "was merged without a commit of web: it has brought those of api" in found.message


def test_a_merge_whose_commits_a_person_has_put_on_another_base_is_every_services(
    run, forge, bare, stored, look
):
    run("api")
    own = run("web", b"two")
    store = stored("web", own)
    tip = push_files(bare, "main", {"NEWS": "news\n"})
    for each, name in ((f"{BRANCH}~1", "api"), (BRANCH, "web")):
        words = git(bare, "log", "-1", "--format=%B", each)
        tip = make_commit(bare, tip, {path_of(name): name}, words, ("Ada", "ada@example.com"))
    git(bare, "update-ref", f"refs/heads/{BRANCH}", tip)
    forge.merge(1)

    assert look(store).state == "done"


def test_a_commit_of_ours_that_a_person_has_amended_is_another_change(run, forge, bare):
    run("api")
    run("web", b"two")
    tip = git(bare, "rev-parse", BRANCH)
    files, words = (
        {path_of("web"): "two", "main.go": "package slow\n"},
        git(bare, "log", "-1", "--format=%B", tip),
    )
    made = make_commit(bare, f"{tip}~1", files, words, (Identity().name, Identity().email))
    git(bare, "update-ref", f"refs/heads/{BRANCH}", made)
    before = git(bare, "rev-parse", "main")
    forge.merge(1)
    merged = git(bare, "rev-parse", "main")

    assert "brought 1 other commit(s)" in what_else(load_named("api"), forge, merged, [before], [merged])


def test_a_persons_commit_on_a_merged_branch_stays(run, forge, bare, stored, look):
    own = run("api")
    store = stored("api", own)
    forge.merge(1)
    look(store)
    words = git(bare, "log", "-1", "--format=%B", own.head)
    by_ada = make_commit(bare, f"{own.head}^", {"hand.txt": "mine\n"}, words, ("Ada", "ada@example.com"))
    by_us = make_commit(bare, f"{own.head}^", {"hand.txt": "x\n"}, words, (Identity().name, Identity().email))
    there = []
    for made in (by_ada, by_us, own.head):
        git(bare, "update-ref", f"refs/heads/{BRANCH}", made)
        clean_up(store, lambda: forge, load_named("api"))
        there.append(git(bare, "for-each-ref", "--format=%(objectname)", f"refs/heads/{BRANCH}"))

    assert there == [by_ada, by_us, ""]


# What is too long.


def test_a_commit_whose_message_is_too_long_is_not_ours(run, bare, tmp_path):
    run("api")
    words = git(bare, "log", "-1", "--format=%B", BRANCH).replace("Service: api", "Service: web")
    (tmp_path / "words").write_text("x\n\n" + "a line\n" * 30_000 + f"\n{words}")
    made = make_commit(bare, BRANCH, {path_of("web"): "two"}, "x", (Identity().name, Identity().email))
    tree, tip = git(bare, "rev-parse", f"{made}^{{tree}}"), git(bare, "rev-parse", BRANCH)
    made = git(bare, "commit-tree", "-p", tip, "-F", str(tmp_path / "words"), tree)
    git(bare, "update-ref", f"refs/heads/{BRANCH}", made)
    with pytest.raises(RepositoryError, match="somebody has committed to"):
        run("api", b"newer", "run-2")

    assert git(bare, "rev-parse", BRANCH) == made


def test_a_command_that_the_system_does_not_start_is_an_error_of_the_repository(bare):
    with pytest.raises(RepositoryError, match="`git log` cannot be run: Argument list too long"):
        git(bare, "log", "x" * (1 << 18))


def test_a_file_that_is_too_large_is_not_read(run, forge, bare, monkeypatch):
    run("api", b"one and more")
    monkeypatch.setattr(worktree, "MOST", 4)
    with (
        clone(forge.clone_url, "main", "x", config={}) as checkout,
        pytest.raises(RepositoryError, match=r"cmd/api/default\.pgo in .* is larger than"),
    ):
        read_at(checkout, git(bare, "rev-parse", BRANCH), path_of("api"))


def test_a_text_that_names_a_run_longer_than_any_is_none_of_ours():
    assert [marker(marker_line(Marker("x" * size, "0" * 12))) is None for size in (250, 251)] == [False, True]


# What it costs who has no group.


@pytest.mark.parametrize("dry_run", [False, True])
def test_without_a_group_one_look_at_the_branches_is_all_and_none_in_a_dry_run(
    services, prepare, forge, monkeypatch, tmp_path, dry_run
):
    services("api", {"group": None})
    looks = []

    def count(directory, *arguments, **named):
        looks.append(arguments[0])
        return git(directory, *arguments, **named)

    leave = step.leave_elsewhere

    def counted(*arguments):
        monkeypatch.setattr(checkout_module, "git", count)
        monkeypatch.setattr(forge, "find", None)
        leave(*arguments)

    monkeypatch.setattr(step, "leave_elsewhere", counted)
    step.propose(
        load_named("api"), forge, b"one", FIRST.provenance, dry_run=dry_run, cache=tmp_path / "cache"
    )

    assert looks == ([] if dry_run else ["ls-remote"])


# What a service has proposed before it was of the group.


def test_a_run_from_before_the_group_is_superseded_by_one_in_it(
    run, services, forge, bare, stored, look, tmp_path
):
    services("api", {"group": None})
    before = stored("api", run("api"))
    before.write(manifest(made_at=NOW))
    services("api")
    after = stored("api", run("api", b"newer", "run-2"), "run-2")
    after.write(manifest(made_at=NOW + timedelta(days=7)))
    done = refresh(load_named("api"), before, forge, cache=tmp_path, now=NOW)
    found = look(before)

    assert (found.state, "superseded by run run-2, which proposed in" in found.message) == ("skipped", True)
    assert (done.partition(": ")[0], content(bare, "api")) == (
        "nothing is due any more about pull request 1",
        "newer",
    )


def test_a_later_pull_request_of_a_group_without_the_service_supersedes_nothing(
    run, forge, stored, look, services
):
    store = stored("web", run("web", b"two"))
    forge.close(1)
    run("api")
    found = look(store)

    assert (found.state, live(forge.get(2).body)) == ("waiting", ["api"])


@pytest.mark.parametrize("group", [None, "shop"])
def test_a_file_that_is_too_large_is_passed_over_where_a_profile_is_looked_for(
    run, services, forge, bare, monkeypatch, group
):
    services("api", {"group": group, "profile": None})
    push_files(bare, "main", {"assets/x.bin": "x" * 100})
    first = run("api")
    push_files(bare, "main", {"assets/x.bin": "changed"})
    monkeypatch.setattr(worktree, "MOST", 50)
    service = load_named("api")
    with clone(forge.clone_url, "main", service.branch, config={}) as checkout:
        assert proposed_before(checkout, forge.get(first.pull_request), service) == b"one"
