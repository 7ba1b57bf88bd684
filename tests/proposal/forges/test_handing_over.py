"""Each person is asked alone, and who cannot be asked holds up nothing, on every forge that has people."""

import pytest

from fleetpgo.errors import ForgeError
from fleetpgo.proposal.ensure import ensure_pull_request
from fleetpgo.service.review import ReviewRules
from tests.proposal.forges.doubles import KINDS
from tests.proposal.forges.sides import BRANCH

HEAD = "0" * 40


def ensure(forge, **review):
    return ensure_pull_request(
        forge, BRANCH, "main", "Title", "Body", ReviewRules(**review), head=HEAD, require_head=bool
    )


UNASKED = {
    "github": ["ghost", "mallory", "bot", "acme/gone"],
    "gitlab": ["ghost", "mallory", "acme/gone"],
    "gitea": ["ghost", "mallory", "bot", "acme/gone"],
}


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_who_cannot_be_asked_is_named_and_everybody_else_is_asked(kind, forge, there, opened, caplog):
    ensure(
        forge,
        reviewers=("ghost", "ada", *UNASKED[kind][1:], "grace"),
        assignees=("mallory", "ada", "ghost", "grace"),
        labels=("performance",),
    )

    made = there.pull(1)
    assert (["ada", "grace"], ["ada", "grace"]) == (made.reviewers, made.assignees)
    assert made.labels == ["performance", "fleetpgo"]
    (comment,) = made.comments.values()
    named = [
        *((name, "reviewers") for name in UNASKED[kind]),
        ("mallory", "assignees"),
        ("ghost", "assignees"),
    ]
    for name, role in named:
        assert f"- `{name}` (`review.{role}`): `" in comment
        assert f"pull request 1 goes on without {name} of review.{role}" in caplog.text
    assert comment.count("\n- ") == len(named)


@pytest.mark.parametrize("kind", ["github", "gitea"], indirect=True)
def test_a_team_is_asked(forge, there, opened):
    ensure(forge, reviewers=("acme/gone", "acme/perf"))

    assert there.pull(1).reviewers == ["perf"]


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_a_hand_over_whose_answer_was_lost_is_completed_once(forge, there, opened):
    """The comment is made, and the answer is a 500."""
    handing = {"reviewers": ("ghost", "ada"), "assignees": ("grace",)}
    there.lost = ["PUT"] if isinstance(there, KINDS["gitlab"][0]) else []
    original = there.comment

    def lose(number, body):
        there.lost.append("POST")
        return original(number, body)

    there.comment = lose
    with pytest.raises(ForgeError):
        ensure(forge, **handing)
    there.comment = original
    unfinished = list(there.pull(1).labels)
    ensure(forge, **handing)

    made = there.pull(1)
    assert ([], ["fleetpgo"], 1) == (unfinished, made.labels, len(made.comments))
    assert {"ada"} == set(made.reviewers)


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_a_token_that_runs_out_at_a_reviewer_is_no_refusal(forge, there, opened):
    there.stumbles = [("PUT" if isinstance(there, KINDS["gitlab"][0]) else "POST", 401, {})]

    with pytest.raises(ForgeError):
        ensure(forge, reviewers=("ada",))
    ensure(forge, reviewers=("ada",))

    assert (["ada"], ["fleetpgo"], {}) == (
        there.pull(1).reviewers,
        there.pull(1).labels,
        there.pull(1).comments,
    )
