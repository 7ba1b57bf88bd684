"""A regression takes its profile out again, on a real git origin."""

from datetime import UTC, datetime, timedelta

import pytest

from fleetpgo.config import Service
from fleetpgo.forges.local import LocalForge
from fleetpgo.manners import DO_NOT_UPDATE
from fleetpgo.measurement.comparison import Comparison
from fleetpgo.measurement.estimate import Estimate
from fleetpgo.measurement.evidence import Amount, change
from fleetpgo.measurement.rollout import Rollout
from fleetpgo.measurement.verdict import Verdict
from fleetpgo.proposal import digest
from fleetpgo.repository import clone, commit, git, push
from fleetpgo.reverting import Reverted, propose_revert

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


def tiny(**review):
    return Service.model_validate(
        {
            "name": "tiny",
            "prometheus": {"connection": "prometheus"},
            "selection": {"cpu": "up"},
            "repository": {"forge": "local", "connection": "forge", "project": "tiny"},
            "review": review,
            "build": {"binary": "bin/tiny", "explain": False},
            "rollout": {"fraction": "up"},
            "measurement": {"cpu": "up"},
        }
    )


@pytest.fixture
def forge(origin):
    return LocalForge(str(origin), "tiny")


@pytest.fixture
def bare(origin):
    return origin / "tiny.git"


@pytest.fixture
def bring(forge):
    """Propose a profile and merge it, as a run and a reviewer do."""

    def bring_it(profile):
        files = {PATH: profile, "Makefile": b"build:\n\tgo build -pgo=pgo/profile.pprof -o bin/tiny .\n"}
        with clone(forge.clone_url, "main", "fleetpgo/tiny", config={}) as checkout:
            push(checkout, commit(checkout, files, "Refresh", exact=PATH))
        return forge.merge(forge.create("fleetpgo/tiny", "main", "Refresh", "Body").number)

    return bring_it


@pytest.fixture
def run(forge):
    def propose(merged, profile, measured=None, **review):
        return propose_revert(
            tiny(**review),
            forge,
            profile=digest(profile),
            commit=merged.merge_commit,
            brought_by=merged.url,
            measured=measured or regression(),
            report="| evidence |\n",
        )

    return propose


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
        f"Reverts {merged.merge_commit}, by which {merged.url} brought the PGO profile of `tiny`."
    )
    assert r"Regression: 3.0 % \[2.0, 4.0\] more CPU" in body
    assert body.count("` calls `") == 10
    assert "| evidence |" in body


def test_a_refresh_is_reverted_to_the_profile_before_it(run, bring, bare, go_profile, tmp_path):
    bring(b"before")
    merged = bring(go_profile)
    run(merged, go_profile)

    assert git(bare, "cat-file", "blob", f"{BRANCH}:{PATH}") == "before"


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

    assert "the profile is not to blame" in reverted.reason
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


def test_what_was_changed_in_the_same_place_since_is_reverted_by_hand(run, bring, bare, go_profile, tmp_path):
    merged = bring(go_profile)
    work = tmp_path / "work"
    git(tmp_path, "clone", "--quiet", bare.as_uri(), str(work))
    (work / "Makefile").write_text("build:\n\tgo build -race -pgo=pgo/profile.pprof -o bin/tiny .\n")
    git(work, "commit", "--quiet", "--all", "--message", "Edit")
    git(work, "push", "--quiet", "origin", "main")

    reverted = run(merged, go_profile)

    assert reverted.pull_request is None
    assert f"{merged.merge_commit} cannot be reverted on main" in reverted.reason
    assert reverted.reason.endswith("the same lines were changed since: revert it by hand")
