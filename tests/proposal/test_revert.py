"""A regression takes its profile out again, on a real git origin."""

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from fleetpgo.measurement.comparison import Comparison
from fleetpgo.measurement.estimate import Estimate
from fleetpgo.measurement.evidence import Amount, change
from fleetpgo.measurement.verdict import Verdict
from fleetpgo.proposal.checkout import clone
from fleetpgo.proposal.commits import commit, push
from fleetpgo.proposal.etiquette import DO_NOT_UPDATE
from fleetpgo.proposal.git import git
from fleetpgo.proposal.revert import Reverted, propose_revert
from fleetpgo.run.digest import digest
from fleetpgo.run.proposed import Rollout
from tests.conftest import TINY
from tests.proposal.forges.merging import MERGES, merge, push_files
from tests.tiny import tiny

NOON = datetime(2026, 1, 7, 12, tzinfo=UTC)
PATH = "pgo/profile.pprof"
BRANCH = "fleetpgo/tiny-revert"


def regression(attribution="PGO"):
    return Comparison(
        period="rollout",
        rollout=Rollout("0123456789ab", NOON, NOON + timedelta(minutes=30), 0.9),
        before=("2026-01-07T11:00:00+00:00", "2026-01-07T12:00:00+00:00"),
        after=("2026-01-07T13:00:00+00:00", "2026-01-07T14:00:00+00:00"),
        per="request",
        verdict=Verdict("regression", (), 0.005, attribution=attribution),
        estimate=Estimate("A", "t interval over 10 datacenters", -0.03, -0.04, -0.02, -85.2, 9, ()),
        supporting=(),
        not_possible={},
        elasticity=None,
        raw=change(500, Amount(3000.0, 500_000.0), Amount(3090.0, 500_000.0)),
        groups={},
        guardrails=(),
        queries={},
    )


@dataclass(frozen=True)
class Merged:
    """A pull request of ours: its number and address, our commit, and the base's after the merge."""

    number: int
    url: str
    head: str
    merge_commit: str


@pytest.fixture
def bring(forge, bare):
    """Propose a profile and merge it, as a run and a reviewer do; between the two, people may commit."""

    def bring_it(profile, *, how="merge", meanwhile=None):
        files = {PATH: profile, "Makefile": b"build:\n\tgo build -pgo=pgo/profile.pprof -o bin/tiny .\n"}
        with clone(forge.clone_url, "main", "fleetpgo/tiny", config={}) as checkout:
            head = commit(checkout, files, "Refresh", exact=PATH)
            push(checkout, head)
        opened = forge.create("fleetpgo/tiny", "main", "Refresh", "Body")
        if meanwhile:
            meanwhile()
        merge_commit = merge(bare, "main", "fleetpgo/tiny", how)
        forge.close(opened.number)  # the local forge itself knows one way to merge
        git(bare, "branch", "--quiet", "-D", "fleetpgo/tiny")
        return Merged(opened.number, opened.url, head, merge_commit)

    return bring_it


@pytest.fixture
def run(forge):
    def propose(merged, profile, measured=None, **review):
        return propose_revert(
            tiny(review=review),
            forge,
            profile=digest(profile),
            head=merged.head,
            commit=merged.merge_commit,
            brought_by=merged.url,
            pull_request=merged.number,
            merged_branch="fleetpgo/tiny",
            measured=measured or regression(),
            report="| evidence |\n",
        )

    return propose


def changes(bare):
    """What the revert pull request changes, as git's status letters and paths."""
    lines = git(bare, "diff", "--name-status", "--no-renames", "main", BRANCH).splitlines()
    return [tuple(line.split("\t")) for line in lines]


PERSON = {"README": "By hand.\n", "main.go": f"{TINY}\n// By hand.\n"}
"""What a person commits on top of ours, in the same pull request."""


@pytest.mark.parametrize("person", [False, True], ids=["ours alone", "a person's on top"])
@pytest.mark.parametrize("how", MERGES)
def test_however_it_was_merged_our_files_are_restored_and_no_others(
    run, bring, bare, go_profile, how, person
):
    def meanwhile():
        if how != "fast-forward-only":
            push_files(bare, "main", {"other.go": "package main\n"})
        if person:
            push_files(bare, "fleetpgo/tiny", PERSON)

    reverted = run(bring(go_profile, how=how, meanwhile=meanwhile), go_profile)

    assert (2, "") == (reverted.pull_request, reverted.reason)
    assert changes(bare) == [("M", "Makefile"), ("D", PATH)]
    assert git(bare, "show", f"{BRANCH}:Makefile") == "build:\n\tgo build -o bin/tiny ."
    if person:
        assert git(bare, "show", f"{BRANCH}:README") == "By hand."
        assert git(bare, "show", f"{BRANCH}:main.go").endswith("// By hand.")
    blob = git(bare, "rev-parse", f"main:{PATH}")
    assert blob not in git(bare, "ls-tree", "-r", BRANCH)


@pytest.mark.parametrize("how", MERGES)
def test_an_earlier_profile_is_back_however_the_later_one_was_merged(run, bring, bare, go_profile, how):
    bring(b"before")

    run(bring(go_profile, how=how), go_profile)

    assert changes(bare) == [("M", PATH)]
    assert git(bare, "cat-file", "blob", f"{BRANCH}:{PATH}") == "before"


def test_what_people_changed_elsewhere_in_the_makefile_stays(run, bring, bare, go_profile):
    merged = bring(go_profile)
    edited = "test:\n\tgo test ./...\n\nbuild:\n\tgo build -pgo=pgo/profile.pprof -o bin/tiny .\n"
    push_files(bare, "main", {"Makefile": edited})

    run(merged, go_profile)

    makefile = git(bare, "show", f"{BRANCH}:Makefile")
    assert makefile == "test:\n\tgo test ./...\n\nbuild:\n\tgo build -o bin/tiny ."


def test_a_makefile_that_people_have_removed_since_stays_removed(run, bring, bare, go_profile):
    merged = bring(go_profile)
    push_files(bare, "main", {"Makefile": None})

    run(merged, go_profile)

    assert changes(bare) == [("D", PATH)]


def test_a_regression_is_answered_with_a_pull_request_that_restores_what_was_before(
    run, bring, forge, bare, go_profile
):
    before = git(bare, "rev-parse", "main^{tree}")
    merged = bring(go_profile)
    reverted = run(merged, go_profile, reviewers=["ada"])

    made = forge.get(2)
    assert Reverted(2, made.url) == reverted
    assert (before, git(bare, "rev-parse", "main")) == (
        git(bare, "rev-parse", f"{BRANCH}^{{tree}}"),
        git(bare, "rev-parse", f"{BRANCH}^"),
    )
    assert "Signed-off-by: fleetpgo" in git(bare, "log", "-1", "--format=%B", BRANCH)
    assert (("fleetpgo",), ("ada",), False) == (made.labels, forge.people(2)[0], made.draft)


def test_the_pull_request_has_the_verdict_the_suspects_and_the_evidence(run, bring, forge, go_profile):
    merged = bring(go_profile)
    run(merged, go_profile)

    body = forge.get(2).body
    assert body.startswith(
        f"Restores `{PATH}` and `Makefile` to their state before {merged.url}, which brought the PGO "
        f"profile of `tiny` and was merged as {merged.merge_commit}."
    )
    assert r"Regression: 3.0 % \[2.0, 4.0\] more CPU" in body
    assert body.count("` calls `") == 10
    assert "| evidence |" in body


def test_the_pull_request_offers_the_search_for_the_culprit_instead(run, bring, forge, go_profile):
    run(bring(go_profile), go_profile)

    body = forge.get(2).body
    assert "```sh\nfleetpgo bisect tiny --forge ADDRESS\n```" in body
    assert "this runs benchmarks (give `--benchmark`: `build.benchmark` is empty) without and with it" in body


def test_the_second_measurement_brings_the_same_pull_request_up_to_date(run, bring, forge, go_profile):
    merged = bring(go_profile)
    first, second = run(merged, go_profile), run(merged, go_profile)

    assert (first, 2) == (second, len(forge.pull_requests()))


def test_it_is_a_draft_if_the_service_file_says_so(run, bring, forge, go_profile):
    run(bring(go_profile), go_profile, revert="draft")

    assert forge.get(2).draft


def test_a_revert_that_is_switched_off_is_not_proposed(run, bring, forge, go_profile):
    assert run(bring(go_profile), go_profile, revert="off").reason == "review.revert is off"
    assert len(forge.pull_requests()) == 1


def test_a_regression_of_the_release_is_not_the_profile_s(run, bring, forge, go_profile):
    reverted = run(bring(go_profile), go_profile, regression("release"))

    assert "the profile may not be the cause" in reverted.reason
    assert len(forge.pull_requests()) == 1


def test_a_profile_that_was_replaced_since_is_not_reverted(run, bring, forge, go_profile):
    merged = bring(go_profile)
    bring(b"newer")

    assert run(merged, go_profile).reason == f"main does not hold profile {digest(go_profile)} any more"
    assert len(forge.pull_requests()) == 2


def test_a_revert_that_was_closed_unmerged_is_not_proposed_again(run, bring, forge, go_profile):
    merged = bring(go_profile)
    run(merged, go_profile)
    forge.close(2)

    assert run(merged, go_profile).reason == (
        "pull request 2, which reverted the same commit, was closed unmerged"
    )


def test_a_label_stops_the_updates_of_a_revert_too(run, bring, forge, go_profile):
    merged = bring(go_profile)
    run(merged, go_profile)
    forge.label(2, add=(DO_NOT_UPDATE,))

    assert run(merged, go_profile).reason == "pull request 2 has the label fleetpgo/do-not-update"


def test_lines_that_were_changed_again_since_are_left_to_people_who_are_told_so(
    run, bring, forge, bare, go_profile
):
    merged = bring(go_profile)
    push_files(bare, "main", {"Makefile": "build:\n\tgo build -race -pgo=pgo/profile.pprof -o bin/tiny .\n"})

    reverted = run(merged, go_profile)

    assert reverted == Reverted(
        reason="the lines of Makefile that fleetpgo changed were changed again on main; "
        "remove -pgo from Makefile"
    )
    assert [each.number for each in forge.pull_requests()] == [1]
    assert forge.comments(1)["revert"] == (
        "fleetpgo measured a regression after this was merged, and cannot revert the change: "
        "the lines of Makefile that fleetpgo changed were changed again on main.\n\n"
        "To revert it by hand, on a branch from `main`:\n\n"
        f"1. See what fleetpgo changed: `git fetch origin {merged.head} && git show {merged.head}`, or the "
        "first commit above.\n"
        f"2. Restore `{PATH}` to its state before that, or remove it; remove -pgo from Makefile.\n"
        "3. Remove the `-pgo` that the commit added to the build, if any, and open a pull request."
    )


def test_a_profile_that_people_have_copied_is_left_to_them(run, bring, forge, bare, go_profile, tmp_path):
    merged = bring(go_profile)
    with clone(bare.as_uri(), "main", "copy", config={}) as checkout:
        copied = commit(checkout, {"cmd/default.pgo": go_profile}, "Copy", exact="cmd/default.pgo")
        push(checkout, copied)
    merge(bare, "main", "copy", "fast-forward-only")

    reverted = run(merged, go_profile)

    assert reverted.reason == "the profile would still be at cmd/default.pgo; remove it there, too"
    assert "the profile would still be at cmd/default.pgo" in forge.comments(1)["revert"]
    assert git(bare, "for-each-ref", f"refs/heads/{BRANCH}") == ""


def test_a_profile_that_people_have_moved_is_left_to_them(run, bring, forge, bare, go_profile):
    merged = bring(go_profile)
    with clone(bare.as_uri(), "main", "move", config={}) as checkout:
        push(checkout, commit(checkout, {PATH: None, "default.pgo": go_profile}, "Move", exact="default.pgo"))
    merge(bare, "main", "move", "fast-forward-only")

    reverted = run(merged, go_profile)

    assert reverted.reason.startswith(f"main now holds the profile at default.pgo, not at {PATH}")
    assert "now holds the profile at default.pgo" in forge.comments(1)["revert"]


def test_a_commit_of_ours_that_the_forge_has_dropped_is_left_to_people(run, bring, forge, go_profile):
    merged = dataclasses.replace(bring(go_profile), head="1" * 40)

    reverted = run(merged, go_profile)

    assert reverted.reason.startswith(f"the forge no longer has fleetpgo's commit {'1' * 40}")
    assert "To revert it by hand" in forge.comments(1)["revert"]
