"""The life of a branch and its pull request over the weeks, each from a real git origin."""

import dataclasses
import shlex
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fleetpgo.errors import ForgeError, RefusedError, RepositoryError
from fleetpgo.proposal.body import Provenance
from fleetpgo.proposal.ensure import marker
from fleetpgo.proposal.etiquette import DO_NOT_UPDATE, TAKE_OVER
from fleetpgo.proposal.forges.local import LocalForge
from fleetpgo.proposal.git import git
from fleetpgo.run.digest import digest
from fleetpgo.steps.propose import propose
from tests.tiny import repacked, tiny

BRANCH = "fleetpgo/tiny"
PROVENANCE = Provenance(run="run-1", query="up", selected=6, missing={}, samples=1_234)
NEXT = dataclasses.replace(PROVENANCE, run="run-2")
pytestmark = pytest.mark.usefixtures("built_once")


@pytest.fixture
def run(forge, go_profile, go_cache):
    """Propose as a run does; what a test does not name is as in the tiny service."""

    def propose_it(
        *, profile=go_profile, provenance=PROVENANCE, forge=forge, command="make build", base="main", **review
    ):
        service = tiny(repository={"base": base}, build={"command": command}, review=review)
        return propose(service, forge, profile, provenance, dry_run=False, cache=go_cache)

    return propose_it


@pytest.fixture
def commit(bare, tmp_path):
    """Commit a file to a branch, as a person does, and return the commit's SHA."""

    def commit_it(branch, name="README", text="by hand\n"):
        work = tmp_path / f"work-{len(list(tmp_path.iterdir()))}"
        git(tmp_path, "clone", "--quiet", "--branch", branch, bare.as_uri(), str(work))
        (work / name).write_text(text)
        git(work, "add", name)
        ada = {"user.name": "Ada", "user.email": "ada@example.com"}
        git(work, "commit", "--quiet", "--message", "By hand", config=ada)
        git(work, "push", "--quiet", "origin", branch)
        return git(work, "rev-parse", "HEAD")

    return commit_it


def states(forge):
    return [each.state for each in forge.pull_requests()]


def test_the_first_pull_request_is_handed_over_as_the_service_file_says(run, forge, bare):
    run(reviewers=["ada", "acme/perf"], assignees=["grace"], labels=["performance"], draft=True)

    made = forge.get(1)
    assert ("open", True, ("performance", "fleetpgo")) == (made.state, made.draft, made.labels)
    assert (("ada", "acme/perf"), ("grace",)) == forge.people(1)
    assert git(bare, "log", "-1", "--format=%P", BRANCH) == git(bare, "rev-parse", "main")
    assert "Signed-off-by: fleetpgo" in git(bare, "log", "-1", "--format=%B", BRANCH)


def test_a_second_run_while_it_is_open_brings_it_up_to_date(run, forge, bare, go_profile):
    first = run()
    second = run(profile=repacked(go_profile), provenance=NEXT)

    made = forge.get(1)
    assert (1, 1, ["open"]) == (first.pull_request, second.pull_request, states(forge))
    assert (second.head, second.profile) == (made.head, marker(made.body).profile)
    assert git(bare, "rev-list", "--count", f"main..{BRANCH}") == "1"


def test_what_people_changed_on_it_stays_as_they_want_it(run, forge, go_profile):
    run(labels=["performance"], reviewers=["ada"])
    forge.label(1, remove="performance")
    run(profile=repacked(go_profile), labels=["performance"], reviewers=["ada"])

    assert forge.get(1).labels == ("fleetpgo",)


def test_an_unchanged_profile_leaves_it_alone(run, forge, bare):
    run()
    forge.merge(1)
    before = git(bare, "for-each-ref")
    proposed = run(provenance=NEXT)

    assert proposed.unchanged
    assert (before, ["merged"]) == (git(bare, "for-each-ref"), states(forge))


def test_a_foreign_commit_stops_the_updates_and_says_once_how_to_resume(run, forge, bare, commit):
    run()
    theirs = commit(BRANCH)
    stopped = [run(provenance=NEXT), run(provenance=NEXT)]

    assert [True, True] == [each.unchanged for each in stopped]
    assert (
        stopped[0].reason
        == f"the newest commit of {BRANCH} is by Ada; a comment on pull request 1 says how to resume"
    )
    assert theirs == git(bare, "rev-parse", BRANCH)
    assert marker(forge.get(1).body).run == "run-1"
    ((key, comment),) = forge.comments(1).items()
    assert (key, True, True) == (
        "foreign-commit",
        theirs in comment,
        f"add the label `{TAKE_OVER}`" in comment,
    )


def test_the_label_has_it_resume_over_the_foreign_commit_and_is_taken_off(run, forge, bare, commit):
    run()
    commit(BRANCH)
    run()
    forge.label(1, add=(TAKE_OVER,))
    resumed = run(provenance=NEXT)

    assert (False, 1) == (resumed.unchanged, resumed.pull_request)
    assert resumed.head == git(bare, "rev-parse", BRANCH)
    assert git(bare, "rev-list", "--count", f"main..{BRANCH}") == "1"
    assert forge.get(1).labels == ("fleetpgo",)


@pytest.mark.parametrize("told", [False, True], ids=["before the comment", "after the comment"])
def test_the_label_does_not_count_for_a_commit_that_the_comment_did_not_name(run, forge, bare, commit, told):
    run()
    if told:
        commit(BRANCH)
        run()
    forge.label(1, add=(TAKE_OVER,))
    newest = commit(BRANCH, "NEWS", "more by hand\n")
    stopped = run(provenance=NEXT)

    assert stopped.reason == (
        f"the newest commit of {BRANCH} is by Ada, and the label {TAKE_OVER} was not added for it; "
        "a comment on pull request 1 says how to resume"
    )
    assert (newest, ("fleetpgo",)) == (git(bare, "rev-parse", BRANCH), forge.get(1).labels)
    assert newest in forge.comments(1)["foreign-commit"]


def test_a_label_that_cannot_be_taken_off_has_nothing_pushed(run, forge, bare, commit, origin):
    class Sticky(LocalForge):
        """A forge that takes no label off."""

        def label(self, number, *, add=(), remove=None):
            if remove:
                raise RefusedError("the token may not do this")
            super().label(number, add=add)

    run()
    theirs = commit(BRANCH)
    run()
    forge.label(1, add=(TAKE_OVER,))

    with pytest.raises(RefusedError, match="the token may not do this"):
        run(forge=Sticky(str(origin), "tiny"), provenance=NEXT)
    assert (theirs, ("fleetpgo", TAKE_OVER)) == (git(bare, "rev-parse", BRANCH), forge.get(1).labels)


def test_the_label_is_back_where_the_push_fails(run, forge, bare, commit):
    run()
    theirs = commit(BRANCH)
    run()
    forge.label(1, add=(TAKE_OVER,))
    hook = bare / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)

    with pytest.raises(RepositoryError):
        run(provenance=NEXT)
    assert (theirs, ("fleetpgo", TAKE_OVER)) == (git(bare, "rev-parse", BRANCH), forge.get(1).labels)


def test_a_label_without_a_foreign_commit_is_taken_off(run, forge):
    run()
    forge.label(1, add=(TAKE_OVER,))
    run(provenance=NEXT)

    assert ("fleetpgo",) == forge.get(1).labels


def test_a_foreign_commit_that_was_merged_with_it_is_in_nobody_s_way(run, forge, commit, another_profile):
    run()
    commit(BRANCH)
    forge.merge(1)

    assert run(profile=another_profile, provenance=NEXT).pull_request == 2


def test_a_foreign_commit_without_a_pull_request_is_an_error_that_overwrites_nothing(run, bare, commit):
    git(bare, "branch", BRANCH, "main")
    theirs = commit(BRANCH)

    with pytest.raises(RepositoryError, match="is by Ada, and the branch has no pull request"):
        run()
    assert theirs == git(bare, "rev-parse", BRANCH)


def test_the_label_do_not_update_stops_the_updates(run, forge, bare, go_profile):
    head = run().head
    forge.label(1, add=(DO_NOT_UPDATE,))
    proposed = run(profile=repacked(go_profile), provenance=NEXT)

    assert proposed.reason == "pull request 1 has the label fleetpgo/do-not-update"
    assert (head, "run-1") == (git(bare, "rev-parse", BRANCH), marker(forge.get(1).body).run)


def test_what_was_closed_unmerged_is_not_proposed_again(run, forge, bare, go_profile):
    run()
    forge.close(1)
    git(bare, "branch", "-D", BRANCH)
    proposed = run(profile=repacked(go_profile), provenance=NEXT)

    assert proposed.reason.startswith(
        "its overlap with the profile of pull request 1, which was closed unmerged, is 1.000, "
        "where chance alone gives "
    )
    assert ["closed"] == states(forge)


def test_on_a_rejected_one_nobody_is_told_of_a_foreign_commit(run, forge, commit):
    run()
    commit(BRANCH)
    forge.close(1)

    assert "which was closed unmerged" in run(provenance=NEXT).reason
    assert forge.comments(1) == {}


def test_a_profile_unlike_the_one_that_was_closed_unmerged_is_proposed(run, forge, another_profile):
    run()
    forge.close(1)

    assert run(profile=another_profile, provenance=NEXT).pull_request == 2


def test_the_label_has_a_rejected_profile_proposed_again(run, forge):
    run()
    forge.close(1)
    forge.label(1, add=(TAKE_OVER,))

    assert run(provenance=NEXT).pull_request == 2
    assert TAKE_OVER not in forge.get(1).labels


def test_a_rejected_profile_that_is_lost_is_an_error_that_says_what_to_do(run, forge, bare):
    run()
    forge.close(1)
    git(bare, "update-ref", "-d", "refs/pull/1/head")
    git(bare, "branch", "-D", BRANCH)
    git(bare, "reflog", "expire", "--expire=now", "--all")
    git(bare, "gc", "--quiet", "--prune=now")

    with pytest.raises(RepositoryError, match="the profile that pull request 1 proposed") as error:
        run(provenance=NEXT)
    assert TAKE_OVER in error.value.hint


def test_after_a_merge_the_next_week_has_a_pull_request_of_its_own(run, forge, bare, another_profile):
    run()
    merged = forge.merge(1)
    proposed = run(profile=another_profile, provenance=NEXT)

    assert (2, ["merged", "open"]) == (proposed.pull_request, states(forge))
    assert merged.merge_commit == git(bare, "rev-parse", f"{BRANCH}^")


def test_a_branch_that_was_deleted_is_made_again_for_its_open_pull_request(run, forge, bare):
    first = run()
    git(bare, "update-ref", "-d", f"refs/heads/{BRANCH}")
    second = run(provenance=NEXT)

    assert (1, ["open"]) == (second.pull_request, states(forge))
    assert second.head == git(bare, "rev-parse", BRANCH)
    assert first.profile == second.profile


def test_another_base_in_the_service_file_moves_the_open_pull_request_there(run, forge, bare):
    run()
    git(bare, "branch", "--move", "main", "trunk")
    run(base="trunk", provenance=NEXT)

    assert ("trunk", ["open"]) == (forge.get(1).base, states(forge))


def test_a_base_that_was_renamed_is_an_error_that_names_the_new_one(run, bare):
    git(bare, "branch", "--move", "main", "trunk")

    with pytest.raises(ForgeError, match="there is no branch main in") as error:
        run()
    assert "the default branch is trunk" in error.value.hint


def test_a_protected_branch_is_an_error_that_says_so(run, bare, forge):
    hook = bare / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'GH006: Protected branch update failed' >&2\nexit 1\n")
    hook.chmod(0o755)

    with pytest.raises(RepositoryError, match="Protected branch update failed") as error:
        run()
    assert "let no branch protection or ruleset cover fleetpgo/*" in error.value.hint
    assert forge.pull_requests() == []


@pytest.fixture
def building(tmp_path):
    """A build command that first runs a line of shell, at its first use alone."""

    def command(line):
        script = tmp_path / "build.sh"
        script.write_text(
            f"set -eu\nif ! [ -e {tmp_path}/begun ]; then\n:> {tmp_path}/begun\n{line}\nfi\nmake build\n"
        )
        return shlex.join(["sh", str(script)])

    return command


def test_a_base_that_moves_during_the_build_is_built_once_more(run, bare, building, caplog, tmp_path):
    by = f"git -c user.name=Ada -c user.email=ada@example.com -C {bare}"
    meanwhile = f"{by} commit-tree -p main -m Meanwhile 'main^{{tree}}'"
    move = f"{by} update-ref refs/heads/main $({meanwhile})"
    caplog.set_level("INFO")
    proposed = run(command=building(move))

    assert git(bare, "log", "-1", "--format=%s", "main") == "Meanwhile"
    assert git(bare, "rev-parse", "main") == git(bare, "rev-parse", f"{BRANCH}^")
    assert proposed.head == git(bare, "rev-parse", BRANCH)
    assert caplog.messages.count("main has got commits during the build: building again on top of them") == 1


def test_of_two_runs_at_once_one_wins_and_the_other_says_so(run, forge, bare, building, tmp_path, go_profile):
    until = f"while ! [ -e {tmp_path}/go ]; do sleep 0.1; done"
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(run, command=building(until), profile=repacked(go_profile), provenance=NEXT)
        while not (tmp_path / "begun").exists():
            time.sleep(0.05)
        fast = run()
        (tmp_path / "go").touch()
        with pytest.raises(RepositoryError, match="stale info") as error:
            slow.result()

    assert "most likely another run, moved the branch" in error.value.hint
    assert (fast.head, ["open"]) == (git(bare, "rev-parse", BRANCH), states(forge))
    assert marker(forge.get(1).body).profile == digest(go_profile)


def test_a_person_who_commits_to_the_branch_during_the_build_is_not_overwritten(
    run, forge, bare, building, go_profile
):
    run()
    by = f"git -c user.name=Ada -c user.email=ada@example.com -C {bare}"
    theirs = f"{by} commit-tree -p {BRANCH} -m Meanwhile '{BRANCH}^{{tree}}'"
    move = f"{by} update-ref refs/heads/{BRANCH} $({theirs})"

    with pytest.raises(RepositoryError, match="stale info"):
        run(command=building(move), profile=repacked(go_profile), provenance=NEXT)
    assert (git(bare, "log", "-1", "--format=%an", BRANCH), marker(forge.get(1).body).run) == ("Ada", "run-1")


def test_a_run_whose_push_failed_is_completed_by_the_next(run, forge, bare):
    hook = bare / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'no space left' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(RepositoryError, match="no space left"):
        run()
    hook.unlink()
    proposed = run()

    assert (1, proposed.head, ["open"]) == (
        proposed.pull_request,
        git(bare, "rev-parse", BRANCH),
        states(forge),
    )


class Faulty:
    """A forge that is down at one of its calls: the request or its answer is lost."""

    def __init__(self, forge, at=None, *, done=False):
        self.forge, self.at, self.done = forge, at, done
        self.calls = []

    def __getattr__(self, name):
        found = getattr(self.forge, name)
        if name in ("clone_url", "git_config", "signing_key"):
            return found

        def call(*arguments, **named):
            self.calls.append(name)
            if len(self.calls) - 1 == self.at and not self.done:
                raise ForgeError("the forge is down")
            answer = found(*arguments, **named)
            if len(self.calls) - 1 == self.at:
                raise ForgeError("the forge is down")
            return answer

        return call


FIRST = ("check", "find", "find", "create", "label", "ask", "assign", "read_comment", "label")
STOPPED = ("check", "find", "comment")
RESUMED = ("check", "find", "read_comment", "label", "find", "update")
PEOPLE = {"reviewers": ["ada"], "assignees": ["grace"], "labels": ["performance"]}


def test_the_calls_that_may_fail_are_these(run, forge, commit):
    first, stopped, resumed = (Faulty(forge) for _ in range(3))
    run(forge=first, **PEOPLE)
    commit(BRANCH)
    run(forge=stopped)
    forge.label(1, add=(TAKE_OVER,))
    run(forge=resumed, provenance=NEXT)

    assert (FIRST, STOPPED, RESUMED) == tuple(tuple(each.calls) for each in (first, stopped, resumed))


@pytest.mark.parametrize("done", [False, True], ids=["request lost", "answer lost"])
@pytest.mark.parametrize("at", range(len(FIRST)), ids=FIRST)
def test_a_run_whose_forge_was_down_is_completed_by_the_next(run, forge, bare, at, done):
    with pytest.raises(ForgeError, match="the forge is down"):
        run(forge=Faulty(forge, at, done=done), **PEOPLE)
    proposed = run(**PEOPLE)

    made = forge.get(1)
    assert (1, ["open"], ("performance", "fleetpgo")) == (proposed.pull_request, states(forge), made.labels)
    assert (proposed.head, (("ada",), ("grace",))) == (made.head, forge.people(1))
    assert git(bare, "rev-list", "--count", f"main..{BRANCH}") == "1"


@pytest.mark.parametrize("done", [False, True], ids=["request lost", "answer lost"])
@pytest.mark.parametrize("at", range(len(STOPPED)), ids=STOPPED)
def test_a_stop_whose_forge_was_down_is_said_once_by_the_next(run, forge, commit, at, done):
    run()
    commit(BRANCH)
    with pytest.raises(ForgeError, match="the forge is down"):
        run(forge=Faulty(forge, at, done=done))
    run()

    assert list(forge.comments(1)) == ["foreign-commit"]


@pytest.mark.parametrize("done", [False, True], ids=["request lost", "answer lost"])
@pytest.mark.parametrize("at", range(len(RESUMED)), ids=RESUMED)
def test_a_resumption_whose_forge_was_down_is_completed_by_the_next(run, forge, bare, commit, at, done):
    run()
    commit(BRANCH)
    run()
    forge.label(1, add=(TAKE_OVER,))
    with pytest.raises(ForgeError, match="the forge is down"):
        run(forge=Faulty(forge, at, done=done), provenance=NEXT)
    run(provenance=NEXT)

    assert (["open"], ("fleetpgo",), "run-2") == (
        states(forge),
        forge.get(1).labels,
        marker(forge.get(1).body).run,
    )
    assert git(bare, "rev-list", "--count", f"main..{BRANCH}") == "1"
