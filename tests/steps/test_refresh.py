"""What is done about an open pull request between two runs, on a local forge; the builds are left out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fleetpgo.errors import BuildError, ForgeError
from fleetpgo.proposal import automerge
from fleetpgo.proposal.ensure import Marker, marker_line
from fleetpgo.proposal.etiquette import REBASE, REBASE_BOX, TAKE_OVER
from fleetpgo.proposal.forges import Standing
from fleetpgo.proposal.git import git
from fleetpgo.proposal.sections import compose
from fleetpgo.proposal.signing import Identity
from fleetpgo.run.proposed import Failed, Merge, Proposed, Watched
from fleetpgo.run.released import Begun
from fleetpgo.run.store import RunStore
from fleetpgo.steps import refresh as step
from fleetpgo.steps.wait import look_for_merge
from fleetpgo.steps.watch import begin_to_wait, waited
from tests.proposal.forges.merging import push_files
from tests.proposal.grouped import make_commit
from tests.run.artifacts import manifest
from tests.tiny import tiny

BRANCH = "fleetpgo/tiny"
BODY = f'Text\n- [ ] {REBASE_BOX} now\n<!-- fleetpgo {{"run": "run-1", "profile": "0123456789ab"}} -->\n'
NOW = datetime(2026, 1, 5, 6, tzinfo=UTC)


@pytest.fixture
def store(tmp_path, forge, bare):
    git(bare, "branch", BRANCH, "main")
    head = push_files(bare, BRANCH, {"go.mod": "module ours\n"})
    forge.create(BRANCH, "main", "Title", BODY)
    store = RunStore(tmp_path / "store", "tiny", "run-1")
    store.write(
        Proposed(BRANCH, "main", "0123456789ab", unchanged=False, dry_run=False, head=head, pull_request=1)
    )
    return store


@pytest.fixture
def proposing(monkeypatch):
    """What proposing again comes to; how often it was asked to."""
    asked = []

    def come_to(outcome):
        def propose_profile(service, store, forge, *, again, **_):
            asked.append(again)
            if isinstance(outcome, Exception):
                raise outcome
            return replace(store.read(Proposed), head="f" * 40)

        monkeypatch.setattr(step, "propose_profile", propose_profile)
        return asked

    return come_to


RELEASES = {
    "selection": {"cpu": "up", "builds": "build_info"},
    "rollout": {"fraction": "up", "revision": "count by (revision) (build_info)"},
    "release": {},
}


def look(store, forge, now=NOW, sections=None, **review):
    service = tiny(review=review, **(sections or {}))
    return look_for_merge(store, forge, service, now=now, patience=timedelta(days=7))


def refresh(store, forge, tmp_path, now=NOW):
    return step.refresh(tiny(), store, forge, cache=tmp_path, now=now)


def test_a_conflict_is_worked_on_once(store, forge, bare, proposing, tmp_path):
    asked = proposing(None)
    before = look(store, forge).state
    push_files(bare, "main", {"go.mod": "module theirs\n"})
    due = look(store, forge)
    refresh(store, forge, tmp_path)

    assert ("waiting", "work", "it conflicts with its base") == (before, due.state, due.message[-26:])
    assert ("waiting", [True]) == (look(store, forge).state, asked)
    push_files(bare, "main", {"go.mod": "module theirs again\n"})
    later = [look(store, forge, NOW + timedelta(minutes=each)).state for each in (59, 60)]
    assert later == ["waiting", "work"]  # a base that moves each minute is followed each hour


def test_a_release_that_moved_on_is_worked_on_once(store, forge, proposing, tmp_path):
    asked = proposing(None)
    store.write(Begun("run-1", NOW, "v1", NOW, 0.6))
    RunStore(store.root, "tiny", "run-2").write(Begun("run-2", NOW, "v2", NOW + timedelta(hours=1), 0.6))
    due = look(store, forge, sections=RELEASES)
    step.refresh(tiny(**RELEASES), store, forge, cache=tmp_path, now=NOW)

    assert ("work", "release v2 has come since the one that it is for") == (due.state, due.message[-48:])
    assert ("waiting", [True]) == (look(store, forge, sections=RELEASES).state, asked)


def test_a_release_that_moved_on_is_left_alone_once_the_text_says_so(store, forge):
    store.write(Begun("run-1", NOW, "v1", NOW, 0.6))
    RunStore(store.root, "tiny", "run-2").write(Begun("run-2", NOW, "v2", NOW + timedelta(hours=1), 0.6))
    forge.update(1, "Title", f"Release `v2` has come since.\n{BODY}")

    assert "waiting" == look(store, forge, sections=RELEASES).state


@pytest.mark.parametrize("way", ["label", "box"])
def test_somebody_asks_for_it(store, forge, proposing, tmp_path, way):
    proposing(None)
    if way == "label":
        forge.label(1, add=(REBASE,))
    else:
        forge.update(1, "Title", BODY.replace("[ ]", "[x]"))
    before = look(store, forge).state
    refresh(store, forge, tmp_path)

    assert ("work", "waiting") == (before, look(store, forge).state)
    assert ((), BODY) == (forge.get(1).labels, forge.get(1).body)


def test_what_cannot_be_built_is_said_and_ends_nothing(store, forge, proposing, tmp_path):
    proposing(BuildError("it does not build"))
    forge.label(1, add=(REBASE,))
    refresh(store, forge, tmp_path)

    assert "could not make this branch anew from its base: `it does not build`" in forge.comments(1)["stuck"]
    assert look(store, forge).state == "waiting"


def test_a_passing_fault_is_tried_again_after_an_hour(store, forge, bare, proposing, tmp_path):
    proposing(ForgeError("the forge is down"))
    push_files(bare, "main", {"go.mod": "module theirs\n"})
    refresh(store, forge, tmp_path)

    assert "waiting" == look(store, forge, NOW + timedelta(minutes=59)).state
    assert "work" == look(store, forge, NOW + timedelta(hours=1)).state
    assert forge.comments(1) == {}


def test_what_was_asked_for_and_fails_is_not_built_again_and_again(store, forge, bare, proposing, tmp_path):
    asked = proposing(BuildError("it does not build"))
    forge.label(1, add=(TAKE_OVER,))
    refresh(store, forge, tmp_path)

    assert ("waiting", [True]) == (look(store, forge).state, asked)
    push_files(bare, "main", {"NEWS": "a person's\n"})
    assert look(store, forge).state == "work"


def test_what_the_forge_does_not_take_back_is_tried_again(store, forge, proposing, tmp_path, monkeypatch):
    proposing(BuildError("it does not build"))
    forge.label(1, add=(REBASE,))

    def down(*_):
        raise ForgeError("the forge is down")

    with monkeypatch.context() as patch:
        patch.setattr(type(forge), "comment", down)
        refresh(store, forge, tmp_path)

    assert ["waiting", "work"] == [
        look(store, forge, NOW + timedelta(minutes=each)).state for each in (59, 60)
    ]


def test_a_wait_that_is_cleared_begins_anew(store):
    begin_to_wait(store, "merge", NOW)
    store.write(Failed("nobody merged it"), "wait_for_merge")
    later = NOW + timedelta(days=61)
    before = waited(store, later)
    begin_to_wait(store, "merge", later)

    assert (before, waited(store, later)) == (timedelta(days=61), timedelta(0))
    assert not store.exists(Failed, "wait_for_merge")


def test_a_label_stops_all_of_it(store, forge):
    forge.label(1, add=(REBASE, "fleetpgo/do-not-update"))

    assert look(store, forge).state == "waiting"


def test_a_required_check_that_fails_for_a_day_is_said_once_on_it(store, forge, monkeypatch):
    failing = Standing("a" * 40, "b" * 40, checks=("test",), waiting=("the check test",), failed=("test",))
    monkeypatch.setattr(type(forge), "standing", lambda *_: failing)
    for hours in (0, 23):
        look(store, forge, NOW + timedelta(hours=hours))
    before = forge.comments(1)
    look(store, forge, NOW + timedelta(hours=25))

    assert before == {}
    assert "- `test`" in forge.comments(1)["failing"]


def test_one_that_is_merged_elsewhere_ends_the_wait_with_that_word(store, forge, bare):
    git(bare, "branch", "trunk", "main")
    forge.update(1, "Title", BODY, "trunk")
    forge.merge(1)

    assert "was merged into trunk, and not into main" in look(store, forge).message
    assert store.read(Merge).state == "skipped"


def test_one_that_is_reopened_and_merged_within_a_week_is_measured(store, forge):
    forge.close(1)
    closed = look(store, forge)
    record = forge._read(1)
    forge._write(replace(record, pull_request=replace(record.pull_request, state="open")))
    reopened = look(store, forge, NOW + timedelta(days=1))
    forge.merge(1)

    assert ("waiting", "waiting") == (closed.state, reopened.state)
    assert "done" == look(store, forge, NOW + timedelta(days=20)).state
    assert store.read(Watched).closed_at is None


def test_one_that_another_one_superseded_says_so(store, forge):
    forge.close(1)
    forge.create(BRANCH, "main", "Title", "Body")

    assert "superseded by pull request #2" in look(store, forge).message


def test_the_merged_branch_is_deleted_unless_it_has_moved(store, forge, bare):
    forge.merge(1)
    look(store, forge)
    moved = push_files(bare, BRANCH, {"README": "by hand\n"})
    step.clean_up(store, lambda: forge)
    kept = git(bare, "rev-parse", BRANCH)
    git(bare, "update-ref", f"refs/heads/{BRANCH}", store.read(Proposed).head)
    step.clean_up(store, lambda: forge)

    assert moved == kept
    assert git(bare, "for-each-ref", f"refs/heads/{BRANCH}") == ""


def test_it_merges_by_rule_once_nothing_is_waited_for(store, forge, tmp_path):
    forge.label(1, add=("fleetpgo",))
    service = tiny(review={"auto_merge": "squash"})
    due = look_for_merge(store, forge, service, now=NOW)
    step.refresh(service, store, forge, cache=tmp_path)

    assert ("work", "merged") == (due.state, forge.get(1).state)


def by_rule(store, forge, monkeypatch, *standings):
    """Look, and act if that is due, at each standing in turn, a minute apart; what the looks found."""
    forge.label(1, add=("fleetpgo",))
    service, head = tiny(review={"auto_merge": "squash"}), store.read(Proposed).head
    monkeypatch.setattr(automerge, "_PAUSE_S", 0)
    found = []
    for minute, standing in enumerate(standings):
        now = NOW + timedelta(minutes=minute)
        here = {"head": head, "base_head": "b" * 40, **standing}
        monkeypatch.setattr(type(forge), "standing", lambda *_, here=here: Standing(**here))
        outcome = look_for_merge(store, forge, service, now=now)
        found.append(outcome.state)
        if outcome.state == "work":
            step.refresh(service, store, forge, cache=None, now=now)
    return found


def test_right_after_a_rebuild_it_is_merged_all_the_same(store, forge, monkeypatch):
    store.write(Watched(worked_at=NOW))
    assert by_rule(store, forge, monkeypatch, {}) == ["work"]
    assert forge.get(1).state == "merged"


def test_the_forge_is_asked_to_merge_it_later_once_for_each_commit(store, forge, monkeypatch):
    asked = []
    monkeypatch.setattr(type(forge), "merge_once_ready", lambda *arguments: asked.append(arguments[1:]))
    waits = {"checks": ("test",), "waiting": ("the check test",)}
    found = by_rule(store, forge, monkeypatch, {**waits, "settled": False}, waits, waits)
    assert found == ["waiting", "work", "waiting"]
    assert asked == [(1, "squash", store.read(Proposed).head)]


@pytest.fixture
def grouped(forge, bare, tmp_path):
    """The run of a service of a group, with the text of its pull request as a test sets it."""
    branch = "fleetpgo/group.shop"
    git(bare, "branch", branch, "main")
    head = push_files(bare, branch, {"go.mod": "module ours\n"})
    forge.create(branch, "main", "Title", "")
    store = RunStore(tmp_path / "store", "tiny", "run-1")
    store.write(
        Proposed(branch, "main", "0123456789ab", unchanged=False, dry_run=False, head=head, pull_request=1)
    )
    store.write(manifest(made_at=NOW))

    def told(**sections):
        forge.update(
            1, "Title", compose("shop", {name: marker_line(each) for name, each in sections.items()})
        )
        service = tiny(repository={"group": "shop"})
        return look_for_merge(store, forge, service, now=NOW)

    return told


OWN, OTHER = Marker("run-1", "0123456789ab", "tiny"), Marker("run-9", "ffffffffffff", "other")


def test_in_a_group_another_services_section_supersedes_nobody(grouped):
    assert grouped(tiny=OWN, other=OTHER).state == "waiting"


def test_in_a_group_a_newer_run_of_the_service_takes_over(grouped):
    found = grouped(tiny=replace(OWN, run="run-2", profile="eeeeeeeeeeee"), other=OTHER)
    assert (found.state, "superseded by run run-2" in found.message) == ("skipped", True)


@pytest.mark.parametrize("lost", ["no section", "an older one", "no commit", "an older one's absence"])
def test_a_section_or_commit_that_another_service_has_undone_is_made_anew(grouped, tmp_path, lost):
    RunStore(tmp_path / "store", "tiny", "run-0").write(manifest(made_at=NOW - timedelta(days=7)))
    sections = {
        "no section": {},
        "an older one": {"tiny": replace(OWN, run="run-0", profile="eeeeeeeeeeee")},
        "no commit": {"tiny": replace(OWN, absent="conflict")},
        "an older one's absence": {"tiny": replace(OWN, run="run-0", absent="withdrawn")},
    }[lost]
    found = grouped(other=OTHER, **sections)
    assert (found.state, found.message.rpartition(": ")[2]) == (
        "work",
        "its section or its commit is not there",
    )


@pytest.mark.parametrize("absent", ["withdrawn", "rejected"])
def test_a_service_that_was_taken_out_of_its_group_waits_no_more(grouped, absent):
    assert grouped(tiny=replace(OWN, absent=absent), other=OTHER).state == "skipped"


def test_the_branch_of_a_group_goes_after_the_merge_whoever_has_its_newest_commit(
    forge, bare, grouped, tmp_path
):
    grouped(tiny=OWN, other=OTHER)
    trailers = f"Fleetpgo-Base: {'0' * 40}\nFleetpgo-After: 0"
    head, us = forge.get(1).head, (Identity().name, Identity().email)
    for name in ("tiny", "other"):
        told = f"Refresh\n\nFleetpgo-Service: {name}\n{trailers}"
        head = make_commit(bare, head, {name: "x"}, told, us)
    git(bare, "update-ref", "refs/heads/fleetpgo/group.shop", head)
    forge.merge(1)
    store = RunStore(tmp_path / "store", "tiny", "run-1")
    look_for_merge(store, forge)
    step.clean_up(store, lambda: forge)
    assert git(bare, "branch", "--list", "fleetpgo/*") == ""


@pytest.mark.parametrize(
    ("joined", "ending"), [(OWN, ("work", [True])), (replace(OWN, absent="withdrawn"), ("skipped", []))]
)
def test_one_that_fleetpgo_closed_for_another_service_is_proposed_again(
    forge, grouped, proposing, tmp_path, joined, ending
):
    asked = proposing(None)
    grouped(tiny=joined, other=replace(OTHER, absent="withdrawn"))
    forge.comment(1, f"fleetpgo closes this at {'a' * 40}: nothing changed.", "pointless")
    forge.close(1)
    store = RunStore(tmp_path / "store", "tiny", "run-1")
    service = tiny(repository={"group": "shop"})
    found = look_for_merge(store, forge, service, now=NOW)
    if found.state == "work":
        step.refresh(service, store, forge, cache=tmp_path, now=NOW)
        assert look_for_merge(store, forge, service, now=NOW).state == "skipped"  # it is not tried for ever

    assert (found.state, asked) == ending
