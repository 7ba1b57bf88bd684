"""A group of services: one branch, a commit and a section for each; real git, the builds are left out."""

from __future__ import annotations

import dataclasses
import threading

import pytest
from click.testing import CliRunner

from fleetpgo.cli.main import cli
from fleetpgo.errors import ForgeError, RepositoryError, ServiceFileError
from fleetpgo.markdown import prose
from fleetpgo.proposal import group
from fleetpgo.proposal.body import section
from fleetpgo.proposal.checkout import clone
from fleetpgo.proposal.ensure import Marker, marker
from fleetpgo.proposal.etiquette import DO_NOT_UPDATE, TAKE_OVER
from fleetpgo.proposal.git import git
from fleetpgo.proposal.members import own_commit
from fleetpgo.proposal.merge_alone import _Group, _more
from fleetpgo.proposal.restore import restore
from fleetpgo.proposal.sections import absent, replaced, sections
from fleetpgo.proposal.sharing import of_group
from fleetpgo.proposal.signing import Identity
from fleetpgo.run.digest import digest
from fleetpgo.service.files import clashes, load_named, service_files
from fleetpgo.steps import propose as step
from tests.proposal.forges.merging import merge, push_files
from tests.proposal.grouped import (
    BRANCH,
    commits,
    content,
    live,
    path_of,
    prepare,
    run_on,
    services,
    short_pauses,
)
from tests.proposal.test_body import FIRST, HOSTILE

__all__ = ["prepare", "run_on", "services", "short_pauses"]


@pytest.fixture
def run(run_on, forge):
    """Propose a profile of a service, as its run does."""
    return lambda name, *arguments: run_on(forge, name, *arguments)


def test_services_of_a_group_have_one_pull_request_a_commit_and_a_section_each(run, forge, bare):
    first, second = run("api"), run("web", b"two", "run-2")

    (made,) = forge.pull_requests()
    assert (made.number, made.number) == (first.pull_request, second.pull_request)
    assert made.title == "Refresh the PGO profiles of api, web (shop)"
    assert commits(bare) == [("api", [path_of("api")]), ("web", [path_of("web")])]
    assert {name: marker(text).run for name, text in sections(made.body).items()} == {
        "api": "run-1",
        "web": "run-2",
    }
    assert second.head == made.head


def test_a_run_replaces_its_own_commit_and_section_alone(run, forge, bare):
    run("api")
    run("web")
    before = sections(forge.get(1).body)
    own = run("api", b"newer", "run-2")

    after = sections(forge.get(1).body)
    assert (marker(after["api"]).run, after["web"]) == ("run-2", before["web"])
    assert [name for name, _ in commits(bare)] == ["api", "web"]
    assert (content(bare, "api"), content(bare, "web")) == ("newer", "one")
    assert own.head == git(bare, "rev-parse", f"{BRANCH}~1")


def test_the_same_profiles_on_the_same_base_leave_the_branch_as_it_is(run, bare):
    run("api")
    run("web")
    before = git(bare, "rev-parse", BRANCH)
    run("api", b"one", "run-2")
    run("web", b"one", "run-2")

    assert before == git(bare, "rev-parse", BRANCH)


def test_all_commits_are_put_on_the_newest_base(run, bare):
    run("api")
    run("web")
    newest = push_files(bare, "main", {"NEWS": "news\n"})
    run("api", b"one", "run-2")

    assert [name for name, _ in commits(bare)] == ["api", "web"]
    assert git(bare, "rev-parse", f"{BRANCH}~2") == newest


def test_a_commit_that_is_carried_over_keeps_its_author(run, services, bare):
    services("web", commit={"author": "Web Bot <web@acme.example>"})
    run("api")
    run("web")
    push_files(bare, "main", {"NEWS": "news\n"})
    resumed = run("api", b"newer")

    assert not resumed.unchanged  # the other's author is no person
    assert git(bare, "log", "-1", "--format=%an", BRANCH) == "Web Bot"


def test_two_at_once_have_both_commits_and_both_sections(run, forge, bare, monkeypatch):
    """Both have cloned before either pushes, and push at the same moment."""
    met = threading.Barrier(2, timeout=20)
    push, pushed = group.push, set()

    def push_together(checkout, head):
        if threading.get_ident() not in pushed:
            pushed.add(threading.get_ident())
            met.wait()
        push(checkout, head)

    monkeypatch.setattr(group, "push", push_together)
    failed = []

    def run_in_thread(name):
        try:
            run(name)
        except Exception as error:  # noqa: BLE001  # for the assertion
            failed.append(error)

    threads = [threading.Thread(target=run_in_thread, args=(name,)) for name in ("api", "web")]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert failed == []
    assert sorted(name for name, _ in commits(bare)) == ["api", "web"]
    assert [each.state for each in forge.pull_requests()] == ["open"]
    assert sorted(live(forge.get(1).body)) == ["api", "web"]


def test_a_persons_commit_stops_all_and_the_label_discards_it_alone(run, forge, bare):
    run("api")
    run("web")
    push_files(bare, BRANCH, {"README": "by hand\n"})
    stopped = run("api", b"newer", "run-2")
    forge.label(1, add=(TAKE_OVER,))
    resumed = run("api", b"newer", "run-2")

    assert (stopped.unchanged, resumed.unchanged) == (True, False)
    assert commits(bare) == [("api", [path_of("api")]), ("web", [path_of("web")])]


def test_a_person_who_commits_during_the_build_is_not_overwritten(run, bare, monkeypatch):
    run("api")
    start_anew = step.start_anew

    def commit_meanwhile(checkout):
        push_files(bare, BRANCH, {"README": "by hand\n"})
        return start_anew(checkout)

    monkeypatch.setattr(step, "start_anew", commit_meanwhile)
    with pytest.raises(RepositoryError, match="somebody has committed to"):
        run("web")
    assert git(bare, "show", f"{BRANCH}:README") == "by hand"


def test_a_commit_that_applies_no_more_is_left_out_and_said_until_its_own_run(run, forge, bare):
    run("api")
    run("web")
    push_files(bare, "main", {path_of("web"): "by a person\n"})
    run("api", b"one", "run-2")
    without = forge.get(1)
    run("web", b"newer", "run-3")
    mended = forge.get(1)

    assert marker(sections(without.body)["web"]).absent == "conflict"
    assert "Not in this pull request: its commit did not apply" in without.body
    assert (live(without.body), live(mended.body)) == (["api"], ["api", "web"])
    assert content(bare, "web") == "newer"


def test_who_has_nothing_to_propose_leaves_and_the_last_closes_it(run, forge, bare, prepare):
    run("api")
    run("web")
    prepare["api"] = "nothing changed for the compiler"
    run("api", b"one", "run-2")
    left, there = forge.get(1), commits(bare)
    prepare["web"] = "nothing changed for the compiler"
    run("web", b"one", "run-2")

    assert (left.state, live(left.body), there) == ("open", ["web"], [("web", [path_of("web")])])
    assert "Not in this pull request: nothing changed for the compiler" in left.body
    assert forge.get(1).state == "closed"


def test_a_label_keeps_who_has_nothing_to_propose(run, forge, prepare):
    run("api")
    run("web")
    forge.label(1, add=(DO_NOT_UPDATE,))
    prepare["api"] = "nothing changed for the compiler"
    run("api", b"one", "run-2")

    assert live(forge.get(1).body) == ["api", "web"]


def test_who_leaves_the_group_takes_its_commit_and_section_along(run, services, forge, bare):
    run("api")
    run("web")
    services("api", {"group": None})
    run("api", b"one", "run-2")

    shop, own = forge.pull_requests()
    assert (own.branch, own.state) == ("fleetpgo/api", "open")
    assert (live(shop.body), commits(bare)) == (["web"], [("web", [path_of("web")])])


def test_who_leaves_takes_them_along_without_a_new_proposal_and_the_last_closes_it(
    run, services, forge, prepare
):
    run("api")
    run("web")
    left = []
    for name in ("api", "web"):
        services(name, {"group": None})
        services("other")  # the group is still known
        prepare[name] = "nothing changed for the compiler"
        run(name, b"one", "run-2")
        left.append((forge.get(1).state, live(forge.get(1).body)))

    assert left == [("open", ["web"]), ("closed", [])]


def test_who_joins_the_group_closes_its_own_pull_request(run, services, forge):
    services("api", {"group": None})
    run("api")
    services("api")
    run("api", b"one", "run-2")

    before, after = forge.pull_requests()
    assert (before.state, after.state, live(after.body)) == ("closed", "open", ["api"])
    assert after.url in forge.comments(before.number)["pointless"]


def test_what_a_merged_one_has_left_is_not_proposed_again(run, forge, bare):
    run("api")
    run("web")
    merge(bare, "main", BRANCH, "squash")
    record = forge._read(1)
    forge._write(
        dataclasses.replace(record, pull_request=dataclasses.replace(record.pull_request, state="merged"))
    )
    push_files(bare, "main", {path_of("web"): None})  # a person takes it back
    run("api", b"newer", "run-2")

    assert commits(bare) == [("api", [path_of("api")])]
    assert live(forge.get(2).body) == ["api"]


def test_commits_that_are_in_the_base_are_not_of_the_branch(run, forge, bare):
    run("api")
    run("web")
    merge(bare, "main", BRANCH, "fast-forward-only")
    git(bare, "branch", "-D", BRANCH)
    forge.close(1)
    run("api", b"newer", "run-2")
    push_files(bare, "main", {path_of("web"): None})
    run("api", b"newest", "run-3")

    assert commits(bare) == [("api", [path_of("api")])]


@pytest.mark.parametrize("how", ["merge", "squash", "rebase"])
def test_after_the_merge_one_service_is_restored_without_the_others(run, forge, bare, how):
    run("api", b"one\n")
    run("web", b"two\n")
    push_files(bare, "main", {"NEWS": "news\n"})
    run("web", b"three\n", "run-2")  # puts the other's commit on another base
    head = forge.get(1).head
    merge(bare, "main", head, how)

    with clone(forge.clone_url, "main", "fleetpgo/api-revert", config={}) as checkout:
        own = own_commit(checkout, load_named("api"), forge.get(1))
        restored = restore(checkout, own, digest(b"one\n"))
    assert (restored.files, restored.path) == ({path_of("api"): None}, path_of("api"))


@pytest.mark.parametrize(("person", "said"), [(False, ""), (True, "brought 1 other commit(s)")])
def test_the_other_services_of_a_merge_are_no_other_change(run, bare, tmp_path, person, said):
    run("api")
    run("web")
    if person:
        push_files(bare, BRANCH, {"README": "by hand\n"})
    before = git(bare, "rev-parse", "main")
    merged = merge(bare, "main", BRANCH, "merge")
    work = tmp_path / "work"
    git(tmp_path, "clone", "--quiet", bare.as_uri(), str(work))

    told = f"the profile's merge {merged[:12]} {said}" if said else ""
    assert _more(work, "main", merged, before, merged, _Group(Identity().addresses)) == told


def test_two_that_change_the_same_lines_are_told_apart(run, bare, prepare, services):
    push_files(bare, "main", {"Makefile": "all:\n\tgo build -o bin/ ./...\n"})
    prepare["files"] = {"api": {"Makefile": b"all:\n\tgo build -pgo=a -o bin/ ./...\n"}}
    run("api")
    prepare["files"] = {"web": {"Makefile": b"all:\n\tgo build -pgo=w -o bin/ ./...\n"}}
    with pytest.raises(RepositoryError, match="changes the same lines as those of api"):
        run("web")


def test_a_dry_run_keeps_the_section_and_pushes_nothing(services, prepare, forge, bare, tmp_path):
    kept = []
    step.propose(
        load_named("api"),
        forge,
        b"one",
        FIRST.provenance,
        dry_run=True,
        cache=tmp_path / "cache",
        keep=kept.append,
    )

    assert b"## api" in kept[0]
    assert git(bare, "branch", "--list", "fleetpgo/*") == ""


@pytest.fixture
def pr(run, tmp_path, origin):
    """Call `fleetpgo pr …` on the group's pull request."""
    run("api")
    run("web")
    environment = {"FLEETPGO_FORGE": str(origin), "COLUMNS": "200"}
    return lambda *arguments: CliRunner(env=environment).invoke(
        cli, ["pr", *arguments], catch_exceptions=False
    )


def test_the_command_shows_the_services_own_section_and_commit(pr, bare):
    shown = pr("show", "api").stdout

    assert f"commit of api: {git(bare, 'rev-parse', f'{BRANCH}~1')}" in shown
    assert ("PGO profile of api" in shown, "PGO profile of web" in shown) == (True, False)


def test_the_command_closes_one_service_and_it_is_not_proposed_again_until_the_label(
    pr, run, forge, bare, go_profile
):
    run("api", go_profile)
    said = pr("close", "api").stdout
    again = run("api", go_profile, "run-2")
    without = commits(bare)
    forge.label(1, add=(TAKE_OVER,))
    run("api", go_profile, "run-3")

    assert said == "api is taken out of pull request 1, which stays open for the others\n"
    assert (again.unchanged, "from which it was taken out" in again.reason) == (True, True)
    assert (without, forge.get(1).state) == ([("web", [path_of("web")])], "open")
    assert [name for name, _ in commits(bare)] == ["web", "api"]


def test_the_command_closes_the_pull_request_with_its_last_service(pr, forge):
    said = [pr("close", name).stdout for name in ("api", "web")]

    assert (said[1], forge.get(1).state) == ("pull request 1 is closed\n", "closed")


def test_the_command_closes_nothing_for_a_service_that_is_not_in_it(pr, forge):
    pr("close", "api")
    pr("close", "api")
    with pytest.raises(ForgeError, match="job is not in pull request 1, but web"):
        pr("close", "job")

    assert (forge.get(1).state, live(forge.get(1).body)) == ("open", ["web"])


def test_groups_of_two_repositories_may_have_one_name(services):
    services("web", {"project": "other"})

    assert [each.name for each in of_group(load_named("api"))] == ["job"]
    assert clashes(service_files()) == []


def test_the_command_merges_all_of_the_group(pr, bare, forge):
    pr("merge", "api")

    assert {name: content(bare, name, "main") for name in ("api", "web")} == {"api": "one", "web": "one"}


@pytest.mark.parametrize("rule", ["squash", {"method": "squash", "when": {"overlap_above": 0.9}}])
def test_a_group_is_merged_by_a_person(services, rule):
    services("api", review={"auto_merge": rule})
    with pytest.raises(ServiceFileError, match="a person merges the pull request of a group"):
        load_named("api")


def test_services_of_a_group_have_one_base(services, tmp_path):
    services("web", {"base": "trunk"})
    (clash,) = clashes(service_files())
    assert (
        "web.yaml:1: repository.group: api.yaml is of the group shop, too, and its base is main, not trunk"
        in clash.said
    )


def test_no_name_or_reason_in_a_section_ends_it_early():
    hostile = dataclasses.replace(HOSTILE, service="api")
    ending = Marker("run-1\n<!-- fleetpgo:end api -->", "0" * 12, "web")
    body = replaced("", "shop", "api", section(hostile, 2))
    body = replaced(
        body, "shop", "web", absent("web", "withdrawn", ending, prose("x\n<!-- fleetpgo:end web -->"))
    )

    assert {name: marker(text).service for name, text in sections(body).items()} == {
        "api": "api",
        "web": "web",
    }


def test_a_body_that_a_forges_form_has_written_is_read_alike():
    body = replaced("", "shop", "api", section(dataclasses.replace(FIRST, service="api"), 2))

    assert sections(body.replace("\n", "\r\n")) == sections(body)


def test_each_service_has_a_share_of_the_whole_text():
    alone, of_many = section(FIRST, 1), section(FIRST, 30)

    assert ["Left out, for its length: " in each for each in (alone, of_many)] == [False, True]
