"""Limits of a repository's builds and open pull requests, on a local forge and a real store."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest

from fleetpgo.errors import ForgeError, LimitError
from fleetpgo.proposal.git import git
from fleetpgo.run import storage
from fleetpgo.run.proposed import Failed, Merge, Proposed, Turn
from fleetpgo.run.store import RunStore
from fleetpgo.service.files import load_named
from fleetpgo.steps.turns import ask_for_turn, look_for_turn, require_room, require_turn
from tests.run.artifacts import manifest

NOW = datetime.now(UTC)
RULES = {
    "selection": {"cpu": "up"},
    "build": {"binary": "bin/tiny", "timeout": "3m"},
    "rollout": {"fraction": "up"},
}


@pytest.fixture
def services(tmp_path, monkeypatch):
    """Write service files of one repository, each with its limits."""
    directory = tmp_path / "services"
    directory.mkdir()
    monkeypatch.setenv("FLEETPGO_SERVICES", str(directory))

    def write(**limits):
        for name, each in limits.items():
            repository = {"forge": "local", "connection": "forge", "project": "tiny", "limits": each}
            (directory / f"{name}.yaml").write_text(json.dumps({**RULES, "repository": repository}))

    return write


@pytest.fixture
def look(tmp_path, forge):
    """Ask for a run's turn, and look for it once."""

    def look_once(service, run="run", *, now=NOW, opens=True):
        store = RunStore(tmp_path / "store", service, run)
        rules = load_named(service)
        if not ask_for_turn(rules, store, opens=opens):
            return None
        return look_for_turn(rules, store, lambda: forge, now=now)

    return look_once


@pytest.fixture
def opened(forge, bare):
    """Open the pull request of a service."""

    def open_one(service):
        git(bare, "branch", f"fleetpgo/{service}", "main")
        return forge.create(f"fleetpgo/{service}", "main", service, "body").number

    return open_one


def merged(tmp_path, run, at):
    """Have a run of b merged a profile then."""
    store = store_of(tmp_path, "b", run)
    store.write(manifest(made_at=at))
    return store


def store_of(tmp_path, service, run="run"):
    return RunStore(tmp_path / "store", service, run)


def test_without_limits_nothing_is_written_or_asked(services, look, tmp_path):
    services(a={}, b={})
    assert (look("a"), store_of(tmp_path, "a").find(Turn)) == (None, None)


def test_of_several_files_the_smallest_limit_counts(services, look):
    services(a={"builds_per_hour": 5}, b={"builds_per_hour": 1}, c={})
    states = [look(each).state for each in "abc"]
    assert states == ["done", "waiting", "waiting"]


def test_a_build_beyond_the_hours_limit_waits_and_says_until_when(services, look, tmp_path):
    services(a={"builds_per_hour": 1}, b={})
    look("a")
    waits = look("b", now=NOW + timedelta(minutes=59))
    then = NOW + timedelta(hours=1)
    assert waits.message == (
        "1 build(s) of tiny have begun within an hour, and repository.limits allows 1 (builds_per_hour); the "
        f"next may begin at {then:%Y-%m-%d %H:%M} UTC"
    )
    assert store_of(tmp_path, "b").read(Turn).waits_for == waits.message
    assert look("b", now=then).state == "done"


def test_another_repositorys_builds_do_not_count(services, look, tmp_path):
    services(a={"builds_per_hour": 1}, b={"builds_per_hour": 1})
    file = tmp_path / "services" / "b.yaml"
    file.write_text(file.read_text().replace('"project": "tiny"', '"project": "other"'))
    assert [look(each).state for each in "ab"] == ["done", "done"]


def test_an_open_pull_request_beyond_the_limit_waits(services, look, opened, forge):
    services(a={"open": 1}, b={})
    number = opened("a")
    waits = look("b")
    assert (waits.state, waits.message) == (
        "waiting",
        "1 pull request(s) of tiny are open, or soon will be: fleetpgo/a; repository.limits allows 1 (open)",
    )
    forge.close(number)
    assert look("b").state == "done"


def test_the_pull_request_of_a_group_counts_once(services, look, opened, tmp_path):
    services(a={"open": 2}, b={}, c={}, d={})
    for name in "ab":
        file = tmp_path / "services" / f"{name}.yaml"
        rules = json.loads(file.read_text())
        rules["repository"]["group"] = "shop"
        file.write_text(json.dumps(rules))
    opened("group.shop")
    assert (look("b").state, look("c").state) == ("done", "done")
    opened("d")
    assert "fleetpgo/d, fleetpgo/group.shop" in look("c", "run-2").message


def test_ones_own_open_pull_request_is_always_brought_up_to_date(services, look, opened):
    services(a={"open": 1}, b={})
    opened("a")
    opened("b")
    assert look("b").state == "done"


def test_a_dry_run_opens_nothing_so_it_waits_for_no_pull_request(services, look, opened):
    services(a={"open": 1}, b={})
    opened("a")
    assert look("b", opens=False).state == "done"


def test_who_is_building_counts_until_it_has_proposed_or_failed(services, look, tmp_path):
    services(a={"open": 1}, b={}, c={})
    look("a")
    before = look("b").state
    store_of(tmp_path, "a").write(Failed("it does not build"), "build_and_open_pr")
    after = look("b").state
    nothing = Proposed("fleetpgo/b", "main", "0" * 12, unchanged=True, dry_run=False, reason="as good")
    store_of(tmp_path, "b").write(nothing)
    assert (before, after, look("c").state) == ("waiting", "done", "done")


def test_a_newer_run_of_the_service_takes_the_place_of_one_that_waits(services, look, tmp_path):
    services(a={"builds_per_hour": 1}, b={})
    look("a")
    merged(tmp_path, "second", NOW)
    merged(tmp_path, "first", NOW - timedelta(days=7))
    second = look("b", "second")
    first = look("b", "first", now=NOW + timedelta(minutes=1))  # it was held up
    assert (first.state, second.state) == ("skipped", "waiting")
    assert first.message == "superseded by run second, which waits to build with a newer profile"
    assert store_of(tmp_path, "b", "first").read(Merge).state == "skipped"


@pytest.mark.parametrize("task", ["wait_for_turn", "build_and_open_pr"])
def test_a_newer_run_that_has_failed_takes_no_ones_place(services, look, tmp_path, task):
    services(a={"builds_per_hour": 1}, b={})
    look("a")
    merged(tmp_path, "second", NOW)
    merged(tmp_path, "first", NOW - timedelta(days=7))
    look("b", "second")
    store_of(tmp_path, "b", "second").write(Failed("for whatever reason"), task)
    assert look("b", "first").state == "waiting"


def test_a_run_that_has_its_turn_and_was_killed_has_it_still(services, look):
    services(a={"builds_per_hour": 1}, b={})
    assert [look("a").state, look("a").state, look("b").state] == ["done", "done", "waiting"]


def test_a_rebuild_beyond_the_limit_ends_no_wait(services, look, forge, tmp_path):
    services(a={"builds_per_hour": 1}, b={})
    look("a")
    merged(tmp_path, "second", NOW)
    look("b", "second")
    first = merged(tmp_path, "first", NOW - timedelta(days=7))
    first.write(Merge("merged", NOW, "c" * 40))
    with pytest.raises(LimitError):
        require_turn(load_named("b"), first, lambda: forge, opens=True, now=NOW)
    assert first.read(Merge).state == "merged"


def test_a_claim_is_given_back_if_the_look_fails(services, look, forge, tmp_path, monkeypatch):
    services(a={"open": 1}, b={})
    asked = []

    def find(*_):
        asked.append(1)
        if len(asked) > 2:
            raise ForgeError("the forge is down")

    monkeypatch.setattr(type(forge), "find", find)
    with pytest.raises(ForgeError):
        look("a")
    assert store_of(tmp_path, "a").read(Turn).claimed_at is None


def test_a_claim_of_long_ago_is_renewed(services, look, tmp_path):
    services(a={"builds_per_hour": 1}, b={})
    store_of(tmp_path, "a").write(Turn(claimed_at=NOW - timedelta(hours=2)))
    seen = []
    write = storage.write

    def write_and_look(path, data, **options):
        write(path, data, **options)
        if b'"claimed_at": "' in data and not seen:
            seen.append(1)
            seen.append(look("b").state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "write", write_and_look)
        look("a")
    assert seen[1] == "waiting"


def test_two_that_look_at_once_never_both_pass(services, look, monkeypatch):
    """Both have seen a free place before either claims it."""
    services(a={"builds_per_hour": 1}, b={})
    met, found = threading.Barrier(2, timeout=10), {}
    write = storage.write

    def write_together(path, data, **options):
        if b'"claimed_at": "' in data:
            met.wait()
        write(path, data, **options)

    monkeypatch.setattr(storage, "write", write_together)

    def run(name):
        found[name] = look(name).state

    threads = [threading.Thread(target=run, args=(name,)) for name in "ab"]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(found.values()) in (["done", "waiting"], ["waiting", "waiting"])


def test_a_claim_that_a_killed_process_left_is_its_own_at_the_next_try(services, look, tmp_path):
    services(a={"builds_per_hour": 1}, b={})
    store_of(tmp_path, "a").write(Turn(claimed_at=NOW))
    assert (look("b").state, look("a").state) == ("waiting", "done")


def test_the_command_ends_with_a_sentence_and_leaves_nothing_that_waits(services, look, forge, tmp_path):
    services(a={"builds_per_hour": 1}, b={})
    look("a")
    store = store_of(tmp_path, "b")
    for require in (require_room, require_turn):
        with pytest.raises(LimitError, match=r"repository\.limits allows 1") as raised:
            require(load_named("b"), store, lambda: forge, opens=True, now=NOW)
    assert "the profile of run run is kept: propose it later (--run run)" in raised.value.hint
    assert store.find(Turn) is None


def test_a_branch_that_is_made_anew_counts_as_a_build(services, look, forge, tmp_path):
    services(a={"builds_per_hour": 2}, b={})
    look("a")
    require_turn(load_named("a"), store_of(tmp_path, "a"), lambda: forge, opens=True, now=NOW)
    assert look("b").state == "waiting"
