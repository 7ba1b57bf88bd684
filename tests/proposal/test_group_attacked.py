"""A group whose branch, text and service files are not as fleetpgo left them; real git, a local forge."""

from __future__ import annotations

import pytest

from fleetpgo.errors import ForgeError, RepositoryError
from fleetpgo.proposal import membership
from fleetpgo.proposal.ensure import Marker
from fleetpgo.proposal.git import git
from fleetpgo.proposal.merge_alone import _Group, _more
from fleetpgo.proposal.sections import absent, marker_of, replaced, sections
from fleetpgo.proposal.signing import Identity
from fleetpgo.run.digest import digest
from fleetpgo.service.files import load_named
from fleetpgo.steps import propose as step
from fleetpgo.steps.watch import closed_beside
from tests.proposal.forges.merging import merge, push_files
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

__all__ = ["prepare", "run_on", "services", "short_pauses"]

BOT, ADA = (Identity().name, Identity().email), ("Ada", "ada@example.com")


@pytest.fixture
def run(run_on, forge):
    """Propose a profile of a service, as its run does."""
    return lambda name, *arguments: run_on(forge, name, *arguments)


def put(bare, *made):
    """Put commits of other people on the branch: (files, message, person)."""
    tip = git(bare, "rev-parse", BRANCH)
    for files, message, person in made:
        tip = make_commit(bare, tip, files, message, person)
    git(bare, "update-ref", f"refs/heads/{BRANCH}", tip)
    return tip


def told(bare, service, **more):
    """Return a message as of a commit of fleetpgo's."""
    trailers = {"Service": service, "Base": git(bare, "rev-parse", "main"), "After": "0", **more}
    return "\n".join(["Refresh", "", *(f"Fleetpgo-{key}: {value}" for key, value in trailers.items())])


# What is on the branch.


def test_a_persons_commit_between_ours_stops_the_run_and_stays(run, bare):
    run("api")
    tip = put(
        bare,
        ({"README": "by hand\n"}, "Edit", ADA),
        ({path_of("web"): "two"}, told(bare, "web"), BOT),
    )
    with pytest.raises(RepositoryError, match=r"a commit below fleetpgo's newest one, \w{40}, is by Ada"):
        run("api", b"newer", "run-2")
    assert git(bare, "rev-parse", BRANCH) == tip


def test_a_commit_of_a_service_whose_file_has_a_mistake_stops_the_run_and_stays(
    run, services, bare, tmp_path
):
    services("web", commit={"author": "Web Bot <web@acme.example>"})
    for name in ("web", "api"):
        run(name)
    tip = git(bare, "rev-parse", BRANCH)
    (tmp_path / "services/web.yaml").write_text("selection: [")
    with pytest.raises(RepositoryError, match="is by Web Bot") as stopped:
        run("api", b"newer", "run-2")
    assert (git(bare, "rev-parse", BRANCH), "services check" in stopped.value.hint) == (tip, True)


def test_a_commit_of_a_service_that_is_leaving_is_carried_over(run, services, bare):
    services("web", commit={"author": "Web Bot <web@acme.example>"})
    for name in ("web", "api"):
        run(name)
    services("web", {"group": None}, commit={"author": "Web Bot <web@acme.example>"})
    push_files(bare, "main", {"NEWS": "news\n"})
    run("api", b"newer", "run-2")

    assert [name for name, _ in commits(bare)] == ["web", "api"]


@pytest.mark.parametrize(
    ("trailers", "said"),
    [
        ({"Service": "web\n job"}, "for no service of a group"),
        ({"Service": "../web"}, "for no service of a group"),
        ({"Base": "HEAD"}, "for no service of a group"),
        ({"After": "-1"}, "for no service of a group"),
        ({"Service": "web\nFleetpgo-Service: job"}, "for no service of a group"),
    ],
)
def test_trailers_that_fleetpgo_never_writes_stop_the_run(run, bare, trailers, said):
    run("api")
    tip = put(bare, ({path_of("web"): "two"}, told(bare, "web", **trailers), BOT))
    with pytest.raises(RepositoryError, match=said):
        run("api", b"newer", "run-2")
    assert git(bare, "rev-parse", BRANCH) == tip


@pytest.mark.parametrize("more", [{"main.go": "x"}, {"a.pgo": "x"}, {"a.mk": "x", "b.mk": "x"}])
def test_nothing_is_carried_but_a_services_profile_and_its_makefile(run, bare, more):
    run("api")
    tip = put(bare, ({path_of("web"): "two", **more}, told(bare, "web"), BOT))
    with pytest.raises(RepositoryError, match="and not one profile and at most one Makefile"):
        run("api", b"newer", "run-2")
    assert git(bare, "rev-parse", BRANCH) == tip


def test_a_commit_follows_no_renamed_directory(run, forge, bare):
    lines = "".join(f"line {each}\n" for each in range(50))
    push_files(bare, "main", {path_of("web"): lines})
    run("web", f"{lines}more\n".encode())
    push_files(bare, "main", {path_of("web"): None, "cmd/site/default.pgo": lines})
    run("api", b"one", "run-2")

    assert git(bare, "show", f"{BRANCH}:cmd/site/default.pgo") == lines.strip()
    assert marker_of("web", forge.get(1).body).absent == "conflict"


MAKEFILE = "api:\n\tgo build ./cmd/api\n{}web:\n\tgo build ./cmd/web\n"


@pytest.mark.parametrize("attributes", ["", "* merge=union\n", "* -merge\n"])
def test_makefiles_are_merged_by_their_lines_whatever_attributes_say(run, bare, prepare, attributes):
    between = "\n" * 8
    push_files(bare, "main", {"Makefile": MAKEFILE.format(between), ".gitattributes": attributes})
    prepare["files"] = {
        name: {
            "Makefile": MAKEFILE.format(between)
            .replace(f"build ./cmd/{name}", f"build -pgo=x ./cmd/{name}")
            .encode()
        }
        for name in ("api", "web")
    }
    run("api")
    run("web")
    push_files(bare, "main", {"Makefile": f"# new\n{MAKEFILE.format(between)}"})
    prepare["files"] = {}
    run("job", b"one", "run-2")

    assert git(bare, "show", f"{BRANCH}:Makefile").count("-pgo=x") == 2
    assert git(bare, "show", f"{BRANCH}:Makefile").startswith("# new\n")


def test_lines_that_both_have_changed_are_not_joined_by_an_attribute(run, forge, bare, prepare):
    push_files(bare, "main", {"Makefile": "all:\n\tgo build\n", ".gitattributes": "* merge=union\n"})
    prepare["files"] = {"web": {"Makefile": b"all:\n\tgo build -pgo=x\n"}}
    run("web")
    push_files(bare, "main", {"Makefile": "all:\n\tgo build -race\n"})
    run("api")

    assert git(bare, "show", f"{BRANCH}:Makefile") == "all:\n\tgo build -race"
    assert marker_of("web", forge.get(1).body).absent == "conflict"


def test_a_run_that_another_of_its_service_has_overtaken_changes_nothing(run, forge, bare, monkeypatch):
    run("api")
    start_anew, inner = step.start_anew, []

    def overtaken(checkout):
        if not inner:
            inner.append(True)
            run("api", b"newest", "run-3")
        return start_anew(checkout)

    monkeypatch.setattr(step, "start_anew", overtaken)
    with pytest.raises(RepositoryError, match="has got another commit of api since this run began"):
        run("api", b"newer", "run-2")
    assert (content(bare, "api"), marker_of("api", forge.get(1).body).run) == ("newest", "run-3")


def test_a_service_whose_profile_moves_replaces_its_own_commit(run, services, bare, prepare):
    services("web", {"profile": "web.bin"})
    prepare["path"] = {"web": "web.bin"}
    run("web")
    run("api")
    services("web")
    prepare["path"] = {}
    run("web", b"two", "run-2")

    assert commits(bare) == [("web", [path_of("web")]), ("api", [path_of("api")])]


def test_a_commit_of_a_service_without_a_file_is_carried_over_and_said(run, services, forge, bare, tmp_path):
    run("web")
    (tmp_path / "services/web.yaml").unlink()
    run("api")

    assert [name for name, _ in commits(bare)] == ["web", "api"]
    assert "There is no service file of `web` any more" in forge.comments(1)["no-service-file"]


def test_a_person_who_writes_our_trailer_is_another_change_all_the_same(run, bare, tmp_path):
    run("api")
    put(bare, ({"README": "by hand\n"}, told(bare, "web"), ADA))
    before = git(bare, "rev-parse", "main")
    merged = merge(bare, "main", BRANCH, "merge")
    git(tmp_path, "clone", "--quiet", bare.as_uri(), "work")

    told_of = _more(tmp_path / "work", "main", merged, before, merged, _Group(Identity().addresses))
    assert told_of == f"the profile's merge {merged[:12]} brought 1 other commit(s)"


# What is in the text.


@pytest.mark.parametrize("head", ["--upload-pack=touch /tmp/planted", "0" * 40, "f" * 40])
def test_a_commit_that_the_text_names_and_that_is_not_there_stops_nothing(run, forge, head):
    run("web")
    out = absent("api", "rejected", Marker("run-0", "a" * 12, head=head), "a person has taken it out")
    forge.update(1, "Title", replaced(forge.get(1).body, "shop", "api", out))

    assert run("api").unchanged is False


def test_the_very_profile_that_was_rejected_is_known_without_its_commit(run, forge):
    run("web")
    out = absent("api", "rejected", Marker("run-0", digest(b"one"), head="0" * 40), "x")
    forge.update(1, "Title", replaced(forge.get(1).body, "shop", "api", out))

    assert "it is the profile of pull request 1, from which it was taken out" in run("api").reason


def test_a_text_that_a_person_has_emptied_is_written_again(run, forge):
    run("api")
    run("web")
    forge.update(1, "Title", "- [x] <!-- fleetpgo:rebase --> mine")
    run("api", b"newer", "run-2")

    made = forge.get(1)
    assert (live(made.body), "## web\n\nIts commit is on the branch" in made.body) == (["api"], True)
    assert "[x]" not in made.body


def test_a_box_that_is_ticked_is_answered_by_one_of_the_runs(run, forge):
    run("api")
    run("web")
    made = forge.get(1)
    forge.update(1, made.title, made.body.replace("- [ ] ", "- [x] "))
    run("web", b"one", "run-2")

    assert "- [x] " not in forge.get(1).body


def test_the_next_pull_request_remembers_what_people_rejected(run, forge, go_profile):
    run("api", go_profile)
    run("web")
    forge.close(1)
    run("web", b"newer", "run-2")
    again = run("api", go_profile, "run-3")

    assert (live(forge.get(2).body), again.unchanged) == (["web"], True)
    assert "from which it was taken out" in again.reason


# Who leaves, and who joins at the same moment.


def test_a_group_that_all_rename_leaves_no_old_pull_request(run, services, forge, tmp_path):
    for name in ("api", "web"):
        run(name)
    (tmp_path / "services/job.yaml").unlink()
    for name in ("api", "web"):
        services(name, {"group": "store"})
    for name in ("api", "web"):
        run(name, b"one", "run-2")

    old, new = forge.pull_requests()
    assert (old.branch, old.state, new.branch, new.state) == (
        BRANCH,
        "closed",
        "fleetpgo/group.store",
        "open",
    )
    assert live(new.body) == ["api", "web"]


def test_a_group_of_one_is_a_group(run, services, forge, bare, tmp_path):
    (tmp_path / "services/web.yaml").unlink()
    run("api")
    run("api", b"newer", "run-2")

    assert (forge.get(1).title, commits(bare)) == (
        "Refresh the PGO profile of api (shop)",
        [("api", [path_of("api")])],
    )


def test_an_own_pull_request_with_a_persons_commit_stays_and_says_so(run, services, forge, bare):
    services("api", {"group": None})
    run("api")
    push_files(bare, "fleetpgo/api", {"README": "by hand\n"})
    services("api")
    run("api", b"one", "run-2")

    assert [each.state for each in forge.pull_requests()] == ["open", "open"]
    assert "its newest commit is by Ada" in forge.comments(1)["stays"]


def test_who_leaves_a_group_with_a_persons_commit_says_so_there(run, services, forge, bare):
    run("api")
    run("web")
    tip = push_files(bare, BRANCH, {"README": "by hand\n"})
    services("api", {"group": None})
    run("api", b"one", "run-2")

    assert git(bare, "rev-parse", BRANCH) == tip
    assert "its newest commit is by Ada" in forge.comments(1)["stays"]


def test_who_comes_back_from_a_group_is_not_taken_for_rejected(run, services, forge, go_profile):
    services("api", {"group": None})
    run("api", go_profile)
    services("api")
    run("api", go_profile, "run-2")
    services("api", {"group": None})
    again = run("api", go_profile, "run-3")

    assert (again.unchanged, [each.state for each in forge.pull_requests()]) == (
        False,
        ["closed", "closed", "open"],
    )


@pytest.mark.parametrize("method", ["git_config", "find", "close", "comment"])
def test_a_forge_that_fails_afterwards_fails_no_run(run, services, forge, monkeypatch, method):
    services("api", {"group": None})
    run("api")
    services("api")
    leave = step.leave_elsewhere

    def fail(*_):
        raise ForgeError("down")

    def leave_while_down(*arguments):
        monkeypatch.setattr(forge, method, fail)
        leave(*arguments)

    monkeypatch.setattr(step, "leave_elsewhere", leave_while_down)
    assert run("api", b"one", "run-2").pull_request == 2


@pytest.mark.parametrize("moment", ["before the branch goes", "after the branch has gone"])
def test_who_joins_while_the_last_one_leaves_keeps_the_pull_request(
    run, forge, bare, prepare, monkeypatch, moment
):
    run("api")
    delete_branch = membership.delete_branch

    def joined(*arguments):
        if moment == "after the branch has gone":
            delete_branch(*arguments)
        run("web")
        if moment == "before the branch goes":
            delete_branch(*arguments)

    monkeypatch.setattr(membership, "delete_branch", joined)
    prepare["api"] = "nothing changed for the compiler"
    run("api", b"one", "run-2")

    assert (forge.get(1).state, live(forge.get(1).body)) == ("open", ["web"])
    assert commits(bare) == [("web", [path_of("web")])]


def test_who_joins_right_before_it_is_closed_is_proposed_again_by_its_wait(run, forge, prepare, monkeypatch):
    run("api")
    close, joined = forge.close, []

    def close_late(number):
        joined.append(run("web"))
        return close(number)

    monkeypatch.setattr(forge, "close", close_late)
    prepare["api"] = "nothing changed for the compiler"
    run("api", b"one", "run-2")
    before = forge.get(1)
    cause = [closed_beside(load_named(name), joined[0], before) for name in ("web", "api")]
    again = run("web")

    assert (before.state, bool(cause[0]), cause[1]) == ("closed", True, "")
    assert (again.unchanged, forge.get(2).state, live(forge.get(2).body)) == (False, "open", ["web"])


def test_a_run_that_is_killed_between_push_and_text_is_told_and_completed(run, forge, bare):
    run("api")
    killed_after(step, "join", lambda: run("web"))
    between = forge.get(1).body
    run("api", b"newer", "run-2")
    told_of = sections(forge.get(1).body)
    run("web")

    assert "web" not in sections(between)
    assert "Its own run writes the text" in told_of["web"]
    assert live(forge.get(1).body) == ["api", "web"]
    assert [name for name, _ in commits(bare)] == ["api", "web"]


def test_one_that_is_killed_before_its_pull_request_opens_is_not_dropped_by_the_next(run, forge, bare):
    run("api")
    forge.close(1)
    killed_after(step, "join", lambda: run("web", b"two"))
    run("job", b"three")

    assert [name for name, _ in commits(bare)] == ["web", "job"]
    assert forge.get(2).state == "open"


def test_one_that_is_killed_while_it_leaves_is_taken_out_by_the_next(run, forge, bare, prepare):
    run("api")
    run("web")
    prepare["api"] = "nothing changed for the compiler"
    killed_after(membership, "join", lambda: run("api", b"one", "run-2"))
    between = live(forge.get(1).body)
    run("api", b"one", "run-2")

    assert (between, live(forge.get(1).body)) == (["api", "web"], ["web"])
    assert commits(bare) == [("web", [path_of("web")])]
