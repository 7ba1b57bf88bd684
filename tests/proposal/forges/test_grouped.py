"""Runs of a group on the double of a forge."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from fleetpgo.errors import ForgeError
from fleetpgo.proposal import membership
from fleetpgo.proposal.checkout import clone
from fleetpgo.proposal.forges import connect
from fleetpgo.proposal.git import git
from fleetpgo.proposal.members import own_commit
from fleetpgo.run.proposed import Merge
from fleetpgo.run.store import RunStore
from fleetpgo.service.files import load_named
from fleetpgo.steps import propose as step
from fleetpgo.steps.refresh import clean_up
from tests.proposal.forges.doubles import BOT_COMMITS, PROJECT, TOKEN
from tests.proposal.forges.merging import push_files
from tests.proposal.grouped import (
    BRANCH,
    commits,
    live,
    path_of,
    prepare,
    run_on,
    services,
    short_pauses,
)

__all__ = ["prepare", "run_on", "services", "short_pauses"]


def test_a_section_that_another_run_undid_is_written_again(run_on, services, serve, monkeypatch):
    """web builds while api pushes; api reads the text before web writes its section, and writes it after."""
    double = serve("gitea")
    for name in ("api", "web", "job"):
        services(name, {"forge": "gitea", "project": PROJECT})

    def connected():
        return connect("gitea", PROJECT, address=double.address, token=TOKEN)

    run_on(connected(), "job")
    cloned, pushed, wrote = threading.Event(), threading.Event(), threading.Event()
    start_anew = step.start_anew

    def build(checkout):
        if threading.current_thread() is web:
            cloned.set()
            assert pushed.wait(20)
        return start_anew(checkout)

    monkeypatch.setattr(step, "start_anew", build)
    monkeypatch.setattr(membership, "time", SimpleNamespace(sleep=lambda _: wrote.wait(20)))
    web = threading.Thread(target=lambda: run_on(connected(), "web"))
    web.start()
    assert cloned.wait(20)
    slow = connected()
    update = slow.update

    def update_late(*arguments, **named):
        if not wrote.is_set():
            pushed.set()
            while "web" not in live(double.pulls[0].body):
                wrote.wait(0.02)  # until it has written it
        made = update(*arguments, **named)
        undone.append("web" not in live(double.pulls[0].body))
        wrote.set()
        return made

    undone = []
    slow.update = update_late
    run_on(slow, "api")
    web.join()

    assert undone[0]
    assert sorted(live(double.pulls[0].body)) == ["api", "job", "web"]
    assert sorted(name for name, _ in commits(double.bare)) == ["api", "job", "web"]


def test_github_makes_and_signs_a_commit_that_is_carried_over(run_on, services, serve):
    double = serve("github")
    rules = {"author": "{} <{}>".format(*BOT_COMMITS), "sign": "forge"}
    for name in ("api", "web"):
        services(name, {"forge": "github", "project": PROJECT}, commit=rules)
        run_on(connect("github", PROJECT, address=double.address, token=TOKEN), name)
    push_files(double.bare, "main", {"NEWS": "news\n"})
    run_on(connect("github", PROJECT, address=double.address, token=TOKEN), "api", b"newer", "run-2")

    assert [name for name, _ in commits(double.bare)] == ["api", "web"]
    assert git(double.bare, "log", "--format=%cn", f"main..{BRANCH}").split() == ["GitHub", "GitHub"]


def test_a_group_lives_alike_on_every_forge(run_on, services, prepare, kind, there, forge):
    """Two open it, the base moves, one leaves, the last closes it, and one comes back."""
    for name in ("api", "web"):
        services(name, {"forge": kind, "project": PROJECT})
        run_on(forge, name)
    push_files(there.bare, "main", {"NEWS": "news\n"})
    run_on(forge, "api", b"newer", "run-2")
    both = (live(there.pulls[0].body), commits(there.bare))
    for name in ("api", "web"):
        prepare[name] = "nothing changed for the compiler"
        run_on(forge, name, b"one", "run-3")
    ended = there.pull(1).state
    del prepare["web"]
    again = run_on(forge, "web", b"one", "run-4")

    assert both == (["api", "web"], [(name, [path_of(name)]) for name in ("api", "web")])
    assert (ended, again.pull_request, again.unchanged) == ("closed", 2, False)
    assert (live(there.pull(2).body), [each.state for each in there.pulls]) == (["web"], ["closed", "open"])


@pytest.fixture
def gitea(serve, services):
    double = serve("gitea")
    for name in ("api", "job", "web"):
        services(name, {"forge": "gitea", "project": PROJECT})
    double.connected = lambda: connect("gitea", PROJECT, address=double.address, token=TOKEN)
    return double


def test_what_is_pushed_after_the_end_is_not_of_what_has_ended(run_on, gitea):
    """Gitea gives a closed one's head where its branch is now; the reference of the request keeps it."""
    run_on(gitea.connected(), "api")
    gitea.close(1)
    stumbles = gitea.connected()
    stumbles.create = raising(ForgeError("down"))
    with pytest.raises(ForgeError):
        run_on(stumbles, "web", b"two", "run-2")
    run_on(gitea.connected(), "job", b"three", "run-3")

    assert [name for name, _ in commits(gitea.bare)] == ["web", "job"]


def test_a_closed_one_whose_branch_and_head_are_gone_stops_nobody(run_on, gitea):
    run_on(gitea.connected(), "api")
    gitea.close(1)
    gitea.delete_branch(BRANCH)
    git(gitea.bare, "update-ref", "-d", "refs/pull/1/head")
    gitea.pulls[0].head = ""
    same, newer = (run_on(gitea.connected(), "api", each, "run-2") for each in (b"one", b"newer"))

    assert ("it is the profile of pull request 1" in same.reason, newer.pull_request) == (True, 2)


def test_after_a_merge_the_branch_of_the_next_pull_request_stays(run_on, gitea, tmp_path):
    first = run_on(gitea.connected(), "api")
    gitea.merge(1)
    run_on(gitea.connected(), "web", b"two", "run-2")
    store = RunStore(tmp_path / "store", "api", "run-1")
    store.write(first)
    store.write(Merge("merged", datetime.now(UTC), first.head))
    clean_up(store, gitea.connected)
    with clone(gitea.bare.as_uri(), "main", "x", config={}) as checkout:
        own = own_commit(checkout, load_named("api"), gitea.connected().get(1))

    assert [name for name, _ in commits(gitea.bare)] == ["web"]
    assert own == first.head


def raising(error):
    def fail(*_, **__):
        raise error

    return fail
