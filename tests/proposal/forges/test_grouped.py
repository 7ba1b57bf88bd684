"""Runs of a group on the double of a forge."""

from __future__ import annotations

import threading
from types import SimpleNamespace

from fleetpgo.proposal import membership
from fleetpgo.proposal.forges import connect
from fleetpgo.proposal.git import git
from fleetpgo.proposal.sections import live
from fleetpgo.steps import propose as step
from tests.proposal.forges.doubles import BOT_COMMITS, PROJECT, TOKEN
from tests.proposal.forges.merging import push_files
from tests.proposal.grouped import BRANCH, commits, prepare, run_on, services, short_pauses

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
                pushed.wait()
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
